//! How often something is read that is kept in memory: how old it is, when it is due, when trying again is too soon.
//!
//! By the wall clock, since a frozen function's monotonic clock may stand still. A clock that was set back makes what was
//! read of unknown age: it is due, and not to be relied on. It never makes old things fresh.

use crate::clock::Timestamp;

/// The history of one thing's readings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    read: Option<Timestamp>,
    failed: Option<Timestamp>,
    forced: Option<Timestamp>,
}

/// What to do before deciding by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing.
    Nothing,
    /// Read, if it can be done in [`SPARE_MILLIS`]; what is known will do otherwise.
    Refresh,
    /// Read, or do not decide.
    Read,
}

/// How long a reading may hold up a decision that can do without it, in milliseconds.
pub const SPARE_MILLIS: u64 = 1000;
/// How long after a failed reading the next one is tried while what is known will do, in milliseconds.
const RETRY_MILLIS: u64 = 1000;

impl Pace {
    /// Whether it is due, when it is fresh for a time and usable for a longer one.
    pub fn need(&self, now: Timestamp, fresh_millis: u64, usable_millis: u64) -> Need {
        let just_failed = self.is_within(now, usable_millis) && !self.may_try(now);
        if self.is_within(now, fresh_millis) || just_failed {
            Need::Nothing
        } else if self.is_within(now, usable_millis.saturating_sub(SPARE_MILLIS)) {
            Need::Refresh
        } else {
            // An attempt that is waited for in vain must not end when what is known has become too old.
            Need::Read
        }
    }

    /// Whether it was read within the last so many milliseconds.
    pub fn is_within(&self, now: Timestamp, millis: u64) -> bool {
        since(self.read, now).is_some_and(|age| age < millis)
    }

    /// When the last reading began.
    pub const fn read_at(&self) -> Option<Timestamp> {
        self.read
    }

    /// When the last attempt that failed began, if no reading has succeeded since.
    pub fn failed_at(&self) -> Option<Timestamp> {
        self.failed.filter(|failed| self.read.is_none_or(|read| read < *failed))
    }

    /// Whether the last attempt, if it failed, was long enough ago.
    fn may_try(&self, now: Timestamp) -> bool {
        since(self.failed_at(), now).is_none_or(|age| age >= RETRY_MILLIS)
    }

    /// Whether it may be read out of turn, and notes that it is: at most once per cool-down.
    pub fn claim_forced(&mut self, now: Timestamp, cool_down_millis: u64) -> bool {
        let may = since(self.forced, now).is_none_or(|age| age >= cool_down_millis);
        if may {
            self.forced = Some(now);
        }
        may
    }

    /// An attempt that began at this moment has failed.
    pub const fn failed(&mut self, began: Timestamp) {
        self.failed = Some(began);
    }

    /// A reading that *began* at this moment has succeeded.
    pub const fn succeeded(&mut self, began: Timestamp) {
        self.read = Some(began);
    }
}

/// Milliseconds since a moment; none when there was no such moment, or the clock was set back since.
fn since(moment: Option<Timestamp>, now: Timestamp) -> Option<u64> {
    now.millis().checked_sub(moment?.millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn age_counts_from_the_beginning_of_the_last_reading() {
        let mut pace = Pace::default();
        assert!(!pace.is_within(at(0), u64::MAX), "never read");
        pace.succeeded(at(1000));
        assert!(pace.is_within(at(2999), 2000));
        assert!(!pace.is_within(at(3000), 2000));
        assert!(!pace.is_within(at(999), 2000), "the clock was set back");
    }

    #[test]
    fn a_failure_is_not_repeated_at_once_and_a_success_clears_it() {
        let mut pace = Pace::default();
        assert!(pace.may_try(at(0)));
        pace.failed(at(1000));
        assert!(!pace.may_try(at(1999)));
        assert!(pace.may_try(at(2000)));
        assert!(pace.may_try(at(0)), "the clock was set back");
        pace.succeeded(at(1500));
        assert!(pace.may_try(at(1501)));
    }

    #[test]
    fn what_is_due_is_read_and_nothing_is_relied_on_for_longer_than_it_is_usable() {
        let mut pace = Pace::default();
        let need = |pace: &Pace, millis| pace.need(at(millis), 2000, 5000);
        assert_eq!(need(&pace, 0), Need::Read, "never read");
        pace.succeeded(at(0));
        for (millis, expected) in [
            (0, Need::Nothing),
            (1999, Need::Nothing),
            (2000, Need::Refresh),
            (3999, Need::Refresh),
            (4000, Need::Read),
            (60_000, Need::Read),
        ] {
            assert_eq!(need(&pace, millis), expected, "after {millis} ms");
        }
        pace.failed(at(2500));
        for (millis, expected) in [(3499, Need::Nothing), (3500, Need::Refresh), (4000, Need::Read)] {
            assert_eq!(need(&pace, millis), expected, "a failure at 2500 ms, after {millis} ms");
        }
        pace.failed(at(4500));
        assert_eq!(need(&pace, 4999), Need::Nothing, "just tried, and young enough");
        assert_eq!(need(&pace, 5000), Need::Read, "just tried, and too old");
    }

    #[test]
    fn reading_out_of_turn_has_a_cool_down() {
        let mut pace = Pace::default();
        assert!(pace.claim_forced(at(5), 30_000));
        for now in [5, 6, 30_004] {
            assert!(!pace.claim_forced(at(now), 30_000));
        }
        assert!(pace.claim_forced(at(30_005), 30_000));
    }
}
