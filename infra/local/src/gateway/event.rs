//! A request as the payload-2.0 event that API Gateway sends to a function. Must never take the caller's address from
//! a header: throttling depends on it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, COOKIE, HOST, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, HeaderName};
use serde::Serialize;

use super::authorize::Told;
use super::routes::Parameters;
use crate::clock;
use crate::lambda::ACCOUNT;

/// What the gateway knows about a request besides the request itself.
#[derive(Debug)]
pub struct Facts<'a> {
    /// Key of its route.
    pub route_key: &'a str,
    /// Path parameters.
    pub parameters: Parameters,
    /// Peer address.
    pub peer: SocketAddr,
    /// Port of the gateway.
    pub port: u16,
    /// API Gateway's request id.
    pub request_id: &'a str,
    /// X-Ray header.
    pub trace_id: &'a str,
    /// When it arrived, since the epoch.
    pub at: Duration,
    /// What the authorizer told.
    pub authorizer: Option<Told>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    version: &'static str,
    route_key: &'a str,
    raw_path: &'a str,
    raw_query_string: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cookies: Vec<String>,
    headers: BTreeMap<&'a str, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    query_string_parameters: BTreeMap<String, String>,
    request_context: Context<'a>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    path_parameters: &'a Parameters,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    is_base64_encoded: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Context<'a> {
    account_id: &'static str,
    api_id: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    authorizer: Option<ToldBy<'a>>,
    domain_name: String,
    domain_prefix: String,
    http: Http<'a>,
    request_id: &'a str,
    route_key: &'a str,
    stage: &'static str,
    time: String,
    time_epoch: u64,
}

#[derive(Serialize)]
struct ToldBy<'a> {
    lambda: &'a Told,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Http<'a> {
    method: &'a str,
    path: &'a str,
    protocol: String,
    source_ip: String,
    user_agent: String,
}

/// The event, as JSON.
pub fn encode(parts: &Parts, body: &Bytes, facts: &Facts<'_>) -> Bytes {
    serde_json::to_vec(&event(parts, body, facts)).expect("an event has string keys only").into()
}

/// The event of an authorizer, as JSON: without the body, with the values of its identity sources.
pub fn encode_authorizer(parts: &Parts, facts: &Facts<'_>, identity: &[String]) -> Bytes {
    let whole = event(parts, &Bytes::new(), facts);
    let mut value = serde_json::to_value(&whole).expect("an event has string keys only");
    if let Some(members) = value.as_object_mut() {
        members.remove("isBase64Encoded");
        let (method, path) = (parts.method.as_str(), parts.uri.path());
        let arn = format!("arn:aws:execute-api:local:{ACCOUNT}:local/$default/{method}{path}");
        members.insert("type".to_owned(), "REQUEST".into());
        members.insert("routeArn".to_owned(), arn.into());
        members.insert("identitySource".to_owned(), identity.into());
    }
    value.to_string().into()
}

fn event<'a>(parts: &'a Parts, body: &Bytes, facts: &'a Facts<'_>) -> Event<'a> {
    let host = text(&parts.headers, &HOST);
    let domain = host.rsplit_once(':').map_or(host.as_str(), |(name, _)| name).to_owned();
    let (body, is_base64_encoded) = body_text(&parts.headers, body);
    let query = parts.uri.query().unwrap_or_default();
    Event {
        version: "2.0",
        route_key: facts.route_key,
        raw_path: parts.uri.path(),
        raw_query_string: query,
        cookies: cookies(&parts.headers),
        headers: headers(&parts.headers, facts),
        query_string_parameters: query_parameters(query),
        request_context: Context {
            account_id: ACCOUNT,
            api_id: "local",
            authorizer: facts.authorizer.as_ref().map(|lambda| ToldBy { lambda }),
            domain_prefix: domain.split('.').next().unwrap_or_default().to_owned(),
            domain_name: domain,
            http: Http {
                method: parts.method.as_str(),
                path: parts.uri.path(),
                protocol: format!("{:?}", parts.version),
                source_ip: facts.peer.ip().to_string(),
                user_agent: text(&parts.headers, &USER_AGENT),
            },
            request_id: facts.request_id,
            route_key: facts.route_key,
            stage: "$default",
            time: clock::gateway_time(facts.at),
            time_epoch: u64::try_from(facts.at.as_millis()).unwrap_or(u64::MAX),
        },
        path_parameters: &facts.parameters,
        body,
        is_base64_encoded,
    }
}

/// Lower-case names, duplicates joined by commas, cookies apart, and the headers that API Gateway adds.
fn headers<'a>(given: &'a HeaderMap, facts: &Facts<'_>) -> BTreeMap<&'a str, String> {
    let mut headers: BTreeMap<&str, String> =
        given.keys().filter(|name| **name != COOKIE).map(|name| (name.as_str(), text(given, name))).collect();
    let peer = facts.peer.ip();
    headers
        .entry("x-forwarded-for")
        .and_modify(|earlier| *earlier = format!("{earlier}, {peer}"))
        .or_insert_with(|| peer.to_string());
    headers.insert("x-forwarded-port", facts.port.to_string());
    headers.insert("x-forwarded-proto", "http".to_owned());
    headers.insert("x-amzn-trace-id", facts.trace_id.to_owned());
    headers
}

fn cookies(headers: &HeaderMap) -> Vec<String> {
    headers
        .get_all(COOKIE)
        .iter()
        .flat_map(|value| {
            let line = String::from_utf8_lossy(value.as_bytes()).into_owned();
            line.split(';').map(|cookie| cookie.trim().to_owned()).collect::<Vec<String>>()
        })
        .filter(|cookie| !cookie.is_empty())
        .collect()
}

/// A header's value, duplicates joined by commas.
pub fn header(given: &HeaderMap, name: &str) -> Option<String> {
    let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
    given.contains_key(&name).then(|| text(given, &name))
}

/// By name, duplicates joined by commas.
pub fn query_parameters(query: &str) -> BTreeMap<String, String> {
    let mut parameters: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        parameters
            .entry(name.into_owned())
            .and_modify(|earlier| {
                earlier.push(',');
                earlier.push_str(&value);
            })
            .or_insert_with(|| value.into_owned());
    }
    parameters
}

/// Text types go as they are; everything else, forms included, goes as base64.
fn body_text(headers: &HeaderMap, body: &Bytes) -> (Option<String>, bool) {
    if body.is_empty() {
        return (None, false);
    }
    let content_type = text(headers, &CONTENT_TYPE).to_ascii_lowercase();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let is_text = essence.starts_with("text/")
        || matches!(essence, "application/json" | "application/xml" | "application/javascript");
    if is_text
        && !headers.contains_key(CONTENT_ENCODING)
        && let Ok(text) = std::str::from_utf8(body)
    {
        return (Some(text.to_owned()), false);
    }
    (Some(STANDARD.encode(body)), true)
}

fn text(headers: &HeaderMap, name: &HeaderName) -> String {
    let mut values = headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
    let first = values.next().unwrap_or_default().into_owned();
    values.fold(first, |joined, value| format!("{joined},{value}"))
}
