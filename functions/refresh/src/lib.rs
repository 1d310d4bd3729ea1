//! `refresh`: rotates refresh tokens, and takes a client's word that it keeps the new one.
//!
//! | Route | Body |
//! | --- | --- |
//! | `POST /t/{tenant}/token` | form, `grant_type=refresh_token` (RFC 6749 §6) |
//! | `POST /t/{tenant}/refresh` | the same as JSON |
//! | `POST /t/{tenant}/confirm` | JSON; always 204 once the client is known |
//!
//! It must never end a session for trouble of ours, and never let two callers of one token part ways.

mod flow;
mod request;

use leasehold::app::App;
use leasehold::http::{Call, Refusal, Reply, cors};
use leasehold::telemetry::Note;

/// The routes of this function, as in the template: method and path.
pub const ROUTES: &[(&str, &str)] = &[
    ("POST", "/t/{tenant}/token"),
    ("OPTIONS", "/t/{tenant}/token"),
    ("POST", "/t/{tenant}/refresh"),
    ("OPTIONS", "/t/{tenant}/refresh"),
    ("POST", "/t/{tenant}/confirm"),
    ("OPTIONS", "/t/{tenant}/confirm"),
];

/// Answers a request.
///
/// # Errors
/// The refusal to answer with.
pub async fn handle(app: &App, call: &Call, note: &mut Note) -> Result<Reply, Refusal> {
    match call.route.as_str() {
        "POST /t/{tenant}/token" => flow::refresh(app, call, request::from_form(call)?, note).await,
        "POST /t/{tenant}/refresh" => flow::refresh(app, call, request::from_json(call)?, note).await,
        "POST /t/{tenant}/confirm" => flow::confirm(app, call, request::confirmation(call)?, note).await,
        route if route.starts_with("OPTIONS ") => cors::preflight(app, call, note).await,
        _ => Err(Refusal::not_found("route")),
    }
}
