//! `sample`: a small API of a customer's, behind the authorizer. It uses nothing of Leasehold's: what it knows of the
//! caller stands in the event.
//!
//! | Route | Asks | The authorizer |
//! | --- | --- | --- |
//! | `GET /t/{tenant}/sample/orders` | `orders:read` | decides: API Gateway answers a bare 401 or 403 |
//! | `POST /t/{tenant}/sample/orders` | `orders:write` | decides |
//! | `GET /t/{tenant}/sample/me` | a good token | annotates: this API answers, with the challenge |
//!
//! Scopes and audience are declared in `infra/template.yaml`, at the authorizer. A deployment can leave this API out.

mod guard;

use http::StatusCode;
use http::header::CACHE_CONTROL;
use lambda_http::request::RequestContext;
use lambda_http::{Body, Request, RequestExt as _, Response};
use serde_json::{Value, json};

pub use guard::{Caller, check};

/// The routes of this function, as in the template: method and path.
pub const ROUTES: &[(&str, &str)] = &[
    ("GET", "/t/{tenant}/sample/orders"),
    ("POST", "/t/{tenant}/sample/orders"),
    ("GET", "/t/{tenant}/sample/me"),
];

/// Answers a request.
pub fn handle(request: &Request) -> Response<Body> {
    let caller = match check(request) {
        Ok(caller) => caller,
        Err(refusal) => return *refusal,
    };
    let route = match request.request_context_ref() {
        Some(RequestContext::ApiGatewayV2(context)) => context.route_key.as_deref().unwrap_or_default(),
        _ => "",
    };
    match route {
        "GET /t/{tenant}/sample/orders" => {
            reply(StatusCode::OK, &json!({ "orders": [], "of": caller.subject }))
        }
        "POST /t/{tenant}/sample/orders" => reply(StatusCode::CREATED, &json!({ "by": caller.subject })),
        "GET /t/{tenant}/sample/me" => {
            let Caller { tenant, subject, scope } = caller;
            reply(StatusCode::OK, &json!({ "tenant": tenant, "subject": subject, "scope": scope }))
        }
        _ => reply(StatusCode::NOT_FOUND, &json!({ "error": "not_found" })),
    }
}

fn reply(status: StatusCode, body: &Value) -> Response<Body> {
    let mut response = Response::new(Body::Text(body.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
    headers.insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}
