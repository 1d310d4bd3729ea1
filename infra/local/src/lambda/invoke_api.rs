//! Lambda's Invoke API, found through `AWS_ENDPOINT_URL_LAMBDA`, so that operators call `operator` here exactly as they
//! do on AWS. Signatures are not checked: the listener is on the loopback interface.

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use axum::routing::post;
use bytes::Bytes;
use serde_json::json;

use super::{ACCOUNT, Call, Functions, Outcome, PAYLOAD_LIMIT};

/// The API over these functions.
pub fn router(functions: Functions) -> Router {
    Router::new().route("/2015-03-31/functions/{name}/invocations", post(invoke)).with_state(functions)
}

async fn invoke(
    State(functions): State<Functions>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response<Body> {
    let Some(function) = functions.find(short_name(&name)) else {
        let message = format!("Function not found: arn:aws:lambda:local:{ACCOUNT}:function:{name}");
        return refusal(StatusCode::NOT_FOUND, "ResourceNotFoundException", &message);
    };
    let Ok(event) = axum::body::to_bytes(body, PAYLOAD_LIMIT).await else {
        let message =
            format!("Request must be smaller than {PAYLOAD_LIMIT} bytes for the InvokeFunction operation");
        return refusal(StatusCode::PAYLOAD_TOO_LARGE, "RequestTooLargeException", &message);
    };
    let event = if event.is_empty() { Bytes::from_static(b"{}") } else { event };
    if let Err(error) = serde_json::from_slice::<serde::de::IgnoredAny>(&event) {
        let message = format!("Could not parse request body into json: {error}");
        return refusal(StatusCode::BAD_REQUEST, "InvalidRequestContentException", &message);
    }
    let call = Call::new(event);
    let id = call.id.clone();
    let mode = headers.get("x-amz-invocation-type").and_then(|value| value.to_str().ok());
    let mut response = match mode.unwrap_or("RequestResponse") {
        "Event" => {
            let function = function.clone();
            tokio::spawn(async move { function.invoke(call).await });
            reply(StatusCode::ACCEPTED, Bytes::new())
        }
        "DryRun" => reply(StatusCode::NO_CONTENT, Bytes::new()),
        _ => match function.invoke(call).await {
            Ok(Outcome::Answer(answer)) => reply(StatusCode::OK, answer),
            Ok(Outcome::Failed(error)) => {
                let mut response = reply(StatusCode::OK, error);
                response.headers_mut().insert("x-amz-function-error", HeaderValue::from_static("Unhandled"));
                response
            }
            Err(error) => refusal(StatusCode::INTERNAL_SERVER_ERROR, "ServiceException", &error.to_string()),
        },
    };
    response.headers_mut().insert("x-amz-executed-version", HeaderValue::from_static("$LATEST"));
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert("x-amzn-requestid", id);
    }
    response
}

/// A function may be named by name, `name:qualifier`, partial or full ARN.
fn short_name(name: &str) -> &str {
    if let Some((_, rest)) = name.split_once("function:") {
        return rest.split(':').next().unwrap_or(rest);
    }
    name.split(':').next().unwrap_or(name)
}

fn refusal(status: StatusCode, error_type: &'static str, message: &str) -> Response<Body> {
    let mut response = reply(status, json!({"Type": "User", "Message": message}).to_string().into());
    response.headers_mut().insert("x-amzn-errortype", HeaderValue::from_static(error_type));
    response
}

fn reply(status: StatusCode, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_named_in_every_form_that_lambda_takes() {
        for name in [
            "operator",
            "operator:$LATEST",
            "000000000000:function:operator",
            "arn:aws:lambda:eu-west-1:000000000000:function:operator",
            "arn:aws:lambda:eu-west-1:000000000000:function:operator:7",
        ] {
            assert_eq!(short_name(name), "operator", "{name}");
        }
    }
}
