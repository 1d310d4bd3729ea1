//! The audit log: read, and written to where a change is refused.

use http::StatusCode;
use leasehold::audit::Actor;
use leasehold::clock::Timestamp;
use leasehold::http::{Refuse as _, Reply};
use leasehold::store::{Audited, Page};
use leasehold::telemetry::chain;
use serde_json::{Value, json};

use crate::caller::Caller;
use crate::problem::Problem;
use crate::routes::Route;
use crate::{input, paging};

/// How far back the log is read where nobody says, in seconds.
const BACK_SECONDS: u64 = 30 * 86_400;

/// `GET /audit`: the newest first, between `?since=` and `?until=`.
pub async fn list(caller: &Caller<'_>) -> Result<Reply, Problem> {
    let until = moment(caller, "until")?.unwrap_or(caller.call.now);
    let since = moment(caller, "since")?.unwrap_or_else(|| until.minus_seconds(BACK_SECONDS));
    if since > until {
        return Err(Problem::invalid_member("since", "Not after `until`."));
    }
    // The window is the caller's to keep while paging; the cursor says where in it the page begins.
    let list = "audit";
    let from = paging::place(caller, list)?;
    let found = caller.store.list_audit((since, until), from, input::limit(caller.call)?).await?;
    let page = Page { items: found.items.iter().map(show).collect(), next: found.next };
    Ok(Reply::json(StatusCode::OK, &paging::answer(caller, list, page).await?))
}

fn moment(caller: &Caller<'_>, name: &'static str) -> Result<Option<Timestamp>, Problem> {
    let Some(text) = caller.call.query.get(name) else { return Ok(None) };
    let seconds = text.parse::<u64>().ok().filter(|seconds| *seconds < 1 << 40);
    let seconds = seconds.ok_or_else(|| Problem::invalid_member(name, "Epoch seconds."))?;
    // The second named is within the window.
    Ok(Some(match name {
        "until" => Timestamp::from_millis(seconds * 1000 + 999),
        _ => Timestamp::from_seconds(seconds),
    }))
}

fn show(Audited { id, record }: &Audited) -> Value {
    let actor = match record.actor {
        Actor::User(user) => json!({ "kind": "user", "id": user }),
        Actor::Operator => json!({ "kind": "operator" }),
        Actor::Service => json!({ "kind": "service" }),
    };
    json!({
        "id": id,
        "at": record.at.seconds(),
        "actor": actor,
        "action": record.action,
        "target": record.target,
        "source": record.source,
        "outcome": record.outcome,
        "reason": record.reason,
        "detail": record.detail,
    })
}

/// Writes down that a change was refused.
pub async fn refused(caller: &Caller<'_>, route: &Route, problem: &Problem) {
    let Some(action) = route.action.filter(|_| problem.is_audited()) else { return };
    let mut event = caller.event(action).refused(problem.code());
    // An id of the path that is one; nothing else of what the caller sent.
    if let Some(target) = target(caller) {
        event = event.on(&target);
    }
    if let Err(error) = caller.store.writes().audit(&event).commit().await {
        tracing::error!(cause = chain(&error), event = "audit_lost", "a refusal could not be written down");
    }
}

fn target(caller: &Caller<'_>) -> Option<String> {
    let user = caller.id::<leasehold::id::UserId>("id", "").map(|id| id.to_string());
    let client = caller.id::<leasehold::id::ClientId>("id", "").map(|id| id.to_string());
    let key = caller.id::<leasehold::id::Kid>("kid", "").map(|kid| kid.to_string());
    let session = caller.id::<leasehold::id::FamilyId>("sid", "").map(|sid| sid.to_string());
    session.or(user).or(client).or(key).ok()
}
