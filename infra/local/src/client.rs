//! A small HTTP client for the stack's own use: the seed, the demo and tests.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

/// Longer than any function may take.
const TIME: Duration = Duration::from_secs(330);

/// The client; clones share connections.
#[derive(Debug, Clone)]
pub struct Client(hyper_util::client::legacy::Client<HttpConnector, Full<Bytes>>);

/// A response, read whole.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
}

impl Reply {
    /// The body as JSON; null when it is not.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// A request that had no response.
#[derive(Debug, thiserror::Error)]
#[error("{url}: {cause}")]
pub struct ClientError {
    url: String,
    cause: Box<dyn std::error::Error + Send + Sync>,
}

impl Default for Client {
    fn default() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self(hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build(connector))
    }
}

impl Client {
    /// Sends a request and reads the whole response.
    pub async fn send(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Reply, ClientError> {
        let failed = |cause| ClientError { url: url.to_owned(), cause };
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).map_err(|error| failed(error.into()))?;
        let exchange = async {
            let (parts, body) = self.0.request(request).await?.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(Reply {
                status: parts.status,
                headers: parts.headers,
                body,
            })
        };
        match tokio::time::timeout(TIME, exchange).await {
            Ok(reply) => reply.map_err(failed),
            Err(elapsed) => Err(failed(elapsed.into())),
        }
    }

    /// GET.
    pub async fn get(&self, url: &str) -> Result<Reply, ClientError> {
        self.send(Method::GET, url, &[], Bytes::new()).await
    }

    /// POST of a JSON document.
    pub async fn post(&self, url: &str, body: &Value) -> Result<Reply, ClientError> {
        self.send(Method::POST, url, &[("content-type", "application/json")], body.to_string()).await
    }

    /// Calls a function through Lambda's Invoke API.
    pub async fn invoke(
        &self,
        lambda_url: &str,
        function: &str,
        event: &Value,
    ) -> Result<Reply, ClientError> {
        self.post(&format!("{lambda_url}/2015-03-31/functions/{function}/invocations"), event).await
    }
}
