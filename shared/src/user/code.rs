//! One-time codes: how a user sets a first password, or a new one after a reset. Whoever starts a reset never chooses nor
//! sees a password (ASVS 6.4.6); the code is good once and for a short time, and only its hash is kept.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::bytes::Bytes;
use crate::clock::Timestamp;
use crate::rest::Rest;
use crate::secret::{Secret, same_bytes, sha256};

/// What every code begins with, so that secret scanners find one that leaked.
pub const CODE_PREFIX: &str = "lhc_";

/// What is kept of a code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OneTimeCode {
    hash: Bytes<32>,
    /// Until when it is good.
    pub until: Timestamp,
    /// What a newer release keeps here.
    #[serde(flatten)]
    rest: Rest,
}

impl OneTimeCode {
    /// A new code of 256 random bits, good for so many seconds: the text to hand out, and what to keep.
    pub fn draw(lives_seconds: u64, now: Timestamp) -> (Secret<String>, Self) {
        let random: [u8; 32] = crate::secret::random();
        let text = format!("{CODE_PREFIX}{}", URL_SAFE_NO_PAD.encode(random));
        let hash = sha256(text.as_bytes()).into();
        (Secret::new(text), Self { hash, until: now.plus_seconds(lives_seconds), rest: Rest::default() })
    }

    /// Whether this is the code, and its time is not over.
    pub fn accepts(&self, presented: &Secret<String>, now: Timestamp) -> bool {
        now < self.until && same_bytes(self.hash.as_ref(), &sha256(presented.expose().as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_keeps_what_a_later_release_wrote_into_it() {
        let (_, kept) = OneTimeCode::draw(60, Timestamp::from_seconds(100));
        let mut written = serde_json::to_value(&kept).unwrap();
        written["of_the_next"] = serde_json::json!([1, "b"]);
        let read: OneTimeCode = serde_json::from_value(written.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), written);
    }

    #[test]
    fn only_the_code_itself_counts_and_only_in_its_time() {
        let now = Timestamp::from_seconds(100);
        let (text, kept) = OneTimeCode::draw(60, now);
        assert!(text.expose().starts_with("lhc_") && text.expose().len() == 47);
        assert!(kept.accepts(&text, now));
        assert!(kept.accepts(&text, now.plus_seconds(59)));
        assert!(!kept.accepts(&text, now.plus_seconds(60)));
        let (other, _) = OneTimeCode::draw(60, now);
        for wrong in [other, Secret::new(String::new()), Secret::new("lhc_".to_owned())] {
            assert!(!kept.accepts(&wrong, now));
        }
        let stored = serde_json::to_string(&kept).unwrap();
        assert!(!stored.contains(&text.expose()[4..]), "the code itself is not kept");
    }
}
