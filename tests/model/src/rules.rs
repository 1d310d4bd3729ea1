//! The rules of a world: those of production, and for each a broken twin that the search must find out.

use leasehold::clock::Timestamp;
use leasehold::refresh::family::{Fresh, Presentation, Replayed, Rotated};
use leasehold::refresh::seal::Unopenable;
use leasehold::refresh::{self, Family, RefreshToken, Replay, Verdict};
use leasehold::tenant::Tenant;

/// The decisions that a world's functions take, and how its table takes their writes.
#[derive(Clone, Copy)]
pub struct Rules {
    /// What a presented token gets.
    pub present: fn(Option<&Family>, Presentation<'_>) -> Verdict,
    /// The same on an item that another write left.
    pub present_again: fn(Option<&Family>, Presentation<'_>) -> Verdict,
    /// Carries a rotation out.
    pub rotate: fn(&Family, &Tenant, &RefreshToken, &Fresh, Timestamp) -> Rotated,
    /// Carries a replay out.
    pub replay: fn(&Family, &Tenant, &RefreshToken, Replay, Timestamp) -> Result<Replayed, Unopenable>,
    /// Carries a confirmation out.
    pub confirm: fn(&Family) -> Option<Family>,
    /// Carries a family through a sign-out of all others.
    pub restamp: fn(&Family, u32) -> Family,
    /// On which condition a changed family is written.
    pub condition: Condition,
    /// When a rotation is answered.
    pub answer: Answering,
    /// Where a revocation is written.
    pub revocation: Revocation,
    /// When epochs that differ are believed.
    pub epochs: Epochs,
}

/// On which condition a changed family is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Its version is the one that was read.
    Version,
    /// None.
    Nothing,
}

/// When a rotation is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answering {
    /// After its write.
    Committed,
    /// Before it.
    Hoped,
}

/// Where a revocation is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revocation {
    /// Into the item that a refresh must write, raising its version.
    Versioned,
    /// Into the item, but leaving its version.
    Unversioned,
}

/// When epochs that differ are believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Epochs {
    /// When two reads find the same ones.
    TwiceAlike,
    /// At once.
    AtOnce,
}

impl Rules {
    /// The rules that are deployed.
    pub const fn production() -> Self {
        Self {
            present: refresh::present,
            present_again: refresh::present_again,
            rotate: Family::rotate,
            replay: Family::replay,
            confirm: Family::confirm,
            restamp: Family::restamp,
            condition: Condition::Version,
            answer: Answering::Committed,
            revocation: Revocation::Versioned,
            epochs: Epochs::TwiceAlike,
        }
    }
}

/// Broken: an overtaken request is judged like one that read for the first time.
pub fn slow_duplicates_are_theft(family: Option<&Family>, presentation: Presentation<'_>) -> Verdict {
    refresh::present(family, presentation)
}

/// Broken: a spent token is refused, and that is all.
pub fn reuse_is_only_refused(family: Option<&Family>, presentation: Presentation<'_>) -> Verdict {
    match refresh::present(family, presentation) {
        Verdict::Reuse => Verdict::Unknown,
        verdict => verdict,
    }
}

/// Broken: the previous token is replayed for ever.
pub fn late_retries_are_not_counted(family: Option<&Family>, presentation: Presentation<'_>) -> Verdict {
    let uncounted = family.map(|family| Family { late_streak: 0, ..family.clone() });
    refresh::present(uncounted.as_ref(), presentation)
}

/// Broken: the previous token gives nothing once it was used.
pub fn nothing_is_replayed(family: Option<&Family>, presentation: Presentation<'_>) -> Verdict {
    match refresh::present(family, presentation) {
        Verdict::Replay(_) => Verdict::Reuse,
        verdict => verdict,
    }
}

/// Broken: a confirmation changes nothing.
pub fn confirmed_tokens_are_replayed(family: Option<&Family>, presentation: Presentation<'_>) -> Verdict {
    let unconfirmed = family.map(|family| Family { confirmed: false, ..family.clone() });
    refresh::present(unconfirmed.as_ref(), presentation)
}

/// Broken: who is revoked is not looked at.
pub fn revoked_families_rotate(family: Option<&Family>, presentation: Presentation<'_>) -> Verdict {
    let alive = family.map(|family| Family { status: refresh::FamilyStatus::Active, ..family.clone() });
    refresh::present(alive.as_ref(), presentation)
}

/// Broken: the secret of a current or previous token is not looked at, only its proof.
pub fn proofs_are_enough(family: Option<&Family>, presentation: Presentation<'_>) -> Verdict {
    match refresh::present(family, presentation) {
        Verdict::Unknown
            if family.is_some_and(|family| family.generation >= presentation.token.generation) =>
        {
            Verdict::Reuse
        }
        verdict => verdict,
    }
}

/// Broken: every rotation forgets the late retries before it.
pub fn rotations_forget_late_retries(
    family: &Family,
    tenant: &Tenant,
    token: &RefreshToken,
    fresh: &Fresh,
    now: Timestamp,
) -> Rotated {
    let rotated = family.rotate(tenant, token, fresh, now);
    Rotated { family: Family { late_streak: 0, ..rotated.family }, ..rotated }
}

/// Broken: a retry gets a successor of its own, as a new rotation would.
pub fn retries_rotate(
    family: &Family,
    tenant: &Tenant,
    token: &RefreshToken,
    _window: Replay,
    now: Timestamp,
) -> Result<Replayed, Unopenable> {
    let mut mark = [0xaa; 16];
    mark[..8].copy_from_slice(&family.version.to_be_bytes());
    let before = Family { generation: token.generation, ..family.clone() };
    let Rotated { family, successor } = before.rotate(tenant, token, &crate::cast::fresh(&mark), now);
    Ok(Replayed { successor, change: Some(family) })
}

/// Broken: a sign-out of all others forgets to give the kept family the new epoch.
pub fn a_kept_family_keeps_its_epoch(family: &Family, _epoch: u32) -> Family {
    Family { version: family.version + 1, ..family.clone() }
}
