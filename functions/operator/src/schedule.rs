//! What the schedule does. Safe to run twice at once, and after a crash at any point.
//!
//! The janitor: a crash between KMS and the table leaves a key that is in no ring. It is found by its tags once it is old
//! enough that no creation can still be under way; the first run that finds it disables it, a later one schedules its
//! deletion, so that a person has time to see the warnings.
//!
//! It must never take a table that is not this deployment's for one in which no key is used: with an empty directory it
//! does nothing, and in one run it touches few keys.

use leasehold::clock::Timestamp;
use leasehold::kms::FoundKey;
use leasehold::store::{Place, Wanted};
use serde_json::{Value, json};

use crate::{Operator, OperatorError};

/// How many keys one run disables or has deleted at most. More spare keys than this are nothing that crashes leave.
const AT_ONCE: usize = 5;

/// Runs what is due.
pub async fn run(operator: &Operator, now: Timestamp) -> Result<Value, OperatorError> {
    let (mut disabled, mut scheduled, mut failed) = (0_u32, 0_u32, 0_u32);
    if has_tenants(operator).await? {
        let spare = spare_keys(operator, now).await?;
        if spare.len() > AT_ONCE {
            tracing::error!(
                keys = spare.len(),
                event = "spare_keys",
                "more spare keys than crashes leave; look"
            );
        }
        for key in spare.into_iter().take(AT_ONCE) {
            let done = if key.enabled {
                operator.app.kms.disable_key(&key.arn).await
            } else {
                operator.app.kms.schedule_deletion(&key.arn).await
            };
            match done {
                Ok(()) if key.enabled => disabled += 1,
                Ok(()) => scheduled += 1,
                Err(error) => {
                    failed += 1;
                    tracing::warn!(tenant = %key.tenant, cause = leasehold::telemetry::chain(&error), "a spare key stays");
                    continue;
                }
            }
            tracing::warn!(tenant = %key.tenant, enabled = key.enabled, event = "spare_key", "a key in no ring is put away");
        }
    }
    Ok(json!({ "spare_keys_disabled": disabled, "spare_keys_scheduled": scheduled, "failed": failed }))
}

async fn has_tenants(operator: &Operator) -> Result<bool, OperatorError> {
    let mut place = Some(Place::default());
    while let Some(from) = place {
        let page = operator.app.store.list_tenants(from).await?;
        if !page.tenants.is_empty() {
            return Ok(true);
        }
        place = page.next;
    }
    Ok(false)
}

/// The keys of this deployment that are old enough and in no ring.
async fn spare_keys(operator: &Operator, now: Timestamp) -> Result<Vec<FoundKey>, OperatorError> {
    let app = &operator.app;
    let mut spare = Vec::new();
    for key in app.kms.list_keys().await? {
        if key.created_at.plus_seconds(app.config.orphan_key_seconds) > now {
            continue;
        }
        let entered = app.store.enter(&key.tenant, Wanted::default()).await?;
        if !entered.is_some_and(|entered| entered.tenant.ring.iter().any(|kept| kept.arn == key.arn)) {
            spare.push(key);
        }
    }
    Ok(spare)
}
