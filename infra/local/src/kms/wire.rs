//! AWS JSON 1.1 over HTTP: `POST /`, the operation in `X-Amz-Target`, errors as 400 with `__type` and `message`.
//!
//! It must never run an operation on a thread of the runtime: generating an RSA key takes seconds, and every other
//! call of the stack would wait for it.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, Response, StatusCode, header},
    routing::post,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{crypto, manage, refusal::Refusal, store::Store};

const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/x-amz-json-1.1");

/// Bytes, base64 on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Blob(pub(super) Vec<u8>);

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(Self).map_err(|_| serde::de::Error::custom("not base64"))
    }
}

impl Blob {
    /// Holds the bytes to the length KMS allows for `member`.
    pub(super) fn within(self, member: &str, most: usize) -> Result<Vec<u8>, Refusal> {
        if self.0.is_empty() {
            return Err(Refusal::constraint(member, "have length greater than or equal to 1"));
        }
        if self.0.len() > most {
            return Err(Refusal::constraint(member, &format!("have length less than or equal to {most}")));
        }
        Ok(self.0)
    }
}

/// A member that must be there.
pub(super) fn required<T>(value: Option<T>, member: &str) -> Result<T, Refusal> {
    value.ok_or_else(|| Refusal::constraint(member, "not be null"))
}

/// The endpoint.
pub(super) fn router(store: Arc<Store>) -> Router {
    Router::new().route("/", post(call).fallback(other_method)).with_state(store)
}

/// Takes the whole request before it answers: a body that was promised and never sent is waited for, so that who promises
/// one finds out here (what AWS does then was not checked).
async fn other_method(_whole: Bytes) -> StatusCode {
    StatusCode::METHOD_NOT_ALLOWED
}

async fn call(State(store): State<Arc<Store>>, headers: HeaderMap, body: Bytes) -> Response<Body> {
    let answer = tokio::task::spawn_blocking(move || run(&store, &headers, &body)).await;
    match answer.unwrap_or_else(|_| Err(Refusal::Internal("the operation was interrupted".to_owned()))) {
        // What KMS sends for the operations that have no output.
        Ok(Value::Null) => reply(StatusCode::OK, Body::empty()),
        Ok(output) => reply(StatusCode::OK, Body::from(output.to_string())),
        Err(refusal) => {
            let status = match &refusal {
                Refusal::Internal(cause) => {
                    tracing::error!(%cause, "the embedded KMS failed");
                    StatusCode::INTERNAL_SERVER_ERROR
                }
                _ => StatusCode::BAD_REQUEST,
            };
            let body = json!({ "__type": refusal.code(), "message": refusal.to_string() });
            reply(status, Body::from(body.to_string()))
        }
    }
}

fn reply(status: StatusCode, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, CONTENT_TYPE);
    response
}

fn run(store: &Store, headers: &HeaderMap, body: &[u8]) -> Result<Value, Refusal> {
    let operation = headers
        .get("x-amz-target")
        .and_then(|target| target.to_str().ok())
        .and_then(|target| target.strip_prefix("TrentService."))
        .ok_or(Refusal::UnknownOperation)?;
    // Signatures are not checked, but an unsigned client would be refused on AWS.
    if !headers.contains_key(header::AUTHORIZATION) {
        return Err(Refusal::Unsigned);
    }
    match operation {
        "CreateKey" => manage::create_key(store, parse(body)?),
        "DescribeKey" => manage::describe_key(store, parse(body)?),
        "EnableKey" => manage::enable_key(store, parse(body)?),
        "DisableKey" => manage::disable_key(store, parse(body)?),
        "ScheduleKeyDeletion" => manage::schedule_key_deletion(store, parse(body)?),
        "CancelKeyDeletion" => manage::cancel_key_deletion(store, parse(body)?),
        "ListKeys" => manage::list_keys(store, parse(body)?),
        "ListResourceTags" => manage::list_resource_tags(store, parse(body)?),
        "TagResource" => manage::tag_resource(store, parse(body)?),
        "UntagResource" => manage::untag_resource(store, parse(body)?),
        "GetPublicKey" => crypto::get_public_key(store, parse(body)?),
        "Sign" => crypto::sign(store, parse(body)?),
        "Verify" => crypto::verify(store, parse(body)?),
        "Encrypt" => crypto::encrypt(store, parse(body)?),
        "Decrypt" => crypto::decrypt(store, parse(body)?),
        "GenerateDataKeyPair" => crypto::generate_data_key_pair(store, parse(body)?),
        "GenerateDataKeyPairWithoutPlaintext" => {
            let mut output = crypto::generate_data_key_pair(store, parse(body)?)?;
            if let Some(members) = output.as_object_mut() {
                members.remove("PrivateKeyPlaintext");
            }
            Ok(output)
        }
        _ => Err(Refusal::UnknownOperation),
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    // serde_json's message may quote the body: a plaintext, say.
    serde_json::from_slice(body).map_err(|error| {
        Refusal::Serialization(format!("malformed at line {}, column {}", error.line(), error.column()))
    })
}
