//! `revoke`: ends sessions, by token (RFC 7009) or by a user's own choice among their devices.
//!
//! What ends here is ended in the same item that a refresh must write: of whatever begins after the answer, nothing
//! succeeds. It must never end a session for somebody who does not own it.

mod sessions;
mod token;

use leasehold::app::App;
use leasehold::http::{Call, Refusal, Reply, cors};
use leasehold::telemetry::Note;

/// The routes of this function, as in the template: method and path.
pub const ROUTES: &[(&str, &str)] = &[
    ("POST", "/t/{tenant}/revoke"),
    ("OPTIONS", "/t/{tenant}/revoke"),
    ("GET", "/t/{tenant}/sessions"),
    ("DELETE", "/t/{tenant}/sessions"),
    ("DELETE", "/t/{tenant}/sessions/{sid}"),
];

/// Answers a request.
///
/// # Errors
/// The refusal to answer with.
pub async fn handle(app: &App, call: &Call, note: &mut Note) -> Result<Reply, Refusal> {
    match call.route.as_str() {
        "POST /t/{tenant}/revoke" => token::revoke(app, call, note).await,
        "GET /t/{tenant}/sessions" => sessions::list(app, call, note).await,
        "DELETE /t/{tenant}/sessions" => sessions::end_all(app, call, note).await,
        "DELETE /t/{tenant}/sessions/{sid}" => sessions::end_one(app, call, note).await,
        route if route.starts_with("OPTIONS ") => cors::preflight(app, call, note).await,
        _ => Err(Refusal::not_found("route")),
    }
}
