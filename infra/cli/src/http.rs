//! HTTP: one request, one reply, both in memory, everything bounded. Over TLS the system's certificates count, and
//! `HTTPS_PROXY` and its kin are followed.

use std::time::Duration;

use aws_smithy_http_client::Connector;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_runtime_api::client::http::{HttpConnector as _, HttpConnectorSettings};
use aws_smithy_runtime_api::http::Headers;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use serde_json::Value;

/// How long one exchange may take. The service gives up after 10 s by itself.
const EXCHANGE: Duration = Duration::from_secs(40);

/// The longest reply that is read: Lambda's own bound.
const MAX_REPLY: usize = 6 * 1024 * 1024;

/// A client with its connections.
pub struct Http {
    connector: Connector,
}

/// A reply, read whole.
#[derive(Debug)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    headers: Headers,
    /// The body.
    pub body: Bytes,
}

impl Reply {
    /// A header; nothing when it is absent.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)
    }

    /// The body as JSON; null when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// How long the service asks to wait, at most a minute.
    pub fn retry_after(&self) -> Option<Duration> {
        let seconds: u64 = self.header("retry-after")?.parse().ok()?;
        Some(Duration::from_secs(seconds.min(60)))
    }

    /// A reply without headers.
    #[cfg(test)]
    pub fn of(status: u16, body: Bytes) -> Self {
        Self { status, headers: Headers::new(), body }
    }
}

/// A request had no answer; whether it arrived is not known.
#[derive(Debug, thiserror::Error)]
#[error("{host} gives no answer: {cause}")]
pub struct NoAnswer {
    host: String,
    cause: String,
}

impl Http {
    /// A client. Connections are opened when they are needed.
    pub fn new() -> Self {
        let settings = HttpConnectorSettings::builder()
            .connect_timeout(Duration::from_secs(10))
            .read_timeout(EXCHANGE)
            .build();
        let connector = Connector::builder()
            .connector_settings(settings)
            .proxy_config(ProxyConfig::from_env())
            .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
            .build();
        Self { connector }
    }

    /// Sends a request and reads the whole reply.
    pub async fn send(&self, request: http::Request<Vec<u8>>) -> Result<Reply, NoAnswer> {
        let host = request.uri().authority().map_or_else(String::new, ToString::to_string);
        let failed = |cause: String| NoAnswer { host: host.clone(), cause };
        let request = request.map(SdkBody::from).try_into().map_err(|error| failed(format!("{error}")))?;
        let exchange = async {
            let reply = self.connector.call(request).await.map_err(|error| chain(&error))?;
            let (status, headers) = (reply.status().as_u16(), reply.headers().clone());
            let body = Limited::new(reply.into_body(), MAX_REPLY).collect().await;
            let body = body.map_err(|error| chain(error.as_ref()))?.to_bytes();
            Ok(Reply { status, headers, body })
        };
        match tokio::time::timeout(EXCHANGE, exchange).await {
            Ok(reply) => reply.map_err(failed),
            Err(_) => Err(failed(format!("{} s have passed", EXCHANGE.as_secs()))),
        }
    }
}

/// An error with its causes, each said once.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string);
    let mut said = Vec::new();
    for cause in causes {
        if !said.contains(&cause) {
            said.push(cause);
        }
    }
    said.join(": ")
}
