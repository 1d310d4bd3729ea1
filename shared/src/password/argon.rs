//! argon2 (RFC 9106): the hashes we make, argon2id version 19, and those of its kin that others made; and what one may
//! cost.
//!
//! Read strictly: three parameters in their order, one spelling.

use std::fmt;

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use zeroize::Zeroizing;

use super::buffers::Buffers;
use super::stored::{InvalidHash, TAG_LENGTHS, bytes, number, parts, values};
use crate::policy::Policy;
use crate::secret::{random, same_bytes};

/// The length of the salts we draw, in bytes (RFC 9106 §3.1).
const SALT_LENGTH: usize = 16;
/// The length of the tags we make, in bytes.
const TAG_LENGTH: usize = 32;

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

    /// This cost, raised to what a tenant's policy asks for: it may ask for more than the deployment does for all, never
    /// for less. What it asks for was within bounds when it was set, and may no longer be since the deployment's own cost
    /// rose: then it is the deployment's, so that the tenant's users can still sign in.
    #[must_use]
    pub fn raised_to(self, policy: &Policy) -> Self {
        let asked = self.asked_by(policy);
        if asked.check().is_ok() { asked } else { self }
    }

    /// What [`HashCost::raised_to`] gives if that is within bounds, for whoever must refuse it otherwise.
    #[must_use]
    pub fn asked_by(self, policy: &Policy) -> Self {
        Self {
            memory_kib: self.memory_kib.max(policy.argon2_memory_kib),
            iterations: self.iterations.max(policy.argon2_iterations),
            ..self
        }
    }

    /// Blocks of 1 KiB that a hash of this cost fills: a multiple of four for every lane.
    fn blocks(self) -> usize {
        let slices = 4 * self.parallelism.max(1);
        usize::try_from(self.memory_kib / slices * slices).unwrap_or(usize::MAX)
    }
}

/// An argon2 hash with all that is needed to verify it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ArgonHash {
    algorithm: Algorithm,
    version: Version,
    cost: HashCost,
    salt: Vec<u8>,
    tag: Vec<u8>,
}

impl ArgonHash {
    /// Hashes a password with a new salt; nothing when the cost is out of bounds.
    pub(super) fn new(password: &[u8], cost: HashCost, buffers: &Buffers) -> Option<Self> {
        cost.check().ok()?;
        let blank = Self::of_nobody(cost);
        let tag = blank.compute(password, cost, buffers)?.to_vec();
        Some(Self { tag, ..blank })
    }

    /// A hash that no password has, and that costs as much to verify as any of this cost.
    pub(super) fn of_nobody(cost: HashCost) -> Self {
        Self {
            algorithm: Algorithm::Argon2id,
            version: Version::V0x13,
            cost,
            salt: random::<SALT_LENGTH>().into(),
            tag: random::<TAG_LENGTH>().into(),
        }
    }

    /// What stands behind `$argon2id$`, `$argon2i$` or `$argon2d$`: `v=19$m=…,t=…,p=…$salt$tag`. Without a version it is
    /// version 16, which had no place for one.
    pub(super) fn read(name: &str, text: &str) -> Result<Self, InvalidHash> {
        let algorithm = name.parse().map_err(|_| InvalidHash::Algorithm)?;
        let (version, text) = match text.split_once('$') {
            Some(("v=19", rest)) => (Version::V0x13, rest),
            Some(("v=16", rest)) => (Version::V0x10, rest),
            Some((other, _)) if other.starts_with("v=") => return Err(InvalidHash::Algorithm),
            _ => (Version::V0x10, text),
        };
        let [cost, salt, tag] = parts(text)?;
        let [memory, iterations, parallelism] = values(cost, ["m", "t", "p"])?;
        let cost = HashCost {
            memory_kib: number(memory)?,
            iterations: number(iterations)?,
            parallelism: number(parallelism)?,
        };
        cost.check().map_err(|CostOutOfBounds| InvalidHash::Cost)?;
        Ok(Self { algorithm, version, cost, salt: bytes(salt, 8..=64)?, tag: bytes(tag, TAG_LENGTHS)? })
    }

    /// Whether it was made of this password; nothing when that can't be computed. Memory beyond `usual` is not kept.
    pub(super) fn matches(&self, password: &[u8], usual: HashCost, buffers: &Buffers) -> Option<bool> {
        Some(same_bytes(&self.compute(password, usual, buffers)?, &self.tag))
    }

    /// Whether it is what we make now, at this cost. One from elsewhere may have more salt or a longer tag.
    pub(super) fn is_current(&self, cost: HashCost) -> bool {
        self.algorithm == Algorithm::Argon2id
            && self.version == Version::V0x13
            && self.cost == cost
            && self.salt.len() >= SALT_LENGTH
            && self.tag.len() >= TAG_LENGTH
    }

    fn compute(&self, password: &[u8], usual: HashCost, buffers: &Buffers) -> Option<Zeroizing<Vec<u8>>> {
        let HashCost { memory_kib, iterations, parallelism } = self.cost;
        let params = Params::new(memory_kib, iterations, parallelism, Some(self.tag.len())).ok()?;
        let argon2 = Argon2::new(self.algorithm, self.version, params);
        let mut tag = Zeroizing::new(vec![0_u8; self.tag.len()]);
        buffers.with(self.cost.blocks(), usual.blocks(), |memory| {
            argon2.hash_password_into_with_memory(password, &self.salt, &mut tag, memory).ok()
        })?;
        Some(tag)
    }
}

impl fmt::Display for ArgonHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, version) = (self.algorithm.as_str(), u32::from(self.version));
        let HashCost { memory_kib, iterations, parallelism } = self.cost;
        let (salt, tag) = (STANDARD_NO_PAD.encode(&self.salt), STANDARD_NO_PAD.encode(&self.tag));
        write!(formatter, "${name}$v={version}$m={memory_kib},t={iterations},p={parallelism}${salt}${tag}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: &str = "c29tZXNhbHQ";
    const TAG: &str = "nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";

    fn parse(cost: &str) -> Result<HashCost, InvalidHash> {
        ArgonHash::read("argon2id", &format!("v=19${cost}${SALT}${TAG}")).map(|hash| hash.cost)
    }

    #[test]
    fn a_hash_survives_its_text_form() {
        let hash = ArgonHash::of_nobody(HashCost::default());
        let text = hash.to_string();
        assert!(text.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{text}");
        let behind = text.strip_prefix("$argon2id$").unwrap();
        assert_eq!(ArgonHash::read("argon2id", behind), Ok(hash));
        let foreign = ArgonHash::read("argon2d", &format!("v=16$m=256,t=2,p=1${SALT}${TAG}")).unwrap();
        assert_eq!(foreign.to_string(), format!("$argon2d$v=16$m=256,t=2,p=1${SALT}${TAG}"));
    }

    #[test]
    fn the_reference_implementations_hashes_verify() {
        // github.com/P-H-C/phc-winner-argon2, src/test.c: password "password", salt "somesalt".
        let buffers = Buffers::default();
        for (name, text) in [
            ("argon2id", "v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"),
            ("argon2id", "v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc"),
            ("argon2id", "v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"),
            ("argon2i", "v=19$m=65536,t=2,p=1$c29tZXNhbHQ$wWKIMhR9lyDFvRz9YTZweHKfbftvj+qf+YFY4NeBbtA"),
            ("argon2i", "m=256,t=2,p=1$c29tZXNhbHQ$/U3YPXYsSb3q9XxHvc0MLxur+GP960kN9j7emXX8zwY"),
            ("argon2i", "m=65536,t=1,p=1$c29tZXNhbHQ$gWMFUrjzsfSM2xmSxMZ4ZD1JCytetP9sSzQ4tWIXJLI"),
            // passlib 1.7.4, tests/test_handlers_argon2.py, made with the reference implementation.
            ("argon2d", "v=19$m=102400,t=2,p=8$g2RodLh8j8WbSdCp+lUy/A$zzAJqL/HSjm809PYQu6qkA"),
        ] {
            let hash = ArgonHash::read(name, text).unwrap();
            assert_eq!(hash.matches(b"password", HashCost::default(), &buffers), Some(true), "{name} {text}");
            assert_eq!(
                hash.matches(b"passwore", HashCost::default(), &buffers),
                Some(false),
                "{name} {text}"
            );
        }
    }

    #[test]
    fn versions_that_never_were_are_refused() {
        for version in ["v=17$", "v=20$", "v=$", "v=019$", "v=-19$"] {
            let text = format!("{version}m=256,t=2,p=1${SALT}${TAG}");
            assert_eq!(ArgonHash::read("argon2id", &text), Err(InvalidHash::Algorithm), "{version}");
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
            assert_eq!(parse(cost), Err(InvalidHash::Cost), "{why}");
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
            assert_eq!(parse(cost), Err(InvalidHash::Malformed), "{cost}");
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
            let text = format!("v=19$m=256,t=2,p=1${salt}${tag}");
            assert_eq!(ArgonHash::read("argon2id", &text), Err(InvalidHash::Malformed), "{why}");
        }
    }

    #[test]
    fn only_the_present_cost_is_current() {
        let now = HashCost::default();
        let hash = |cost, salt, tag| ArgonHash {
            salt: vec![0; salt],
            tag: vec![0; tag],
            ..ArgonHash::of_nobody(cost)
        };
        assert!(hash(now, 16, 32).is_current(now));
        assert!(hash(now, 32, 64).is_current(now), "more salt and more tag are no harm");
        assert!(!hash(now, 15, 32).is_current(now));
        assert!(!hash(now, 16, 31).is_current(now));
        for cost in [
            HashCost { memory_kib: 19_455, ..now },
            HashCost { iterations: 1, ..now },
            HashCost { iterations: 3, ..now },
            HashCost { memory_kib: 65_536, iterations: 3, parallelism: 1 },
            HashCost { parallelism: 2, ..now },
        ] {
            assert!(!hash(cost, 16, 32).is_current(now), "{cost:?}");
        }
    }

    #[test]
    fn a_tenant_may_ask_for_more_and_never_for_less() {
        let floor = HashCost::default();
        for (memory_kib, iterations, given, why) in [
            (0, 0, floor, "nothing"),
            (65_536, 3, HashCost { memory_kib: 65_536, iterations: 3, ..floor }, "more of both"),
            (8, 3, HashCost { iterations: 3, ..floor }, "more passes"),
            (65_536, 1, HashCost { memory_kib: 65_536, ..floor }, "more memory"),
            (8, 1, floor, "less"),
        ] {
            let policy =
                Policy { argon2_memory_kib: memory_kib, argon2_iterations: iterations, ..Policy::default() };
            assert_eq!(floor.raised_to(&policy), given, "{why}");
        }
    }

    #[test]
    fn what_a_tenant_asked_for_gives_way_when_the_deployment_has_outgrown_it() {
        let policy = Policy { argon2_memory_kib: 65_536, argon2_iterations: 10, ..Policy::default() };
        let (then, now) = (HashCost::default(), HashCost { iterations: 17, ..HashCost::default() });
        assert_eq!(then.raised_to(&policy).check(), Ok(()), "accepted when it was set");
        assert_eq!(now.check(), Ok(()), "the deployment's own is within bounds");
        assert_eq!(now.asked_by(&policy).check(), Err(CostOutOfBounds), "65,536 KiB over 17 passes");
        assert_eq!(now.raised_to(&policy), now);
    }
}
