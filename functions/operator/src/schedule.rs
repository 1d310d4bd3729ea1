//! What the schedule does. Safe to run twice at once, and after a crash at any point.
//!
//! It visits every tenant of the directory, carries out the steps of its keys that time has made due, and removes the
//! data of tenants that were deleted. It begins at another place of the directory each time and stops when its time is
//! up, so that every tenant has its turn whatever the number.
//!
//! The janitor: a crash between KMS and the table leaves a key that is in no ring. It is found by its tags once it is old
//! enough that no creation can still be under way; the first run that finds it disables it, a later one schedules its
//! deletion, so that a person has time to see the warnings.
//!
//! It must never take a table that is not this deployment's for one in which no key is used: with an empty directory the
//! janitor does nothing, and in one run it touches few keys.

use futures_util::{StreamExt as _, stream};
use leasehold::audit::Actor;
use leasehold::clock::{self, Timestamp};
use leasehold::id::TenantId;
use leasehold::kms::FoundKey;
use leasehold::metrics::Metric;
use leasehold::steps::Step;
use leasehold::store::{Place, Wanted};
use leasehold::telemetry::chain;
use serde_json::{Value, json};

use crate::{Operator, OperatorError, removal};

/// How many spare keys one run disables or has deleted at most. More than this are nothing that crashes leave.
const AT_ONCE: usize = 5;

/// How many tenants are visited at once.
const TENANTS_AT_ONCE: usize = 8;

/// How many steps of one tenant's keys one run carries out at most.
const STEPS: usize = 32;

/// What a run did.
#[derive(Clone, Copy, Debug, Default)]
struct Done {
    tenants: u32,
    steps: u32,
    removed: u32,
    failed: u32,
}

impl Done {
    fn and(self, other: Self) -> Self {
        Self {
            tenants: self.tenants + other.tenants,
            steps: self.steps + other.steps,
            removed: self.removed + other.removed,
            failed: self.failed + other.failed,
        }
    }
}

/// Runs what is due.
pub async fn run(operator: &Operator, now: Timestamp) -> Result<Value, OperatorError> {
    let until = now.plus_seconds(operator.app.config.schedule_budget_seconds);
    let [random] = leasehold::secret::random::<1>();
    let mut done = Done::default();
    let mut finished = true;
    let mut place = Some(Place::at_shard(random));
    let mut visited = 0;
    while let Some(from) = place.take() {
        if clock::now() >= until {
            finished = false;
            break;
        }
        let page = operator.app.store.list_tenants(from).await?;
        let visits = page.tenants.iter().map(|tenant| visit(operator, tenant, until, now));
        let visits = stream::iter(visits).buffer_unordered(TENANTS_AT_ONCE);
        done = visits.fold(done, async |done, visit| done.and(visit)).await;
        let shard_is_done = page.next.as_ref().is_none_or(Place::begins_shard);
        visited += u8::from(shard_is_done);
        place = page.next.or(Some(Place::default())).filter(|_| visited < Place::SHARDS);
    }
    let (disabled, scheduled, failed) =
        if done.tenants == 0 || !finished { (0, 0, 0) } else { put_spare_keys_away(operator, now).await? };
    if done.failed + failed > 0 {
        Metric::ScheduleFailed.count();
    }
    Ok(json!({
        "tenants": done.tenants,
        "key_steps": done.steps,
        "removed": done.removed,
        "spare_keys_disabled": disabled,
        "spare_keys_scheduled": scheduled,
        "failed": done.failed + failed,
        "finished": finished,
    }))
}

/// Carries out what is due for one tenant. Trouble with one is no reason to leave the others.
async fn visit(operator: &Operator, tenant: &TenantId, until: Timestamp, now: Timestamp) -> Done {
    let app = &operator.app;
    let mut done = Done { tenants: 1, ..Done::default() };
    let step = Step {
        store: &app.store,
        kms: &app.kms,
        margins: &app.config.margins,
        tenant,
        actor: Actor::Service,
        source: None,
        version: None,
        answer: None,
        now,
    };
    for _ in 0..STEPS {
        match step.carry_out_due().await {
            Ok(None) => break,
            Ok(Some(due)) => {
                tracing::info!(%tenant, step = ?due, event = "key_step", "a step of a key's life was due");
                done.steps += 1;
            }
            Err(error) => {
                tracing::error!(%tenant, cause = chain(&error), event = "key_step_failed", "a step of a key's life stays due");
                done.failed += 1;
                break;
            }
        }
    }
    match removal::go_on(operator, tenant, until, now).await {
        Ok(removed) => done.removed += removed,
        Err(error) => {
            let cause = error.cause();
            tracing::error!(%tenant, cause, event = "removal_failed", "a deleted tenant's data stays");
            done.failed += 1;
        }
    }
    done
}

/// Puts keys away that are in no ring: how many were disabled, how many scheduled for deletion, how many stay.
async fn put_spare_keys_away(operator: &Operator, now: Timestamp) -> Result<(u32, u32, u32), OperatorError> {
    let (mut disabled, mut scheduled, mut failed) = (0_u32, 0_u32, 0_u32);
    let spare = spare_keys(operator, now).await?;
    if spare.len() > AT_ONCE {
        tracing::error!(keys = spare.len(), event = "spare_keys", "more spare keys than crashes leave; look");
    }
    for key in spare.into_iter().take(AT_ONCE) {
        let done = if key.enabled {
            operator.app.kms.disable_key(&key.tenant, &key.arn).await
        } else {
            operator.app.kms.schedule_deletion(&key.tenant, &key.arn).await
        };
        match done {
            Ok(()) if key.enabled => disabled += 1,
            Ok(()) => scheduled += 1,
            Err(error) => {
                failed += 1;
                tracing::warn!(tenant = %key.tenant, cause = chain(&error), "a spare key stays");
                continue;
            }
        }
        tracing::warn!(tenant = %key.tenant, enabled = key.enabled, event = "spare_key", "a key in no ring is put away");
    }
    Ok((disabled, scheduled, failed))
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
