//! Tenants: made whole or not at all, suspended, resumed and ended by one conditional write.

use std::collections::BTreeSet;

use leasehold::audit::Action;
use leasehold::client::{Client, check_origins};
use leasehold::clock::Timestamp;
use leasehold::id::TenantId;
use leasehold::keys::{Algorithm, Custody, Key, KeyRing};
use leasehold::policy::Policy;
use leasehold::revocation::Revocation;
use leasehold::secret::Secret;
use leasehold::steps;
use leasehold::store::{Commit, NewTenant, Place, Wanted};
use leasehold::tenant::{Removal, Tenant, TenantStatus, issuer};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::clients::NewClient;
use crate::users::{self, NewUser};
use crate::{ATTEMPTS, Operator, OperatorError, audit};

/// The most clients a tenant can be created with: all of it is one transaction, of at most 100 items.
const MAX_CLIENTS: usize = 50;

/// The members of `tenant.create`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Create {
    tenant: TenantId,
    algorithm: Option<Algorithm>,
    custody: Option<Custody>,
    #[serde(default)]
    policy: Map<String, Value>,
    #[serde(default)]
    clients: Vec<NewClient>,
    admin: Admin,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Admin {
    username: String,
    password: Option<Secret<String>>,
}

/// The members of operations on a tenant as such.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    tenant: TenantId,
}

/// The members of `tenant.limit`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    tenant: TenantId,
    allowed_custody: BTreeSet<Custody>,
}

/// The members of `tenant.list`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Page {
    cursor: Option<Place>,
}

/// Creates a tenant with its first key, its clients and its first admin, in one transaction. A crash before it leaves
/// at most a spare KMS key, which the schedule finds by its tag; after it, the tenant is whole.
pub async fn create(operator: &Operator, new: Create, now: Timestamp) -> Result<Value, OperatorError> {
    let app = &operator.app;
    let asked = read_policy(operator, new.policy)?;
    let policy = Policy {
        algorithm: new.algorithm.unwrap_or(asked.algorithm),
        custody: new.custody.unwrap_or(asked.custody),
        ..asked
    };
    if app.store.enter(&new.tenant, Wanted::default()).await?.is_some() {
        return Err(taken());
    }
    let mut made = vec![(Client::of_admins(now), None)];
    if new.clients.len() > MAX_CLIENTS {
        return Err(OperatorError::invalid("clients: at most 50 at once"));
    }
    for client in new.clients {
        made.push(client.check(&app.config.public_url, now)?);
    }
    let distinct: BTreeSet<_> = made.iter().map(|(client, _)| &client.id).collect();
    if distinct.len() != made.len() {
        return Err(OperatorError::invalid("clients: a client_id is repeated"));
    }
    let origins: BTreeSet<_> = made.iter().flat_map(|(client, _)| client.origins.iter().cloned()).collect();
    check_origins(origins.iter())?;
    let admin = NewUser::admin(new.admin.username, new.admin.password);
    let admin = users::build(operator, &new.tenant, &policy, admin, now).await?;
    let key = steps::make(&app.kms, &new.tenant, policy.kind(), now).await?;
    let kid = key.key.kid.clone();
    let mut tenant = Tenant::new(new.tenant, policy, KeyRing::with_first_key(key.key), now);
    tenant.origins = origins;
    tenant.cursor_key = Some(leasehold::secret::random().into());
    tenant.admins.insert(admin.user.id);
    let clients: Vec<_> = made.iter().map(|(client, _)| client.clone()).collect();
    let whole = NewTenant {
        tenant: &tenant,
        wrapped: key.wrapped.as_deref().map(|private| (&kid, private)),
        clients: &clients,
        admin: &admin.user,
        audit: &audit(now, Action::TenantCreate),
    };
    match app.store.create_tenant(whole).await? {
        Commit::Done => {}
        // Somebody else was first. Our key serves nobody: the schedule finds it by its tags and has it deleted, once it
        // is certain that no ring has it.
        Commit::Lost(_) => return Err(taken()),
    }
    let shown: Vec<_> =
        made.iter().map(|(client, secret)| NewClient::answer(client, secret.as_ref())).collect();
    Ok(json!({
        "tenant": tenant.id,
        "issuer": issuer(&app.config.public_url, &tenant.id),
        "kid": kid,
        "admin": admin.answer(),
        "clients": shown,
    }))
}

/// A policy as an operator gives it: no member that there is not, none outside its bounds.
fn read_policy(operator: &Operator, members: Map<String, Value>) -> Result<Policy, OperatorError> {
    if let Some(name) = members.keys().find(|name| !Policy::MEMBERS.contains(&name.as_str())) {
        return Err(OperatorError::Invalid(format!("policy: there is no member {name:?}")));
    }
    let policy: Policy = crate::read(Value::Object(members))?;
    policy.check()?;
    policy.check_within(&operator.app.config.margins)?;
    let cost = operator.app.config.hashing.cost.asked_by(&policy);
    cost.check().map_err(|out| OperatorError::Invalid(format!("policy: {out}")))?;
    Ok(policy)
}

fn taken() -> OperatorError {
    OperatorError::AlreadyExists("the tenant exists, or existed once")
}

/// Suspends or resumes a tenant. Suspending raises the epoch: what was issued before stays dead after it is resumed.
pub async fn change_status(
    operator: &Operator,
    Named { tenant: id }: Named,
    status: TenantStatus,
    now: Timestamp,
) -> Result<Value, OperatorError> {
    let suspends = status != TenantStatus::Active;
    let action = if suspends { Action::TenantSuspend } else { Action::TenantResume };
    let change = |before: &Tenant| {
        (before.status != status).then(|| Tenant {
            status,
            epoch: before.epoch + u32::from(suspends),
            ..before.next()
        })
    };
    commit(operator, &id, action, now, change).await?;
    Ok(json!({ "tenant": id, "status": status }))
}

/// Ends a tenant for good. Nothing is issued or verified from now on, its keys end, and the schedule removes its data.
/// The tenant's own item stays, so that the id is never used again.
pub async fn delete(
    operator: &Operator,
    Named { tenant: id }: Named,
    now: Timestamp,
) -> Result<Value, OperatorError> {
    let change = |before: &Tenant| {
        Some(Tenant {
            status: TenantStatus::Deleted,
            epoch: before.epoch + 1,
            ring: before.ring.ended(now),
            admins: BTreeSet::new(),
            origins: BTreeSet::new(),
            removal: Some(Removal::default()),
            ..before.next()
        })
    };
    commit(operator, &id, Action::TenantDelete, now, change).await?;
    Ok(json!({ "tenant": id, "status": TenantStatus::Deleted }))
}

/// Says what custody of keys a tenant's admins may choose. Where the policy's is no longer among them, the next key has
/// another; keys that there are stay.
pub async fn limit(
    operator: &Operator,
    Limit { tenant: id, allowed_custody }: Limit,
    now: Timestamp,
) -> Result<Value, OperatorError> {
    if allowed_custody.is_empty() {
        return Err(OperatorError::invalid("allowed_custody: at least one of kms, wrapped"));
    }
    let change = |before: &Tenant| {
        (before.allowed_custody != allowed_custody).then(|| {
            let mut after = before.next();
            after.allowed_custody.clone_from(&allowed_custody);
            if !allowed_custody.contains(&after.policy.custody) {
                after.policy.custody = *allowed_custody.first().unwrap_or(&after.policy.custody);
            }
            after
        })
    };
    commit(operator, &id, Action::TenantLimit, now, change).await?;
    Ok(json!({ "tenant": id, "allowed_custody": allowed_custody }))
}

/// Changes a tenant, if there is anything to change. A raised epoch is told to verifiers.
async fn commit(
    operator: &Operator,
    id: &TenantId,
    action: Action,
    now: Timestamp,
    change: impl Fn(&Tenant) -> Option<Tenant>,
) -> Result<(), OperatorError> {
    for _ in 0..ATTEMPTS {
        let entered = operator.load(id, Wanted::default()).await?;
        let before = entered.tenant;
        let Some(after) = change(&before) else { return Ok(()) };
        let mut writes = entered.store.writes().tenant(&before, &after);
        if after.epoch != before.epoch {
            writes = writes.revocation(&Revocation::Tenant { epoch: after.epoch });
        }
        if writes.audit(&audit(now, action)).commit().await? == Commit::Done {
            return Ok(());
        }
    }
    Err(OperatorError::Unavailable("other writers kept coming first".into()))
}

/// Lists tenants, a part of the directory at a time: `next_cursor` leads on until there is none.
pub async fn list(operator: &Operator, page: Page) -> Result<Value, OperatorError> {
    let found = operator.app.store.list_tenants(page.cursor.unwrap_or_default()).await?;
    Ok(json!({ "tenants": found.tenants, "next_cursor": found.next }))
}

/// Shows a tenant, also a suspended or deleted one.
pub async fn show(
    operator: &Operator,
    Named { tenant: id }: Named,
    now: Timestamp,
) -> Result<Value, OperatorError> {
    let entered = operator.app.store.enter(&id, Wanted::default()).await?;
    let tenant = entered.ok_or(OperatorError::NotFound("there is no such tenant"))?.tenant;
    let keys: Vec<Value> = tenant.ring.iter().map(|key: &Key| key.show(now)).collect();
    Ok(json!({
        "tenant": tenant.id,
        "issuer": issuer(&operator.app.config.public_url, &tenant.id),
        "status": tenant.status,
        "created_at": tenant.created_at.seconds(),
        "algorithm": tenant.policy.algorithm,
        "custody": tenant.policy.custody,
        "allowed_custody": tenant.allowed_custody,
        "policy": tenant.policy,
        "keys": keys,
        "deletion": tenant.removal.map(|removal| json!({
            "users": removal.users,
            "clients": removal.clients,
            "done_at": removal.done_at.map(Timestamp::seconds),
        })),
    }))
}
