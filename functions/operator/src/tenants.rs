//! Tenants: made whole or not at all, suspended and resumed by one conditional write.

use std::collections::BTreeSet;

use leasehold::client::{ADMIN_CLIENT, ADMIN_SCOPES, Client, ClientStatus, ClientType};
use leasehold::clock::Timestamp;
use leasehold::id::TenantId;
use leasehold::keys::{Algorithm, Custody, Key, KeyRing};
use leasehold::policy::Policy;
use leasehold::rest::Rest;
use leasehold::revocation::{Action, Revocation};
use leasehold::secret::Secret;
use leasehold::store::{Commit, NewTenant, Place, Wanted};
use leasehold::tenant::{Tenant, TenantStatus, issuer};
use leasehold::user::ADMIN_ROLE;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::clients::{MAX_ORIGINS_BYTES, NewClient};
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

/// The members of `tenant.list`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Page {
    cursor: Option<Place>,
}

/// Creates a tenant with its first key, its clients and its first admin, in one transaction. A crash before it leaves
/// at most a spare KMS key, which the schedule finds by its tag; after it, the tenant is whole.
pub async fn create(operator: &Operator, new: Create, now: Timestamp) -> Result<Value, OperatorError> {
    let asked = read_policy(new.policy)?;
    let policy = Policy {
        algorithm: new.algorithm.unwrap_or(asked.algorithm),
        custody: new.custody.unwrap_or(asked.custody),
        ..asked
    };
    let app = &operator.app;
    if app.store.enter(&new.tenant, Wanted::default()).await?.is_some() {
        return Err(taken());
    }
    let mut made = vec![(admin_client(now), None)];
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
    if origins.iter().map(String::len).sum::<usize>() > MAX_ORIGINS_BYTES {
        return Err(OperatorError::invalid("origins: 1024 bytes in all of a tenant's clients"));
    }
    let admin = NewUser::named(&new.admin.username, new.admin.password, [ADMIN_ROLE]);
    let admin = users::build(operator, &new.tenant, admin, now).await?;
    let key = app.kms.create_key(&new.tenant, policy.algorithm).await?;
    let unusable = |_| OperatorError::Failed("KMS gave an unusable public key".into());
    let kid = key.public.thumbprint(policy.algorithm).map_err(unusable)?;
    let tenant = Tenant {
        id: new.tenant,
        status: TenantStatus::Active,
        epoch: 0,
        ring: KeyRing::with_first_key(Key {
            kid: kid.clone(),
            algorithm: policy.algorithm,
            custody: policy.custody,
            public: key.public,
            arn: key.arn.clone(),
            published_at: now,
            active_from: Some(now),
            superseded_at: None,
            retire_at: None,
            compromised_at: None,
            rest: Rest::default(),
        }),
        policy,
        origins,
        created_at: now,
        version: 1,
        rest: Rest::default(),
    };
    let clients: Vec<_> = made.iter().map(|(client, _)| client.clone()).collect();
    let audit = audit(now, Action::TenantCreate, None);
    let whole = NewTenant { tenant: &tenant, clients: &clients, admin: &admin, audit: &audit };
    if app.store.create_tenant(whole).await? == Commit::Lost {
        // Somebody else was first. Our key serves nobody: the schedule finds it by its tags and has it deleted, once it
        // is certain that no ring has it.
        return Err(taken());
    }
    let shown: Vec<_> =
        made.iter().map(|(client, secret)| NewClient::answer(client, secret.as_ref())).collect();
    Ok(json!({
        "tenant": tenant.id,
        "issuer": issuer(&app.config.public_url, &tenant.id),
        "kid": kid,
        "admin": { "user_id": admin.id },
        "clients": shown,
    }))
}

/// A policy as an operator gives it: no member that there is not, none outside its bounds.
fn read_policy(members: Map<String, Value>) -> Result<Policy, OperatorError> {
    if let Some(name) = members.keys().find(|name| !Policy::MEMBERS.contains(&name.as_str())) {
        return Err(OperatorError::Invalid(format!("policy: there is no member {name:?}")));
    }
    let policy: Policy = crate::read(Value::Object(members))?;
    policy.check()?;
    Ok(policy)
}

fn taken() -> OperatorError {
    OperatorError::AlreadyExists("the tenant exists, or existed once")
}

/// The client through which the admins of every tenant sign in.
fn admin_client(now: Timestamp) -> Client {
    Client {
        id: ADMIN_CLIENT.parse().expect("the name is a client id"),
        kind: ClientType::Public,
        secret_hashes: Vec::new(),
        audiences: BTreeSet::new(),
        scopes: ADMIN_SCOPES.into_iter().map(str::to_owned).collect(),
        origins: BTreeSet::new(),
        status: ClientStatus::Active,
        created_at: now,
        version: 1,
        rest: Rest::default(),
    }
}

/// Suspends or resumes a tenant. Suspending raises the epoch: what was issued before stays dead after it is resumed.
pub async fn change_status(
    operator: &Operator,
    Named { tenant: id }: Named,
    status: TenantStatus,
    now: Timestamp,
) -> Result<Value, OperatorError> {
    for _ in 0..ATTEMPTS {
        let entered = operator.load(&id, Wanted::default()).await?;
        let before = entered.tenant;
        if before.status == status {
            return Ok(json!({ "tenant": id, "status": status }));
        }
        let suspends = status != TenantStatus::Active;
        let epoch = before.epoch + u32::from(suspends);
        let after = Tenant { status, epoch, version: before.version + 1, ..before.clone() };
        let revocation = Revocation::Tenant { epoch };
        let action = if suspends { Action::TenantSuspend } else { Action::TenantResume };
        let done = entered
            .store
            .commit_tenant(&before, &after, suspends.then_some(&revocation), &audit(now, action, None))
            .await?;
        if done == Commit::Done {
            return Ok(json!({ "tenant": id, "status": status }));
        }
    }
    Err(OperatorError::Unavailable("other writers kept coming first".into()))
}

/// Lists tenants, a part of the directory at a time: `next_cursor` leads on until there is none.
pub async fn list(operator: &Operator, page: Page) -> Result<Value, OperatorError> {
    let found = operator.app.store.list_tenants(page.cursor.unwrap_or_default()).await?;
    Ok(json!({ "tenants": found.tenants, "next_cursor": found.next }))
}
