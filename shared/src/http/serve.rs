//! Runs a function: every event becomes a [`Call`], every outcome one log line and one response, within the deadline.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::time::Duration;

use futures_util::FutureExt as _;
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, RETRY_AFTER, VARY};
use lambda_http::{Body, Request, Response};

use super::call::Call;
use super::error::{Refusal, Refuse};
use super::reply::Reply;
use crate::clock;
use crate::telemetry::{self, Ending, Note};

/// Answers one event: `handle` decides, and this keeps the deadline, catches a panic, writes the log line and allows the
/// browser page that the handler found entitled to read the answer.
async fn answer<C: Sync, E: Refuse>(
    request: Request,
    deadline: Duration,
    context: &C,
    handle: Handler<C, E>,
) -> Response<Body> {
    let call = Call::new(request, clock::now());
    let mut note = Note {
        tenant: call.tenant().map(|tenant| tenant.to_string()),
        client_version: call.client_version(),
        ..Note::default()
    };
    let handled =
        tokio::time::timeout(deadline, AssertUnwindSafe(handle(context, &call, &mut note)).catch_unwind())
            .await;
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

/// Runs a function until Lambda ends it. `deadline_seconds` is the greatest time one request may take.
///
/// # Errors
/// When the Runtime API is gone.
pub async fn run<C: Sync, E: Refuse>(
    context: &C,
    deadline_seconds: u64,
    handle: Handler<C, E>,
) -> Result<(), lambda_http::Error> {
    let deadline = Duration::from_secs(deadline_seconds);
    lambda_http::run(lambda_http::service_fn(async |request: Request| {
        Ok::<_, std::convert::Infallible>(answer(request, deadline, context, handle).await)
    }))
    .await
}
