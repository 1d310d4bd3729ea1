//! Verification anywhere: keys come from a tenant's published set over HTTP, and revocations, where that is asked for,
//! from its feed. What an API needs that takes our tokens; no AWS in it.
//!
//! ```no_run
//! use leasehold::remote::{OnTrouble, Polling, Remote, Settings};
//!
//! # async fn example(token: &str) -> Result<(), Box<dyn std::error::Error>> {
//! let polling = Polling::every_two_seconds(OnTrouble::Refuse);
//! let remote = Remote::new("https://auth.example", Settings { polling, ..Settings::default() })?;
//! // For each request: the tenant is the one that the request names.
//! let verified = remote.verify(&"acme".parse()?, "https://api.acme.example", token).await?;
//! println!("{}", verified.claims().sub);
//! # Ok(())
//! # }
//! ```
//!
//! It must never fetch from an address that a token names, never let made-up keys or tenants cause more fetches than the
//! settings say, and never drop good keys because a fetch failed.

mod fetch;
mod slot;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::clock::{self, Timestamp};
use crate::id::TenantId;
use crate::pace::{Need, SPARE_MILLIS};
use crate::tenant::{InvalidUrl, check_public_url, issuer};
use crate::tenants::Tenants;
use crate::token::verify::Expected;
use crate::token::{Refusal, Verified};
use crate::view::Denied;
use fetch::{FetchError, Fetcher};
use slot::Slot;

/// The settings. All times are in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long one fetch may take.
    pub timeout_seconds: u64,
    /// The largest document that is taken, in bytes.
    pub max_bytes: usize,
    /// The longest that keys are used without a new fetch, whatever the answer allows.
    pub max_age_seconds: u64,
    /// The longest that keys are used after that while fetches fail, whatever the answer allows (RFC 5861 §4).
    pub stale_if_error_seconds: u64,
    /// How soon what was not there, a key or a tenant, is looked for again. A key that signs without having been published
    /// for the time that its set may be cached is known after this time at the latest, whatever strangers send.
    pub cool_down_seconds: u64,
    /// How many names that turn out to be no tenant's are looked up in one cool-down. Beyond that a tenant that was never
    /// seen has to wait.
    pub unknown_tenants: u32,
    /// How many tenants are kept in memory.
    pub tenants: usize,
    /// Whether revocations are followed.
    pub polling: Polling,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            timeout_seconds: 2,
            max_bytes: 256 * 1024,
            max_age_seconds: 3600,
            stale_if_error_seconds: 86_400,
            cool_down_seconds: 30,
            unknown_tenants: 100,
            tenants: 500,
            polling: Polling::Off,
        }
    }
}

/// Whether revocations are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polling {
    /// They are not: a revoked token is good until it expires.
    Off,
    /// They are: a revoked token is refused within `delay_seconds`.
    On {
        /// How old what is known may be before the feed is asked again, which happens only when there is a token to verify.
        poll_seconds: u64,
        /// How old it may be at most, when asking again fails.
        delay_seconds: u64,
        /// How many revocations are held for a tenant.
        revocations: usize,
        /// What happens to tokens when it is older, or when there are more.
        on_trouble: OnTrouble,
    },
}

impl Polling {
    /// Every two seconds, relied on for five.
    pub const fn every_two_seconds(on_trouble: OnTrouble) -> Self {
        Self::On { poll_seconds: 2, delay_seconds: 5, revocations: 20_000, on_trouble }
    }
}

/// What happens to tokens while revocations can't be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnTrouble {
    /// Nothing is decided: the API answers 503 (fail closed).
    Refuse,
    /// Tokens are good that were not revoked when it was last known (fail open).
    Accept,
}

/// Verifies access tokens of the tenants of one deployment.
#[derive(Debug)]
pub struct Remote {
    base: String,
    fetcher: Fetcher,
    settings: Settings,
    tenants: Tenants<Slot>,
    misses: Mutex<Misses>,
}

/// Names in the present cool-down that were no tenant's.
#[derive(Debug, Default)]
struct Misses {
    since: Option<Timestamp>,
    count: u32,
}

impl Remote {
    /// A verifier for the deployment whose issuers begin with this URL: `https`, or `http` on this machine.
    ///
    /// # Errors
    /// When it is no such URL, or the system's certificate authorities can't be read.
    pub fn new(public_url: &str, settings: Settings) -> Result<Self, StartError> {
        check_public_url(public_url)?;
        Ok(Self {
            base: public_url.to_owned(),
            fetcher: Fetcher::new(settings)?,
            settings,
            tenants: Tenants::new(settings.tenants),
            misses: Mutex::default(),
        })
    }

    /// Decides on a token that a request to this tenant shows to the API of this audience. Roles, permissions and scope
    /// are the caller's to look at.
    ///
    /// # Errors
    /// Why it is refused, or why nothing can be decided.
    pub async fn verify(&self, tenant: &TenantId, audience: &str, token: &str) -> Result<Verified, Denied> {
        self.verify_at(tenant, audience, token, clock::now()).await
    }

    /// The same, at a moment that the caller has read.
    ///
    /// # Errors
    /// Why it is refused, or why nothing can be decided.
    pub async fn verify_at(
        &self,
        tenant: &TenantId,
        audience: &str,
        token: &str,
        now: Timestamp,
    ) -> Result<Verified, Denied> {
        let issuer = issuer(&self.base, tenant);
        let expected = Expected { tenant, issuer: &issuer, audience };
        let slot = self.tenants.slot(tenant);
        let at = At { remote: self, slot: &slot, tenant, issuer: &issuer, now };
        if slot.is_blank(now, self.settings) {
            expected.is_worth_a_look_up(token, now)?;
        }
        at.bring_keys_up().await?;
        at.bring_revocations_up().await?;
        match slot.decide(expected, token, now) {
            Err(Refusal::UnknownKey) if at.looks_again(expected, token) => {
                at.read_keys().await?;
                Ok(slot.decide(expected, token, now)?)
            }
            decided => Ok(decided?),
        }
    }

    /// Whether another name that may be no tenant's can be looked up now.
    fn may_look_up(&self, now: Timestamp) -> bool {
        let mut misses = self.misses.lock().unwrap_or_else(PoisonError::into_inner);
        let over =
            |since: Timestamp| since > now || since.plus_seconds(self.settings.cool_down_seconds) <= now;
        if misses.since.is_none_or(over) {
            *misses = Misses { since: Some(now), count: 0 };
        }
        misses.count < self.settings.unknown_tenants
    }

    fn missed(&self) {
        let mut misses = self.misses.lock().unwrap_or_else(PoisonError::into_inner);
        misses.count = misses.count.saturating_add(1);
    }
}

/// One decision: on which tenant, and when.
#[derive(Clone, Copy)]
struct At<'a> {
    remote: &'a Remote,
    slot: &'a Arc<Slot>,
    tenant: &'a TenantId,
    issuer: &'a str,
    now: Timestamp,
}

impl At<'_> {
    async fn bring_keys_up(self) -> Result<(), Denied> {
        match self.slot.needs_keys(self.now, self.remote.settings) {
            Need::Nothing => Ok(()),
            Need::Refresh => {
                // What is known will do: one caller looks, the others do not wait for it.
                if let Ok(reading) = self.slot.reading_keys.try_lock() {
                    let fetched = tokio::time::timeout(spare(), self.fetch_keys()).await;
                    if fetched.is_err() {
                        self.slot.keys_failed(self.now);
                    }
                    drop(reading);
                }
                Ok(())
            }
            Need::Read => self.read_keys().await,
        }
    }

    /// One fetch at a time; who waited for another's finds it done, or failed.
    async fn read_keys(self) -> Result<(), Denied> {
        let before = self.slot.keys_pace();
        let _reading = self.slot.reading_keys.lock().await;
        let meanwhile = self.slot.keys_pace();
        if meanwhile.read_at() != before.read_at() {
            return Ok(());
        }
        if meanwhile.failed_at() != before.failed_at() {
            return Err(Denied::Undecided { reason: "keys", cause: None });
        }
        self.fetch_keys().await
    }

    async fn fetch_keys(self) -> Result<(), Denied> {
        let Self { remote, slot, tenant, issuer, now } = self;
        let is_candidate = !slot.was_served();
        if is_candidate && !remote.may_look_up(now) {
            return Err(Denied::Undecided { reason: "unknown_tenants", cause: None });
        }
        let url = format!("{issuer}/.well-known/jwks.json");
        match remote.fetcher.fetch(&url, slot.keys_tag().as_deref()).await {
            Ok(document) => {
                slot.take_keys(&document, now, remote.settings).inspect_err(|_| slot.keys_failed(now))?;
                remote.tenants.exists(tenant, slot);
                Ok(())
            }
            Err(FetchError::NotServed) => {
                slot.not_served(now);
                if is_candidate {
                    remote.missed();
                }
                Ok(())
            }
            Err(error) => {
                slot.keys_failed(now);
                Err(Denied::Undecided { reason: "keys", cause: Some(error.into()) })
            }
        }
    }

    async fn bring_revocations_up(self) -> Result<(), Denied> {
        let Polling::On { on_trouble, .. } = self.remote.settings.polling else { return Ok(()) };
        let followed = match self.slot.needs_revocations(self.now, self.remote.settings) {
            Need::Nothing => Ok(()),
            Need::Refresh => {
                if let Ok(reading) = self.slot.reading_revocations.try_lock() {
                    let followed = tokio::time::timeout(spare(), self.follow()).await;
                    if followed.is_err() {
                        self.slot.revocations_failed(self.now);
                    }
                    drop(reading);
                }
                Ok(())
            }
            Need::Read => self.read_revocations().await,
        };
        match (followed, on_trouble) {
            (Ok(()), OnTrouble::Refuse) if self.slot.has_overflowed() => {
                Err(Denied::Undecided { reason: "too_many_revocations", cause: None })
            }
            (Ok(()), _) | (Err(Denied::Undecided { .. }), OnTrouble::Accept) => Ok(()),
            (Err(denied), _) => Err(denied),
        }
    }

    async fn read_revocations(self) -> Result<(), Denied> {
        let before = self.slot.revocations_pace();
        let _reading = self.slot.reading_revocations.lock().await;
        let meanwhile = self.slot.revocations_pace();
        if meanwhile.read_at() != before.read_at() {
            return Ok(());
        }
        if meanwhile.failed_at() != before.failed_at() {
            return Err(Denied::Undecided { reason: "revocations", cause: None });
        }
        self.follow().await
    }

    /// Follows the feed until there are no more pages.
    async fn follow(self) -> Result<(), Denied> {
        let Self { remote, slot, issuer, now, .. } = self;
        let trouble = |error: FetchError| {
            slot.revocations_failed(now);
            Denied::Undecided { reason: "revocations", cause: Some(error.into()) }
        };
        slot.begin_following(now, remote.settings);
        loop {
            let (since, tag) = slot.place();
            let query = since.map(|since| format!("?since={since}")).unwrap_or_default();
            let url = format!("{issuer}/.well-known/revocations{query}");
            let document = match remote.fetcher.fetch(&url, tag.as_deref()).await {
                Ok(document) => document,
                Err(FetchError::NotServed) => {
                    slot.not_served(now);
                    return Ok(());
                }
                Err(error) => return Err(trouble(error)),
            };
            if slot.take_page(&document, issuer, now).map_err(trouble)? {
                break;
            }
        }
        // The feed names a key that is not in the set: it is fetched now, and waits for no cool-down. If that fails, the
        // revocations are known all the same.
        if slot.lacks_a_key() {
            let _reading = slot.reading_keys.lock().await;
            if let Err(denied) = self.fetch_keys().await {
                tracing::debug!(reason = denied.name(), "a key that the feed names could not be fetched");
            }
        }
        Ok(())
    }

    fn looks_again(self, expected: Expected<'_>, token: &str) -> bool {
        expected.is_worth_a_look_up(token, self.now).is_ok()
            && self.slot.claim_forced(self.now, self.remote.settings)
    }
}

const fn spare() -> Duration {
    Duration::from_millis(SPARE_MILLIS)
}

/// The verifier can't be built.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The URL is none of a deployment.
    #[error(transparent)]
    Url(#[from] InvalidUrl),
    /// The system's certificate authorities can't be read.
    #[error("the system's certificate authorities can't be read")]
    Roots(#[from] std::io::Error),
}

#[cfg(test)]
mod tests;
