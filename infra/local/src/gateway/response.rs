//! A function's answer (format 2.0) as the response that API Gateway gives, and the gateway's own answers.

use axum::body::Body;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, SET_COOKIE, TRANSFER_ENCODING};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    status_code: Value,
    #[serde(default)]
    headers: Option<Map<String, Value>>,
    #[serde(default)]
    cookies: Option<Vec<String>>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: Option<bool>,
}

/// The response for a function's answer; `None` when the answer is malformed.
pub fn decode(answer: &Bytes) -> Option<Response<Body>> {
    let value: Value = serde_json::from_slice(answer).ok()?;
    if value.get("statusCode").is_some() {
        return full(serde_json::from_value(value).ok()?);
    }
    // API Gateway infers the rest: 200, application/json, and a string is the body itself.
    let body = match value {
        Value::String(text) => Bytes::from(text),
        _ => answer.clone(),
    };
    Some(json(StatusCode::OK, body))
}

fn full(answer: Answer) -> Option<Response<Body>> {
    let code = match &answer.status_code {
        Value::Number(number) => number.as_u64().and_then(|code| u16::try_from(code).ok())?,
        Value::String(text) => text.parse().ok()?,
        _ => return None,
    };
    let text = answer.body.unwrap_or_default();
    let body = if answer.is_base64_encoded == Some(true) {
        Bytes::from(STANDARD.decode(text).ok()?)
    } else {
        Bytes::from(text)
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(code).ok().filter(|code| code.as_u16() >= 200)?;
    let headers = response.headers_mut();
    for (name, value) in answer.headers.unwrap_or_default() {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        if matches!(name, CONNECTION | CONTENT_LENGTH | TRANSFER_ENCODING) {
            continue;
        }
        let value = match value {
            Value::String(text) => text,
            Value::Number(_) | Value::Bool(_) => value.to_string(),
            _ => return None,
        };
        headers.insert(name, HeaderValue::from_str(&value).ok()?);
    }
    for cookie in answer.cookies.unwrap_or_default() {
        headers.append(SET_COOKIE, HeaderValue::from_str(&cookie).ok()?);
    }
    if !headers.contains_key(CONTENT_TYPE) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain;charset=UTF-8"));
    }
    Some(response)
}

/// An answer of the gateway itself.
pub fn message(status: StatusCode, text: &'static str) -> Response<Body> {
    json(status, serde_json::json!({ "message": text }).to_string().into())
}

fn json(status: StatusCode, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
