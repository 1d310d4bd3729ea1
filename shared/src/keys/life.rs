//! The steps of a key's life, as pure functions from a ring to a ring. Whoever carries one out writes the new ring on
//! condition that the tenant is as it was read; KMS is told to take something away only after that.
//!
//! | Step | From | To | Condition |
//! | --- | --- | --- | --- |
//! | rotate | a spare, or a new key | pending with a planned switch; active where nothing has to be waited for | no switch is planned |
//! | promote | pending | active | published long enough, or forced |
//! | roll back | retiring | active, at once: it is still published | its end is not decided |
//! | roll back | retired and disabled | pending with a planned switch: it must be published again first | the same |
//! | roll back | active, while a switch is planned | active; the switch is called off | |
//! | compromise | any | compromised | never refused |
//! | retire | retiring | retired | by time alone |
//! | disable | retired, compromised | the same; its private half can't sign | no token it signed can live, or it is compromised |
//! | destroy | disabled | gone from the ring | long enough disabled, not retained |
//!
//! It must never let a key sign that was not published for the tenant's propagation time, but for the exceptions that
//! the caller writes into the audit log: a tenant's first key, force, and compromise. It must never take a key from the
//! published set while a token that it signed can live, but for compromise.

use super::{Key, KeyKind, KeyRing, KeyState};
use crate::clock::Timestamp;
use crate::id::Kid;
use crate::policy::Policy;

/// How many keys a ring holds at most. A tenant's item stays below 4 KB, one read unit, with up to four RSA keys; more
/// are there only while keys are rotated in quick succession.
pub const MAX_KEYS: usize = 16;

/// How many it holds at most where nothing signs any more: room to replace a key that was compromised, and an end to
/// compromising one after the other.
pub const MAX_KEYS_IN_NEED: usize = 2 * MAX_KEYS;

/// The times of a deployment that decide how long a key must outlive its last signature, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Margins {
    /// How long a request that has read the ring may still sign.
    pub request_deadline_seconds: u64,
    /// The longest life that any policy of the deployment may give an access token.
    pub max_access_token_seconds: u64,
    /// How long the previous key may sign in place of a new one that KMS does not know everywhere yet.
    pub fallback_seconds: u64,
    /// How far the clock of a verifier may be behind.
    pub leeway_seconds: u64,
    /// How long a key stays disabled before it is destroyed: as long, a mistake can be taken back.
    pub destroy_after_seconds: u64,
}

impl Margins {
    /// How long a key stays published after another took over.
    pub const fn stays_published_seconds(&self) -> u64 {
        self.request_deadline_seconds
            .saturating_add(self.max_access_token_seconds)
            .saturating_add(self.fallback_seconds)
            .saturating_add(self.leeway_seconds)
    }
}

/// Why a step is not taken. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no such key.
    #[error("there is no such key")]
    NotFound,
    /// The key is in a state from which this step does not lead.
    #[error("the key is in another state")]
    WrongState(KeyState),
    /// The end of the key is decided: there is no way back.
    #[error("the key is being destroyed")]
    Destroying,
    /// The key has not been published long enough.
    #[error("the key has not been published long enough")]
    TooEarly {
        /// When it will have been.
        earliest_at: Timestamp,
    },
    /// A switch is planned already.
    #[error("a switch of keys is planned already")]
    RotationPlanned {
        /// To which key.
        kid: Kid,
        /// For when.
        active_from: Timestamp,
    },
    /// The ring is full; keys leave it with time.
    #[error("the ring is full")]
    TooManyKeys,
}

/// When a key may take over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// So many seconds after the step that published it began: [`Policy::published_seconds`].
    Published(u64),
    /// At once, whether or not verifiers have seen it.
    Forced,
}

impl Switch {
    fn earliest(self, key: &Key) -> Timestamp {
        match self {
            Self::Published(seconds) => key.published_at.plus_seconds(seconds),
            Self::Forced => key.published_at,
        }
    }
}

/// A step that time has made due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Due {
    /// The tenant has no key that signs: make one that does so at once.
    Replace(KeyKind),
    /// Make the private half unable to sign, then write that down.
    Disable(Kid),
    /// Decide the end of a key.
    Destroy(Kid),
    /// Carry out an end that was decided.
    Bury(Kid),
    /// Withdraw a spare that nobody asks for any more.
    Withdraw(Kid),
    /// Make a spare.
    Spare(KeyKind),
}

/// What the policy asks of the next key.
impl Policy {
    /// Algorithm and custody of the next key.
    pub const fn kind(&self) -> KeyKind {
        KeyKind { algorithm: self.algorithm, custody: self.custody }
    }

    /// How long after its step began a key may sign: the time that verifiers need, and the deadline of the request that
    /// carries the step out, since nobody sees the key before that request has written it. A tenant that asks for no time
    /// waits for nothing.
    pub fn published_seconds(&self, margins: &Margins) -> u64 {
        match u64::from(self.key_propagation_seconds) {
            0 => 0,
            seconds => seconds.saturating_add(margins.request_deadline_seconds),
        }
    }

    /// Whether a spare is kept: if the policy says so, and always in custody `wrapped`, where one costs nothing.
    pub fn keeps_spare(&self) -> bool {
        self.spare_key || self.custody == super::Custody::Wrapped
    }
}

impl KeyRing {
    /// A pending key without a planned switch; of several, the one published longest.
    pub fn spare(&self, kind: KeyKind, now: Timestamp) -> Option<&Key> {
        let is_spare = |key: &&Key| {
            key.kind() == kind && key.active_from.is_none() && key.state(now) == KeyState::Pending
        };
        self.keys.iter().filter(is_spare).min_by_key(|key| key.published_at)
    }

    /// Whether a rotation to this kind needs a key to be made first.
    ///
    /// # Errors
    /// When a switch is planned already, or the ring is full.
    pub fn needs_key(&self, kind: KeyKind, now: Timestamp) -> Result<bool, Refused> {
        if let Some((planned, active_from)) = self.planned(now).and_then(|key| Some((key, key.active_from?)))
        {
            return Err(Refused::RotationPlanned { kid: planned.kid.clone(), active_from });
        }
        if self.spare(kind, now).is_some() {
            return Ok(false);
        }
        let room = if self.active(now).is_some() { MAX_KEYS } else { MAX_KEYS_IN_NEED };
        if self.keys.len() >= room { Err(Refused::TooManyKeys) } else { Ok(true) }
    }

    /// Rotates: to the spare of this kind, or to `made`, which was published just now. The new ring, and the key.
    ///
    /// # Errors
    /// Those of [`KeyRing::needs_key`]; `NotFound` when there is neither.
    pub fn rotate(
        &self,
        kind: KeyKind,
        made: Option<Key>,
        switch: Switch,
        margins: &Margins,
        now: Timestamp,
    ) -> Result<(Self, Kid), Refused> {
        self.needs_key(kind, now)?;
        let mut ring = self.clone();
        let kid = match (ring.spare(kind, now), made) {
            (Some(spare), _) => spare.kid.clone(),
            (None, Some(made)) => {
                let kid = made.kid.clone();
                ring.keys.push(made);
                kid
            }
            (None, None) => return Err(Refused::NotFound),
        };
        let key = ring.find(&kid).ok_or(Refused::NotFound)?;
        // Without a key that signs there is nothing to wait for: nobody is served meanwhile.
        let at = if self.active(now).is_some() { switch.earliest(key).max(now) } else { now };
        ring.switch_to(&kid, at, margins, now);
        Ok((ring, kid))
    }

    /// Lets a pending key sign now.
    ///
    /// # Errors
    /// When it is not pending, or was not published long enough and is not forced.
    pub fn promote(
        &self,
        kid: &Kid,
        switch: Switch,
        margins: &Margins,
        now: Timestamp,
    ) -> Result<Self, Refused> {
        let key = self.find(kid).ok_or(Refused::NotFound)?;
        match key.state(now) {
            KeyState::Pending => {}
            state => return Err(Refused::WrongState(state)),
        }
        let earliest_at = switch.earliest(key);
        if earliest_at > now {
            return Err(Refused::TooEarly { earliest_at });
        }
        let mut ring = self.clone();
        ring.switch_to(kid, now, margins, now);
        Ok(ring)
    }

    /// Lets an earlier key sign again, or calls a planned switch off when it is the one that signs.
    ///
    /// The caller enables a disabled key in KMS first.
    ///
    /// # Errors
    /// When the key never signed, is compromised, or its end is decided.
    pub fn roll_back(
        &self,
        kid: &Kid,
        propagation_seconds: u64,
        margins: &Margins,
        now: Timestamp,
    ) -> Result<Self, Refused> {
        let key = self.find(kid).ok_or(Refused::NotFound)?;
        if key.destroying_at.is_some() {
            return Err(Refused::Destroying);
        }
        let mut ring = self.clone();
        match key.state(now) {
            KeyState::Active if self.planned(now).is_some() => {
                ring.switch_to(kid, key.active_from.unwrap_or(now), margins, now);
            }
            // Put away already by a schedule whose clock is ahead of ours, or was when this request began: it can't sign. In
            // a moment it is retired for us too, and there is a way back from that.
            KeyState::Retiring if key.disabled_at.is_some() => {
                return Err(Refused::WrongState(KeyState::Retired));
            }
            KeyState::Retiring => ring.switch_to(kid, now, margins, now),
            // A key that was withdrawn before it ever signed is no way back. One that is retired and not disabled yet may be
            // about to be disabled by the schedule at this moment: only once that is done can it be undone for certain.
            KeyState::Retired if key.superseded_at.is_some() && key.disabled_at.is_some() => {
                for key in ring.keys.iter_mut().filter(|key| key.kid == *kid) {
                    key.published_at = now;
                    key.disabled_at = None;
                }
                let at = if self.active(now).is_some() { now.plus_seconds(propagation_seconds) } else { now };
                ring.switch_to(kid, at, margins, now);
            }
            state => return Err(Refused::WrongState(state)),
        }
        Ok(ring)
    }

    /// Keeps a key from being destroyed, or no longer.
    ///
    /// # Errors
    /// When its end is decided.
    pub fn retain(&self, kid: &Kid, retained: bool) -> Result<Self, Refused> {
        let mut ring = self.clone();
        let key = ring.keys.iter_mut().find(|key| key.kid == *kid).ok_or(Refused::NotFound)?;
        if key.destroying_at.is_some() {
            return Err(Refused::Destroying);
        }
        key.retained = retained;
        Ok(ring)
    }

    /// The key that is to sign once `kid` no longer may: a pending one, whatever its kind, the longest published first.
    /// `None` when `kid` does not sign, so that nothing has to take its place.
    pub fn needs_replacement(&self, kid: &Kid, now: Timestamp) -> Option<Option<&Key>> {
        let active = self.active(now)?;
        (active.kid == *kid).then(|| {
            let pending = self.keys.iter().filter(|key| key.state(now) == KeyState::Pending);
            pending.min_by_key(|key| key.published_at)
        })
    }

    /// Takes a key out at once: it is no longer published and never signs again. If it was the one that signs, a pending
    /// key takes over at once, or `made`, or nothing: then the tenant can't sign until a key is made. The new ring, and
    /// the key that took over.
    ///
    /// # Errors
    /// When there is no such key. Compromised twice is compromised.
    pub fn compromise(
        &self,
        kid: &Kid,
        made: Option<Key>,
        margins: &Margins,
        now: Timestamp,
    ) -> Result<(Self, Option<Kid>), Refused> {
        let key = self.find(kid).ok_or(Refused::NotFound)?;
        if key.compromised_at.is_some() {
            return Ok((self.clone(), None));
        }
        let mut ring = self.clone();
        let replacement = self.needs_replacement(kid, now).and_then(|pending| {
            pending.map(|key| key.kid.clone()).or_else(|| {
                let made = made.filter(|_| self.keys.len() < MAX_KEYS_IN_NEED)?;
                let kid = made.kid.clone();
                ring.keys.push(made);
                Some(kid)
            })
        });
        let was_planned = self.planned(now).is_some_and(|planned| planned.kid == *kid);
        for key in ring.keys.iter_mut().filter(|key| key.kid == *kid) {
            key.compromised_at = Some(now);
        }
        if let Some(replacement) = &replacement {
            ring.switch_to(replacement, now, margins, now);
        } else if was_planned && let Some(active) = self.active(now) {
            ring.switch_to(&active.kid, active.active_from.unwrap_or(now), margins, now);
        }
        Ok((ring, replacement))
    }

    /// The first step that is due, the most urgent first. Without a policy the tenant is no more: its keys end, and none
    /// is made.
    pub fn due(&self, policy: Option<&Policy>, margins: &Margins, now: Timestamp) -> Option<Due> {
        let kid_where = |wanted: &dyn Fn(&Key) -> bool| {
            self.keys.iter().find(|key| wanted(key)).map(|key| key.kid.clone())
        };
        let ended = |key: &Key| matches!(key.state(now), KeyState::Retired | KeyState::Compromised);
        let compromised = |key: &Key| key.compromised_at.is_some() && key.disabled_at.is_none();
        let retired = |key: &Key| ended(key) && key.disabled_at.is_none() && !key.retained;
        let doomed = |key: &Key| {
            let long_enough =
                key.disabled_at.is_some_and(|at| at.plus_seconds(margins.destroy_after_seconds) <= now);
            ended(key) && long_enough && !key.retained && key.destroying_at.is_none()
        };
        let destroying = |key: &Key| key.destroying_at.is_some();
        let unwanted = |key: &Key| {
            let wanted = policy.is_some_and(|policy| policy.keeps_spare() && key.kind() == policy.kind());
            let old = key.published_at.plus_seconds(margins.destroy_after_seconds) <= now;
            key.state(now) == KeyState::Pending
                && key.active_from.is_none()
                && !wanted
                && old
                && !key.retained
        };
        let lacks_spare = |policy: &&Policy| {
            policy.keeps_spare()
                && self.planned(now).is_none()
                && self.spare(policy.kind(), now).is_none()
                && self.keys.len() < MAX_KEYS
        };
        kid_where(&compromised)
            .map(Due::Disable)
            .or_else(|| {
                policy.filter(|_| self.active(now).is_none()).map(|policy| Due::Replace(policy.kind()))
            })
            .or_else(|| kid_where(&retired).map(Due::Disable))
            .or_else(|| kid_where(&doomed).map(Due::Destroy))
            .or_else(|| kid_where(&destroying).map(Due::Bury))
            .or_else(|| kid_where(&unwanted).map(Due::Withdraw))
            .or_else(|| policy.filter(lacks_spare).map(|policy| Due::Spare(policy.kind())))
    }

    /// The ring with a new spare.
    ///
    /// # Errors
    /// When it is full.
    pub fn with_spare(&self, made: Key) -> Result<Self, Refused> {
        if self.keys.len() >= MAX_KEYS {
            return Err(Refused::TooManyKeys);
        }
        let mut ring = self.clone();
        ring.keys.push(made);
        Ok(ring)
    }

    /// The ring in which a key is marked as unable to sign.
    #[must_use]
    pub fn with_disabled(&self, kid: &Kid, now: Timestamp) -> Self {
        self.with(kid, |key| key.disabled_at = Some(now))
    }

    /// The ring in which the end of a key is decided.
    #[must_use]
    pub fn with_end(&self, kid: &Kid, now: Timestamp) -> Self {
        self.with(kid, |key| key.destroying_at = Some(now))
    }

    /// The ring in which a spare is withdrawn. It never signed, so nothing has to be waited for.
    #[must_use]
    pub fn with_withdrawn(&self, kid: &Kid, now: Timestamp) -> Self {
        self.with(kid, |key| key.retire_at = Some(now))
    }

    /// The ring without a key.
    #[must_use]
    pub fn without(&self, kid: &Kid) -> Self {
        let mut ring = self.clone();
        ring.keys.retain(|key| key.kid != *kid);
        ring
    }

    /// The ring of a tenant that is no more: no key is published, and each takes the way of a retired one.
    #[must_use]
    pub fn ended(&self, now: Timestamp) -> Self {
        let mut ring = self.clone();
        for key in &mut ring.keys {
            key.retire_at = key.retire_at.map_or(Some(now), |at| Some(at.min(now)));
            key.retained = false;
        }
        ring
    }

    fn with(&self, kid: &Kid, change: impl Fn(&mut Key)) -> Self {
        let mut ring = self.clone();
        ring.keys.iter_mut().filter(|key| key.kid == *kid).for_each(change);
        ring
    }

    /// Lets `kid` sign from `at`. Whatever signs until then is superseded at that moment; every other planned switch is
    /// called off, and its key is a spare again.
    fn switch_to(&mut self, kid: &Kid, at: Timestamp, margins: &Margins, now: Timestamp) {
        for key in &mut self.keys {
            if key.kid == *kid {
                key.active_from = Some(at);
                key.superseded_at = None;
                key.retire_at = None;
            } else {
                match key.state(now) {
                    // One that is superseded only in the future is active now.
                    KeyState::Active => {
                        key.superseded_at = Some(at.max(now));
                        key.retire_at = Some(at.max(now).plus_seconds(margins.stays_published_seconds()));
                    }
                    KeyState::Pending => key.active_from = None,
                    KeyState::Retiring | KeyState::Retired | KeyState::Compromised => {}
                }
            }
        }
    }
}

#[cfg(test)]
#[path = "life_tests.rs"]
mod tests;
