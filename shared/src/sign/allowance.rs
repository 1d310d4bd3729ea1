//! How many signatures a tenant may ask of KMS in a second. KMS's quota is one for the whole account and region; without
//! this, one busy tenant would answer for 503s of all.
//!
//! Every process lets a tenant have a few signatures a second without asking anybody: a tenant with ordinary traffic
//! costs no call. Beyond that, a process reserves a batch at a time from a counter of the tenant and second in the
//! table, by one atomic `ADD`. So the bound over all processes is the setting and [`FREE`] for each process that serves
//! the tenant in that second.
//!
//! Refreshing goes before signing in: a login is refused at four fifths of the bound, so that sessions live on.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::{Occasion, SignError};
use crate::id::TenantId;
use crate::throttle::RetryAfter;

/// Signatures a second that a process lets a tenant have without asking.
const FREE: u32 = 5;
/// How many tenants a process counts at once at most. Counts are of one second: forgetting some lets [`FREE`] more by.
const MOST: usize = 1024;

/// Who goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// A session that exists.
    Refresh,
    /// A session to be.
    Login,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Second {
    at: u64,
    used: u32,
    reserved: u32,
}

impl Second {
    /// Uses one signature up; `false` when one has to be reserved first.
    fn take(&mut self, now: u64) -> bool {
        self.turn(now);
        let may = self.used < FREE.saturating_add(self.reserved);
        self.used += u32::from(may);
        may
    }

    /// Uses the first of a batch up that was just reserved.
    fn take_of(&mut self, batch: u32, now: u64) {
        self.turn(now);
        self.reserved = self.reserved.saturating_add(batch);
        self.used += 1;
    }

    fn turn(&mut self, now: u64) {
        if self.at != now {
            *self = Self { at: now, ..Self::default() };
        }
    }
}

/// What tenants have used in this process.
#[derive(Debug)]
pub struct Allowances {
    per_second: u32,
    seconds: Mutex<HashMap<TenantId, Second>>,
}

impl Allowances {
    /// So many signatures a second for each tenant; 0 sets no bound.
    pub fn new(per_second: u32) -> Self {
        Self { per_second, seconds: Mutex::default() }
    }

    /// Takes one signature.
    ///
    /// # Errors
    /// `Exhausted` when the tenant has had as many as it may; `Store` when the counter can't be raised.
    pub async fn take(&self, occasion: Occasion<'_>) -> Result<(), SignError> {
        let Occasion { tenant, store, priority, now } = occasion;
        if self.per_second == 0 || self.take_kept(&tenant.id, now.seconds()) {
            return Ok(());
        }
        let batch = self.batch();
        let total = store.reserve_signatures(now, batch).await?;
        if total.saturating_sub(batch) >= self.bound(priority) {
            return Err(SignError::Exhausted(RetryAfter(1)));
        }
        self.with(&tenant.id, |second| second.take_of(batch, now.seconds()));
        Ok(())
    }

    fn take_kept(&self, tenant: &TenantId, now: u64) -> bool {
        self.with(tenant, |second| second.take(now))
    }

    fn batch(&self) -> u32 {
        self.per_second.div_ceil(20)
    }

    fn bound(&self, priority: Priority) -> u32 {
        match priority {
            Priority::Refresh => self.per_second,
            Priority::Login => (self.per_second / 5).saturating_mul(4).max(1),
        }
    }

    fn with<T>(&self, tenant: &TenantId, change: impl FnOnce(&mut Second) -> T) -> T {
        let mut seconds = self.seconds.lock().unwrap_or_else(PoisonError::into_inner);
        if seconds.len() >= MOST && !seconds.contains_key(tenant) {
            seconds.clear();
        }
        change(seconds.entry(tenant.clone()).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_are_free_in_every_second_and_the_rest_reserved() {
        let mut second = Second::default();
        assert!((0..FREE).all(|_| second.take(7)));
        assert!(!second.take(7));
        second.take_of(2, 7);
        assert_eq!([second.take(7), second.take(7)], [true, false], "one of the batch was used at once");
        assert!(second.take(8), "a new second");
        assert_eq!((second.used, second.reserved), (1, 0), "what was reserved is of its second");
    }

    #[test]
    fn logins_stop_before_refreshes_do() {
        let allowances = Allowances::new(200);
        assert_eq!(allowances.bound(Priority::Refresh), 200);
        assert_eq!(allowances.bound(Priority::Login), 160);
        assert_eq!(allowances.batch(), 10);
        assert_eq!(Allowances::new(1).bound(Priority::Login), 1);
    }

    #[test]
    fn tenants_do_not_share_a_count_and_the_counts_are_bounded() {
        let allowances = Allowances::new(100);
        let name = |n: usize| format!("t{n}").parse::<TenantId>().unwrap();
        for _ in 0..FREE {
            assert!(allowances.take_kept(&name(0), 1));
        }
        assert!(!allowances.take_kept(&name(0), 1));
        for n in 1..3000 {
            assert!(allowances.take_kept(&name(n), 1));
        }
        assert!(allowances.seconds.lock().unwrap().len() <= MOST);
    }
}
