//! What the schedule does. Safe to run twice at once, and after a crash at any point.
//!
//! The janitor: a crash between KMS and the table leaves a key that is in no ring. It is found by its tags and scheduled
//! for deletion, once it is old enough that no creation can still be under way.

use leasehold::clock::Timestamp;
use leasehold::store::Wanted;
use serde_json::{Value, json};

use crate::{Operator, OperatorError};

/// Runs what is due.
pub async fn run(operator: &Operator, now: Timestamp) -> Result<Value, OperatorError> {
    let app = &operator.app;
    let mut scheduled = 0_u32;
    for key in app.kms.list_keys().await? {
        if key.created_at.plus_seconds(app.config.orphan_key_seconds) > now {
            continue;
        }
        let entered = app.store.enter(&key.tenant, Wanted::default()).await?;
        if entered.is_some_and(|entered| entered.tenant.ring.iter().any(|kept| kept.arn == key.arn)) {
            continue;
        }
        app.kms.schedule_deletion(&key.arn).await?;
        tracing::warn!(tenant = %key.tenant, event = "spare_key", "a key in no ring is scheduled for deletion");
        scheduled += 1;
    }
    Ok(json!({ "spare_keys_scheduled": scheduled }))
}
