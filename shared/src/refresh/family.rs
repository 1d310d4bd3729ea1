//! The refresh decision. Pure: it is told the time and the randomness, touches nothing, logs nothing; the model, the
//! tests and production run this same code.
//!
//! It must never let two callers of one token end up with different successors, never end a family on the word of
//! somebody who was not given one of its tokens, and never call a slow duplicate theft.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::proof::{self, Proof};
use super::seal::{self, Place, SEALED, Unopenable};
use super::token::RefreshToken;
use crate::bytes::Bytes;
use crate::client::{Client, ClientStatus};
use crate::clock::{CLOCKS_APART_SECONDS, Timestamp};
use crate::id::{ClientId, FamilyId, UserId};
use crate::policy::Policy;
use crate::rest::Rest;
use crate::secret::{Secret, same_bytes, sha256};
use crate::tenant::Tenant;
use crate::user::User;

/// How many replayed generations in a row are worth telling a person about.
pub const NOTABLE_REPLAY_STREAK: u32 = 10;

/// Whether a family lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FamilyStatus {
    /// It does, within its expiries and epochs.
    Active,
    /// It was ended; for good.
    Revoked,
}

/// All refresh tokens of one login on one device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Family {
    /// The `sid` of its tokens.
    pub id: FamilyId,
    /// Whose it is.
    pub user: UserId,
    /// Which client signed in.
    pub client: ClientId,
    /// What the client calls the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// What the client said of its version, last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_version: Option<String>,
    /// The scope granted at login; a refresh never widens it (RFC 6749 §6).
    pub scope: BTreeSet<String>,
    /// The audiences at login (RFC 9700 §4.14.2).
    pub audience: BTreeSet<String>,
    /// When the user proved who they are.
    pub auth_time: Timestamp,
    /// How (RFC 8176).
    pub amr: Vec<String>,
    /// The tenant's epoch, read before the credentials were checked.
    pub tenant_epoch: u32,
    /// The user's epoch, read before the credentials were checked.
    pub user_epoch: u32,
    /// Whether it lives.
    pub status: FamilyStatus,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When it was last refreshed or replayed.
    pub last_used_at: Timestamp,
    /// When it ends for want of use.
    pub idle_expiry: Timestamp,
    /// When it ends in any case.
    pub absolute_expiry: Timestamp,
    /// The current generation; 0 at login.
    pub generation: u32,
    /// SHA-256 of the current secret.
    pub current_hash: Bytes<32>,
    /// SHA-256 of the previous secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_hash: Option<Bytes<32>>,
    /// What is kept of the current proof.
    pub proof_hash: Bytes<32>,
    /// The current secret, sealed under the previous one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<Bytes<SEALED>>,
    /// Random mark of the last write that rotated: tells our own landed retry from another's write.
    pub rotation_id: Bytes<16>,
    /// When the current generation was made.
    pub rotated_at: Timestamp,
    /// Until when the previous token is replayed without being counted.
    pub retry_until: Timestamp,
    /// Until when it is replayed at all.
    pub late_until: Timestamp,
    /// Whether the client confirmed that it keeps the current token.
    #[serde(default)]
    pub confirmed: bool,
    /// The last generation that was replayed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replayed_gen: Option<u32>,
    /// How many generations in a row were replayed.
    #[serde(default)]
    pub replay_streak: u32,
    /// The last generation that was replayed late.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late_counted_gen: Option<u32>,
    /// How many generations were replayed late since one passed without any replay.
    #[serde(default)]
    pub late_streak: u32,
    /// Raised by every change.
    pub version: u64,
    /// What a newer release keeps here.
    #[serde(flatten)]
    pub rest: Rest,
}

/// What a login settles.
#[derive(Clone, Debug)]
pub struct Grant {
    /// Whose family it is to be.
    pub user: UserId,
    /// Which client signed in.
    pub client: ClientId,
    /// What the client calls the device.
    pub device: Option<String>,
    /// What the client said of its version.
    pub client_version: Option<String>,
    /// The scope granted.
    pub scope: BTreeSet<String>,
    /// The audiences of its access tokens.
    pub audience: BTreeSet<String>,
    /// How the user proved who they are (RFC 8176).
    pub amr: Vec<String>,
    /// The tenant's epoch, read before the credentials were checked.
    pub tenant_epoch: u32,
    /// The user's epoch, read before the credentials were checked.
    pub user_epoch: u32,
}

/// Randomness for one new generation.
#[derive(Clone, Debug)]
pub struct Fresh {
    /// The secret of the new token.
    pub secret: Secret<[u8; 32]>,
    /// The nonce under which it is sealed.
    pub nonce: [u8; 12],
    /// The mark of the write.
    pub rotation_id: [u8; 16],
}

impl Fresh {
    /// Draws it.
    pub fn draw() -> Self {
        Self {
            secret: Secret::new(crate::secret::random()),
            nonce: crate::secret::random(),
            rotation_id: crate::secret::random(),
        }
    }
}

/// Randomness for a new family.
#[derive(Clone, Debug)]
pub struct Opening {
    /// Its id.
    pub id: FamilyId,
    /// The proof of generation 0.
    pub proof: Proof,
    /// The secret of generation 0.
    pub fresh: Fresh,
}

impl Opening {
    /// Draws it.
    pub fn draw() -> Self {
        Self { id: FamilyId::generate(), proof: Proof::new(crate::secret::random()), fresh: Fresh::draw() }
    }
}

/// Why a family gives nothing any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dead {
    /// It was revoked.
    Revoked,
    /// It lay unused too long.
    Idle,
    /// It reached its greatest age, or its last generation.
    Expired,
    /// The user or the tenant signed everybody out.
    Epoch,
    /// The user is disabled or gone.
    User,
    /// The client is disabled, or another one under the id of a former one.
    Client,
    /// The tenant is not served.
    Tenant,
}

/// Which window a replay falls into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replay {
    /// The retry window: free.
    Prompt,
    /// After it: counted once per generation.
    Late,
}

/// What a presented token gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nobody we know: refuse; nothing changes.
    Unknown,
    /// Once ours, no longer good: refuse; nothing changes.
    Dead(Dead),
    /// The current token: a new generation.
    Rotate,
    /// An honest retry: the successor that its generation already has.
    Replay(Replay),
    /// A spent token: refuse, and the family ends.
    Reuse,
    /// A request that was overtaken while it was under way: ask to try again; nothing changes.
    SlowDuplicate,
}

/// Everything a decision depends on.
#[derive(Clone, Copy, Debug)]
pub struct Presentation<'a> {
    /// The tenant named by the request.
    pub tenant: &'a Tenant,
    /// The client that presents.
    pub client: &'a Client,
    /// The user named by the token, if there is one.
    pub user: Option<&'a User>,
    /// What was presented.
    pub token: &'a RefreshToken,
    /// The one time of this request.
    pub now: Timestamp,
}

/// Decides what a presented token gets, by the family's item as the request's own read found it.
///
/// The order of the checks is the security design: whoever does not hold a token of this family learns and changes
/// nothing; a family that no longer lives gives no second meaning to its tokens; theft comes last.
pub fn present(family: Option<&Family>, presentation: Presentation<'_>) -> Verdict {
    let Some(family) = family else { return Verdict::Unknown };
    let Some(standing) = standing(family, &presentation) else { return Verdict::Unknown };
    if let Some(dead) = dead(family, &presentation) {
        return Verdict::Dead(dead);
    }
    match standing {
        Standing::Current if family.generation == u32::MAX => Verdict::Dead(Dead::Expired),
        Standing::Current => Verdict::Rotate,
        Standing::Previous => family
            .replay_window(presentation.token.generation, &presentation.tenant.policy, presentation.now)
            .map_or(Verdict::Reuse, Verdict::Replay),
        Standing::Earlier(_) => Verdict::Reuse,
    }
}

/// Decides again, on the item that came back because another write was first.
///
/// The request's own read had found its token current or previous. If the family has moved past it meanwhile, this is a
/// slow duplicate of an honest request and never theft.
pub fn present_again(family: Option<&Family>, presentation: Presentation<'_>) -> Verdict {
    match present(family, presentation) {
        Verdict::Reuse => Verdict::SlowDuplicate,
        verdict => verdict,
    }
}

/// Where in a family a token stands that was proved to be of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is the newest.
    Current,
    /// It is the one before.
    Previous,
    /// It was followed by so many generations, two or more.
    Earlier(u32),
}

/// What of a token is not the family's. For a person who asks; whoever presents one is told of none of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stranger {
    /// Its generation has not been yet.
    Generation,
    /// Its proof does not lead to the family's.
    Proof,
    /// Its secret is not that of its generation.
    Secret,
}

/// `None` when the token is not proved to be of this family, user and client.
fn standing(family: &Family, presentation: &Presentation<'_>) -> Option<Standing> {
    let token = presentation.token;
    if family.id != token.family || family.user != token.user || family.client != presentation.client.id {
        return None;
    }
    family.standing(token).ok()
}

fn dead(family: &Family, presentation: &Presentation<'_>) -> Option<Dead> {
    let Presentation { tenant, client, user, now, .. } = *presentation;
    let Some(user) = user.filter(|user| user.is_active()) else { return Some(Dead::User) };
    if !tenant.is_active() {
        Some(Dead::Tenant)
    } else if client.status != ClientStatus::Active || family.is_of_a_former(client) {
        Some(Dead::Client)
    } else if family.status != FamilyStatus::Active {
        Some(Dead::Revoked)
    } else if family.absolute_expiry <= now {
        Some(Dead::Expired)
    } else if family.idle_expiry <= now {
        Some(Dead::Idle)
    } else if (family.tenant_epoch, family.user_epoch) != (tenant.epoch, user.epoch) {
        Some(Dead::Epoch)
    } else {
        None
    }
}

/// A rotation worked out: what to write, and what to answer once it is written.
#[derive(Clone, Debug)]
pub struct Rotated {
    /// The family as it is to be written, on condition of the version it had.
    pub family: Family,
    /// The new token.
    pub successor: RefreshToken,
}

/// A replay worked out.
#[derive(Clone, Debug)]
pub struct Replayed {
    /// The same token as the first time.
    pub successor: RefreshToken,
    /// What to write first, if this replay is the first of its kind in its generation.
    pub change: Option<Family>,
}

impl Family {
    /// Where a token that names this family stands in it.
    ///
    /// # Errors
    /// What of it is not the family's.
    pub fn standing(&self, token: &RefreshToken) -> Result<Standing, Stranger> {
        let gap = self.generation.checked_sub(token.generation).ok_or(Stranger::Generation)?;
        if !proof::chains(&token.proof, gap, &self.proof_hash) {
            return Err(Stranger::Proof);
        }
        let hash = sha256(token.secret.expose());
        let is = |kept: &Bytes<32>| same_bytes(kept.as_ref(), &hash);
        match gap {
            0 if is(&self.current_hash) => Ok(Standing::Current),
            1 if self.previous_hash.as_ref().is_some_and(is) => Ok(Standing::Previous),
            0 | 1 => Err(Stranger::Secret),
            _ => Ok(Standing::Earlier(gap)),
        }
    }

    /// Opens a family: generation 0 and its token.
    pub fn open(grant: Grant, policy: &Policy, opening: Opening, now: Timestamp) -> Rotated {
        let Opening { id, proof, fresh } = opening;
        let absolute_expiry = now.plus_seconds(policy.absolute_seconds.into());
        let family = Self {
            id,
            user: grant.user,
            client: grant.client,
            device: grant.device,
            client_version: grant.client_version,
            scope: grant.scope,
            audience: grant.audience,
            auth_time: now,
            amr: grant.amr,
            tenant_epoch: grant.tenant_epoch,
            user_epoch: grant.user_epoch,
            status: FamilyStatus::Active,
            created_at: now,
            last_used_at: now,
            idle_expiry: now.plus_seconds(policy.idle_seconds.into()).min(absolute_expiry),
            absolute_expiry,
            generation: 0,
            current_hash: sha256(fresh.secret.expose()).into(),
            previous_hash: None,
            proof_hash: proof::kept(&proof),
            sealed: None,
            rotation_id: fresh.rotation_id.into(),
            rotated_at: now,
            retry_until: now,
            late_until: now,
            confirmed: false,
            replayed_gen: None,
            replay_streak: 0,
            late_counted_gen: None,
            late_streak: 0,
            version: 1,
            rest: Rest::default(),
        };
        let successor = RefreshToken {
            user: family.user,
            family: id,
            generation: 0,
            proof,
            secret: fresh.secret.clone(),
        };
        Rotated { family, successor }
    }

    /// Carries out [`Verdict::Rotate`]: the next generation. The windows are fixed now, by the policy now in force.
    ///
    /// `token` is the current token, as [`present`] found.
    #[must_use]
    pub fn rotate(&self, tenant: &Tenant, token: &RefreshToken, fresh: &Fresh, now: Timestamp) -> Rotated {
        let policy = &tenant.policy;
        let generation = self.generation.saturating_add(1);
        let proof = proof::next(&token.proof);
        let place = Place { tenant: &tenant.id, family: self.id, generation };
        // Only a generation without any replay resets the streaks: a lost reply is rare and single, lock step replays
        // in every generation.
        let previous_was_replayed =
            self.replayed_gen.is_some() && self.replayed_gen == self.generation.checked_sub(1);
        let streak = |count: u32| if previous_was_replayed { count } else { 0 };
        let retry_until = now.plus_seconds(policy.retry_window_seconds.into());
        let family = Self {
            generation,
            current_hash: sha256(fresh.secret.expose()).into(),
            previous_hash: Some(self.current_hash),
            proof_hash: proof::kept(&proof),
            sealed: Some(seal::seal(place, &token.secret, &fresh.secret, fresh.nonce)),
            rotation_id: fresh.rotation_id.into(),
            rotated_at: now,
            retry_until,
            late_until: now.plus_seconds(policy.late_retry_window_seconds.into()),
            confirmed: false,
            replay_streak: streak(self.replay_streak),
            late_streak: streak(self.late_streak),
            version: self.version + 1,
            ..self.used(policy, now)
        };
        let successor = RefreshToken {
            user: self.user,
            family: self.id,
            generation,
            proof,
            secret: fresh.secret.clone(),
        };
        Rotated { family, successor }
    }

    /// Carries out [`Verdict::Replay`]: the successor again.
    ///
    /// # Errors
    /// When the sealed successor does not open, which means that the item is damaged.
    pub fn replay(
        &self,
        tenant: &Tenant,
        token: &RefreshToken,
        window: Replay,
        now: Timestamp,
    ) -> Result<Replayed, Unopenable> {
        let place = Place { tenant: &tenant.id, family: self.id, generation: self.generation };
        let secret = seal::open(place, &token.secret, self.sealed.as_ref().ok_or(Unopenable)?)?;
        if sha256(secret.expose()) != *self.current_hash.as_ref() {
            return Err(Unopenable);
        }
        let successor = RefreshToken {
            user: self.user,
            family: self.id,
            generation: self.generation,
            proof: proof::next(&token.proof),
            secret,
        };
        let first = self.replayed_gen != Some(token.generation);
        let first_late = window == Replay::Late && self.late_counted_gen != Some(token.generation);
        let change = (first || first_late).then(|| Self {
            replayed_gen: Some(token.generation),
            replay_streak: self.replay_streak.saturating_add(u32::from(first)),
            late_counted_gen: if first_late { Some(token.generation) } else { self.late_counted_gen },
            late_streak: self.late_streak.saturating_add(u32::from(first_late)),
            version: self.version + 1,
            ..self.used(&tenant.policy, now)
        });
        Ok(Replayed { successor, change })
    }

    /// The client confirms that it durably keeps the current token: its predecessor is spent from now on. `None` when
    /// there is nothing to write.
    #[must_use]
    pub fn confirm(&self) -> Option<Self> {
        let has_predecessor = self.previous_hash.is_some();
        (has_predecessor && !self.confirmed).then(|| Self {
            confirmed: true,
            version: self.version + 1,
            ..self.clone()
        })
    }

    /// The family kept through a sign-out of all others: it takes on the epoch that ends them.
    #[must_use]
    pub fn restamp(&self, user_epoch: u32) -> Self {
        Self { user_epoch, version: self.version + 1, ..self.clone() }
    }

    /// Whether the family may give tokens at `now`, as far as the family itself knows. Where it may not, it never will.
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.status == FamilyStatus::Active && now < self.absolute_expiry && now < self.idle_expiry
    }

    /// Whether the family was opened by a client that was removed before this one was registered under the same id.
    pub(crate) fn is_of_a_former(&self, client: &Client) -> bool {
        self.created_at.plus_seconds(CLOCKS_APART_SECONDS) < client.created_at
    }

    /// Whether the family gives tokens at `now` under the epochs of its tenant and user.
    pub fn is_live(&self, tenant: &Tenant, user: &User, now: Timestamp) -> bool {
        self.is_open(now) && (self.tenant_epoch, self.user_epoch) == (tenant.epoch, user.epoch)
    }

    fn used(&self, policy: &Policy, now: Timestamp) -> Self {
        let idle_expiry = now.plus_seconds(policy.idle_seconds.into()).min(self.absolute_expiry);
        Self { last_used_at: now, idle_expiry, ..self.clone() }
    }

    fn replay_window(&self, generation: u32, policy: &Policy, now: Timestamp) -> Option<Replay> {
        if self.confirmed {
            return None;
        }
        if now < self.retry_until {
            return Some(Replay::Prompt);
        }
        let counted = self.late_counted_gen == Some(generation);
        (now < self.late_until && (counted || self.late_streak < policy.late_retry_limit))
            .then_some(Replay::Late)
    }
}

#[cfg(test)]
#[path = "family_tests.rs"]
mod tests;
