//! Users: made with a one-time code, changed, reset, removed. No admin chooses or sees a password (ASVS 6.4.6), and none
//! touches somebody who may do more, or their own rights.

use std::collections::BTreeSet;

use http::StatusCode;
use http::header::{ETAG, LOCATION};
use leasehold::audit::Action;
use leasehold::http::Reply;
use leasehold::id::{LoginId, UserId};
use leasehold::revocation::Revocation;
use leasehold::secret::Secret;
use leasehold::store::{Commit, Entered, Page, Part, UserPlace, Wanted};
use leasehold::telemetry::chain;
use leasehold::tenant::Tenant;
use leasehold::user::{OneTimeCode, Profile, User, UserStatus};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::caller::Caller;
use crate::input::Member;
use crate::once::Once;
use crate::problem::Problem;
use crate::{ATTEMPTS, etag, input, paging};

const LIST: &str = "users";
const EXPORT: &str = "export";

/// `GET /users`, or `?username=` for the one of a name.
pub async fn list(caller: &Caller<'_>) -> Result<Reply, Problem> {
    if let Some(username) = caller.call.query.get("username") {
        let found = match username.parse::<LoginId>() {
            Ok(login) => named(caller, &login).await?,
            // A name that nobody can have is nobody's.
            Err(_) => None,
        };
        let items: Vec<Value> = found.iter().map(show_user).collect();
        return Ok(Reply::json(StatusCode::OK, &json!({ "items": items, "next_cursor": null })));
    }
    let page = page(caller, LIST, show_user).await?;
    Ok(Reply::json(StatusCode::OK, &paging::answer(caller, LIST, page).await?))
}

/// `GET /export`: users with their password hashes, for leaving; without those of users who may do more than the caller,
/// who could guess at them at leisure. Every page is in the audit log.
pub async fn export(caller: &Caller<'_>) -> Result<Reply, Problem> {
    let exported = |user: &User| {
        let mut shown = show_user(user);
        shown["password_hash"] = json!(user.password.as_ref().filter(|_| caller.outranks(user).is_ok()));
        shown
    };
    let page = page(caller, EXPORT, exported).await?;
    let event = caller.event(Action::UserExport).with("users", page.items.len());
    caller.store.writes().audit(&event).commit().await?;
    Ok(Reply::json(StatusCode::OK, &paging::answer(caller, EXPORT, page).await?))
}

async fn page(
    caller: &Caller<'_>,
    list: &str,
    show: impl Fn(&User) -> Value,
) -> Result<Page<Value, UserPlace>, Problem> {
    let from = paging::place(caller, list)?;
    let found = caller.store.list_logins(from, input::limit(caller.call)?).await?;
    let ids: Vec<UserId> = found.items.iter().map(|(_, id)| *id).collect();
    let users = caller.store.find_users(&ids).await?;
    Ok(Page { items: users.iter().map(show).collect(), next: found.next })
}

async fn named(caller: &Caller<'_>, login: &LoginId) -> Result<Option<User>, Problem> {
    let wanted = Wanted { login: Some(login), ..Wanted::default() };
    let entered = caller.app.store.enter(&caller.tenant.id, wanted).await?;
    let Some(id) = entered.and_then(|entered| entered.login) else { return Ok(None) };
    Ok(caller.store.find_user(id).await?)
}

/// `GET /users/{id}`.
pub async fn show(caller: &Caller<'_>) -> Result<Reply, Problem> {
    let user = caller.store.find_user(caller.id("id", "user")?).await?;
    let user = user.ok_or_else(|| Problem::not_found("user"))?;
    Ok(reply(caller, StatusCode::OK, &user, &show_user(&user)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewUser {
    username: String,
    #[serde(default)]
    roles: BTreeSet<String>,
    #[serde(default)]
    permissions: BTreeSet<String>,
    scopes: Option<BTreeSet<String>>,
    #[serde(default)]
    claims: Map<String, Value>,
}

/// `POST /users`: a user and the one-time code with which they set a password.
pub async fn create(caller: &Caller<'_>) -> Result<Reply, Problem> {
    let once = Once::read(caller)?;
    if let Some(reply) = once.replay(caller).await? {
        return Ok(reply);
    }
    let NewUser { username, roles, permissions, scopes, claims } = input::json(caller.call)?;
    let login: LoginId = username.parse().map_err(|_| {
        Problem::invalid_member("username", "1 to 128 of a-z 0-9 . _ % + @ -, once it is in lower case.")
    })?;
    let profile = Profile { roles, permissions, scopes, claims };
    profile.check()?;
    let mut user = User::new(login, profile, caller.call.now);
    caller.outranks(&user)?;
    let (code, kept) = OneTimeCode::draw(caller.tenant.policy.code_seconds.into(), caller.call.now);
    user.code = Some(kept);
    let answer = with_code(json!({ "user": show_user(&user) }), &user, &code);
    let event = caller.event(Action::UserCreate).on(&user.id);
    for _ in 0..ATTEMPTS {
        let before = tenant(caller, None).await?.tenant;
        let mut writes = caller.store.writes().new_user(&user);
        if let Some(after) = before.with_admin(&user)? {
            writes = writes.tenant(&before, &after);
        }
        let writes =
            writes.answer(once.answer(caller, StatusCode::CREATED, &answer).as_ref(), caller.call.now);
        match writes.audit(&event).commit().await? {
            Commit::Done => {
                let location = format!("/t/{}/admin/users/{}", caller.tenant.id, user.id);
                let reply = reply(caller, StatusCode::CREATED, &user, &answer);
                return Ok(reply.header(LOCATION, location));
            }
            Commit::Lost(Part::Answer) => return once.replay(caller).await?.ok_or_else(Problem::contended),
            Commit::Lost(Part::Login) => {
                // The same request may have landed at another instance in this very moment.
                let replayed = once.replay(caller).await?;
                return replayed.ok_or_else(|| Problem::already_exists("The username is taken."));
            }
            Commit::Lost(_) => {}
        }
    }
    Err(Problem::contended())
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Change {
    roles: Option<BTreeSet<String>>,
    permissions: Option<BTreeSet<String>>,
    scopes: Member<BTreeSet<String>>,
    claims: Option<Map<String, Value>>,
    status: Option<UserStatus>,
}

impl Change {
    fn names(&self) -> Vec<&'static str> {
        [
            self.roles.as_ref().map(|_| "roles"),
            self.permissions.as_ref().map(|_| "permissions"),
            (self.scopes != Member::Stays).then_some("scopes"),
            self.claims.as_ref().map(|_| "claims"),
            self.status.map(|_| "status"),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn apply(&self, before: &User) -> User {
        let profile = Profile {
            roles: self.roles.clone().unwrap_or_else(|| before.roles.clone()),
            permissions: self.permissions.clone().unwrap_or_else(|| before.permissions.clone()),
            scopes: self.scopes.over(before.scopes.as_ref()),
            claims: self.claims.clone().unwrap_or_else(|| before.claims.clone()),
        };
        let status = self.status.unwrap_or(before.status);
        // Disabling ends everything; what was issued before stays dead after enabling.
        let disabled = before.is_active() && status == UserStatus::Disabled;
        let after = before.with_profile(profile);
        // Who drew a code for a user of fewer rights must not come by more with it.
        let raised = !after.admin_rights().is_subset(&before.admin_rights());
        let code = before.code.clone().filter(|_| !raised);
        User { status, code, epoch: before.epoch + u32::from(disabled), ..after }
    }

    fn action(&self, before: &User) -> Action {
        match self.status {
            Some(UserStatus::Disabled) if before.is_active() => Action::UserDisable,
            Some(UserStatus::Active) if !before.is_active() => Action::UserEnable,
            Some(UserStatus::Disabled | UserStatus::Active) | None => Action::UserUpdate,
        }
    }
}

/// `PATCH /users/{id}`.
pub async fn update(caller: &Caller<'_>) -> Result<Reply, Problem> {
    let id: UserId = caller.id("id", "user")?;
    let change: Change = input::json(caller.call)?;
    if id == caller.user.id && change.names().iter().any(|name| *name != "claims") {
        return Err(Problem::not_yours("Another admin has to change your rights."));
    }
    for _ in 0..ATTEMPTS {
        let mut entered = tenant(caller, Some(id)).await?;
        let before = entered.user.take().ok_or_else(|| Problem::not_found("user"))?;
        etag::require(caller.call, &tag(&caller.tenant, &before))?;
        caller.outranks(&before)?;
        let after = change.apply(&before);
        after.profile().check()?;
        caller.outranks(&after)?;
        let event = caller.event(change.action(&before)).on(&id).with("changed", change.names());
        let mut writes = caller.store.writes().user(&before, &after).audit(&event);
        if let Some(changed) = entered.tenant.with_admin(&after)? {
            keep_an_admin(caller, &entered.tenant, id).await?;
            writes = writes.tenant(&entered.tenant, &changed);
        }
        if after.epoch != before.epoch {
            writes = writes.revocation(&Revocation::User { sub: id, epoch: after.epoch });
        }
        if writes.commit().await? == Commit::Done {
            return Ok(reply(caller, StatusCode::OK, &after, &show_user(&after)));
        }
    }
    Err(Problem::contended())
}

/// `DELETE /users/{id}`: the user, the login name and every session. The id is never used again.
pub async fn delete(caller: &Caller<'_>) -> Result<Reply, Problem> {
    let id: UserId = caller.id("id", "user")?;
    if id == caller.user.id {
        return Err(Problem::not_yours("Another admin has to remove you."));
    }
    for _ in 0..ATTEMPTS {
        let mut entered = tenant(caller, Some(id)).await?;
        let Some(before) = entered.user.take() else {
            // A removal that was cut short may have left families behind.
            let left = caller.store.remove_families(id).await?;
            return if left > 0 { Ok(gone()) } else { Err(Problem::not_found("user")) };
        };
        etag::check(caller.call, &tag(&caller.tenant, &before))?;
        caller.outranks(&before)?;
        let mut writes = caller
            .store
            .writes()
            .drop_user(&before)
            .revocation(&Revocation::User { sub: id, epoch: before.epoch + 1 })
            .audit(&caller.event(Action::UserDelete).on(&id));
        if let Some(changed) = entered.tenant.without_admin(id) {
            keep_an_admin(caller, &entered.tenant, id).await?;
            writes = writes.tenant(&entered.tenant, &changed);
        }
        if writes.commit().await? == Commit::Done {
            // Without their user they give nothing any more. What stays here leaves by TTL, or with the next try.
            if let Err(error) = caller.store.remove_families(id).await {
                tracing::warn!(user = %id, cause = chain(&error), "a removed user's sessions could not be removed");
            }
            return Ok(gone());
        }
    }
    Err(Problem::contended())
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Nothing {}

/// `POST /users/{id}/reset`: a one-time code with which the user sets a new password. The old one, and every session,
/// live until then: a reset that nobody completes changes nothing.
pub async fn reset(caller: &Caller<'_>) -> Result<Reply, Problem> {
    let once = Once::read(caller)?;
    if let Some(reply) = once.replay(caller).await? {
        return Ok(reply);
    }
    let Nothing {} = input::optional_json(caller.call)?;
    let id: UserId = caller.id("id", "user")?;
    if id == caller.user.id {
        return Err(Problem::not_yours("Change your password with the one you have."));
    }
    let (code, kept) = OneTimeCode::draw(caller.tenant.policy.code_seconds.into(), caller.call.now);
    for _ in 0..ATTEMPTS {
        let before = caller.store.find_user(id).await?.ok_or_else(|| Problem::not_found("user"))?;
        etag::check(caller.call, &tag(&caller.tenant, &before))?;
        caller.outranks(&before)?;
        let after = User { code: Some(kept.clone()), version: before.version + 1, ..before.clone() };
        let answer = with_code(json!({}), &after, &code);
        let writes = caller.store.writes().user(&before, &after);
        let writes = writes.answer(once.answer(caller, StatusCode::OK, &answer).as_ref(), caller.call.now);
        match writes.audit(&caller.event(Action::UserReset).on(&id)).commit().await? {
            Commit::Done => return Ok(reply(caller, StatusCode::OK, &after, &answer)),
            Commit::Lost(Part::Answer) => return once.replay(caller).await?.ok_or_else(Problem::contended),
            Commit::Lost(_) => {}
        }
    }
    Err(Problem::contended())
}

/// Refuses to take the role `admin` from the last active user who has it. The caller commits on the version of the
/// tenant in which another one was found, so two admins can't remove each other at once.
async fn keep_an_admin(caller: &Caller<'_>, tenant: &Tenant, leaving: UserId) -> Result<(), Problem> {
    if !tenant.admins.contains(&leaving) {
        return Ok(());
    }
    let others: Vec<UserId> = tenant.admins.iter().copied().filter(|id| *id != leaving).collect();
    let others = caller.store.find_users(&others).await?;
    if others.iter().any(|user| user.is_active() && user.is_full_admin()) {
        Ok(())
    } else {
        Err(Problem::last_admin())
    }
}

async fn tenant(caller: &Caller<'_>, user: Option<UserId>) -> Result<Entered, Problem> {
    let wanted = Wanted { user, ..Wanted::default() };
    let entered = caller.app.store.enter(&caller.tenant.id, wanted).await?;
    entered.ok_or_else(|| Problem::not_found("tenant"))
}

fn gone() -> Reply {
    Reply::empty(StatusCode::NO_CONTENT)
}

fn with_code(mut answer: Value, user: &User, code: &Secret<String>) -> Value {
    answer["code"] = json!(code.expose());
    answer["code_expires_at"] = json!(user.code.as_ref().map(|kept| kept.until.seconds()));
    answer
}

fn show_user(user: &User) -> Value {
    json!({
        "user_id": user.id,
        "username": user.login,
        "status": user.status,
        "roles": user.roles,
        "permissions": user.permissions,
        "scopes": user.scopes,
        "claims": user.claims,
        "has_password": user.password.is_some(),
        "created_at": user.created_at.seconds(),
    })
}

fn reply(caller: &Caller<'_>, status: StatusCode, user: &User, answer: &Value) -> Reply {
    Reply::json(status, answer).header(ETAG, tag(&caller.tenant, user))
}

fn tag(tenant: &Tenant, user: &User) -> String {
    etag::of(&tenant.id, "user", &user.id.to_string(), user.version)
}
