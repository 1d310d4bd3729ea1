//! Removes the data of a deleted tenant, a part at a time: users with everything of theirs, then clients. What is left
//! then is the tenant's own item, which keeps the id from being used again, and what DynamoDB's TTL removes: the audit
//! log, revocations, counters.
//!
//! Each part can be removed twice without harm, so a crash costs nothing but the work of one part. It must never touch a
//! tenant that is not deleted.

use leasehold::clock::{self, Timestamp};
use leasehold::id::TenantId;
use leasehold::store::{Commit, TenantStore, Wanted};
use leasehold::tenant::{Removal, Tenant, TenantStatus};

use crate::{ATTEMPTS, Operator, OperatorError};

/// How many users or clients are removed between two notes of how far it is.
const PART: u16 = 50;

/// Goes on with the removal of a tenant's data, until nothing is left or time is up. How many users and clients went.
pub async fn go_on(
    operator: &Operator,
    tenant: &TenantId,
    until: Timestamp,
    now: Timestamp,
) -> Result<u32, OperatorError> {
    let mut gone = 0;
    leave_directory(operator, tenant).await?;
    while let Some((store, before)) = under_way(operator, tenant).await? {
        if clock::now() >= until {
            break;
        }
        let (users, clients) = remove_part(&store).await?;
        gone += users + clients;
        note(operator, tenant, before, |removal| Removal {
            users: removal.users + users,
            clients: removal.clients + clients,
            done_at: (users + clients == 0).then_some(now),
        })
        .await?;
    }
    Ok(gone)
}

/// Takes a tenant off the directory once its data is gone and its keys have ended: nothing is ever due for it again.
async fn leave_directory(operator: &Operator, tenant: &TenantId) -> Result<(), OperatorError> {
    let Some(entered) = operator.app.store.enter(tenant, Wanted::default()).await? else { return Ok(()) };
    let Tenant { status, removal, ring, .. } = &entered.tenant;
    let done = removal.is_some_and(|removal| removal.done_at.is_some());
    if *status == TenantStatus::Deleted && done && ring.iter().next().is_none() {
        entered.store.writes().leave_directory().commit().await?;
    }
    Ok(())
}

async fn under_way(
    operator: &Operator,
    tenant: &TenantId,
) -> Result<Option<(TenantStore, Tenant)>, OperatorError> {
    let entered = operator.app.store.enter(tenant, Wanted::default()).await?;
    Ok(entered
        .map(|entered| (entered.store, entered.tenant))
        .filter(|(_, tenant)| tenant.status == TenantStatus::Deleted)
        .filter(|(_, tenant)| tenant.removal.unwrap_or_default().done_at.is_none()))
}

async fn remove_part(store: &TenantStore) -> Result<(u32, u32), OperatorError> {
    let page = store.list_logins(None, PART).await?;
    let mut users = 0;
    for (login, user) in page.items {
        store.remove_user(&login, user).await?;
        users += 1;
    }
    if users > 0 || page.next.is_some() {
        return Ok((users, 0));
    }
    let page = store.list_clients(None, PART).await?;
    let mut clients = 0;
    for client in page.items {
        store.writes().drop_client(&client.id, client.version).commit().await?;
        clients += 1;
    }
    Ok((0, clients))
}

async fn note(
    operator: &Operator,
    tenant: &TenantId,
    mut before: Tenant,
    change: impl Fn(Removal) -> Removal,
) -> Result<(), OperatorError> {
    for _ in 0..ATTEMPTS {
        let after = Tenant { removal: Some(change(before.removal.unwrap_or_default())), ..before.next() };
        let Some((store, _)) = under_way(operator, tenant).await? else { return Ok(()) };
        if store.writes().tenant(&before, &after).commit().await? == Commit::Done {
            return Ok(());
        }
        let Some((_, now)) = under_way(operator, tenant).await? else { return Ok(()) };
        before = now;
    }
    Err(OperatorError::Unavailable("other writers kept coming first".into()))
}
