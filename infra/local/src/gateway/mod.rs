//! API Gateway's HTTP API, with the routes of the template: limits, route, event, function, response. Must never be
//! kinder than the real one: what AWS would refuse is refused here, so that it is found on a laptop.

mod authorize;
mod event;
mod response;
mod routes;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use crate::clock;
use crate::lambda::{self, Call, Functions, Outcome};
use crate::random;
use crate::template::{AuthorizerSpec, RouteSpec};
use event::Facts;
use routes::Routes;

/// "Total combined size of request line and header values" (HTTP API quotas).
const HEADER_LIMIT: usize = 10_240;
/// "Payload size" (HTTP API quotas).
const BODY_LIMIT: usize = 10 * 1024 * 1024;
/// How long a client may take to send its body.
const BODY_TIME: Duration = Duration::from_secs(30);

/// The gateway.
#[derive(Debug)]
pub struct Gateway {
    routes: Routes,
    port: u16,
}

impl Gateway {
    /// A gateway with the template's routes and their authorizers; an error names what cannot be served.
    pub fn new(
        routes: Vec<RouteSpec>,
        authorizers: BTreeMap<String, AuthorizerSpec>,
        functions: &Functions,
        port: u16,
    ) -> Result<Self, String> {
        let authorizers = authorize::all(authorizers, functions)?;
        Ok(Self { routes: Routes::new(routes, functions, &authorizers)?, port })
    }

    /// As a service that answers everything.
    pub fn router(self) -> axum::Router {
        axum::Router::new().fallback(serve).with_state(Arc::new(self))
    }

    async fn answer(&self, request: Request, peer: SocketAddr) -> Response<Body> {
        let request_id = random::request_id();
        let mut response = match self.call(request, peer, &request_id).await {
            Ok(response) | Err(response) => response,
        };
        if let Ok(id) = HeaderValue::from_str(&request_id) {
            response.headers_mut().insert("apigw-requestid", id);
        }
        response
    }

    async fn call(
        &self,
        request: Request,
        peer: SocketAddr,
        request_id: &str,
    ) -> Result<Response<Body>, Response<Body>> {
        let at = clock::now();
        let (parts, body) = request.into_parts();
        if header_size(&parts) > HEADER_LIMIT {
            let text = "Request Header Fields Too Large";
            return Err(response::message(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, text));
        }
        let (route, parameters) = self
            .routes
            .find(parts.method.as_str(), parts.uri.path())
            .ok_or_else(|| response::message(StatusCode::NOT_FOUND, "Not Found"))?;
        let trace_id = lambda::trace_id();
        let mut facts = Facts {
            route_key: &route.key,
            parameters,
            peer,
            port: self.port,
            request_id,
            trace_id: &trace_id,
            at,
            authorizer: None,
        };
        if let Some(authorizer) = &route.authorizer {
            facts.authorizer = authorizer.authorize(&parts, &facts).await?;
        }
        let body = read(body).await?;
        let event = event::encode(&parts, &body, &facts);
        if event.len() > lambda::PAYLOAD_LIMIT {
            return Err(too_large());
        }
        let call = Call { id: random::uuid(), trace_id: trace_id.clone(), event, limit: Some(route.timeout) };
        match route.function.invoke(call).await {
            Ok(Outcome::Answer(answer)) => response::decode(&answer).ok_or_else(|| {
                tracing::warn!("[{}] {}: malformed response", route.function.spec.name, route.key);
                internal_error()
            }),
            Ok(Outcome::Failed(_)) => Err(internal_error()),
            Err(lambda::TimedOut) => {
                tracing::warn!(
                    "[{}] {}: no answer within {:?}",
                    route.function.spec.name,
                    route.key,
                    route.timeout
                );
                Err(response::message(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable"))
            }
        }
    }
}

async fn serve(
    State(gateway): State<Arc<Gateway>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response<Body> {
    // A task of its own: an invocation goes on when the client has hung up, as on AWS.
    let answer = tokio::spawn(async move { gateway.answer(request, peer).await });
    answer.await.unwrap_or_else(|_| internal_error())
}

fn header_size(parts: &Parts) -> usize {
    let line = parts.method.as_str().len() + parts.uri.to_string().len() + "  HTTP/1.1".len();
    parts.headers.values().map(HeaderValue::len).sum::<usize>() + line
}

async fn read(body: Body) -> Result<Bytes, Response<Body>> {
    match tokio::time::timeout(BODY_TIME, Limited::new(body, BODY_LIMIT).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(response::message(StatusCode::BAD_REQUEST, "Bad Request")),
        Err(_) => Err(response::message(StatusCode::REQUEST_TIMEOUT, "Request Timeout")),
    }
}

fn too_large() -> Response<Body> {
    response::message(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large")
}

fn internal_error() -> Response<Body> {
    response::message(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
}
