//! `introspect`: tells an API whether a token is good (RFC 7662), and a client about its user (OpenID Connect Core §5.3).
//! Both by a consistent read: what was revoked before the request began is not good.
//!
//! It must never tell a client of a token that is not its own and not for its API, and never say why a token is not good.

mod token;
mod userinfo;

use leasehold::app::App;
use leasehold::http::{Call, Refusal, Reply};
use leasehold::telemetry::Note;

/// The routes of this function, as in the template: method and path.
pub const ROUTES: &[(&str, &str)] = &[("POST", "/t/{tenant}/introspect"), ("GET", "/t/{tenant}/userinfo")];

/// Answers a request.
///
/// # Errors
/// The refusal to answer with.
pub async fn handle(app: &App, call: &Call, note: &mut Note) -> Result<Reply, Refusal> {
    match call.route.as_str() {
        "POST /t/{tenant}/introspect" => token::introspect(app, call, note).await,
        "GET /t/{tenant}/userinfo" => userinfo::tell(app, call, note).await,
        _ => Err(Refusal::not_found("route")),
    }
}
