//! Runs a function: every event becomes a [`Call`], every outcome one log line and one response, within the deadline.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, RETRY_AFTER, VARY};
use lambda_http::{Body, Request, Response};

use super::call::Call;
use super::error::Refusal;
use super::reply::Reply;
use crate::clock;
use crate::telemetry::{self, Ending, Note};

/// Answers one event: `handle` decides, and this keeps the deadline, catches a panic, writes the log line and allows the
/// browser page that the handler found entitled to read the answer.
pub async fn answer(
    request: Request,
    deadline: Duration,
    handle: impl AsyncFnOnce(&Call, &mut Note) -> Result<Reply, Refusal>,
) -> Response<Body> {
    let call = Call::new(request, clock::now());
    let mut note = Note {
        tenant: call.tenant().map(|tenant| tenant.to_string()),
        client_version: call.client_version(),
        ..Note::default()
    };
    let handled = tokio::time::timeout(deadline, AssertUnwindSafe(handle(&call, &mut note)).catch_unwind()).await;
    let outcome = match handled {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_panic)) => Err(Refusal::server_error("panic", "the handler panicked")),
        Err(_elapsed) => Err(Refusal::unavailable("deadline", None)),
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
            let (outcome, reason) = (refusal.code.text(), Some(refusal.reason));
            let status = refusal.status().as_u16();
            telemetry::request(&note, Ending { status, outcome, reason, cause: cause.as_deref(), ..ending });
            refusal.reply()
        }
    };
    if let Some(origin) = &note.origin {
        reply = reply
            .header(ACCESS_CONTROL_ALLOW_ORIGIN, origin)
            .header(http::header::ACCESS_CONTROL_EXPOSE_HEADERS, RETRY_AFTER.as_str());
    }
    reply.header(VARY, "Origin").into()
}
