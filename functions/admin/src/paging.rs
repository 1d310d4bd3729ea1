//! Pages of lists. A cursor is sealed under a key of the tenant and bound to tenant and list: nobody can make one up, and
//! one of another tenant or list opens nothing.

use leasehold::store::{Commit, Page, Wanted};
use leasehold::tenant::Tenant;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::ATTEMPTS;
use crate::caller::Caller;
use crate::problem::Problem;
use crate::seal;

/// The place that the caller's `?cursor=` names, if there is one.
pub fn place<P: DeserializeOwned>(caller: &Caller<'_>, list: &str) -> Result<Option<P>, Problem> {
    let Some(cursor) = caller.call.query.get("cursor") else { return Ok(None) };
    let invalid = || Problem::invalid_member("cursor", "It is not one of this list, or no longer.");
    let key = caller.tenant.cursor_key.as_ref().ok_or_else(invalid)?;
    let opened = seal::open(key.bytes(), &bound(caller, list), cursor).ok_or_else(invalid)?;
    serde_json::from_slice(&opened).map(Some).map_err(|_| invalid())
}

/// A page as it is answered.
pub async fn answer<P: Serialize>(
    caller: &Caller<'_>,
    list: &str,
    page: Page<Value, P>,
) -> Result<Value, Problem> {
    let Some(next) = page.next else { return Ok(json!({ "items": page.items, "next_cursor": null })) };
    let key = key(caller).await?;
    let text = serde_json::to_vec(&next).map_err(|_| Problem::contended())?;
    let cursor = seal::seal(&key, &bound(caller, list), &text);
    Ok(json!({ "items": page.items, "next_cursor": cursor }))
}

fn bound(caller: &Caller<'_>, list: &str) -> Vec<u8> {
    format!("leasehold cursor 1\0{}\0{list}", caller.tenant.id).into_bytes()
}

/// The tenant's key for cursors. A tenant of a release before this one has none yet: it is given one.
async fn key(caller: &Caller<'_>) -> Result<[u8; 32], Problem> {
    if let Some(key) = &caller.tenant.cursor_key {
        return Ok(*key.bytes());
    }
    for _ in 0..ATTEMPTS {
        let entered = caller.app.store.enter(&caller.tenant.id, Wanted::default()).await?;
        let before = entered.ok_or_else(|| Problem::not_found("tenant"))?.tenant;
        if let Some(key) = &before.cursor_key {
            return Ok(*key.bytes());
        }
        let key: [u8; 32] = leasehold::secret::random();
        let after = Tenant { cursor_key: Some(key.into()), ..before.next() };
        if caller.store.writes().tenant(&before, &after).commit().await? == Commit::Done {
            return Ok(key);
        }
    }
    Err(Problem::contended())
}
