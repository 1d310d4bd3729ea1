//! Sessions, from outside: of one user, and of everybody.

use http::StatusCode;
use leasehold::audit::Action;
use leasehold::http::Reply;
use leasehold::id::{FamilyId, UserId};
use leasehold::revocation::Revocation;
use leasehold::store::{Commit, Wanted};
use leasehold::tenant::Tenant;
use leasehold::user::User;
use serde_json::{Value, json};

use crate::ATTEMPTS;
use crate::caller::Caller;
use crate::problem::Problem;

/// `GET /users/{id}/sessions`: those that live.
pub async fn list(caller: &Caller<'_>) -> Result<Reply, Problem> {
    let user = load(caller).await?;
    let families = caller.store.list_families(user.id).await?;
    let live = families.iter().filter(|family| family.is_live(&caller.tenant, &user, caller.call.now));
    let items: Vec<Value> = live
        .map(|family| {
            json!({
                "sid": family.id,
                "client_id": family.client,
                "device": family.device,
                "client_version": family.client_version,
                "created_at": family.created_at.seconds(),
                "last_used_at": family.last_used_at.hour().seconds(),
                "expires_at": family.idle_expiry.min(family.absolute_expiry).seconds(),
            })
        })
        .collect();
    Ok(Reply::json(StatusCode::OK, &json!({ "items": items, "next_cursor": null })))
}

/// `DELETE /users/{id}/sessions`: all of a user, by one raised epoch.
pub async fn end_all(caller: &Caller<'_>) -> Result<Reply, Problem> {
    for _ in 0..ATTEMPTS {
        let before = load(caller).await?;
        let after = User { epoch: before.epoch + 1, version: before.version + 1, ..before.clone() };
        let writes = caller
            .store
            .writes()
            .user(&before, &after)
            .revocation(&Revocation::User { sub: after.id, epoch: after.epoch })
            .audit(&caller.event(Action::UserSignOut).on(&after.id));
        if writes.commit().await? == Commit::Done {
            return Ok(Reply::empty(StatusCode::NO_CONTENT));
        }
    }
    Err(Problem::contended())
}

/// `DELETE /users/{id}/sessions/{sid}`.
pub async fn end_one(caller: &Caller<'_>) -> Result<Reply, Problem> {
    let user: UserId = caller.id("id", "user")?;
    let sid: FamilyId = caller.id("sid", "session")?;
    let wanted = Wanted { family: Some((user, sid)), ..Wanted::default() };
    let entered = caller.app.store.enter(&caller.tenant.id, wanted).await?;
    entered.and_then(|entered| entered.family).ok_or_else(|| Problem::not_found("session"))?;
    caller.store.revoke_family(user, sid, &caller.event(Action::SessionEnd).on(&sid)).await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

/// `DELETE /sessions`: everybody's, the caller's too, by one write.
pub async fn end_everyones(caller: &Caller<'_>) -> Result<Reply, Problem> {
    for _ in 0..ATTEMPTS {
        let entered = caller.app.store.enter(&caller.tenant.id, Wanted::default()).await?;
        let before = entered.ok_or_else(|| Problem::not_found("tenant"))?.tenant;
        // Somebody else did so after this request's token was checked: it is dead, and what was asked for has happened.
        if before.epoch != caller.tenant.epoch {
            return Ok(Reply::empty(StatusCode::NO_CONTENT));
        }
        let after = Tenant { epoch: before.epoch + 1, ..before.next() };
        let writes = caller
            .store
            .writes()
            .tenant(&before, &after)
            .revocation(&Revocation::Tenant { epoch: after.epoch })
            .audit(&caller.event(Action::TenantSignOut));
        if writes.commit().await? == Commit::Done {
            return Ok(Reply::empty(StatusCode::NO_CONTENT));
        }
    }
    Err(Problem::contended())
}

async fn load(caller: &Caller<'_>) -> Result<User, Problem> {
    let user = caller.store.find_user(caller.id("id", "user")?).await?;
    user.ok_or_else(|| Problem::not_found("user"))
}
