//! A user's own sessions, with the user's access token.

use http::StatusCode;
use leasehold::app::App;
use leasehold::audit::{Action, Actor, AuditEvent};
use leasehold::http::call::invalid_token;
use leasehold::http::{Call, Refusal, Reply};
use leasehold::id::FamilyId;
use leasehold::refresh::Family;
use leasehold::revocation::Revocation;
use leasehold::store::{Commit, TenantStore, Wanted};
use leasehold::telemetry::Note;
use leasehold::tenant::{Tenant, issuer};
use leasehold::token::verify::UnverifiedSubject;
use leasehold::token::{Epochs, Verifier};
use leasehold::user::User;
use serde::Serialize;

/// How often a change is tried again because another write was first.
const ATTEMPTS: usize = 8;

/// The user of a request whose access token was checked against the present state.
struct SignedIn {
    store: TenantStore,
    tenant: Tenant,
    user: User,
    family: Family,
}

/// Verifies the access token, and its session and epochs by a consistent read: on this route a revoked token is dead at
/// once. A read that fell into the middle of a sign-out is made once more.
async fn signed_in(app: &App, call: &Call, note: &mut Note) -> Result<SignedIn, Refusal> {
    match read_signed_in(app, call, note).await {
        Err(refusal) if refusal.reason == EPOCH => read_signed_in(app, call, note).await,
        outcome => outcome,
    }
}

/// The reason of a token whose epochs are not those of the present.
const EPOCH: &str = "epoch";

async fn read_signed_in(app: &App, call: &Call, note: &mut Note) -> Result<SignedIn, Refusal> {
    let token = call.bearer()?;
    let subject = UnverifiedSubject::read(token.expose()).map_err(|_| invalid_token("malformed"))?;
    let id = call.tenant().ok_or_else(|| invalid_token("tenant"))?;
    let wanted =
        Wanted { user: Some(subject.sub), family: Some((subject.sub, subject.sid)), ..Wanted::default() };
    let entered = app.store.enter(&id, wanted).await?.filter(|entered| entered.tenant.is_active());
    let entered = entered.ok_or_else(|| invalid_token("tenant"))?;
    let own = issuer(&app.config.public_url, &id);
    let verifier = Verifier { tenant: &id, issuer: &own, ring: &entered.tenant.ring, audience: &own };
    let verified =
        verifier.verify(token.expose(), call.now).map_err(|refusal| invalid_token(refusal.name()))?;
    let claims = verified.claims();
    let (Some(user), Some(family)) = (entered.user, entered.family) else {
        return Err(invalid_token("session"));
    };
    let now = Epochs { tenant: entered.tenant.epoch, user: user.epoch };
    if claims.ep != now || !user.is_active() {
        return Err(invalid_token(EPOCH));
    }
    if !family.is_open(call.now) {
        return Err(invalid_token("session"));
    }
    note.user = Some(user.id.to_string());
    note.family = Some(family.id.to_string());
    Ok(SignedIn { store: entered.store, tenant: entered.tenant, user, family })
}

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
    let SignedIn { store, tenant, user, family: current } = signed_in(app, call, note).await?;
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
    let SignedIn { store, tenant, user, .. } = signed_in(app, call, note).await?;
    let none = || Refusal::not_found("session");
    let sid: FamilyId = call.parameter("sid").and_then(|sid| sid.parse().ok()).ok_or_else(none)?;
    let wanted = Wanted { family: Some((user.id, sid)), ..Wanted::default() };
    let entered = app.store.enter(&tenant.id, wanted).await?;
    let family = entered.and_then(|entered| entered.family).ok_or_else(none)?;
    store.revoke_family(user.id, family.id, &audit(call, &user, Action::SessionEnd).on(family.id)).await?;
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
    let SignedIn { store, tenant, mut user, mut family } = signed_in(app, call, note).await?;
    for _ in 0..ATTEMPTS {
        let after = User { epoch: user.epoch + 1, version: user.version + 1, ..user.clone() };
        let kept = family.restamp(after.epoch);
        let mut writes = store.writes().user(&user, &after);
        if keep == Keep::Current {
            writes = writes.family(&family, &kept);
        }
        let writes = writes
            .revocation(&Revocation::User { sub: user.id, epoch: after.epoch })
            .audit(&audit(call, &user, Action::UserSignOut).on(user.id));
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
