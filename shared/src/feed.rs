//! The revocations on the wire: the document that verifiers elsewhere poll, and the cursor with which they go on.
//!
//! An entry bears the time at which its writer made it and is seen when its transaction is through, which may be seconds
//! later. So whoever is up to date begins some time *before* the cursor and meets entries twice; taking one on twice
//! changes nothing. A cursor must never lead past an entry that was under way.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::id::{InvalidId, Kid};
use crate::revocation::Revocation;
use crate::revoked::{Entry, RETENTION_SECONDS};

/// The most entries of one page.
pub const PAGE: usize = 500;

/// How long the document may be cached, in seconds.
pub const MAX_AGE_SECONDS: u64 = 2;

/// To what the cursor of somebody who is up to date is rounded down, in seconds: an answer without news stays the same
/// bytes for so long, and costs a 304.
const STEP_SECONDS: u64 = 60;

/// One page of a tenant's revocations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feed {
    /// The issuer.
    pub issuer: String,
    /// The tenant's epoch in force: a token with an older one is not good.
    pub epoch: u32,
    /// The keys that are published now: signatures of others are not good.
    pub keys: Vec<Kid>,
    /// What is revoked, the oldest first.
    pub revoked: Vec<Listed>,
    /// Where to go on.
    pub next: Cursor,
    /// Whether there are more pages now.
    pub more: bool,
}

/// One entry of the document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// When it was written, in epoch seconds.
    at: u64,
    /// What it revokes.
    #[serde(flatten)]
    revocation: Revocation,
}

impl From<Entry> for Listed {
    fn from(entry: Entry) -> Self {
        Self { at: entry.at.seconds(), revocation: entry.revocation }
    }
}

impl From<Listed> for Entry {
    fn from(listed: Listed) -> Self {
        // The end of the second, so that nothing is forgotten too soon.
        let at = Timestamp::from_seconds(listed.at).plus_seconds(1);
        Self { at, revocation: listed.revocation }
    }
}

/// A place in a tenant's revocations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cursor {
    /// The time of the place.
    pub at: Timestamp,
    /// The entry of that time after which to go on; absent in the cursor of somebody who is up to date.
    pub after: Option<String>,
}

impl Cursor {
    /// The cursor of somebody who has read everything by `now`.
    pub const fn caught_up(now: Timestamp) -> Self {
        let step = STEP_SECONDS * 1000;
        Self { at: Timestamp::from_millis(now.millis() - now.millis() % step), after: None }
    }

    /// Where reading begins that is to go on at `since`, or that is the first: never before what still matters, and
    /// `overlap_seconds` before the time at which somebody was up to date.
    pub fn begin(since: Option<Self>, now: Timestamp, overlap_seconds: u64) -> Self {
        let earliest = Self { at: now.minus_seconds(RETENTION_SECONDS), after: None };
        match since {
            None => earliest,
            Some(Self { at, after: Some(_) }) if at < earliest.at => earliest,
            Some(place @ Self { after: Some(_), .. }) => place,
            Some(Self { at, after: None }) => {
                let at = at.min(now).minus_seconds(overlap_seconds);
                Self { at: at.max(earliest.at), after: None }
            }
        }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.at.millis())?;
        self.after.as_ref().map_or(Ok(()), |after| write!(formatter, ".{after}"))
    }
}

impl FromStr for Cursor {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = || InvalidId("cursor");
        let (at, after) = text.split_once('.').map_or((text, None), |(at, after)| (at, Some(after)));
        let is_digits = (1..=13).contains(&at.len()) && at.bytes().all(|byte| byte.is_ascii_digit());
        let is_id = |text: &str| {
            text.len() == 12
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        };
        if !is_digits || !after.is_none_or(is_id) {
            return Err(invalid());
        }
        let at = Timestamp::from_millis(at.parse().map_err(|_| invalid())?);
        Ok(Self { at, after: after.map(str::to_owned) })
    }
}

impl TryFrom<String> for Cursor {
    type Error = InvalidId;
    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<Cursor> for String {
    fn from(cursor: Cursor) -> Self {
        cursor.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_012_345);

    #[test]
    fn a_cursor_has_one_form() {
        for text in ["0", "1800000000000", "1800000000000.AbC-_9012345"] {
            assert_eq!(text.parse::<Cursor>().unwrap().to_string(), text);
        }
        for text in ["", ".", "x", "-1", "+1", "1.", "1.short", "1.AbC#_9012345", "18000000000000", "1 "] {
            assert!(text.parse::<Cursor>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn reading_begins_early_enough_and_never_before_what_matters() {
        let time = |at: Timestamp| Some(Cursor { at, after: None });
        let place = |at: Timestamp| Some(Cursor { at, after: Some("AbC-_9012345".to_owned()) });
        let first = NOW.minus_seconds(RETENTION_SECONDS);
        let next = Cursor::caught_up(NOW);
        assert_eq!(next.at, Timestamp::from_seconds(1_800_000_000));
        for (since, begin, why) in [
            (None, first, "the first reading"),
            (time(next.at), next.at.minus_seconds(30), "up to date: some time before"),
            (time(Timestamp::from_millis(0)), first, "away for long"),
            (time(NOW.plus_seconds(1000)), NOW.minus_seconds(30), "a cursor of the future"),
            (place(next.at), next.at, "within the pages: exactly there"),
            (place(Timestamp::from_millis(5)), first, "within pages of long ago"),
        ] {
            assert_eq!(Cursor::begin(since, NOW, 30).at, begin, "{why}");
        }
    }

    #[test]
    fn the_document_reads_back_and_is_small() {
        let text = json!({
            "issuer": "https://auth.example/t/acme", "epoch": 3,
            "keys": ["NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"],
            "revoked": [
                {"at": 1_800_000_000, "kind": "session", "sid": "00112233445566778899aabbccddeeff"},
                {"at": 1_800_000_000, "kind": "user", "sub": "usr_00112233445566778899aabbccddeeff", "epoch": 2},
                {"at": 1_800_000_000, "kind": "tenant", "epoch": 3},
                {"at": 1_800_000_000, "kind": "key", "kid": "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"},
            ],
            "next": "1800000000000", "more": false,
        });
        let feed: Feed = serde_json::from_value(text.clone()).unwrap();
        assert_eq!(serde_json::to_value(&feed).unwrap(), text);
        let entries = feed.revoked.iter().map(|listed| serde_json::to_string(listed).unwrap().len());
        assert!(entries.max().unwrap() * PAGE < 64 * 1024);
    }
}
