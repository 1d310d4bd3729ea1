//! Users at creation, and whether they may sign in.

use std::collections::BTreeSet;

use leasehold::clock::Timestamp;
use leasehold::config::OperatorPasswords;
use leasehold::id::{LoginId, TenantId, UserId};
use leasehold::rest::Rest;
use leasehold::revocation::{Action, Revocation};
use leasehold::secret::Secret;
use leasehold::store::{Commit, UserChange, Wanted};
use leasehold::user::{REGISTERED_CLAIMS, User, UserStatus};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{ATTEMPTS, Operator, OperatorError, audit};

/// What roles, permissions and claims of a user may take of a token, in bytes: with a client's part and our own claims,
/// the signing input stays within 4096.
const MAX_BYTES: usize = 1200;

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
    /// A user with a name, a password and roles, and nothing else.
    pub fn named<const N: usize>(username: &str, password: Option<Secret<String>>, roles: [&str; N]) -> Self {
        Self {
            username: username.to_owned(),
            password,
            roles: roles.into_iter().map(str::to_owned).collect(),
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

/// Checks a new user and hashes the password.
pub async fn build(
    operator: &Operator,
    tenant: &TenantId,
    new: NewUser,
    now: Timestamp,
) -> Result<User, OperatorError> {
    let login: LoginId = new.username.parse()?;
    let names = new.roles.iter().chain(&new.permissions).chain(new.scopes.iter().flatten());
    let is_name = |text: &&String| {
        (1..=64).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":._-/".contains(&byte))
    };
    if !names.clone().all(|name| is_name(&name)) {
        return Err(OperatorError::invalid(
            "roles, permissions, scopes: 1 to 64 of A-Z a-z 0-9 : . _ - / each",
        ));
    }
    if let Some(name) = new.claims.keys().find(|name| REGISTERED_CLAIMS.contains(&name.as_str())) {
        return Err(OperatorError::Invalid(format!("claims: {name} is not yours to set")));
    }
    if !new.claims.iter().all(|(name, value)| is_claim(name, value, 0)) {
        return Err(OperatorError::invalid(
            "claims: names of 1 to 64 characters, 5 levels, numbers below 1e100",
        ));
    }
    let bytes: usize = names.map(|name| name.len() + 3).sum::<usize>() + json!(new.claims).to_string().len();
    if bytes > MAX_BYTES {
        return Err(OperatorError::invalid("roles, permissions and claims: 1200 bytes in all"));
    }
    let password = match new.password {
        None => return Err(OperatorError::invalid("password is missing")),
        Some(_) if operator.app.config.operator_passwords == OperatorPasswords::Refused => {
            return Err(OperatorError::PasswordNotAllowed);
        }
        Some(password) => {
            let policy = operator.app.config.passwords;
            policy.check(password.expose(), &login, tenant).map_err(OperatorError::WeakPassword)?;
            Some(operator.hasher.hash(password).await?)
        }
    };
    Ok(User {
        id: UserId::generate(),
        login,
        password,
        roles: new.roles,
        permissions: new.permissions,
        scopes: new.scopes,
        claims: new.claims,
        status: UserStatus::Active,
        epoch: 0,
        created_at: now,
        version: 1,
        rest: Rest::default(),
    })
}

/// Whether a claim is one that the table can hold and a token should.
fn is_claim(name: &str, value: &Value, depth: usize) -> bool {
    (1..=64).contains(&name.len())
        && depth < 5
        && match value {
            Value::Null | Value::Bool(_) | Value::String(_) => true,
            Value::Number(number) => {
                number.as_f64().is_some_and(|number| number == 0.0 || (1e-100..1e100).contains(&number.abs()))
            }
            Value::Array(items) => items.iter().all(|item| is_claim(name, item, depth + 1)),
            Value::Object(members) => members.iter().all(|(name, value)| is_claim(name, value, depth + 1)),
        }
}

/// Adds a user.
pub async fn create(
    operator: &Operator,
    tenant: &TenantId,
    new: NewUser,
    now: Timestamp,
) -> Result<Value, OperatorError> {
    let entered = operator.load(tenant, Wanted::default()).await?;
    let user = build(operator, tenant, new, now).await?;
    let event = audit(now, Action::UserCreate, Some(user.id.to_string()));
    match entered.store.create_user(&user, &event).await? {
        Commit::Done => Ok(json!({ "user_id": user.id })),
        Commit::Lost => Err(OperatorError::AlreadyExists("the username is taken")),
    }
}

/// Lets a user sign in, or no longer. Disabling raises the epoch: what was issued before stays dead after enabling.
pub async fn change_status(
    operator: &Operator,
    Named { tenant, username }: Named,
    status: UserStatus,
    now: Timestamp,
) -> Result<Value, OperatorError> {
    let none = || OperatorError::NotFound("there is no such user");
    let entered = operator.load(&tenant, Wanted { login: Some(&username), ..Wanted::default() }).await?;
    let id = entered.login.ok_or_else(none)?;
    for _ in 0..ATTEMPTS {
        let entered = operator.load(&tenant, Wanted { user: Some(id), ..Wanted::default() }).await?;
        let before = entered.user.ok_or_else(none)?;
        if before.status == status {
            return Ok(json!({ "user_id": id, "status": status }));
        }
        let disables = status == UserStatus::Disabled;
        let epoch = before.epoch + u32::from(disables);
        let after = User { status, epoch, version: before.version + 1, ..before.clone() };
        let revocation = Revocation::User { sub: id, epoch };
        let action = if disables { Action::UserDisable } else { Action::UserEnable };
        let change = UserChange {
            before: &before,
            after: &after,
            keep: None,
            revocation: disables.then_some(&revocation),
            audit: &audit(now, action, Some(id.to_string())),
        };
        if entered.store.commit_user(change).await? == Commit::Done {
            return Ok(json!({ "user_id": id, "status": status }));
        }
    }
    Err(OperatorError::Unavailable("other writers kept coming first".into()))
}
