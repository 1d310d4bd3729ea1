//! How often something is read that is kept in memory: how old it is, when it is due, when trying again is too soon.
//!
//! By the wall clock, since a frozen function's monotonic clock may stand still. A clock that was set back makes what was
//! read of unknown age: it is due, and not to be relied on. It never makes old things fresh.

use crate::clock::Timestamp;

/// The history of one thing's readings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    read_at: Option<Timestamp>,
    failed_at: Option<Timestamp>,
    forced_at: Option<Timestamp>,
}

impl Pace {
    /// Whether it was read within the last so many milliseconds.
    pub fn is_within(&self, now: Timestamp, millis: u64) -> bool {
        since(self.read_at, now).is_some_and(|age| age < millis)
    }

    /// When the last reading began.
    pub const fn read_at(&self) -> Option<Timestamp> {
        self.read_at
    }

    /// When the last attempt that failed began, if no reading has succeeded since.
    pub fn failed_at(&self) -> Option<Timestamp> {
        self.failed_at.filter(|failed| self.read_at.is_none_or(|read| read < *failed))
    }

    /// Whether the last attempt, if it failed, was at least so many milliseconds ago.
    pub fn may_try(&self, now: Timestamp, pause_millis: u64) -> bool {
        since(self.failed_at(), now).is_none_or(|age| age >= pause_millis)
    }

    /// Whether it may be read out of turn, and notes that it is: at most once per cool-down.
    pub fn claim_forced(&mut self, now: Timestamp, cool_down_millis: u64) -> bool {
        let may = since(self.forced_at, now).is_none_or(|age| age >= cool_down_millis);
        if may {
            self.forced_at = Some(now);
        }
        may
    }

    /// An attempt that began at this moment has failed.
    pub const fn failed(&mut self, began: Timestamp) {
        self.failed_at = Some(began);
    }

    /// A reading that *began* at this moment has succeeded.
    pub const fn succeeded(&mut self, began: Timestamp) {
        self.read_at = Some(began);
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
        assert!(pace.may_try(at(0), 1000));
        pace.failed(at(1000));
        assert!(!pace.may_try(at(1999), 1000));
        assert!(pace.may_try(at(2000), 1000));
        assert!(pace.may_try(at(0), 1000), "the clock was set back");
        pace.succeeded(at(1500));
        assert!(pace.may_try(at(1501), 1000));
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
