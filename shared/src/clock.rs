//! The only place that reads the clock. Everything else is given `now`, so that rules can be tested at any moment and
//! one request decides with one time.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// How far the clocks of two functions, or one clock before and after it was set, are taken to be apart at most, in
/// seconds. AWS keeps them within milliseconds; a rule that would end a session over it must bear far more.
pub const CLOCKS_APART_SECONDS: u64 = 120;

/// A moment in milliseconds since the Unix epoch.
///
/// Milliseconds, because two rotations in one second are ordinary; on the wire (JWT, token responses) times are whole
/// seconds ([`Timestamp::seconds`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The moment `millis` milliseconds after the Unix epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// The moment `seconds` seconds after the Unix epoch.
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Milliseconds since the Unix epoch.
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded down (RFC 7519 §2, NumericDate).
    pub const fn seconds(self) -> u64 {
        self.0 / 1000
    }

    /// The moment `seconds` seconds later.
    #[must_use]
    pub const fn plus_seconds(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds.saturating_mul(1000)))
    }

    /// The moment `seconds` seconds earlier, never before the epoch.
    #[must_use]
    pub const fn minus_seconds(self, seconds: u64) -> Self {
        Self(self.0.saturating_sub(seconds.saturating_mul(1000)))
    }

    /// Whole seconds from this moment until `later`; 0 when `later` is not later.
    pub const fn seconds_until(self, later: Self) -> u64 {
        later.0.saturating_sub(self.0) / 1000
    }

    /// The start of the hour this moment lies in: what a user is shown of a last use.
    #[must_use]
    pub const fn hour(self) -> Self {
        Self(self.0 - self.0 % 3_600_000)
    }
}

/// The present moment by the system's clock.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
pub fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}
