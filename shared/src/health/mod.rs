//! Validation health: how many tokens are found good and bad, by tenant, client version and reason. The product's own
//! metric, release against release: a version of an app that refreshes wrongly shows here before its users complain.
//!
//! It counts *decisions* of Leasehold's functions. What API Gateway answered by itself, what an API verified on its own,
//! and our own trouble, which decides nothing, are not in it.
//!
//! A client says its version itself, so it is never trusted: only versions that several users have signed in with, or
//! that an admin pinned, have a row of their own ([`versions`]); everything else counts as [`OTHER`]. It must never grow
//! with what strangers send.

pub mod emf;
pub mod report;
pub mod versions;

use std::collections::{BTreeMap, BTreeSet};

use crate::clock::Timestamp;
use crate::id::TenantId;

/// The row of versions that are not known.
pub const OTHER: &str = "other";
/// The row of clients that say no version.
pub const NONE: &str = "none";

/// How many versions of one tenant are kept apart between two flushes.
const MOST_VERSIONS: usize = 200;
/// How many rows are kept between two flushes, over all tenants.
const MOST_ROWS: usize = 20_000;

/// Where a token, or a password, was decided on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// The authorizer, for the customer's own APIs.
    Authorizer,
    /// A route that takes an access token; introspection.
    Verify,
    /// A refresh.
    Refresh,
    /// A login. Counted beside the others: a wrong password says nothing of a release.
    Login,
}

impl Place {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Authorizer, Self::Verify, Self::Refresh, Self::Login];

    /// Its name in stored counters.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Authorizer => "authorizer",
            Self::Verify => "verify",
            Self::Refresh => "refresh",
            Self::Login => "login",
        }
    }
}

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Decision {
    /// Where.
    pub place: Place,
    /// Why not; `None` where it was found good.
    pub reason: Option<&'static str>,
}

impl Decision {
    /// The name of its counter: `<place>.ok`, or `<place>.<reason>`.
    pub fn counter(self) -> String {
        format!("{}.{}", self.place.name(), self.reason.unwrap_or("ok"))
    }
}

/// The start of the hour that a moment lies in, in hours since the epoch.
pub const fn hour(now: Timestamp) -> u64 {
    now.seconds() / 3600
}

/// What was counted of one tenant, hour and version.
pub type Counts = BTreeMap<Decision, u32>;

/// A tenant's counts: by hour and version, as the client said it.
pub type TenantCounts = BTreeMap<(u64, String), Counts>;

/// What has been counted since the last flush. Bounded.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    tenants: BTreeMap<TenantId, TenantCounts>,
    rows: usize,
    /// The versions of each tenant that have a row in the table, as they were at the last flush.
    labels: BTreeMap<TenantId, BTreeSet<String>>,
}

impl Tally {
    /// Counts a decision.
    pub fn count(&mut self, tenant: &TenantId, version: Option<&str>, decision: Decision, now: Timestamp) {
        self.add(tenant, (hour(now), version.unwrap_or(NONE).to_owned()), decision, 1);
    }

    /// Puts counts back that could not be flushed.
    pub fn put_back(&mut self, tenant: &TenantId, counts: TenantCounts) {
        for (row, counts) in counts {
            for (decision, count) in counts {
                self.add(tenant, row.clone(), decision, count);
            }
        }
    }

    /// Takes everything out.
    pub fn take(&mut self) -> BTreeMap<TenantId, TenantCounts> {
        self.rows = 0;
        std::mem::take(&mut self.tenants)
    }

    /// Notes which versions of the tenants of this flush have a row of their own. They have one here too, however many
    /// others are invented: a flood must not hide a version that people use. Those of other tenants are forgotten.
    pub fn keep_rows_for(&mut self, labels: BTreeMap<TenantId, BTreeSet<String>>) {
        self.labels = labels;
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.tenants.is_empty()
    }

    fn add(&mut self, tenant: &TenantId, (hour, version): (u64, String), decision: Decision, by: u32) {
        let full = self.rows >= MOST_ROWS;
        let kept = self.tenants.entry(tenant.clone()).or_default();
        let labelled =
            version == NONE || self.labels.get(tenant).is_some_and(|labels| labels.contains(&version));
        let known = labelled || kept.contains_key(&(hour, version.clone()));
        // Full of versions: a further one has no row of its own. Rows beyond are bounded by tenants, labels and hours.
        let version = if known || (!full && kept.len() < MOST_VERSIONS) { version } else { OTHER.to_owned() };
        let before = kept.len();
        let count = kept.entry((hour, version)).or_default().entry(decision).or_default();
        *count = count.saturating_add(by);
        self.rows += kept.len() - before;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
    const OK: Decision = Decision { place: Place::Verify, reason: None };

    fn acme() -> TenantId {
        "acme".parse().unwrap()
    }

    #[test]
    fn decisions_are_counted_by_hour_version_place_and_reason() {
        let mut tally = Tally::default();
        let expired = Decision { place: Place::Verify, reason: Some("expired") };
        tally.count(&acme(), Some("shop/1"), OK, NOW);
        tally.count(&acme(), Some("shop/1"), OK, NOW);
        tally.count(&acme(), Some("shop/1"), expired, NOW);
        tally.count(&acme(), Some("shop/1"), OK, NOW.plus_seconds(3600));
        tally.count(&acme(), None, OK, NOW);
        let counted = tally.take().remove(&acme()).unwrap();
        assert_eq!(counted.len(), 3);
        assert_eq!(counted[&(500_000, "shop/1".to_owned())], Counts::from([(OK, 2), (expired, 1)]));
        assert_eq!(counted[&(500_001, "shop/1".to_owned())], Counts::from([(OK, 1)]));
        assert_eq!(counted[&(500_000, NONE.to_owned())], Counts::from([(OK, 1)]));
        assert!(tally.is_empty());
        assert_eq!((OK.counter().as_str(), expired.counter().as_str()), ("verify.ok", "verify.expired"));
    }

    #[test]
    fn what_is_put_back_is_counted_again_and_nothing_is_lost() {
        let mut tally = Tally::default();
        tally.count(&acme(), Some("shop/1"), OK, NOW);
        let taken = tally.take();
        tally.count(&acme(), Some("shop/1"), OK, NOW);
        for (tenant, counts) in taken {
            tally.put_back(&tenant, counts);
        }
        assert_eq!(tally.take()[&acme()][&(500_000, "shop/1".to_owned())][&OK], 2);
    }

    #[test]
    fn a_flood_of_versions_hides_none_that_has_a_row() {
        let mut tally = Tally::default();
        tally.keep_rows_for(BTreeMap::from([(acme(), BTreeSet::from(["shop/1".to_owned()]))]));
        for n in 0..MOST_ROWS {
            tally.count(&acme(), Some(&format!("evil/{n}")), OK, NOW);
        }
        tally.count(&acme(), Some("shop/1"), OK, NOW);
        tally.count(&acme(), Some("shop/2"), OK, NOW);
        let counted = tally.take().remove(&acme()).unwrap();
        assert_eq!(counted[&(500_000, "shop/1".to_owned())][&OK], 1);
        assert!(!counted.contains_key(&(500_000, "shop/2".to_owned())));
    }

    #[test]
    fn invented_versions_fill_no_memory_and_are_still_counted() {
        let mut tally = Tally::default();
        for n in 0..10_000 {
            tally.count(&acme(), Some(&format!("evil/{n}")), OK, NOW);
        }
        tally.count(&acme(), None, OK, NOW);
        let counted = tally.take().remove(&acme()).unwrap();
        assert!(counted.len() <= MOST_VERSIONS + 2);
        assert_eq!(counted[&(500_000, NONE.to_owned())][&OK], 1, "that none was said is no invention");
        assert_eq!(counted.values().map(|counts| counts[&OK]).sum::<u32>(), 10_001);
        for tenant in 0..300 {
            let tenant: TenantId = format!("t{tenant}").parse().unwrap();
            for n in 0..150 {
                tally.count(&tenant, Some(&format!("evil/{n}")), OK, NOW);
            }
        }
        assert!(tally.rows <= MOST_ROWS + 300);
        let total: u32 =
            tally.take().values().flat_map(|counts| counts.values()).map(|counts| counts[&OK]).sum();
        assert_eq!(total, 45_000);
    }
}
