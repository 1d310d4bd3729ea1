//! A user's own sessions, with the user's access token.

use http::StatusCode;
use leasehold::app::App;
use leasehold::audit::{Action, Actor, AuditEvent};
use leasehold::http::call::invalid_token;
use leasehold::http::signed_in::{Audience, EPOCH, SignedIn, signed_in};
use leasehold::http::{Call, Refusal, Reply};
use leasehold::id::FamilyId;
use leasehold::revocation::Revocation;
use leasehold::store::{Commit, Wanted};
use leasehold::telemetry::Note;
use leasehold::user::User;
use serde::Serialize;

/// How often a change is tried again because another write was first.
const ATTEMPTS: usize = 8;

#[derive(Serialize)]
struct Session<'a> {
    sid: FamilyId,
    current: bool,
    client_id: &'a str,
    device: Option<&'a str>,
    client_version: Option<&'a str>,
    created_at: u64,
    last_used_at: u64,
}

/// Answers `GET /sessions`: the sessions that live, the newest use first. The last use is shown to the hour.
pub async fn list(app: &App, call: &Call, note: &mut Note) -> Result<Reply, Refusal> {
    let SignedIn { store, tenant, user, family: current, .. } =
        signed_in(app, call, Audience::Own, note).await?;
    let mut families = store.list_families(user.id).await?;
    families.retain(|family| family.is_live(&tenant, &user, call.now));
    families.sort_by_key(|family| std::cmp::Reverse(family.last_used_at));
    let sessions: Vec<_> = families
        .iter()
        .map(|family| Session {
            sid: family.id,
            current: family.id == current.id,
            client_id: family.client.as_str(),
            device: family.device.as_deref(),
            client_version: family.client_version.as_deref(),
            created_at: family.created_at.seconds(),
            last_used_at: family.last_used_at.hour().seconds(),
        })
        .collect();
    Ok(Reply::json(StatusCode::OK, &serde_json::json!({ "sessions": sessions })))
}

/// Answers `DELETE /sessions/{sid}`: one session of the user, the current one too. 404 when the user has none of this id.
pub async fn end_one(app: &App, call: &Call, note: &mut Note) -> Result<Reply, Refusal> {
    let SignedIn { store, tenant, user, .. } = signed_in(app, call, Audience::Own, note).await?;
    let none = || Refusal::not_found("session");
    let sid: FamilyId = call.parameter("sid").and_then(|sid| sid.parse().ok()).ok_or_else(none)?;
    let wanted = Wanted { family: Some((user.id, sid)), ..Wanted::default() };
    let entered = app.store.enter(&tenant.id, wanted).await?;
    let family = entered.and_then(|entered| entered.family).ok_or_else(none)?;
    store.revoke_family(user.id, family.id, &audit(call, &user, Action::SessionEnd).on(&family.id)).await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

/// Answers `DELETE /sessions`: every session of the user, or with `?except=current` every other one. One raised epoch
/// ends them all, in the same millisecond and whatever is under way; the one that stays takes the new epoch on in the same
/// transaction, and its client refreshes once to get an access token of it.
pub async fn end_all(app: &App, call: &Call, note: &mut Note) -> Result<Reply, Refusal> {
    let keep = match call.query.get("except").map(String::as_str) {
        None => Keep::Nothing,
        Some("current") => Keep::Current,
        Some(_) => return Err(Refusal::invalid_request("except can only be current.")),
    };
    let SignedIn { store, tenant, mut user, mut family, .. } =
        signed_in(app, call, Audience::Own, note).await?;
    for _ in 0..ATTEMPTS {
        let after = User { epoch: user.epoch + 1, version: user.version + 1, ..user.clone() };
        let kept = family.restamp(after.epoch);
        let mut writes = store.writes().user(&user, &after);
        if keep == Keep::Current {
            writes = writes.family(&family, &kept);
        }
        let writes = writes
            .revocation(&Revocation::User { sub: user.id, epoch: after.epoch })
            .audit(&audit(call, &user, Action::UserSignOut).on(&user.id));
        if writes.commit().await? == Commit::Done {
            return Ok(Reply::empty(StatusCode::NO_CONTENT));
        }
        let wanted = Wanted { user: Some(user.id), family: Some((user.id, family.id)), ..Wanted::default() };
        let entered = app.store.enter(&tenant.id, wanted).await?;
        let again = entered.and_then(|entered| entered.user.zip(entered.family));
        let Some((user_now, family_now)) = again else { return Err(invalid_token("session")) };
        // Signed out by somebody else meanwhile: what was asked for has happened, and this token is dead.
        if user_now.epoch != user.epoch || !family_now.is_open(call.now) {
            return Err(invalid_token(EPOCH));
        }
        (user, family) = (user_now, family_now);
    }
    Err(Refusal::unavailable("contended", None))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    Nothing,
    Current,
}

fn audit(call: &Call, user: &User, action: Action) -> AuditEvent {
    AuditEvent::new(call.now, Actor::User(user.id), action).from(call.source.as_deref())
}
