//! Verification inside our own functions: keys, status, epoch and revocations come from the table, are read again at most
//! every two seconds, and only when somebody asks. Between two readings a decision makes no call.
//!
//! It must never decide by what is older than the revocation delay, and never let what a stranger names (a key, a tenant)
//! cause more readings than the settings say.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use crate::clock::Timestamp;
use crate::feed::Cursor;
use crate::id::TenantId;
use crate::pace::{Need, Pace, SPARE_MILLIS};
use crate::revoked::Revoked;
use crate::store::{Polled, Store, StoreError, TenantStore, Wanted};
use crate::telemetry::chain;
use crate::tenant::issuer;
use crate::tenants::Tenants;
use crate::token::verify::Expected;
use crate::token::{KeySet, Refusal, Verified};
use crate::user::User;
use crate::view::{Denied, LiveSettings, View};

/// How long decisions read for themselves, in seconds, before it is tried again whether all revocations fit into memory.
const OVERFLOW_SECONDS: u64 = 300;

/// Verifies access tokens by the table.
#[derive(Debug)]
pub struct Live {
    store: Store,
    public_url: String,
    settings: LiveSettings,
    tenants: Tenants<Slot>,
}

/// What is kept of one tenant, or of a name that may be none.
#[derive(Debug, Default)]
struct Slot {
    state: RwLock<State>,
    /// Held by the one that reads.
    reading: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    pace: Pace,
    known: Option<Known>,
    /// The way to the tenant's items, once it was found.
    store: Option<TenantStore>,
}

#[derive(Debug)]
struct Known {
    served: bool,
    view: View,
    /// Since when there are more revocations than memory holds, so that a decision reads for itself.
    overflowed_at: Option<Timestamp>,
}

impl Live {
    /// A verifier over this table, for issuers below this URL.
    pub fn new(store: Store, public_url: String, settings: LiveSettings) -> Self {
        Self { store, public_url, tenants: Tenants::new(settings.tenants), settings }
    }

    /// Decides on a token that a request to this tenant shows to the API of this audience.
    ///
    /// # Errors
    /// Why it is refused, or why nothing can be decided.
    pub async fn verify(
        &self,
        tenant: &TenantId,
        audience: &str,
        token: &str,
        now: Timestamp,
    ) -> Result<Verified, Denied> {
        let issuer = issuer(&self.public_url, tenant);
        let expected = Expected { tenant, issuer: &issuer, audience };
        let slot = self.tenants.slot(tenant);
        match slot.need(self.settings, now) {
            Need::Nothing => {}
            Need::Refresh => self.refresh(&slot, tenant, now).await,
            Need::Read => {
                expected.is_worth_a_look_up(token, now)?;
                self.read(&slot, tenant, now).await?;
            }
        }
        let decided = match slot.decide(expected, token, now) {
            Err(Refusal::UnknownKey) if self.looks_again(&slot, expected, token, now) => {
                self.read(&slot, tenant, now).await?;
                slot.decide(expected, token, now)
            }
            decided => decided,
        };
        let (verified, all_known) = decided?;
        if !all_known {
            self.check_by_itself(tenant, &verified, now).await?;
        }
        Ok(verified)
    }

    /// Whether a tenant is known to exist, by what was read before.
    pub fn knows(&self, tenant: &TenantId) -> bool {
        self.tenants.slot(tenant).read(|state| state.known.is_some())
    }

    /// Whether the set is read again for a key that it does not have: once per cool-down, and not for rubbish. A flood of
    /// made-up ids uses that up, and then the next poll brings a new key.
    fn looks_again(&self, slot: &Slot, expected: Expected<'_>, token: &str, now: Timestamp) -> bool {
        expected.is_worth_a_look_up(token, now).is_ok()
            && slot.write(|state| state.pace.claim_forced(now, self.settings.cool_down_seconds * 1000))
    }

    /// Reads, for no longer than a request can be held up for what it can do without.
    async fn refresh(&self, slot: &Arc<Slot>, tenant: &TenantId, now: Timestamp) {
        let reading = self.read(slot, tenant, now);
        let cause = match tokio::time::timeout(Duration::from_millis(SPARE_MILLIS), reading).await {
            Ok(Ok(())) => return,
            Ok(Err(denied)) => chain(&denied),
            Err(elapsed) => {
                slot.write(|state| state.pace.failed(now));
                chain(&elapsed)
            }
        };
        tracing::warn!(tenant = %tenant, cause, "a poll of a tenant failed");
    }

    /// One reading at a time; who waited for another's finds it done, or failed.
    async fn read(&self, slot: &Arc<Slot>, tenant: &TenantId, now: Timestamp) -> Result<(), Denied> {
        let before = slot.pace();
        let _reading = slot.reading.lock().await;
        let meanwhile = slot.pace();
        if meanwhile.read_at() != before.read_at() {
            return Ok(());
        }
        if meanwhile.failed_at() != before.failed_at() {
            return Err(Denied::Undecided { reason: "store", cause: None });
        }
        let from = slot.begin(now, self.settings.overlap_seconds);
        let known = slot.read(|state| state.store.clone());
        match self.store.poll(tenant, known.as_ref(), from, now).await {
            Ok(None) => slot.write(|state| {
                (state.known, state.store) = (None, None);
                state.pace.succeeded(now);
            }),
            Ok(Some((store, polled))) => {
                self.tenants.exists(tenant, slot);
                slot.write(|state| {
                    state.store = Some(store);
                    state.take(polled, now, self.settings.revocations);
                });
            }
            Err(error) => {
                slot.write(|state| state.pace.failed(now));
                return Err(undecided(error));
            }
        }
        Ok(())
    }

    /// More is revoked than memory holds: this one token's session and epochs are read from the table.
    async fn check_by_itself(
        &self,
        tenant: &TenantId,
        verified: &Verified,
        now: Timestamp,
    ) -> Result<(), Denied> {
        let claims = verified.claims();
        let family = Some((claims.sub, claims.sid));
        let wanted = Wanted { user: Some(claims.sub), family, ..Wanted::default() };
        let entered = self.store.enter(tenant, wanted).await.map_err(undecided)?;
        let entered = entered.filter(|entered| entered.tenant.is_active()).ok_or(Refusal::Tenant)?;
        let user = entered.user.filter(User::is_active).ok_or(Refusal::Epoch)?;
        if claims.ep.tenant < entered.tenant.epoch || claims.ep.user < user.epoch {
            Err(Refusal::Epoch.into())
        } else if !entered.family.is_some_and(|family| family.is_open(now)) {
            Err(Refusal::Session.into())
        } else {
            Ok(())
        }
    }
}

impl Slot {
    fn need(&self, settings: LiveSettings, now: Timestamp) -> Need {
        self.read(|state| {
            if state.known.is_none() {
                // No tenant of this name was there a short while ago.
                let settled = state.pace.is_within(now, settings.cool_down_seconds * 1000);
                return if settled { Need::Nothing } else { Need::Read };
            }
            state.pace.need(now, settings.poll_seconds * 1000, settings.delay_seconds * 1000)
        })
    }

    fn decide(
        &self,
        expected: Expected<'_>,
        token: &str,
        now: Timestamp,
    ) -> Result<(Verified, bool), Refusal> {
        self.read(|state| {
            let known = state.known.as_ref().filter(|known| known.served).ok_or(Refusal::Tenant)?;
            Ok((known.view.decide(expected, token, now)?, known.overflowed_at.is_none()))
        })
    }

    /// Where a reading of revocations begins: at the last one, or at the beginning.
    fn begin(&self, now: Timestamp, overlap_seconds: u64) -> Cursor {
        let since = self.read(|state| {
            let goes_on = state.known.as_ref().filter(|known| !known.starts_afresh(now));
            goes_on.and(state.pace.read_at()).map(|at| Cursor { at, after: None })
        });
        Cursor::begin(since, now, overlap_seconds)
    }

    fn pace(&self) -> Pace {
        self.read(|state| state.pace)
    }

    fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.write().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn take(&mut self, polled: Polled, began: Timestamp, capacity: usize) {
        let Polled { tenant, entries, more } = polled;
        let known = self.known.get_or_insert_with(|| Known {
            served: false,
            view: View { keys: KeySet::default(), revoked: Revoked::new(capacity) },
            overflowed_at: None,
        });
        if known.starts_afresh(began) {
            known.view.revoked = Revoked::new(capacity);
            known.overflowed_at = None;
        }
        known.served = tenant.is_active();
        known.view.keys = KeySet::of(&tenant.ring, began).taking_over(&known.view.keys);
        let revoked = &mut known.view.revoked;
        revoked.raise(tenant.epoch);
        revoked.tidy(began);
        let all = entries.iter().try_for_each(|entry| revoked.add(entry, began)).is_ok();
        if !all || more {
            known.overflowed_at = known.overflowed_at.or(Some(began));
        }
        self.pace.succeeded(began);
    }
}

impl Known {
    /// Whether an overflow has lasted long enough for another try.
    fn starts_afresh(&self, now: Timestamp) -> bool {
        self.overflowed_at.is_some_and(|at| at > now || at.plus_seconds(OVERFLOW_SECONDS) <= now)
    }
}

fn undecided(error: StoreError) -> Denied {
    let reason = match &error {
        StoreError::Unavailable(_) => "store",
        StoreError::Contended => "contended",
        StoreError::Corrupt { .. } => "corrupt",
    };
    Denied::Undecided { reason, cause: Some(error.into()) }
}

#[cfg(test)]
mod tests;
