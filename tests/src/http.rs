//! HTTP as the tests speak it: one call, one reply, both in memory, everything bounded.

use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const LIMIT: Duration = Duration::from_secs(40);

/// A client; cheap to clone, bound to the runtime of its test.
#[derive(Clone)]
pub struct Http {
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Http {
    /// A client with a connection pool of its own.
    pub fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self { client: Client::builder(TokioExecutor::new()).build(connector) }
    }
}

impl Default for Http {
    fn default() -> Self {
        Self::new()
    }
}

/// A call being put together.
#[derive(Clone, Debug)]
pub struct Call {
    method: Method,
    url: String,
    headers: Vec<(String, String)>,
    body: Bytes,
}

impl Call {
    /// A call with any method.
    pub fn new(method: &str, url: impl Into<String>) -> Self {
        let method = method.parse().expect("a method");
        Self { method, url: url.into(), headers: Vec::new(), body: Bytes::new() }
    }

    /// `GET`.
    pub fn get(url: impl Into<String>) -> Self {
        Self::new("GET", url)
    }

    /// `POST`.
    pub fn post(url: impl Into<String>) -> Self {
        Self::new("POST", url)
    }

    /// `DELETE`.
    pub fn delete(url: impl Into<String>) -> Self {
        Self::new("DELETE", url)
    }

    /// One more header line.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// `Authorization: Bearer`.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    /// `Authorization: Basic`, for names and secrets that need no form encoding.
    #[must_use]
    pub fn basic(self, id: &str, secret: &str) -> Self {
        self.header("authorization", format!("Basic {}", STANDARD.encode(format!("{id}:{secret}"))))
    }

    /// A body with its content type.
    #[must_use]
    pub fn body(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self.header("content-type", content_type)
    }

    /// A JSON body.
    #[must_use]
    pub fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string())
    }

    /// A form body.
    #[must_use]
    pub fn form(self, pairs: &[(&str, &str)]) -> Self {
        let text: Vec<String> = pairs.iter().map(|(k, v)| format!("{}={}", encode(k), encode(v))).collect();
        self.body("application/x-www-form-urlencoded", text.join("&"))
    }

    /// The same call without a header line.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self
    }

    /// The same call to another URL.
    #[must_use]
    pub fn at(self, url: impl Into<String>) -> Self {
        Self { url: url.into(), ..self }
    }

    /// Where it goes.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// One of its header lines.
    pub fn line(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The members of its form or JSON body that are texts.
    pub fn members(&self) -> Vec<(String, String)> {
        let text = String::from_utf8_lossy(&self.body);
        match self.line("content-type") {
            Some("application/json") => {
                let body: Value = serde_json::from_str(&text).unwrap_or_default();
                let texts = body.as_object().into_iter().flatten();
                texts.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
            }
            Some("application/x-www-form-urlencoded") => {
                let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
                pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The same call with a member of its form or JSON body replaced, or added.
    #[must_use]
    pub fn with_member(self, name: &str, value: &str) -> Self {
        if self.line("content-type") == Some("application/json") {
            let mut body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
            body[name] = Value::from(value);
            return Self { body: body.to_string().into(), ..self };
        }
        let text = String::from_utf8_lossy(&self.body).into_owned();
        let others =
            text.split('&').filter(|pair| pair.split_once('=').is_some_and(|(known, _)| known != name));
        let pairs: Vec<String> =
            others.map(str::to_owned).chain([format!("{name}={}", encode(value))]).collect();
        Self { body: pairs.join("&").into(), ..self }
    }

    /// Sends and takes the whole answer; the error says why there was none.
    pub async fn try_send(self, http: &Http) -> Result<Reply, String> {
        let mut request = Request::builder().method(self.method).uri(&self.url);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(self.body)).map_err(|error| error.to_string())?;
        let exchange = async {
            let response = http.client.request(request).await.map_err(|error| format!("{error:?}"))?;
            let (parts, body) = response.into_parts();
            let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
            Ok(Reply { status: parts.status.as_u16(), headers: parts.headers, body })
        };
        tokio::time::timeout(LIMIT, exchange).await.map_err(|_| "no answer in time".to_owned())?
    }

    /// Sends; the test fails where it stands if no answer comes.
    #[track_caller]
    pub fn send(self, http: &Http) -> impl Future<Output = Reply> {
        let caller = std::panic::Location::caller();
        let what = format!("{} {} at {caller}", self.method, self.url);
        let sent = self.try_send(http);
        async move { sent.await.unwrap_or_else(|error| fail(&format!("{what}: {error}"))) }
    }
}

/// Fails the test that runs.
#[expect(clippy::panic, reason = "a harness fails its test by panicking")]
#[track_caller]
pub fn fail(why: &str) -> ! {
    panic!("{why}")
}

/// Percent-encodes everything that is not unreserved.
pub fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            use std::fmt::Write as _;
            write!(out, "%{byte:02X}").expect("a String takes everything");
        }
        out
    })
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Status code.
    pub status: u16,
    /// Header lines.
    pub headers: HeaderMap,
    /// Body bytes.
    pub body: Bytes,
}

impl Reply {
    /// The body as JSON; `Null` when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// One header, empty when absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap_or("<not text>"))
    }

    /// A string member of the JSON body.
    #[track_caller]
    pub fn string(&self, member: &str) -> String {
        let json = self.json();
        let value = json.get(member).and_then(Value::as_str);
        value.unwrap_or_else(|| fail(&format!("no `{member}` in {self}"))).to_owned()
    }

    /// A number member of the JSON body.
    #[track_caller]
    pub fn number(&self, member: &str) -> i64 {
        let json = self.json();
        json.get(member).and_then(Value::as_i64).unwrap_or_else(|| fail(&format!("no `{member}` in {self}")))
    }

    /// The `error` member, empty when absent.
    pub fn error(&self) -> String {
        self.json().get("error").and_then(Value::as_str).unwrap_or_default().to_owned()
    }
}

#[expect(clippy::return_self_not_must_use, reason = "assertions; what they return is there to go on with")]
impl Reply {
    /// Checks that this is a problem document (RFC 9457) of this status and code.
    #[track_caller]
    pub fn expect_problem(self, status: u16, code: &str) -> Self {
        let json = self.json();
        assert_eq!((self.status, json["code"].as_str().unwrap_or_default()), (status, code), "{self}");
        assert_eq!(self.header("content-type"), "application/problem+json", "{self}");
        assert_eq!(json["type"], format!("urn:leasehold:problem:{code}"), "{self}");
        assert_eq!(json["status"], status, "{self}");
        assert!(json["title"].is_string() && json["detail"].is_string(), "{self}");
        assert!(self.header("cache-control").contains("no-store"), "{self}");
        self
    }

    /// Requires a status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self}");
        self
    }

    /// Requires an OAuth error with its status, and the shape every error has.
    #[track_caller]
    pub fn expect_error(self, status: u16, error: &str) -> Self {
        assert_eq!((self.status, self.error().as_str()), (status, error), "{self}");
        self.expect_error_shape()
    }

    /// Requires the shape every error of an OAuth route has: the members, no caching, no echo-prone characters, and
    /// `Retry-After` where the client is to come back.
    #[track_caller]
    pub fn expect_error_shape(self) -> Self {
        let json = self.json();
        let description = json["error_description"].as_str().unwrap_or_default();
        // RFC 6749 §5.2: %x20-21 / %x23-5B / %x5D-7E.
        let allowed = |c: char| (' '..='~').contains(&c) && c != '"' && c != '\\';
        assert!(!description.is_empty() && description.chars().all(allowed), "description of {self}");
        let actions = ["retry", "reauthenticate", "fix_request", "update_app"];
        assert!(
            json["client_action"].as_str().is_some_and(|a| actions.contains(&a)),
            "client_action of {self}"
        );
        assert!(self.header("content-type").starts_with("application/json"), "content type of {self}");
        assert!(self.header("cache-control").contains("no-store"), "cache-control of {self}");
        if matches!(self.status, 429 | 503) {
            assert!(self.header("retry-after").parse::<u32>().is_ok(), "retry-after of {self}");
        }
        self
    }
}

impl std::fmt::Display for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?} {}", self.status, self.headers, self.text())
    }
}

/// Sends bytes as they are and reads what comes back, for requests that no client library would send.
pub async fn raw(address: SocketAddr, bytes: &[u8]) -> String {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.expect("the gateway listens");
        // The server may answer and close before it has read everything; what it said is what counts.
        drop(stream.write_all(bytes).await);
        let mut answer = Vec::new();
        let mut chunk = [0; 4096];
        let mut patience = Duration::from_secs(1);
        loop {
            match tokio::time::timeout(patience, stream.read(&mut chunk)).await {
                Ok(Ok(read)) if read > 0 => answer.extend_from_slice(&chunk[..read]),
                Ok(_) => break,
                Err(_) => {
                    // It waits for more: there is none.
                    drop(stream.shutdown().await);
                    patience = LIMIT;
                }
            }
            if complete(&answer) {
                break;
            }
        }
        String::from_utf8_lossy(&answer).into_owned()
    };
    tokio::time::timeout(LIMIT, exchange).await.unwrap_or_else(|_| fail("no answer to raw bytes in time"))
}

/// Whether the bytes hold a whole answer with a `Content-Length`.
fn complete(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((head, _)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    length.is_some_and(|length| answer.len() >= head.len() + 4 + length)
}
