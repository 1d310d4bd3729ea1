//! What of a tenant is revoked, as verifiers hold it in memory.
//!
//! An entry is kept for as long as a token could live that it must keep out, and not longer. It must never be dropped
//! sooner: where there is no room for one more, that is said, and nobody decides by what is left.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::clock::{CLOCKS_APART_SECONDS, Timestamp};
use crate::id::{FamilyId, Kid, UserId};
use crate::policy::MAX_ACCESS_TOKEN_SECONDS;
use crate::revocation::Revocation;
use crate::token::{Refusal, Verified};

/// How long an entry matters, in seconds: the longest life of a token, signed by a clock that is ahead of the writer's.
pub const RETENTION_SECONDS: u64 = MAX_ACCESS_TOKEN_SECONDS + CLOCKS_APART_SECONDS;

/// How often entries that no longer matter are removed, in seconds.
const PRUNE_SECONDS: u64 = 60;

/// One entry with its time, as the table and the wire have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When it was written.
    pub at: Timestamp,
    /// What it revokes.
    #[serde(flatten)]
    pub revocation: Revocation,
}

/// There is no room for another entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many revocations to hold")]
pub struct Full;

/// The revocations of one tenant.
#[derive(Clone, Debug)]
pub struct Revoked {
    tenant_epoch: u32,
    users: HashMap<UserId, (u32, Timestamp)>,
    sessions: HashMap<FamilyId, Timestamp>,
    keys: HashMap<Kid, Timestamp>,
    capacity: usize,
    pruned_at: Timestamp,
}

impl Revoked {
    /// None yet, and room for so many.
    pub fn new(capacity: usize) -> Self {
        Self {
            tenant_epoch: 0,
            users: HashMap::new(),
            sessions: HashMap::new(),
            keys: HashMap::new(),
            capacity,
            pruned_at: Timestamp::from_millis(0),
        }
    }

    /// Takes an entry on. One that is known already changes nothing.
    ///
    /// # Errors
    /// When there is no room.
    pub fn add(&mut self, entry: &Entry, now: Timestamp) -> Result<(), Full> {
        let until = entry.at.plus_seconds(RETENTION_SECONDS);
        if until <= now {
            return Ok(());
        }
        match &entry.revocation {
            Revocation::Tenant { epoch } => self.raise(*epoch),
            Revocation::User { sub, epoch } => {
                if self.users.get(sub).is_none_or(|(known, _)| known < epoch) {
                    self.users.insert(*sub, (*epoch, until));
                }
            }
            Revocation::Session { sid } => {
                self.sessions.insert(*sid, until);
            }
            Revocation::Key { kid } => {
                self.keys.insert(kid.clone(), until);
            }
        }
        if self.len() > self.capacity {
            self.prune(now);
        }
        if self.len() > self.capacity { Err(Full) } else { Ok(()) }
    }

    /// The tenant's epoch as it was just read; it never falls.
    pub const fn raise(&mut self, epoch: u32) {
        if epoch > self.tenant_epoch {
            self.tenant_epoch = epoch;
        }
    }

    /// Removes what no longer matters, once a minute.
    pub fn tidy(&mut self, now: Timestamp) {
        if self.pruned_at.seconds_until(now) >= PRUNE_SECONDS {
            self.prune(now);
        }
    }

    fn prune(&mut self, now: Timestamp) {
        self.users.retain(|_, (_, until)| *until > now);
        self.sessions.retain(|_, until| *until > now);
        self.keys.retain(|_, until| *until > now);
        self.pruned_at = now;
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.users.len() + self.sessions.len() + self.keys.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a token that is good otherwise is revoked. An epoch *above* the one known here is that of a token issued
    /// since the last reading, and no reason to refuse it.
    ///
    /// # Errors
    /// What revokes it.
    pub fn check(&self, token: &Verified) -> Result<(), Refusal> {
        let claims = token.claims();
        if self.keys.contains_key(token.kid()) {
            Err(Refusal::Key)
        } else if claims.ep.tenant < self.tenant_epoch
            || self.users.get(&claims.sub).is_some_and(|(epoch, _)| claims.ep.user < *epoch)
        {
            Err(Refusal::Epoch)
        } else if self.sessions.contains_key(&claims.sid) {
            Err(Refusal::Session)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn session(n: u8, at: Timestamp) -> Entry {
        Entry { at, revocation: Revocation::Session { sid: FamilyId::from_bytes([n; 16]) } }
    }

    fn user(epoch: u32) -> Entry {
        Entry { at: NOW, revocation: Revocation::User { sub: UserId::from_bytes([1; 16]), epoch } }
    }

    #[test]
    fn an_entry_is_kept_for_as_long_as_a_token_can_live_and_not_longer() {
        let mut revoked = Revoked::new(10);
        revoked.add(&session(1, NOW), NOW).unwrap();
        let last = NOW.plus_seconds(RETENTION_SECONDS - 1);
        revoked.tidy(last);
        assert_eq!(revoked.len(), 1);
        revoked.tidy(last.plus_seconds(PRUNE_SECONDS));
        assert!(revoked.is_empty());
        revoked.add(&session(1, NOW), NOW.plus_seconds(RETENTION_SECONDS)).unwrap();
        assert!(revoked.is_empty(), "one that comes too late to matter");
    }

    #[test]
    fn when_it_is_full_it_says_so_and_drops_nothing_that_matters() {
        let mut revoked = Revoked::new(2);
        let late = NOW.plus_seconds(RETENTION_SECONDS);
        revoked.add(&session(1, NOW), NOW).unwrap();
        revoked.add(&session(2, late), NOW).unwrap();
        revoked.add(&session(2, late), NOW).unwrap();
        assert_eq!(revoked.add(&session(3, late), NOW), Err(Full));
        assert_eq!(revoked.len(), 3);
        assert_eq!(
            revoked.add(&session(4, late), late),
            Err(Full),
            "the first has left, three are still too many"
        );
        assert_eq!(revoked.len(), 3);
    }

    #[test]
    fn epochs_never_fall() {
        let mut revoked = Revoked::new(10);
        for epoch in [3, 5, 4] {
            revoked.add(&user(epoch), NOW).unwrap();
            revoked.raise(epoch);
        }
        assert_eq!(revoked.users[&UserId::from_bytes([1; 16])].0, 5);
        assert_eq!(revoked.tenant_epoch, 5);
    }
}
