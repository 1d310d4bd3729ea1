//! Fetching a document: `GET`, over TLS, no redirect followed, within a time and a size.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CACHE_CONTROL, ETAG, IF_NONE_MATCH, USER_AGENT};
use http::response::Parts;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::crypto::aws_lc_rs::default_provider;
use serde::Deserialize;

use super::Settings;

/// A document could not be had.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The service says that there is no such tenant, or none that is served.
    #[error("the tenant is not served")]
    NotServed,
    /// Anything else.
    #[error("{0}")]
    Failed(&'static str),
    /// The connection or the exchange failed.
    #[error("no answer")]
    NoAnswer(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A document as it was answered.
#[derive(Debug)]
pub struct Document {
    /// The body; absent when it is the one that the caller has.
    pub body: Option<Bytes>,
    /// Its tag.
    pub tag: Option<String>,
    /// For how many seconds it may be used without asking again.
    pub max_age_seconds: Option<u64>,
    /// For how many more while asking fails (RFC 5861 §4).
    pub stale_if_error_seconds: Option<u64>,
}

/// An HTTP client.
#[derive(Debug)]
pub struct Fetcher {
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    timeout: Duration,
    max_bytes: usize,
}

impl Fetcher {
    pub fn new(settings: Settings) -> Result<Self, std::io::Error> {
        let timeout = Duration::from_secs(settings.timeout_seconds);
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(default_provider())?
            .https_or_http()
            .enable_http1()
            .build();
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_mins(1))
            .pool_max_idle_per_host(4)
            .build(connector);
        Ok(Self { client, timeout, max_bytes: settings.max_bytes })
    }

    /// Fetches a document, unless it is the one with this tag.
    pub async fn fetch(&self, url: &str, tag: Option<&str>) -> Result<Document, FetchError> {
        let mut request = Request::get(url)
            .header(ACCEPT, "application/json")
            .header(USER_AGENT, concat!("leasehold/", env!("CARGO_PKG_VERSION")));
        if let Some(tag) = tag {
            request = request.header(IF_NONE_MATCH, tag);
        }
        let request = request.body(Empty::new()).map_err(|_| FetchError::Failed("not an address"))?;
        let exchange = async {
            let response = self.client.request(request).await.map_err(|error| no_answer(error.into()))?;
            let (parts, body) = response.into_parts();
            let body = async {
                let whole = Limited::new(body, self.max_bytes).collect().await.map_err(no_answer)?;
                Ok(whole.to_bytes())
            };
            document(&parts, body).await
        };
        tokio::time::timeout(self.timeout, exchange)
            .await
            .unwrap_or(Err(FetchError::Failed("no answer in time")))
    }
}

async fn document(
    parts: &Parts,
    body: impl Future<Output = Result<Bytes, FetchError>>,
) -> Result<Document, FetchError> {
    let body = match parts.status {
        StatusCode::OK => Some(body.await?),
        StatusCode::NOT_MODIFIED => None,
        StatusCode::NOT_FOUND if is_ours(&body.await?) => return Err(FetchError::NotServed),
        StatusCode::NOT_FOUND => return Err(FetchError::Failed("a 404 that is not the service's")),
        status if status.is_redirection() => return Err(FetchError::Failed("a redirect")),
        _ => return Err(FetchError::Failed("an answer that is not 200")),
    };
    Ok(Document {
        body,
        tag: text(&parts.headers, &ETAG),
        max_age_seconds: directive(&parts.headers, "max-age"),
        stale_if_error_seconds: directive(&parts.headers, "stale-if-error"),
    })
}

/// Whether the body of a 404 is a refusal of the service, and not of something that stands before it.
fn is_ours(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Refusal {
        error: String,
    }
    serde_json::from_slice::<Refusal>(body).is_ok_and(|refusal| refusal.error == "invalid_request")
}

fn text(headers: &HeaderMap, name: &http::HeaderName) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

/// The value of a directive of `Cache-Control`, in seconds. `no-store` and `no-cache` make it 0.
fn directive(headers: &HeaderMap, name: &str) -> Option<u64> {
    let all = text(headers, &CACHE_CONTROL)?.to_ascii_lowercase();
    let mut directives = all.split(',').map(str::trim);
    if directives.clone().any(|directive| directive == "no-store" || directive == "no-cache") {
        return Some(0);
    }
    directives.find_map(|directive| {
        let (found, value) = directive.split_once('=')?;
        (found == name).then(|| value.trim_matches('"').parse().ok()).flatten()
    })
}

fn no_answer(error: Box<dyn std::error::Error + Send + Sync>) -> FetchError {
    FetchError::NoAnswer(error)
}
