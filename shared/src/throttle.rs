//! How many login attempts are let through. Pure arithmetic: the counting is one atomic `ADD` in the store, and this
//! module says what is counted, in which window, and what a count means.
//!
//! Attempts are counted in fixed windows, *before* the password is hashed: of N guesses sent at once, N are counted
//! before the first is answered. A login that succeeds takes its own counts back, so only failures (and attempts under
//! way) fill a window.
//!
//! | Counter | Counts | Limits attempts |
//! | --- | --- | --- |
//! | account | one login name | from devices that the user never signed in from |
//! | address | one source address of a tenant | the same |
//! | device | one login name on one *known* device | from that device, and nothing else does |
//!
//! A device is a text that the client chose, unguessable, and sends with each login; it is *known* once its user
//! signed in with it. Strangers can fill the counters of an account and of an address, and with that they lock out
//! strangers: a known device does not share them. Whoever steals or guesses a device's text gains one more bounded
//! counter, not a password.
//!
//! What must never happen here: a limit that touches sessions that exist, or a counter without an end.
//!
//! The price of fixed windows, stated: at the border of two windows twice the limit can be tried in a short time. The
//! long-run rate is what protects a password, and that is exact.

use std::net::{IpAddr, Ipv6Addr};

use crate::bytes::Bytes;
use crate::clock::Timestamp;
use crate::id::LoginId;

/// How many attempts one counter lets through in one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Attempts in one window.
    pub attempts: u32,
    /// The length of a window; 0 counts as 1.
    pub window_seconds: u64,
}

/// The limits of a deployment, one for each kind of counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For one login name, from devices that are not known.
    pub account: Limit,
    /// For one source address of a tenant, from devices that are not known. Many people can share an address.
    pub address: Limit,
    /// For one login name on one known device.
    pub device: Limit,
}

impl Default for Limits {
    fn default() -> Self {
        let limit = |attempts| Limit { attempts, window_seconds: 900 };
        Self { account: limit(10), address: limit(100), device: limit(10) }
    }
}

impl Limits {
    /// The limit that a counter of this kind is held to.
    pub const fn of(&self, key: &CounterKey) -> Limit {
        match key {
            CounterKey::Account(_) => self.account,
            CounterKey::Address(_) => self.address,
            CounterKey::Device(..) => self.device,
        }
    }
}

/// What a counter counts, within a tenant. Holds nothing that a key's delimiter could hide in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CounterKey {
    /// Attempts on one login name.
    Account(LoginId),
    /// Attempts from one source, a text of [`address_bucket`].
    Address(String),
    /// Attempts on one login name with one known device (SHA-256 of its text).
    Device(LoginId, Bytes<32>),
}

/// The fixed window that a moment lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its first moment: part of a counter's key.
    pub start: Timestamp,
    /// The first moment after it: a counter is worth nothing from then on.
    pub end: Timestamp,
}

impl Window {
    /// The window that `now` lies in.
    pub fn of(limit: Limit, now: Timestamp) -> Self {
        let start = window_start(now, limit.window_seconds);
        Self { start, end: start.plus_seconds(limit.window_seconds.max(1)) }
    }
}

/// One counter as the store keeps it: what is counted, and in which window.
///
/// A login takes its count back from the very counter it raised, also when the window ended meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counter {
    /// What is counted.
    pub key: CounterKey,
    /// In which window.
    pub window: Window,
}

impl Counter {
    /// The counter to raise for an attempt made now.
    pub fn at(key: CounterKey, limits: &Limits, now: Timestamp) -> Self {
        let window = Window::of(limits.of(&key), now);
        Self { key, window }
    }
}

/// Too many attempts: seconds until the next window begins, at least 1 (RFC 9110 §10.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many attempts")]
pub struct RetryAfter(pub u64);

/// The first moment of the window that `now` lies in.
pub fn window_start(now: Timestamp, window_seconds: u64) -> Timestamp {
    let seconds = now.seconds();
    Timestamp::from_seconds(seconds - seconds % window_seconds.max(1))
}

/// Whether the attempt that raised its counter to `count` may go on.
///
/// # Errors
/// It may not; how long to wait.
pub fn decide(count: u32, limit: Limit, now: Timestamp) -> Result<(), RetryAfter> {
    if count <= limit.attempts {
        return Ok(());
    }
    let rest = Window::of(limit, now).end.millis().saturating_sub(now.millis());
    Err(RetryAfter(rest.div_ceil(1000).max(1)))
}

/// What attempts from this source address are counted under: an IPv4 address as it is, of an IPv6 address its /64,
/// because every home and phone owns a whole one. What is no address shares one bucket, and so gains nothing.
pub fn address_bucket(source: &str) -> String {
    match source.trim().parse::<IpAddr>().map(|address| address.to_canonical()) {
        Ok(IpAddr::V4(address)) => address.to_string(),
        Ok(IpAddr::V6(address)) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{}/64", Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        Err(_) => "unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Limit = Limit { attempts: 3, window_seconds: 60 };

    #[test]
    fn a_window_begins_at_a_multiple_of_its_length() {
        for (now, length, start, why) in [
            (0, 60, 0, "the epoch itself"),
            (59_999, 60, 0, "the last millisecond belongs to the window"),
            (60_000, 60, 60, "the next one begins on the second"),
            (123_456, 1, 123, "windows of one second"),
            (123_456, 0, 123, "no length counts as one second"),
            (123_456, 900, 0, "windows longer than time itself so far"),
        ] {
            let found = window_start(Timestamp::from_millis(now), length);
            assert_eq!(found, Timestamp::from_seconds(start), "{why}");
        }
    }

    #[test]
    fn the_limit_is_the_last_count_let_through() {
        let now = Timestamp::from_millis(90_500);
        for (count, limit, verdict, why) in [
            (0, LIMIT, Ok(()), "a count taken back twice is no reason to refuse"),
            (1, LIMIT, Ok(()), "the first attempt"),
            (3, LIMIT, Ok(()), "the last one allowed"),
            (
                4,
                LIMIT,
                Err(RetryAfter(30)),
                "the first too many waits for the rest of the window, rounded up",
            ),
            (u32::MAX, LIMIT, Err(RetryAfter(30)), "more attempts do not make it wait longer"),
            (
                1,
                Limit { attempts: 0, ..LIMIT },
                Err(RetryAfter(30)),
                "a limit of nothing lets nothing through",
            ),
            (1, Limit { attempts: 0, window_seconds: 0 }, Err(RetryAfter(1)), "never Retry-After: 0"),
        ] {
            assert_eq!(decide(count, limit, now), verdict, "{why}");
        }
    }

    #[test]
    fn whoever_waits_as_told_is_in_the_next_window() {
        for millis in [0, 1, 999, 1000, 59_000, 59_001, 59_999] {
            let now = Timestamp::from_millis(millis);
            let RetryAfter(seconds) = decide(4, LIMIT, now).unwrap_err();
            let then = now.plus_seconds(seconds);
            assert_eq!(window_start(then, 60), Timestamp::from_seconds(60), "from {millis} ms, {seconds} s");
        }
    }

    #[test]
    fn each_kind_of_counter_has_its_own_limit_and_window() {
        let login: LoginId = "ada".parse().unwrap();
        let limits = Limits {
            account: Limit { attempts: 1, window_seconds: 10 },
            address: Limit { attempts: 2, window_seconds: 20 },
            device: Limit { attempts: 3, window_seconds: 40 },
        };
        let now = Timestamp::from_seconds(95);
        for (key, start, end) in [
            (CounterKey::Account(login.clone()), 90, 100),
            (CounterKey::Address("192.0.2.1".to_owned()), 80, 100),
            (CounterKey::Device(login, Bytes::from([0; 32])), 80, 120),
        ] {
            let counter = Counter::at(key.clone(), &limits, now);
            let window = Window { start: Timestamp::from_seconds(start), end: Timestamp::from_seconds(end) };
            assert_eq!(counter, Counter { key, window });
        }
    }

    #[test]
    fn an_address_is_what_one_customer_of_a_network_owns() {
        for (source, bucket, why) in [
            ("192.0.2.7", "192.0.2.7", "IPv4 as it is"),
            (" 192.0.2.7 ", "192.0.2.7", "blanks around it do not make another source"),
            ("::ffff:192.0.2.7", "192.0.2.7", "IPv4 dressed as IPv6 is the same source"),
            ("2001:db8:1:2:aaaa:bbbb:cccc:dddd", "2001:db8:1:2::/64", "IPv6 by its /64"),
            ("2001:DB8:1:2::1", "2001:db8:1:2::/64", "whatever its spelling"),
            ("2001:db8:1:3::1", "2001:db8:1:3::/64", "the next /64 is another source"),
            ("::1", "::/64", "this machine"),
            ("", "unknown", "nothing"),
            ("192.0.2.7, 198.51.100.1", "unknown", "a list, as headers carry it, is no address"),
            ("a#b", "unknown", "no delimiter of a key gets through"),
        ] {
            assert_eq!(address_bucket(source), bucket, "{why}");
        }
    }
}
