//! Runs a function: every event becomes a [`Call`], every outcome one log line and one response, within the deadline.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::FutureExt as _;
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, HOST, RETRY_AFTER, VARY};
use lambda_http::request::LambdaRequest;
use lambda_http::tower::ServiceExt as _;
use lambda_http::{Body, LambdaEvent, Request, Response};

use super::call::Call;
use super::error::{Refusal, Refuse};
use super::reply::Reply;
use crate::app::App;
use crate::clock;
use crate::ending;
use crate::telemetry::{self, Ending, Note};

/// Answers one event: `handle` decides, and this keeps the deadline, catches a panic, writes the log line and allows the
/// browser page that the handler found entitled to read the answer.
async fn answer<C: Sync, E: Refuse>(
    app: &App,
    request: Request,
    context: &C,
    handle: Handler<C, E>,
) -> Response<Body> {
    let call = Call::new(request, clock::now());
    let deadline = Duration::from_secs(app.config.request_deadline_seconds);
    let mut note = Note {
        tenant: call.tenant().map(|tenant| tenant.to_string()),
        client_version: call.client_version(),
        ..Note::default()
    };
    let handling = AssertUnwindSafe(handle(context, &call, &mut note)).catch_unwind();
    // Counts of earlier requests are written beside this one's work.
    let flushing = Box::pin(app.recorder.flush_if_due(&app.store, call.now));
    let (handled, ()) = tokio::join!(tokio::time::timeout(deadline, handling), flushing);
    if let (Some(tenant), Some(decision)) = (&note.served, note.decided) {
        app.recorder.count(tenant, note.client_version.as_deref(), decision, call.now);
    }
    let outcome = match handled {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_panic)) => Err(Refusal::server_error("panic", "the handler panicked").into()),
        Err(_elapsed) => Err(Refusal::unavailable("deadline", None).into()),
    };
    let ending = Ending {
        route: &call.route,
        status: 0,
        outcome: "ok",
        reason: None,
        cause: None,
        began: call.now,
        ended: clock::now(),
    };
    let mut reply = match outcome {
        Ok(reply) => {
            telemetry::request(&note, Ending { status: reply.status().as_u16(), ..ending });
            reply
        }
        Err(refusal) => {
            let cause = refusal.cause();
            let (outcome, reason) = (refusal.code(), Some(refusal.reason()));
            let reply = refusal.reply();
            let status = reply.status().as_u16();
            telemetry::request(&note, Ending { status, outcome, reason, cause: cause.as_deref(), ..ending });
            reply
        }
    };
    if let Some(origin) = &note.origin {
        reply = reply
            .header(ACCESS_CONTROL_ALLOW_ORIGIN, origin)
            .header(http::header::ACCESS_CONTROL_EXPOSE_HEADERS, RETRY_AFTER.as_str());
    }
    // What answers any origin must not be cached per origin.
    if !reply.has(&ACCESS_CONTROL_ALLOW_ORIGIN) || note.origin.is_some() {
        reply = reply.header(VARY, "Origin");
    }
    reply.into()
}

/// The work of a handler, boxed so that one runner serves all functions.
pub type Handled<'a, E = Refusal> = Pin<Box<dyn Future<Output = Result<Reply, E>> + Send + 'a>>;

/// A function's handler, over what the function was built of.
pub type Handler<C, E = Refusal> = for<'a> fn(&'a C, &'a Call, &'a mut Note) -> Handled<'a, E>;

/// Runs a function until Lambda ends it.
///
/// # Errors
/// When the Runtime API is gone.
pub async fn run<C: Sync, E: Refuse>(
    app: &App,
    context: &C,
    handle: Handler<C, E>,
) -> Result<(), lambda_http::Error> {
    ending::flush_at_the_end(app).await;
    let adapter = lambda_http::Adapter::from(lambda_http::service_fn(async |request: Request| {
        Ok::<_, std::convert::Infallible>(answer(app, request, context, handle).await)
    }));
    lambda_http::lambda_runtime::run(adapter.map_request(|mut event: LambdaEvent<LambdaRequest>| {
        make_readable(&mut event.payload);
        event
    }))
    .await
}

/// Takes out of an event what would keep the rest from being read. `lambda_http` makes a URL of host, scheme and query, which
/// strangers write and nobody here reads, and panics if they make none; and if a body is not what the event says it is.
pub fn make_readable(event: &mut LambdaRequest) {
    let LambdaRequest::ApiGatewayV2(request) = event else { return };
    request.headers.remove(HOST);
    request.headers.remove("x-forwarded-proto");
    request.request_context.domain_name = None;
    if !request.raw_path.as_ref().is_some_and(|path| path.starts_with('/')) {
        request.raw_path = Some("/".to_owned());
    }
    let decodes = |body: &String| STANDARD.decode(body).is_ok();
    if request.is_base64_encoded && !request.body.as_ref().is_none_or(decodes) {
        request.body = None;
    }
    let query = request.raw_query_string.as_deref().unwrap_or_default();
    if format!("/?{query}").parse::<http::Uri>().is_err() {
        request.raw_query_string = None;
    }
}
