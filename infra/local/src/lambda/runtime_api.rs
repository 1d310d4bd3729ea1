//! The Lambda Runtime API (and the part of the Extensions API that a graceful shutdown needs) for one instance.
//! `/next` is a long poll without a limit, as on AWS. Must never hand out an event to a process that has ended.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use axum::routing::{get, post};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::instance::Instance;
use super::{Outcome, PAYLOAD_LIMIT};
use crate::random;

type Reply = Response<Body>;

#[derive(Clone)]
struct Api {
    instance: Arc<Instance>,
    inboxes: Arc<Mutex<HashMap<String, Inbox>>>,
}

type Inbox = Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<Value>>>;

/// The API of one instance.
pub fn router(instance: Arc<Instance>) -> Router {
    let api = Api { instance, inboxes: Arc::default() };
    Router::new()
        .route("/2018-06-01/runtime/invocation/next", get(next))
        .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
        .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
        .route("/2018-06-01/runtime/init/error", post(init_error))
        .route("/2020-01-01/extension/register", post(register))
        .route("/2020-01-01/extension/event/next", get(next_event))
        .route("/2020-01-01/extension/init/error", post(init_error))
        .route("/2020-01-01/extension/exit/error", post(init_error))
        .with_state(api)
}

async fn next(State(api): State<Api>) -> Reply {
    let Some(begun) = api.instance.next().await else {
        return refusal(StatusCode::GONE, "Runtime.Gone", "the process of this poll has ended");
    };
    let mut reply = json_reply(StatusCode::OK, begun.event);
    let headers = reply.headers_mut();
    let mut put = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    put("lambda-runtime-aws-request-id", &begun.id);
    put("lambda-runtime-deadline-ms", &begun.deadline_ms.to_string());
    put("lambda-runtime-invoked-function-arn", &api.instance.function.arn);
    put("lambda-runtime-trace-id", &begun.trace_id);
    reply
}

async fn response(State(api): State<Api>, Path(id): Path<String>, body: Body) -> Reply {
    if let Ok(body) = axum::body::to_bytes(body, PAYLOAD_LIMIT).await {
        return finished(api.instance.finish(&id, Outcome::Answer(body)));
    }
    let message =
        format!("Response payload size exceeded maximum allowed payload size ({PAYLOAD_LIMIT} bytes).");
    api.instance.finish(&id, Outcome::failed(Some("Function.ResponseSizeTooLarge"), &message));
    refusal(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", &message)
}

async fn error(State(api): State<Api>, Path(id): Path<String>, headers: HeaderMap, body: Bytes) -> Reply {
    let document = if serde_json::from_slice::<Value>(&body).is_ok_and(|value| value.is_object()) {
        body
    } else {
        let error_type =
            headers.get("lambda-runtime-function-error-type").and_then(|value| value.to_str().ok());
        json!({"errorType": error_type.unwrap_or("Unknown"), "errorMessage": "Unhandled"}).to_string().into()
    };
    tracing::warn!("[{}] error: {}", api.instance.label(), String::from_utf8_lossy(&document));
    finished(api.instance.finish(&id, Outcome::Failed(document)))
}

async fn init_error(State(api): State<Api>, body: Bytes) -> Reply {
    tracing::warn!("[{}] could not start: {}", api.instance.label(), String::from_utf8_lossy(&body));
    accepted()
}

async fn register(State(api): State<Api>, body: Bytes) -> Reply {
    let request: Value = serde_json::from_slice(&body).unwrap_or_default();
    let wants =
        |event: &str| request["events"].as_array().is_some_and(|events| events.iter().any(|e| e == event));
    let id = random::uuid();
    let inbox = api.instance.register(id.clone(), wants("INVOKE"));
    let mut inboxes = api.inboxes.lock().unwrap_or_else(PoisonError::into_inner);
    inboxes.insert(id.clone(), Arc::new(tokio::sync::Mutex::new(inbox)));
    let spec = &api.instance.function.spec;
    let answer = json!({"functionName": spec.name, "functionVersion": "$LATEST", "handler": "bootstrap"});
    let mut reply = json_reply(StatusCode::OK, answer.to_string().into());
    if let Ok(value) = HeaderValue::from_str(&id) {
        reply.headers_mut().insert("lambda-extension-identifier", value);
    }
    reply
}

async fn next_event(State(api): State<Api>, headers: HeaderMap) -> Reply {
    let inbox = headers.get("lambda-extension-identifier").and_then(|id| id.to_str().ok()).and_then(|id| {
        let inboxes = api.inboxes.lock().unwrap_or_else(PoisonError::into_inner);
        inboxes.get(id).cloned()
    });
    let Some(inbox) = inbox else {
        return refusal(StatusCode::FORBIDDEN, "Extension.UnknownExtensionIdentifier", "unknown extension");
    };
    match inbox.lock().await.recv().await {
        Some(event) => json_reply(StatusCode::OK, event.to_string().into()),
        None => refusal(StatusCode::GONE, "Runtime.Gone", "the process of this extension has ended"),
    }
}

fn finished(known: bool) -> Reply {
    if known {
        accepted()
    } else {
        refusal(StatusCode::BAD_REQUEST, "InvalidRequestID", "Invalid request ID")
    }
}

fn accepted() -> Reply {
    json_reply(StatusCode::ACCEPTED, Bytes::from_static(br#"{"status":"OK"}"#))
}

fn refusal(status: StatusCode, error_type: &str, message: &str) -> Reply {
    let document = json!({"errorType": error_type, "errorMessage": message});
    json_reply(status, document.to_string().into())
}

fn json_reply(status: StatusCode, body: Bytes) -> Reply {
    let mut reply = Response::new(Body::from(body));
    *reply.status_mut() = status;
    reply.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
    reply
}
