//! Which client versions have a row of their own, which come after which, and which a tenant blocks.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{NONE, OTHER};
use crate::clock::Timestamp;
use crate::id::UserId;
use crate::policy::Policy;
use crate::rest::Rest;
use crate::secret::sha256;

/// How many users must have signed in with a version before it is known.
const USERS: usize = 3;
/// How many versions are known at most.
const MOST_KNOWN: usize = 40;
/// How many versions are on their way to be known at most.
const MOST_CANDIDATES: usize = 40;
/// For how many days a version is known without another login.
const KNOWN_DAYS: u64 = 30;
/// For how many days a login counts towards a version's being known.
const CANDIDATE_DAYS: u64 = 7;

/// The client versions of a tenant that are known, and those on their way. One item.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    /// When a user last signed in with each known version, in days since the epoch.
    #[serde(default)]
    known: BTreeMap<String, u64>,
    /// Versions that few users have signed in with.
    #[serde(default)]
    candidates: BTreeMap<String, Candidate>,
    /// Raised by every change; every change is conditional on it.
    #[serde(default)]
    pub version: u64,
    /// What a newer release keeps here.
    #[serde(flatten)]
    pub rest: Rest,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Candidate {
    day: u64,
    /// Four bytes of a hash for each user: enough to tell three apart, not enough to name one.
    users: BTreeSet<u32>,
}

impl Versions {
    /// The row that a version is counted in.
    pub fn label<'a>(&self, version: &'a str, policy: &Policy) -> &'a str {
        if version == NONE || self.is_known(version) || policy.pinned_versions.contains(version) {
            version
        } else {
            OTHER
        }
    }

    /// Every version that has a row of its own.
    pub fn labels(&self, policy: &Policy) -> BTreeSet<String> {
        self.known.keys().chain(&policy.pinned_versions).cloned().collect()
    }

    /// Whether several users have signed in with a version.
    pub fn is_known(&self, version: &str) -> bool {
        self.known.contains_key(version)
    }

    /// Learns that a user has signed in with a version. The list as it is to be written; `None` when it is the same.
    #[must_use]
    pub fn learn(&self, version: &str, user: UserId, now: Timestamp) -> Option<Self> {
        let today = now.seconds() / 86_400;
        let mut after = self.clone();
        after.known.retain(|_, day| day.saturating_add(KNOWN_DAYS) >= today);
        after.candidates.retain(|_, candidate| candidate.day.saturating_add(CANDIDATE_DAYS) >= today);
        if let Some(day) = after.known.get_mut(version) {
            *day = today;
        } else {
            let hash = sha256(format!("{version}\0{user}").as_bytes());
            let mark = u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]);
            let candidate = after.candidates.entry(version.to_owned()).or_default();
            candidate.users.insert(mark);
            candidate.day = today;
            if candidate.users.len() >= USERS {
                after.candidates.remove(version);
                drop_oldest(&mut after.known, MOST_KNOWN - 1, |day| *day);
                after.known.insert(version.to_owned(), today);
            }
            // Never the one just heard of: it would have to be heard of three times between two others.
            let heard = after.candidates.remove(version);
            drop_oldest(&mut after.candidates, MOST_CANDIDATES - 1, |candidate| candidate.day);
            after.candidates.extend(heard.map(|heard| (version.to_owned(), heard)));
        }
        (after != *self).then(|| Self { version: self.version + 1, ..after })
    }
}

fn drop_oldest<T>(entries: &mut BTreeMap<String, T>, room: usize, day: impl Fn(&T) -> u64) {
    while entries.len() > room {
        let oldest = entries.iter().min_by_key(|(_, entry)| day(entry)).map(|(version, _)| version.clone());
        let Some(oldest) = oldest else { return };
        entries.remove(&oldest);
    }
}

/// The app of a version.
pub fn app(version: &str) -> &str {
    version.split_once('/').map_or(version, |(app, _)| app)
}

/// Which of two versions of an app is the later: numbers as numbers, part by part; whatever is no number by its text, and
/// before a number (`5.0.0-rc1` comes before `5.0.0`).
pub fn compare(left: &str, right: &str) -> Ordering {
    let parts = |version: &str| -> Vec<Part> {
        let number = version.split_once('/').map_or(version, |(_, number)| number);
        number
            .split(['.', '-', '+', '_'])
            .map(|part| part.parse().map_or_else(|_| Part::Text(part.to_owned()), Part::Number))
            .collect()
    };
    let (left, right) = (parts(left), parts(right));
    // Where one ends, 0 stands beside a number (`5.0` is `5`), and what comes after any text beside a text.
    let beside = |other: Option<&Part>| match other {
        Some(Part::Number(_)) => Part::Number(0),
        Some(Part::Text(_) | Part::End) | None => Part::End,
    };
    for at in 0..left.len().max(right.len()) {
        let (own, other) = (left.get(at), right.get(at));
        let order = own.unwrap_or(&beside(other)).cmp(other.unwrap_or(&beside(own)));
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Text(String),
    End,
    Number(u64),
}

/// Whether a tenant blocks a version: named as it is (`shop-ios/5.4.1`), or as older than one (`shop-ios/<5.4`).
pub fn is_blocked(policy: &Policy, version: Option<&str>) -> bool {
    let Some(version) = version else { return false };
    policy.blocked_versions.iter().any(|rule| match rule.split_once("/<") {
        Some((app_of, limit)) => app(version) == app_of && compare(version, limit).is_lt(),
        None => rule == version,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;
    const NOW: Timestamp = Timestamp::from_seconds(20_000 * DAY);

    fn user(n: u8) -> UserId {
        UserId::from_bytes([n; 16])
    }

    fn learnt(versions: &Versions, version: &str, users: std::ops::Range<u8>, now: Timestamp) -> Versions {
        users.fold(versions.clone(), |versions, n| versions.learn(version, user(n), now).unwrap_or(versions))
    }

    #[test]
    fn a_version_is_known_once_three_users_have_signed_in_with_it() {
        let policy = Policy { pinned_versions: BTreeSet::from(["shop/9".to_owned()]), ..Policy::default() };
        let two = learnt(&Versions::default(), "shop/1", 0..2, NOW);
        assert_eq!(two.label("shop/1", &policy), OTHER);
        assert_eq!(two.learn("shop/1", user(1), NOW), None, "the same user again is nothing new");
        let three = learnt(&two, "shop/1", 2..3, NOW);
        assert_eq!(three.label("shop/1", &policy), "shop/1");
        assert_eq!(three.label("shop/9", &policy), "shop/9", "pinned");
        assert_eq!(three.label(NONE, &policy), NONE);
        assert_eq!(three.label("evil/1", &policy), OTHER);
        assert_eq!(three.learn("shop/1", user(7), NOW), None, "nothing to write within a day");
        assert!(three.learn("shop/1", user(7), NOW.plus_seconds(DAY)).is_some(), "once a day");
    }

    #[test]
    fn what_nobody_uses_any_more_leaves() {
        let known = learnt(&Versions::default(), "shop/1", 0..3, NOW);
        let started = learnt(&known, "shop/2", 0..2, NOW);
        let later = learnt(&started, "shop/3", 0..1, NOW.plus_seconds(8 * DAY));
        assert!(later.is_known("shop/1"));
        let third = learnt(&later, "shop/2", 2..3, NOW.plus_seconds(8 * DAY));
        assert!(!third.is_known("shop/2"), "two logins of long ago do not count");
        let much_later = learnt(&later, "shop/4", 0..1, NOW.plus_seconds(31 * DAY));
        assert!(!much_later.is_known("shop/1"));
    }

    #[test]
    fn the_list_is_bounded_and_a_flood_of_logins_pushes_nothing_in_use_out() {
        let mut versions = Versions::default();
        for n in 0..100 {
            versions = learnt(&versions, &format!("shop/{n}"), 0..3, NOW.plus_seconds(n * 3600));
            assert!(versions.known.len() <= MOST_KNOWN);
        }
        assert!(versions.is_known("shop/99"));
        for n in 0..1000 {
            versions =
                versions.learn(&format!("evil/{n}"), user(1), NOW.plus_seconds(4 * DAY)).unwrap_or(versions);
            assert!(versions.candidates.len() <= MOST_CANDIDATES);
        }
        assert!(versions.is_known("shop/99"), "one user makes nothing known");
        let size = serde_json::to_string(&versions).unwrap().len();
        assert!(size < 8192, "{size} bytes");
    }

    #[test]
    fn versions_come_in_their_order() {
        for (left, right) in [
            ("a/1", "a/2"),
            ("a/1.9", "a/1.10"),
            ("a/1.0", "a/1.0.1"),
            ("a/5.0.0-rc1", "a/5.0.0"),
            ("a/5.0.0-beta", "a/5.0.0-rc"),
            ("a/4.9", "a/5.0.0-rc1"),
        ] {
            assert_eq!(compare(left, right), Ordering::Less, "{left} {right}");
            assert_eq!(compare(right, left), Ordering::Greater, "{left} {right}");
        }
        assert_eq!(compare("a/1.0", "a/1"), Ordering::Equal);
    }

    #[test]
    fn a_tenant_blocks_versions_by_name_or_as_too_old() {
        let rules = ["shop-ios/5.4.1", "shop-android/<3.2"];
        let policy = Policy { blocked_versions: rules.map(str::to_owned).into(), ..Policy::default() };
        for (version, blocked) in [
            (Some("shop-ios/5.4.1"), true),
            (Some("shop-ios/5.4.2"), false),
            (Some("shop-ios/5.4.0"), false),
            (Some("shop-android/3.1.9"), true),
            (Some("shop-android/3.2"), false),
            (Some("shop-android/3.2.0-rc1"), true),
            (Some("shop-web/1.0"), false),
            (None, false),
        ] {
            assert_eq!(is_blocked(&policy, version), blocked, "{version:?}");
        }
    }
}
