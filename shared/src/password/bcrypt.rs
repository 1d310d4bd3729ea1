//! bcrypt as others stored it.
//!
//! bcrypt looks at 72 bytes of a password and no more. The system that made such a hash let its user in on those 72, so
//! we do too, whatever follows them; from the first login on, all of what was typed counts.

use base64::alphabet::BCRYPT;
use base64::engine::{DecodePaddingMode, Engine as _, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use super::stored::InvalidHash;
use crate::secret::same_bytes;

/// How much of a password, with the zero byte behind it, is looked at.
const PASSWORD_BYTES: usize = 72;

/// log2 of the rounds. 14 is one to two seconds of a core; each step doubles it.
const COSTS: std::ops::RangeInclusive<u32> = 4..=14;

/// bcrypt's own alphabet. Some makers left bits over at the end of a salt; bcrypt ignores them.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &BCRYPT,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);

pub(super) struct BcryptHash {
    cost: u32,
    salt: [u8; 16],
    tag: [u8; 23],
}

impl BcryptHash {
    /// What stands behind `$2b$`: two digits of cost, and 53 characters of salt and tag. `2a`, `2b` and `2y` name
    /// repaired versions of one algorithm and compute the same.
    pub(super) fn read(text: &str) -> Result<Self, InvalidHash> {
        let (cost, rest) = text.split_once('$').ok_or(InvalidHash::Malformed)?;
        if cost.len() != 2 || !cost.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(InvalidHash::Malformed);
        }
        let cost = cost.parse().map_err(|_| InvalidHash::Malformed)?;
        let (salt, tag) = rest.split_at_checked(22).ok_or(InvalidHash::Malformed)?;
        let bytes = |text| BASE64.decode(text).map_err(|_| InvalidHash::Malformed);
        let salt = bytes(salt)?.try_into().map_err(|_| InvalidHash::Malformed)?;
        let tag = bytes(tag)?.try_into().map_err(|_| InvalidHash::Malformed)?;
        if !COSTS.contains(&cost) {
            return Err(InvalidHash::Cost);
        }
        Ok(Self { cost, salt, tag })
    }

    pub(super) fn matches(&self, password: &[u8]) -> bool {
        let mut key = Zeroizing::new([0_u8; PASSWORD_BYTES]);
        let taken = password.len().min(PASSWORD_BYTES);
        key[..taken].copy_from_slice(&password[..taken]);
        let with_zero = (taken + 1).min(PASSWORD_BYTES);
        let tag = Zeroizing::new(bcrypt::bcrypt(self.cost, self.salt, &key[..with_zero]));
        same_bytes(&tag[..self.tag.len()], &self.tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: &str = "CCCCCCCCCCCCCCCCCCCCC.";
    const TAG: &str = "E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";

    fn read(text: &str) -> Result<BcryptHash, InvalidHash> {
        BcryptHash::read(text)
    }

    #[test]
    fn the_makers_vectors_verify() {
        let ignored = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789chars after 72 are ignored";
        let alphabet = "abcdefghijklmnopqrstuvwxyz";
        let high = [vec![0xaa; 72], b"chars after 72 are ignored as usual".to_vec()].concat();
        for (text, password) in [
            // Openwall, crypt_blowfish 1.3, wrapper.c.
            ("05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", &b"U*U"[..]),
            ("05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK", b"U*U*"),
            ("05$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a", b"U*U*U"),
            ("05$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui", ignored.as_bytes()),
            ("05$CCCCCCCCCCCCCCCCCCCCC.7uG0VCzI2bS7j6ymqJi9CdcdxiRTWNy", b""),
            ("05$/OK.fbVrR/bpIqNJ5ianF.Sa7shbm4.OzKpvFnX1pQLmQW96oUlCq", b"\xa3"),
            ("05$/OK.fbVrR/bpIqNJ5ianF.CE5elHaaO4EbggVDjb8P19RukzXSM3e", b"\xff\xff\xa3"),
            ("05$/OK.fbVrR/bpIqNJ5ianF.swQOIzjOiJ9GHEPuhEkvqrUyvWhEMx6", &high),
            // OpenBSD's, as jBCrypt publishes them.
            ("06$DCq7YPn5Rq63x1Lad4cll.TV4S6ytwfsfvkgY8jIucDrjc8deX1s.", b""),
            ("06$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe", b"a"),
            ("08$aTsUwsyowQuzRrDqFflhgekJ8d9/7Z3GV3UcgvzQW3J5zMyrTvlz.", alphabet.as_bytes()),
        ] {
            let hash = read(text).unwrap();
            assert!(hash.matches(password), "{text}");
            assert!(!hash.matches(&[b"x", password].concat()), "{text}");
        }
    }

    #[test]
    fn what_stands_behind_72_bytes_does_not_count_as_it_did_not_for_the_maker() {
        let first = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
        let hash = read("05$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui").unwrap();
        assert_eq!(first.len(), PASSWORD_BYTES);
        assert!(hash.matches(first.as_bytes()));
        assert!(hash.matches(format!("{first}and anything at all").as_bytes()));
        assert!(!hash.matches(&first.as_bytes()[..71]), "all 72 count");
        assert!(!hash.matches(format!("{}8", &first[..71]).as_bytes()), "the last of them too");
    }

    #[test]
    fn a_stored_text_does_not_choose_what_we_spend() {
        for (cost, verdict) in [
            ("04", Ok(())),
            ("14", Ok(())),
            ("03", Err(InvalidHash::Cost)),
            ("15", Err(InvalidHash::Cost)),
            ("31", Err(InvalidHash::Cost)),
            ("99", Err(InvalidHash::Cost)),
            ("00", Err(InvalidHash::Cost)),
            ("5", Err(InvalidHash::Malformed)),
            ("005", Err(InvalidHash::Malformed)),
            ("+5", Err(InvalidHash::Malformed)),
            ("", Err(InvalidHash::Malformed)),
        ] {
            assert_eq!(read(&format!("{cost}${SALT}{TAG}")).map(drop), verdict, "{cost}");
        }
    }

    #[test]
    fn only_whole_hashes_are_read() {
        for (text, why) in [
            (format!("05${SALT}{}", &TAG[1..]), "a character short"),
            (format!("05${SALT}{TAG}x"), "a character long"),
            (format!("05${SALT}{}=", &TAG[1..]), "padding"),
            (format!("05${SALT}{}+", &TAG[1..]), "another alphabet"),
            (format!("05{SALT}{TAG}"), "no dollar"),
            (format!("05$é{}{TAG}", &SALT[1..]), "not ASCII"),
            ("05$".to_owned(), "nothing"),
        ] {
            assert!(matches!(read(&text), Err(InvalidHash::Malformed)), "{why}");
        }
    }
}
