//! The stored form of a password hash (a PHC string) and what a hash may cost.
//!
//! A stored text must never choose how much memory or time we spend: an import or a damaged item could otherwise ask
//! for gibibytes. Read strictly: one algorithm, one version, three parameters in their order, one spelling.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// The length of the salts we draw, in bytes (RFC 9106 §3.1).
pub(super) const SALT_LENGTH: usize = 16;
/// The length of the tags we make, in bytes.
pub(super) const TAG_LENGTH: usize = 32;

/// What one argon2id hash costs (RFC 9106 §3.1). The default is OWASP's minimum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashCost {
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub iterations: u32,
    /// Lanes; computed one after the other.
    pub parallelism: u32,
}

impl Default for HashCost {
    fn default() -> Self {
        Self { memory_kib: 19_456, iterations: 2, parallelism: 1 }
    }
}

/// A cost is more than we would pay, or less than the algorithm needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "argon2id needs memory from 8 KiB per lane to {} KiB, 1 to {} iterations, 1 to {} lanes, and at most {} KiB over \
     all iterations",
    HashCost::MAX_MEMORY_KIB,
    HashCost::MAX_ITERATIONS,
    HashCost::MAX_PARALLELISM,
    HashCost::MAX_WORK_KIB
)]
pub struct CostOutOfBounds;

impl HashCost {
    /// 256 MiB.
    pub const MAX_MEMORY_KIB: u32 = 256 * 1024;
    /// Passes.
    pub const MAX_ITERATIONS: u32 = 20;
    /// Lanes.
    pub const MAX_PARALLELISM: u32 = 8;
    /// Memory times passes: 1 GiB, which is well under a second. The two bounds alone would still allow five.
    pub const MAX_WORK_KIB: u32 = 1024 * 1024;

    /// Checks the cost against its bounds.
    ///
    /// # Errors
    /// It lies outside.
    pub fn check(self) -> Result<(), CostOutOfBounds> {
        let within = (1..=Self::MAX_PARALLELISM).contains(&self.parallelism)
            && (8 * self.parallelism..=Self::MAX_MEMORY_KIB).contains(&self.memory_kib)
            && (1..=Self::MAX_ITERATIONS).contains(&self.iterations)
            && self.memory_kib.saturating_mul(self.iterations) <= Self::MAX_WORK_KIB;
        if within { Ok(()) } else { Err(CostOutOfBounds) }
    }

    /// Blocks of 1 KiB that a hash of this cost fills: a multiple of four for every lane.
    pub(super) fn blocks(self) -> usize {
        let slices = 4 * self.parallelism.max(1);
        usize::try_from(self.memory_kib / slices * slices).unwrap_or(usize::MAX)
    }
}

/// A stored text is not a password hash that we verify. Says nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPhc {
    /// Another algorithm, or another version of it.
    #[error("not argon2id version 19")]
    Algorithm,
    /// Its cost.
    #[error(transparent)]
    Cost(#[from] CostOutOfBounds),
    /// Anything else about its form.
    #[error("not a PHC string of argon2id")]
    Malformed,
}

/// A password hash with all that is needed to verify it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Phc {
    pub(super) cost: HashCost,
    pub(super) salt: Vec<u8>,
    pub(super) tag: Vec<u8>,
}

impl Phc {
    /// A hash of our own making.
    pub(super) fn new(cost: HashCost, salt: [u8; SALT_LENGTH], tag: [u8; TAG_LENGTH]) -> Self {
        Self { cost, salt: salt.to_vec(), tag: tag.to_vec() }
    }

    /// Whether any part of it is less than what we make now. A dearer hash from elsewhere stays.
    pub(super) fn is_weaker_than(&self, cost: HashCost) -> bool {
        self.cost.memory_kib < cost.memory_kib
            || self.cost.iterations < cost.iterations
            || self.salt.len() < SALT_LENGTH
            || self.tag.len() < TAG_LENGTH
    }
}

impl fmt::Display for Phc {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let HashCost { memory_kib, iterations, parallelism } = self.cost;
        let (salt, tag) = (STANDARD_NO_PAD.encode(&self.salt), STANDARD_NO_PAD.encode(&self.tag));
        write!(formatter, "$argon2id$v=19$m={memory_kib},t={iterations},p={parallelism}${salt}${tag}")
    }
}

impl FromStr for Phc {
    type Err = InvalidPhc;

    fn from_str(text: &str) -> Result<Self, InvalidPhc> {
        // The longest that passes below, so that nothing longer is even split.
        if text.len() > 256 {
            return Err(InvalidPhc::Malformed);
        }
        let rest = text.strip_prefix("$argon2id$v=19$").ok_or(InvalidPhc::Algorithm)?;
        let (cost, rest) = rest.split_once('$').ok_or(InvalidPhc::Malformed)?;
        let (salt, tag) = rest.split_once('$').ok_or(InvalidPhc::Malformed)?;
        let cost = parse_cost(cost).ok_or(InvalidPhc::Malformed)?;
        cost.check()?;
        let bytes = |text, lengths: std::ops::RangeInclusive<usize>| {
            let bytes = STANDARD_NO_PAD.decode(text).ok();
            bytes.filter(|bytes: &Vec<u8>| lengths.contains(&bytes.len())).ok_or(InvalidPhc::Malformed)
        };
        Ok(Self { cost, salt: bytes(salt, 8..=64)?, tag: bytes(tag, 16..=64)? })
    }
}

/// `m=…,t=…,p=…`, in this order; a key id or associated data would be a secret that we do not have.
fn parse_cost(text: &str) -> Option<HashCost> {
    let mut parts = text.split(',');
    let mut number = |name| {
        let digits = parts.next()?.strip_prefix(name)?;
        let plain = !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit());
        if plain { digits.parse().ok() } else { None }
    };
    let cost = HashCost { memory_kib: number("m=")?, iterations: number("t=")?, parallelism: number("p=")? };
    parts.next().is_none().then_some(cost)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: &str = "c29tZXNhbHQ";
    const TAG: &str = "nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";

    fn parse(cost: &str) -> Result<HashCost, InvalidPhc> {
        format!("$argon2id$v=19${cost}${SALT}${TAG}").parse::<Phc>().map(|phc| phc.cost)
    }

    #[test]
    fn a_hash_survives_its_text_form() {
        let phc = Phc::new(HashCost::default(), [7; SALT_LENGTH], [9; TAG_LENGTH]);
        let text = phc.to_string();
        assert!(text.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{text}");
        assert!(text.parse::<Phc>() == Ok(phc));
        let foreign = format!("$argon2id$v=19$m=256,t=2,p=1${SALT}${TAG}");
        assert!(foreign.parse::<Phc>().is_ok_and(|phc| phc.to_string() == foreign));
    }

    #[test]
    fn only_argon2id_version_19_is_verified() {
        for prefix in
            ["$argon2i$v=19$", "$argon2d$v=19$", "$argon2id$v=16$", "$argon2id$", "$2b$", "$scrypt$", ""]
        {
            let text = format!("{prefix}m=256,t=2,p=1${SALT}${TAG}");
            assert!(matches!(text.parse::<Phc>(), Err(InvalidPhc::Algorithm)), "{text}");
        }
    }

    #[test]
    fn a_stored_text_does_not_choose_what_we_spend() {
        for (cost, why) in [
            ("m=262145,t=1,p=1", "more than 256 MiB"),
            ("m=4194304,t=1,p=1", "4 GiB"),
            ("m=4294967295,t=1,p=1", "all there is"),
            ("m=256,t=21,p=1", "too many passes"),
            ("m=256,t=1,p=9", "too many lanes"),
            ("m=262144,t=5,p=1", "each within its bound, too much together"),
            ("m=7,t=1,p=1", "less than the algorithm needs"),
            ("m=15,t=1,p=2", "less than two lanes need"),
        ] {
            assert_eq!(parse(cost), Err(InvalidPhc::Cost(CostOutOfBounds)), "{why}");
        }
        for cost in ["m=262144,t=4,p=8", "m=8,t=20,p=1", "m=65536,t=3,p=4", "m=47104,t=1,p=1"] {
            assert!(parse(cost).is_ok(), "{cost}");
        }
    }

    #[test]
    fn there_is_one_spelling() {
        for cost in [
            "",
            "m=256",
            "m=256,t=2",
            "t=2,m=256,p=1",
            "m=256,t=2,p=1,keyid=AA",
            "m=256,t=2,p=1,data=AA",
            "m=0256,t=2,p=1",
            "m=+256,t=2,p=1",
            "m=256, t=2,p=1",
            "m=0,t=2,p=1",
            "m=256,t=0,p=1",
            "m=256,t=2,p=0",
            "m=-1,t=2,p=1",
            "m=99999999999,t=2,p=1",
            "m=,t=2,p=1",
            "m=256,t=2,p=1,",
            "m=٢٥٦,t=2,p=1",
        ] {
            assert_eq!(parse(cost), Err(InvalidPhc::Malformed), "{cost}");
        }
        for (salt, tag, why) in [
            ("", TAG, "no salt"),
            ("c29tZQ", TAG, "a salt of 4 bytes"),
            (&"A".repeat(87), TAG, "a salt of 65 bytes"),
            ("c29tZXNhbHQ=", TAG, "padding"),
            ("c29tZXNhbHR", TAG, "bits left over"),
            ("c29tZXNhb-Q", TAG, "another alphabet"),
            (SALT, "", "no tag"),
            (SALT, "AAAAAAAAAAAAAAAAAAAA", "a tag of 15 bytes, which could be guessed"),
            (SALT, &"A".repeat(87), "a tag of 65 bytes"),
            (SALT, &format!("{TAG}$"), "something behind"),
            (SALT, &"A".repeat(4096), "a megabyte, in small"),
        ] {
            let text = format!("$argon2id$v=19$m=256,t=2,p=1${salt}${tag}");
            assert!(matches!(text.parse::<Phc>(), Err(InvalidPhc::Malformed)), "{why}");
        }
    }

    #[test]
    fn weaker_is_less_in_any_part() {
        let now = HashCost::default();
        let phc = |memory_kib, iterations, salt, tag| Phc {
            cost: HashCost { memory_kib, iterations, parallelism: 1 },
            salt: vec![0; salt],
            tag: vec![0; tag],
        };
        assert!(!phc(19_456, 2, 16, 32).is_weaker_than(now));
        assert!(!phc(65_536, 3, 32, 64).is_weaker_than(now), "a dearer hash stays");
        assert!(phc(19_455, 2, 16, 32).is_weaker_than(now));
        assert!(phc(47_104, 1, 16, 32).is_weaker_than(now));
        assert!(phc(19_456, 2, 15, 32).is_weaker_than(now));
        assert!(phc(19_456, 2, 16, 31).is_weaker_than(now));
    }
}
