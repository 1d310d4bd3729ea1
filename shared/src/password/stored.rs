//! The stored form of a password hash: ours, and those of other systems whose users were brought along.
//!
//! A stored text must never choose how much memory or time we spend: an import or a damaged item could otherwise ask
//! for gibibytes. So every text is read strictly, and refused when its parts, each or together, ask for more than a
//! second or two of one core or more than 256 MiB.
//!
//! | Text | What it is |
//! | --- | --- |
//! | `$argon2id$v=19$m=…,t=…,p=…$salt$tag` | ours, and argon2 from elsewhere: `argon2i`, `argon2d`, and version 16 |
//! | `$scrypt$ln=…,r=…,p=…$salt$tag` | scrypt (RFC 7914), `ln` is log2 of N |
//! | `$pbkdf2-sha256$i=…$salt$tag` | PBKDF2 (RFC 8018), also `$pbkdf2-sha512$`, `$pbkdf2$` (SHA-1) and passlib's spelling |
//! | `$2b$12$…` | bcrypt, also `$2a$` and `$2y$` |
//! | `$firebase-scrypt$ln=…,r=…,ss=…,sk=…$salt$tag` | Firebase's scrypt with the parameters of its project |
//!
//! Only argon2id with the present cost stays as it is; everything else is hashed anew at its first login, when the
//! password is at hand.

use std::ops::RangeInclusive;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::argon::{ArgonHash, HashCost};
use super::bcrypt::BcryptHash;
use super::buffers::Buffers;
use super::pbkdf2::Pbkdf2Hash;
use super::scrypt::ScryptHash;

/// The longest text that is looked at, in bytes.
const MAX_TEXT: usize = 512;

/// How long a tag may be, in bytes: a shorter one could be guessed.
pub(super) const TAG_LENGTHS: RangeInclusive<usize> = 16..=64;

/// A stored text is not a password hash that we verify. Says nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHash {
    /// Another algorithm, or a variant of one that we do not compute.
    #[error("not a kind of password hash that is verified here")]
    Algorithm,
    /// It would cost more to verify than we pay, or less than its algorithm needs.
    #[error("the cost of the password hash is out of bounds")]
    Cost,
    /// Anything else about its form.
    #[error("not the form of a password hash of its kind")]
    Malformed,
}

impl InvalidHash {
    /// The reason as a word, for whoever brought the text.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Algorithm => "unknown_scheme",
            Self::Cost => "out_of_bounds",
            Self::Malformed => "malformed",
        }
    }
}

/// Whether a text is a hash that a user can be brought along with: one that [`Hasher::verify`] will verify.
///
/// # Errors
/// Why not.
///
/// [`Hasher::verify`]: super::Hasher::verify
pub fn check_hash(text: &str) -> Result<(), InvalidHash> {
    text.parse::<StoredHash>().map(drop)
}

/// A password hash with all that is needed to verify it.
pub(super) enum StoredHash {
    Argon(ArgonHash),
    Scrypt(ScryptHash),
    Pbkdf2(Pbkdf2Hash),
    Bcrypt(BcryptHash),
}

impl StoredHash {
    /// Whether it was made of this password; nothing when that can't be computed. Memory beyond `cost` is not kept.
    pub(super) fn matches(&self, password: &[u8], cost: HashCost, buffers: &Buffers) -> Option<bool> {
        match self {
            Self::Argon(hash) => hash.matches(password, cost, buffers),
            Self::Scrypt(hash) => hash.matches(password),
            Self::Pbkdf2(hash) => Some(hash.matches(password)),
            Self::Bcrypt(hash) => Some(hash.matches(password)),
        }
    }

    /// Whether it is as we would make it now.
    pub(super) fn is_current(&self, cost: HashCost) -> bool {
        match self {
            Self::Argon(hash) => hash.is_current(cost),
            Self::Scrypt(_) | Self::Pbkdf2(_) | Self::Bcrypt(_) => false,
        }
    }
}

impl FromStr for StoredHash {
    type Err = InvalidHash;

    fn from_str(text: &str) -> Result<Self, InvalidHash> {
        if text.len() > MAX_TEXT {
            return Err(InvalidHash::Malformed);
        }
        let (name, rest) =
            text.strip_prefix('$').and_then(|text| text.split_once('$')).ok_or(InvalidHash::Algorithm)?;
        match name {
            "argon2id" | "argon2i" | "argon2d" => ArgonHash::read(name, rest).map(Self::Argon),
            "scrypt" => ScryptHash::read_phc(rest).map(Self::Scrypt),
            "firebase-scrypt" => ScryptHash::read_firebase(rest).map(Self::Scrypt),
            "pbkdf2" | "pbkdf2-sha256" | "pbkdf2-sha512" => Pbkdf2Hash::read(name, rest).map(Self::Pbkdf2),
            "2a" | "2b" | "2y" => BcryptHash::read(rest).map(Self::Bcrypt),
            _ => Err(InvalidHash::Algorithm),
        }
    }
}

/// The parts between dollar signs, exactly so many.
pub(super) fn parts<const N: usize>(text: &str) -> Result<[&str; N], InvalidHash> {
    let parts: Vec<_> = text.split('$').collect();
    parts.try_into().map_err(|_| InvalidHash::Malformed)
}

/// The values of `name=value,name=value` with these names in this order. A name that is not asked for, such as a key id,
/// would be something that we do not have.
pub(super) fn values<'a, const N: usize>(
    text: &'a str,
    names: [&str; N],
) -> Result<[&'a str; N], InvalidHash> {
    let found: Vec<_> = text.split(',').collect();
    let found: [&str; N] = found.try_into().map_err(|_| InvalidHash::Malformed)?;
    let mut values = [""; N];
    for ((value, part), name) in values.iter_mut().zip(found).zip(names) {
        *value =
            part.strip_prefix(name).and_then(|part| part.strip_prefix('=')).ok_or(InvalidHash::Malformed)?;
    }
    Ok(values)
}

/// A positive decimal number in its one spelling.
pub(super) fn number(digits: &str) -> Result<u32, InvalidHash> {
    let plain = !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit());
    if plain { digits.parse().map_err(|_| InvalidHash::Malformed) } else { Err(InvalidHash::Malformed) }
}

/// Base64 as PHC strings have it: the standard alphabet, no padding, nothing left over.
pub(super) fn bytes(text: &str, lengths: RangeInclusive<usize>) -> Result<Vec<u8>, InvalidHash> {
    let bytes = STANDARD_NO_PAD.decode(text).ok();
    bytes.filter(|bytes| lengths.contains(&bytes.len())).ok_or(InvalidHash::Malformed)
}

/// The bytes of a vector as its makers print it.
#[cfg(test)]
pub(super) fn hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: &str = "c29tZXNhbHQ";
    const TAG: &str = "nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";

    #[test]
    fn what_can_be_brought_along() {
        for (text, verdict, why) in [
            (format!("$argon2id$v=19$m=256,t=2,p=1${SALT}${TAG}"), Ok(()), "ours"),
            (format!("$argon2i$v=19$m=256,t=2,p=1${SALT}${TAG}"), Ok(()), "argon2i"),
            (format!("$argon2d$v=16$m=256,t=2,p=1${SALT}${TAG}"), Ok(()), "argon2d of old"),
            (format!("$scrypt$ln=14,r=8,p=1${SALT}${TAG}"), Ok(()), "scrypt"),
            (format!("$pbkdf2-sha256$i=600000${SALT}${TAG}"), Ok(()), "PBKDF2"),
            (format!("$2b$12${}", "a".repeat(53)), Ok(()), "bcrypt"),
            (format!("$firebase-scrypt$ln=14,r=8,ss=Bw,sk={TAG}${SALT}${TAG}"), Ok(()), "Firebase"),
            (format!("$2x$12${}", "a".repeat(53)), Err(InvalidHash::Algorithm), "bcrypt with a known fault"),
            (format!("$5$rounds=5000${SALT}${TAG}"), Err(InvalidHash::Algorithm), "sha256-crypt"),
            (
                format!("$argon2$v=19$m=256,t=2,p=1${SALT}${TAG}"),
                Err(InvalidHash::Algorithm),
                "no such argon2",
            ),
            (
                format!("argon2id$v=19$m=256,t=2,p=1${SALT}${TAG}"),
                Err(InvalidHash::Algorithm),
                "no first dollar",
            ),
            ("5f4dcc3b5aa765d61d8327deb882cf99".to_owned(), Err(InvalidHash::Algorithm), "MD5"),
            ("{SSHA}0c0blFTXXNuAMHECS4uxrj3ZieMoWImr".to_owned(), Err(InvalidHash::Algorithm), "LDAP"),
            (String::new(), Err(InvalidHash::Algorithm), "nothing"),
            ("$".to_owned(), Err(InvalidHash::Algorithm), "a dollar"),
            ("$$".to_owned(), Err(InvalidHash::Algorithm), "two"),
            ("$scrypt$".to_owned(), Err(InvalidHash::Malformed), "a name alone"),
            (
                format!("$scrypt$ln=63,r=8,p=1${SALT}${TAG}"),
                Err(InvalidHash::Cost),
                "memory beyond any machine",
            ),
            (format!("$2b$31${}", "a".repeat(53)), Err(InvalidHash::Cost), "two days"),
            ("$2b$12$".to_owned() + &"a".repeat(MAX_TEXT), Err(InvalidHash::Malformed), "long"),
        ] {
            assert_eq!(check_hash(&text), verdict, "{why}: {text}");
        }
    }

    #[test]
    fn only_our_own_kind_stays() {
        let cost = HashCost::default();
        for text in [
            format!("$argon2i$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA${TAG}"),
            format!("$argon2d$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA${TAG}"),
            format!("$argon2id$v=16$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA${TAG}"),
            format!("$scrypt$ln=17,r=8,p=1${SALT}${TAG}"),
            format!("$pbkdf2-sha512$i=1000000${SALT}${TAG}"),
            format!("$2b$14${}", "a".repeat(53)),
        ] {
            assert!(!text.parse::<StoredHash>().is_ok_and(|hash| hash.is_current(cost)), "{text}");
        }
        let ours = format!("$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA${TAG}");
        assert!(ours.parse::<StoredHash>().is_ok_and(|hash| hash.is_current(cost)));
    }

    #[test]
    fn numbers_have_one_spelling() {
        for text in ["", "0", "01", "+1", "-1", " 1", "1 ", "1_000", "0x10", "4294967296", "٢٥٦", "1e3"] {
            assert!(number(text).is_err(), "{text}");
        }
        assert_eq!(number("4294967295"), Ok(u32::MAX));
    }
}
