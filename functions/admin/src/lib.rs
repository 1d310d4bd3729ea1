//! `admin`: tenants in the hands of their admins: keys, users, clients, sessions, policy, audit log.
//!
//! Every request is a user's, shown by an access token of the tenant's administration, and checked against the present
//! state: rights that were taken away are gone at once. What a caller may do is the token's scope, as far as their roles
//! still grant it; each route names the one scope it needs.
//!
//! Every change is conditional on what was read, and is written in one transaction with its entry in the audit log;
//! a change that is refused has an entry too. Errors are problem documents (RFC 9457).
//!
//! It must never reach beyond the tenant of the path, show or choose a password, raise the caller's own rights, or sign.

mod audit;
mod caller;
mod clients;
mod etag;
mod explain;
mod health;
mod import;
mod input;
mod keys;
mod once;
mod paging;
mod policy;
mod problem;
mod routes;
mod seal;
mod sessions;
mod users;

use leasehold::app::App;
use leasehold::http::{Call, Reply};
use leasehold::telemetry::Note;

pub use problem::Problem;
pub use routes::{ROUTES, Route, TABLE};

/// How often a change is tried again because another write was first.
const ATTEMPTS: usize = 8;

/// Answers a request.
///
/// # Errors
/// The problem to answer with.
pub async fn handle(app: &App, call: &Call, note: &mut Note) -> Result<Reply, Problem> {
    let route = routes::find(&call.route).ok_or_else(|| Problem::not_found("route"))?;
    let caller = caller::authenticate(app, call, note).await?;
    match caller.holds(route.scope) {
        Ok(()) => {}
        Err(problem) => {
            audit::refused(&caller, route, &problem).await;
            return Err(problem);
        }
    }
    let outcome = routes::answer(&caller, route).await;
    if let Err(problem) = &outcome {
        audit::refused(&caller, route, problem).await;
    }
    outcome
}
