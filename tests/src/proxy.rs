//! A proxy between the functions and AWS that counts calls and spoils them.
//!
//! It listens on two ports, one for DynamoDB and one for KMS, and keeps one log and one set of rules for both, so that
//! "the third call of this request" means what it says. It has a thread of its own and outlives the runtime of the test
//! that started it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::dice::Dice;
use crate::process::{self, Connection};
use crate::settings;
use crate::stack::free_port;

/// What becomes of a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// It waits, then goes on as usual.
    Delay(Duration),
    /// It never reaches AWS, and the caller sees its connection close.
    DropBefore,
    /// AWS carries it out, and the caller sees its connection close.
    DropAfter,
    /// AWS carries it out twice; the caller gets the first answer.
    Duplicate,
    /// AWS refuses it with an error of this name.
    Error(&'static str),
    /// The calling process is killed before the call reaches AWS.
    KillBefore,
    /// The calling process is killed after AWS has carried the call out, before it learns so.
    KillAfter,
    /// The call waits until the test says go on, see [`Proxy::release`].
    Hold,
    /// A batch read is answered without a single item: every key comes back as unprocessed, as under pressure.
    Unprocessed,
    /// A batch read finds the first item and gives every other key back as unprocessed; other calls go on as usual.
    HalfProcessed,
    /// AWS carries it out, and the caller gets an answer that is no JSON.
    Garbled,
    /// AWS carries it out, and the caller's connection closes in the middle of the answer.
    Cut,
    /// It never reaches AWS: something in between answers 502 with a page of HTML.
    BadGateway,
}

/// Which calls, and what becomes of them.
#[derive(Clone, Debug)]
pub struct Rule {
    operation: Option<&'static str>,
    containing: Option<String>,
    skip: usize,
    times: usize,
    chance: Option<(Dice, u32)>,
    action: Action,
}

impl Rule {
    /// Every call.
    pub fn any(action: Action) -> Self {
        Self { operation: None, containing: None, skip: 0, times: usize::MAX, chance: None, action }
    }

    /// Every call of one operation, `Sign` say.
    pub fn on(operation: &'static str, action: Action) -> Self {
        Self { operation: Some(operation), ..Self::any(action) }
    }

    /// Only calls whose body holds this text: a tenant's name, an item's key.
    #[must_use]
    pub fn containing(mut self, text: &str) -> Self {
        self.containing = Some(text.to_owned());
        self
    }

    /// Only the n-th matching call from now, counted from one.
    #[must_use]
    pub fn nth(mut self, n: usize) -> Self {
        self.skip = n - 1;
        self.times = 1;
        self
    }

    /// Not before this many matching calls have passed.
    #[must_use]
    pub fn after(mut self, calls: usize) -> Self {
        self.skip = calls;
        self
    }

    /// Only so many in a thousand of the matching calls, by the dice: the n-th matching call meets the same fate in every
    /// run with the same seed.
    #[must_use]
    pub fn in_thousand(mut self, often: u32, dice: Dice) -> Self {
        self.chance = Some((dice, often));
        self
    }

    /// Only the first `n` matching calls.
    #[must_use]
    pub fn times(mut self, n: usize) -> Self {
        self.times = n;
        self
    }
}

/// A call as the proxy saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The operation: `BatchGetItem`, `Sign`.
    pub operation: String,
    /// Partition keys the call names.
    pub partitions: Vec<String>,
    /// The request body.
    pub body: Value,
    /// The status AWS answered, if it was asked and the answer came.
    pub status: Option<u16>,
    /// The access key that signed the call.
    pub access_key: String,
    /// The service it was signed for: `dynamodb`, `kms`.
    pub service: String,
    /// The method; all operations are POSTs.
    pub method: Method,
}

#[derive(Default)]
struct State {
    seen: Vec<Seen>,
    forgetful: bool,
    calls: usize,
    cut_short: usize,
    spoiled: BTreeMap<String, usize>,
    rules: Vec<Rule>,
    gate: Option<tokio::sync::watch::Sender<bool>>,
    held: usize,
}

/// A running proxy.
pub struct Proxy {
    state: Arc<Mutex<State>>,
    dynamodb: (SocketAddr, u16),
    kms: (SocketAddr, u16),
    stop: Option<oneshot::Sender<()>>,
}

impl Proxy {
    /// Starts listening; the stack is to be told with [`crate::stack::Setup::through`].
    pub fn start() -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let port =
            |url: &str| url.trim_end_matches('/').rsplit(':').next().and_then(|port| port.parse().ok());
        let witness = settings::witness().and_then(|(dynamodb, kms)| port(&dynamodb).zip(port(&kms)));
        let (dynamodb, kms) = witness.unwrap_or_else(|| (free_port(), free_port()));
        let (ready, addresses) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async move {
                let first = listen(&shared, dynamodb).await;
                let second = listen(&shared, kms).await;
                ready.send((first, second)).expect("the starter waits");
                // Either way the test is over.
                drop(stopped.await);
            });
        });
        let (first, second) = addresses.recv().expect("the proxy listens");
        Self { state, dynamodb: (first, dynamodb), kms: (second, kms), stop: Some(stop) }
    }

    /// What the functions are to take for DynamoDB.
    pub fn dynamodb_url(&self) -> String {
        format!("http://{}", self.dynamodb.0)
    }

    /// What the functions are to take for KMS.
    pub fn kms_url(&self) -> String {
        format!("http://{}", self.kms.0)
    }

    /// The port on which the embedded DynamoDB has to listen.
    pub fn dynamodb_upstream(&self) -> u16 {
        self.dynamodb.1
    }

    /// The port on which the embedded KMS has to listen.
    pub fn kms_upstream(&self) -> u16 {
        self.kms.1
    }

    /// Adds a rule. The first rule that matches a call decides.
    pub fn inject(&self, rule: Rule) {
        lock(&self.state).rules.push(rule);
    }

    /// Drops all rules and lets every held call go.
    pub fn heal(&self) {
        lock(&self.state).rules.clear();
        self.release();
    }

    /// Lets the calls go that [`Action::Hold`] holds.
    pub fn release(&self) {
        if let Some(gate) = lock(&self.state).gate.take() {
            gate.send_replace(true);
        }
    }

    /// How many calls have been held since the start.
    pub fn held(&self) -> usize {
        lock(&self.state).held
    }

    /// Returns once `n` calls have been held since the start.
    pub async fn until_held(&self, n: usize) {
        for _ in 0..2000 {
            if lock(&self.state).held >= n {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(lock(&self.state).held >= n, "no call came to be held");
    }

    /// Puts calls on record from now on, as at the start.
    pub fn record(&self) {
        lock(&self.state).forgetful = false;
    }

    /// Puts no more calls on record, in runs of many: each is some KiB.
    pub fn forget(&self) {
        lock(&self.state).forgetful = true;
    }

    /// How many requests never came whole: their head promised more than was sent.
    pub fn cut_short(&self) -> usize {
        lock(&self.state).cut_short
    }

    /// How many calls there have been in all, and how many met which fate.
    pub fn fates(&self) -> (usize, BTreeMap<String, usize>) {
        let state = lock(&self.state);
        (state.calls, state.spoiled.clone())
    }

    /// How many calls are on record.
    pub fn mark(&self) -> usize {
        lock(&self.state).seen.len()
    }

    /// The calls after a mark.
    pub fn since(&self, mark: usize) -> Vec<Seen> {
        lock(&self.state).seen[mark..].to_vec()
    }

    /// The operations after a mark, in the order of arrival.
    pub fn operations_since(&self, mark: usize) -> Vec<String> {
        self.since(mark).into_iter().map(|seen| seen.operation).collect()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.release();
        if let Some(stop) = self.stop.take() {
            // The thread may have ended already.
            let _ = stop.send(());
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The body of an answer; one that ends with an error closes the connection.
type Answer = UnsyncBoxBody<Bytes, Closed>;

fn whole(bytes: impl Into<Bytes>) -> Answer {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

type Upstream = Client<HttpConnector, Full<Bytes>>;

async fn listen(state: &Arc<Mutex<State>>, upstream: u16) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let state = Arc::clone(state);
    let client: Upstream = Client::builder(TokioExecutor::new()).build_http();
    tokio::spawn(async move {
        while let Ok((stream, peer)) = listener.accept().await {
            // Not fatal: it only makes answers slower.
            drop(stream.set_nodelay(true));
            let (state, client) = (Arc::clone(&state), client.clone());
            let connection = Connection { caller: peer, called: address };
            let service = service_fn(move |request| {
                let (state, client) = (Arc::clone(&state), client.clone());
                async move { pass(&state, &client, upstream, connection, request).await }
            });
            // Ends with an error whenever a rule drops the connection.
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    address
}

/// Why a connection closes without an answer.
#[derive(Debug)]
struct Closed;

impl std::fmt::Display for Closed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("closed by rule")
    }
}

impl std::error::Error for Closed {}

async fn pass(
    state: &Mutex<State>,
    client: &Upstream,
    upstream: u16,
    connection: Connection,
    request: Request<Incoming>,
) -> Result<Response<Answer>, Closed> {
    let (parts, body) = request.into_parts();
    let Ok(body) = body.collect().await else {
        lock(state).cut_short += 1;
        return Err(Closed);
    };
    let body = body.to_bytes();
    let target = parts.headers.get("x-amz-target").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
    let (index, action, gate) = note(state, &operation, &body);
    if let Some(seen) = lock(state).seen.get_mut(index) {
        (seen.access_key, seen.service) = signed_for(&parts.headers);
        seen.method = parts.method.clone();
    }
    let forward = || async {
        let answer = exchange(client, upstream, &parts, body.clone()).await?;
        if let Some(seen) = lock(state).seen.get_mut(index) {
            seen.status = Some(answer.status().as_u16());
        }
        Ok(answer)
    };
    match action {
        None => forward().await,
        Some(Action::Delay(time)) => {
            tokio::time::sleep(time).await;
            forward().await
        }
        Some(Action::Hold) => {
            if let Some(mut gate) = gate {
                // An error means that the proxy is going: nothing to hold for.
                drop(gate.wait_for(|open| *open).await);
            }
            forward().await
        }
        Some(Action::DropBefore) => Err(Closed),
        Some(Action::DropAfter) => {
            forward().await?;
            Err(Closed)
        }
        Some(Action::Duplicate) => {
            let first = forward().await?;
            exchange(client, upstream, &parts, body.clone()).await?;
            Ok(first)
        }
        Some(Action::Unprocessed) => Ok(unprocessed(&body)),
        Some(Action::HalfProcessed) => half_processed(forward().await?, &body).await,
        Some(Action::Garbled) => Ok(garbled(forward().await?).await),
        Some(Action::Cut) => Ok(cut(forward().await?).await),
        Some(Action::BadGateway) => Ok(bad_gateway()),
        Some(Action::Error(name)) => Ok(refusal(name, target, &body)),
        Some(Action::KillBefore) => {
            kill(connection);
            Err(Closed)
        }
        Some(Action::KillAfter) => {
            forward().await?;
            kill(connection);
            Err(Closed)
        }
    }
}

/// Who signed, and for which service: `Credential=<access key>/<date>/<region>/<service>/…` of AWS's signature.
fn signed_for(headers: &HeaderMap) -> (String, String) {
    let value = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let credential = value.split_once("Credential=").map_or("", |(_, rest)| rest);
    let part = |n| credential.split('/').nth(n).unwrap_or_default().to_owned();
    (part(0), part(3))
}

/// Logs a call and finds the rule for it.
fn note(
    state: &Mutex<State>,
    operation: &str,
    body: &[u8],
) -> (usize, Option<Action>, Option<tokio::sync::watch::Receiver<bool>>) {
    let mut state = lock(state);
    let text = String::from_utf8_lossy(body);
    let action = state.rules.iter_mut().find_map(|rule| {
        let matches = rule.operation.is_none_or(|wanted| wanted == operation)
            && rule.containing.as_ref().is_none_or(|wanted| text.contains(wanted.as_str()));
        if !matches || rule.times == 0 {
            return None;
        }
        if rule.skip > 0 {
            rule.skip -= 1;
            return None;
        }
        if rule.chance.as_mut().is_some_and(|(dice, often)| !dice.in_thousand(*often)) {
            return None;
        }
        rule.times = rule.times.saturating_sub(1);
        Some(rule.action.clone())
    });
    let gate = (action == Some(Action::Hold)).then(|| {
        state.held += 1;
        state.gate.get_or_insert_with(|| tokio::sync::watch::channel(false).0).subscribe()
    });
    state.calls += 1;
    if let Some(action) = &action {
        let name = format!("{action:?}");
        let name = name.split('(').next().unwrap_or_default().to_owned();
        *state.spoiled.entry(name).or_default() += 1;
    }
    if state.forgetful {
        return (usize::MAX, action, gate);
    }
    let body = serde_json::from_slice(body).unwrap_or(Value::Null);
    let mut partitions = Vec::new();
    collect_partitions(&body, &mut partitions);
    let (access_key, service) = (String::new(), String::new());
    state.seen.push(Seen {
        operation: operation.to_owned(),
        partitions,
        body,
        status: None,
        access_key,
        service,
        method: Method::POST,
    });
    (state.seen.len() - 1, action, gate)
}

/// Every string in a DynamoDB attribute value that looks like a partition key of the table.
fn collect_partitions(value: &Value, found: &mut Vec<String>) {
    let of_the_table = |text: &str| text.starts_with("T#") || text.starts_with("TENANTS#");
    match value {
        Value::String(text) if of_the_table(text) && !found.contains(text) => found.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| collect_partitions(item, found)),
        Value::Object(members) => members.values().for_each(|member| collect_partitions(member, found)),
        _ => {}
    }
}

async fn exchange(
    client: &Upstream,
    upstream: u16,
    parts: &Parts,
    body: Bytes,
) -> Result<Response<Answer>, Closed> {
    let mut request = Request::builder().method(&parts.method).uri(format!("http://127.0.0.1:{upstream}/"));
    for (name, value) in &parts.headers {
        request = request.header(name, value);
    }
    let request = request.body(Full::new(body)).map_err(|_| Closed)?;
    let (parts, body) = client.request(request).await.map_err(|_| Closed)?.into_parts();
    let body = body.collect().await.map_err(|_| Closed)?.to_bytes();
    Ok(Response::from_parts(parts, whole(body)))
}

/// `BatchGetItem` that could read nothing this time.
fn unprocessed(body: &[u8]) -> Response<Answer> {
    let request: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let answer = json!({"Responses": {}, "UnprocessedKeys": request["RequestItems"]});
    Response::builder()
        .header("content-type", "application/x-amz-json-1.0")
        .body(whole(answer.to_string()))
        .expect("a response of constants")
}

/// `BatchGetItem` that found the first item and had no capacity for the rest.
async fn half_processed(answer: Response<Answer>, body: &[u8]) -> Result<Response<Answer>, Closed> {
    let (mut parts, found) = answer.into_parts();
    let bytes = found.collect().await?.to_bytes();
    let request: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let mut found: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    let Some((table, wanted)) = request["RequestItems"].as_object().and_then(|tables| tables.iter().next())
    else {
        return Ok(Response::from_parts(parts, whole(bytes)));
    };
    if let Some(items) = found["Responses"][table].as_array_mut() {
        items.truncate(1);
        let has = |key: &Value| items.iter().any(|item| item["PK"] == key["PK"] && item["SK"] == key["SK"]);
        let mut rest = wanted.clone();
        if let Some(keys) = rest["Keys"].as_array_mut() {
            keys.retain(|key| !has(key));
        }
        found["UnprocessedKeys"] = json!({ table: rest });
    }
    // The length and the checksum are those of the whole answer.
    parts.headers.remove("content-length");
    parts.headers.remove("x-amz-crc32");
    Ok(Response::from_parts(parts, whole(found.to_string())))
}

/// The answer with its text spoiled and its form kept.
async fn garbled(answer: Response<Answer>) -> Response<Answer> {
    let (parts, body) = answer.into_parts();
    let bytes = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let spoiled: Vec<u8> =
        bytes.iter().enumerate().map(|(at, byte)| if at % 3 == 0 { !byte } else { *byte }).collect();
    Response::from_parts(parts, whole(spoiled))
}

/// The first half of the answer, and then the end of the connection.
async fn cut(answer: Response<Answer>) -> Response<Answer> {
    let (parts, body) = answer.into_parts();
    let bytes = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let half = bytes.slice(..bytes.len() / 2);
    let frames = futures_util::stream::iter([Ok(Frame::data(half)), Err(Closed)]);
    Response::from_parts(parts, StreamBody::new(frames).boxed_unsync())
}

/// What a load balancer says when nobody is behind it.
fn bad_gateway() -> Response<Answer> {
    Response::builder()
        .status(502)
        .header("content-type", "text/html")
        .body(whole("<html><body><h1>502 Bad Gateway</h1></body></html>"))
        .expect("a response of constants")
}

/// An AWS error as the JSON protocols send it. `TransactionConflict` takes the form that the call calls for.
fn refusal(name: &str, target: &str, body: &[u8]) -> Response<Answer> {
    let namespace =
        if target.starts_with("TrentService.") { "" } else { "com.amazonaws.dynamodb.v20120810#" };
    let status = if name.contains("Internal") { 500 } else { 400 };
    let mut answer = json!({"message": "injected by the fault proxy"});
    if name == "TransactionConflict" && target.ends_with(".TransactWriteItems") {
        let request: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        let items = request["TransactItems"].as_array().map_or(1, Vec::len);
        let mut reasons = vec![json!({"Code": "None"}); items];
        reasons[0] = json!({"Code": "TransactionConflict", "Message": "injected by the fault proxy"});
        answer["__type"] = json!(format!("{namespace}TransactionCanceledException"));
        answer["CancellationReasons"] = json!(reasons);
    } else if name == "TransactionConflict" {
        answer["__type"] = json!(format!("{namespace}TransactionConflictException"));
    } else {
        answer["__type"] = json!(format!("{namespace}{name}"));
    }
    Response::builder()
        .status(status)
        .header("content-type", "application/x-amz-json-1.0")
        .body(whole(answer.to_string()))
        .expect("a response of constants")
}

/// Kills the process that called.
fn kill(connection: Connection) {
    if let Some(pid) = process::caller_of(connection) {
        process::kill_now(pid);
    }
}
