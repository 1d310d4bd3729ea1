//! Users at creation, whether they may sign in, and the way back in for a tenant that has locked itself out.

use std::collections::BTreeSet;

use leasehold::audit::{Action, AuditEvent};
use leasehold::clock::Timestamp;
use leasehold::config::OperatorPasswords;
use leasehold::id::{LoginId, TenantId};
use leasehold::policy::Policy;
use leasehold::revocation::Revocation;
use leasehold::secret::Secret;
use leasehold::store::{Commit, Entered, Part, Wanted};
use leasehold::user::{ADMIN_ROLE, OneTimeCode, Profile, User, UserStatus};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{ATTEMPTS, Operator, OperatorError, audit};

/// A user to be made.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    username: String,
    password: Option<Secret<String>>,
    #[serde(default)]
    roles: BTreeSet<String>,
    #[serde(default)]
    permissions: BTreeSet<String>,
    scopes: Option<BTreeSet<String>>,
    #[serde(default)]
    claims: Map<String, Value>,
}

impl NewUser {
    /// A tenant's first admin.
    pub fn admin(username: String, password: Option<Secret<String>>) -> Self {
        Self {
            username,
            password,
            roles: BTreeSet::from([ADMIN_ROLE.to_owned()]),
            permissions: BTreeSet::new(),
            scopes: None,
            claims: Map::new(),
        }
    }
}

/// The members of operations on a user as such.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    tenant: TenantId,
    username: LoginId,
}

/// A user that was put together, and the code to hand over where there is no password.
pub struct Built {
    /// The user.
    pub user: User,
    code: Option<Secret<String>>,
}

impl Built {
    /// What is shown of a new user: the code, this once.
    pub fn answer(&self) -> Value {
        answer(&self.user, self.code.as_ref())
    }
}

fn answer(user: &User, code: Option<&Secret<String>>) -> Value {
    let mut shown = json!({ "user_id": user.id });
    if let (Some(code), Some(kept)) = (code, &user.code) {
        shown["code"] = json!(code.expose());
        shown["code_expires_at"] = json!(kept.until.seconds());
    }
    shown
}

/// Checks a new user, and hashes the password or draws a one-time code.
pub async fn build(
    operator: &Operator,
    tenant: &TenantId,
    policy: &Policy,
    new: NewUser,
    now: Timestamp,
) -> Result<Built, OperatorError> {
    let login: LoginId = new.username.parse()?;
    let profile =
        Profile { roles: new.roles, permissions: new.permissions, scopes: new.scopes, claims: new.claims };
    profile.check()?;
    let mut user = User::new(login, profile, now);
    let mut code = None;
    match new.password {
        None => {
            let (text, kept) = OneTimeCode::draw(policy.code_seconds.into(), now);
            (code, user.code) = (Some(text), Some(kept));
        }
        Some(_) if operator.app.config.operator_passwords == OperatorPasswords::Refused => {
            return Err(OperatorError::PasswordNotAllowed);
        }
        Some(password) => {
            let rules = operator.app.config.passwords;
            rules.check(password.expose(), &user.login, tenant).map_err(OperatorError::WeakPassword)?;
            let cost = operator.app.config.hashing.cost.raised_to(policy);
            user.password = Some(operator.hasher.hash(password, cost).await?);
        }
    }
    Ok(Built { user, code })
}

/// Adds a user.
pub async fn create(
    operator: &Operator,
    tenant: &TenantId,
    new: NewUser,
    now: Timestamp,
) -> Result<Value, OperatorError> {
    let entered = operator.load(tenant, Wanted::default()).await?;
    let built = build(operator, tenant, &entered.tenant.policy, new, now).await?;
    add(operator, tenant, &built.user, &audit(now, Action::UserCreate).on(&built.user.id)).await?;
    Ok(built.answer())
}

/// Writes a new user and, if it is an admin, the tenant's list of them.
async fn add(
    operator: &Operator,
    tenant: &TenantId,
    user: &User,
    event: &AuditEvent,
) -> Result<(), OperatorError> {
    for _ in 0..ATTEMPTS {
        let entered = operator.load(tenant, Wanted::default()).await?;
        let mut writes = entered.store.writes().new_user(user);
        if let Some(after) = entered.tenant.with_admin(user)? {
            writes = writes.tenant(&entered.tenant, &after);
        }
        match writes.audit(event).commit().await? {
            Commit::Done => return Ok(()),
            Commit::Lost(Part::Login) => return Err(OperatorError::AlreadyExists("the username is taken")),
            Commit::Lost(_) => {}
        }
    }
    Err(contended())
}

/// Lets a user sign in, or no longer. Disabling raises the epoch: what was issued before stays dead after enabling.
pub async fn change_status(
    operator: &Operator,
    named: Named,
    status: UserStatus,
    now: Timestamp,
) -> Result<Value, OperatorError> {
    for _ in 0..ATTEMPTS {
        let (entered, before) = find(operator, &named).await?;
        let before = before.ok_or_else(none)?;
        if before.status == status {
            return Ok(json!({ "user_id": before.id, "status": status }));
        }
        let disables = status == UserStatus::Disabled;
        let epoch = before.epoch + u32::from(disables);
        let after = User { status, epoch, version: before.version + 1, ..before.clone() };
        let action = if disables { Action::UserDisable } else { Action::UserEnable };
        let mut writes = entered.store.writes().user(&before, &after);
        if let Some(tenant) = entered.tenant.with_admin(&after)? {
            writes = writes.tenant(&entered.tenant, &tenant);
        }
        if disables {
            writes = writes.revocation(&Revocation::User { sub: before.id, epoch });
        }
        if writes.audit(&audit(now, action).on(&before.id)).commit().await? == Commit::Done {
            return Ok(json!({ "user_id": before.id, "status": status }));
        }
    }
    Err(contended())
}

/// Gives a tenant an admin who can sign in: the user of this name, or a new one, with a one-time code. Whatever password
/// and sessions there were end.
pub async fn restore(operator: &Operator, named: Named, now: Timestamp) -> Result<Value, OperatorError> {
    for _ in 0..ATTEMPTS {
        let (entered, found) = find(operator, &named).await?;
        let seconds = entered.tenant.policy.code_seconds.into();
        let (code, kept) = OneTimeCode::draw(seconds, now);
        let Some(before) = found else {
            let new = NewUser::admin(named.username.as_str().to_owned(), None);
            let built = build(operator, &named.tenant, &entered.tenant.policy, new, now).await?;
            let event = audit(now, Action::UserRestore).on(&built.user.id).with("created", true);
            match add(operator, &named.tenant, &built.user, &event).await {
                Ok(()) => return Ok(built.answer()),
                Err(OperatorError::AlreadyExists(_)) => continue,
                Err(error) => return Err(error),
            }
        };
        let mut after = User {
            status: UserStatus::Active,
            password: None,
            code: Some(kept),
            epoch: before.epoch + 1,
            version: before.version + 1,
            ..before.clone()
        };
        after.roles.insert(ADMIN_ROLE.to_owned());
        let mut writes = entered.store.writes().user(&before, &after);
        if let Some(tenant) = entered.tenant.with_admin(&after)? {
            writes = writes.tenant(&entered.tenant, &tenant);
        }
        let writes = writes
            .revocation(&Revocation::User { sub: after.id, epoch: after.epoch })
            .audit(&audit(now, Action::UserRestore).on(&after.id).with("created", false));
        if writes.commit().await? == Commit::Done {
            return Ok(answer(&after, Some(&code)));
        }
    }
    Err(contended())
}

/// The user of a name, if it is somebody's, with the tenant.
async fn find(operator: &Operator, named: &Named) -> Result<(Entered, Option<User>), OperatorError> {
    let wanted = Wanted { login: Some(&named.username), ..Wanted::default() };
    let entered = operator.load(&named.tenant, wanted).await?;
    let Some(id) = entered.login else { return Ok((entered, None)) };
    let mut entered = operator.load(&named.tenant, Wanted { user: Some(id), ..Wanted::default() }).await?;
    let user = entered.user.take();
    Ok((entered, user))
}

fn none() -> OperatorError {
    OperatorError::NotFound("there is no such user")
}

fn contended() -> OperatorError {
    OperatorError::Unavailable("other writers kept coming first".into())
}
