//! PBKDF2 (RFC 8018 §5.2) as others stored it.

use std::num::NonZeroU32;

use aws_lc_rs::pbkdf2::{self, Algorithm, PBKDF2_HMAC_SHA1, PBKDF2_HMAC_SHA256, PBKDF2_HMAC_SHA512};
use zeroize::Zeroizing;

use super::stored::{InvalidHash, TAG_LENGTHS, bytes, number, parts, values};
use crate::secret::same_bytes;

/// Iterations times blocks of the tag: one to two seconds of a core. OWASP asks for 1,300,000 of SHA-1.
const MAX_WORK: u32 = 2_000_000;

pub(super) struct Pbkdf2Hash {
    algorithm: Algorithm,
    iterations: NonZeroU32,
    salt: Vec<u8>,
    tag: Vec<u8>,
}

impl Pbkdf2Hash {
    /// What stands behind `$pbkdf2…$`: `i=<iterations>[,l=<length of the tag>]$salt$tag`, or passlib's
    /// `<iterations>$salt$tag`, whose base64 has a dot for the plus sign.
    pub(super) fn read(name: &str, text: &str) -> Result<Self, InvalidHash> {
        let (algorithm, block) = match name {
            "pbkdf2" => (PBKDF2_HMAC_SHA1, 20),
            "pbkdf2-sha256" => (PBKDF2_HMAC_SHA256, 32),
            "pbkdf2-sha512" => (PBKDF2_HMAC_SHA512, 64),
            _ => return Err(InvalidHash::Algorithm),
        };
        let [parameters, salt, tag] = parts(text)?;
        let plus = |text: &str| text.replace('.', "+");
        let (salt, tag) = (bytes(&plus(salt), 1..=64)?, bytes(&plus(tag), TAG_LENGTHS)?);
        let iterations = if parameters.contains(',') {
            let [iterations, length] = values(parameters, ["i", "l"])?;
            if usize::try_from(number(length)?) != Ok(tag.len()) {
                return Err(InvalidHash::Malformed);
            }
            iterations
        } else {
            parameters.strip_prefix("i=").unwrap_or(parameters)
        };
        let iterations = NonZeroU32::new(number(iterations)?).ok_or(InvalidHash::Malformed)?;
        let blocks = u32::try_from(tag.len().div_ceil(block)).map_err(|_| InvalidHash::Cost)?;
        if iterations.get().saturating_mul(blocks) > MAX_WORK {
            return Err(InvalidHash::Cost);
        }
        Ok(Self { algorithm, iterations, salt, tag })
    }

    pub(super) fn matches(&self, password: &[u8]) -> bool {
        let mut tag = Zeroizing::new(vec![0_u8; self.tag.len()]);
        pbkdf2::derive(self.algorithm, self.iterations, &self.salt, password, &mut tag);
        same_bytes(&tag, &self.tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD_NO_PAD;

    use crate::password::stored::hex;

    #[test]
    fn the_vectors_of_rfc_6070_and_rfc_7914_verify() {
        for (name, password, salt, iterations, tag) in [
            ("pbkdf2", "password", "salt", 1, "0c60c80f961f0e71f3a9b524af6012062fe037a6"),
            ("pbkdf2", "password", "salt", 2, "ea6c014dc72d6f8ccd1ed92ace1d41f0d8de8957"),
            ("pbkdf2", "password", "salt", 4096, "4b007901b765489abead49d926f721d065a429c1"),
            (
                "pbkdf2",
                "passwordPASSWORDpassword",
                "saltSALTsaltSALTsaltSALTsaltSALTsalt",
                4096,
                "3d2eec4fe41c849b80c8d83662c0e44a8b291a964cf2f07038",
            ),
            ("pbkdf2", "pass\0word", "sa\0lt", 4096, "56fa6aa75548099dcc37d7f03425e0c3"),
            (
                "pbkdf2-sha256",
                "passwd",
                "salt",
                1,
                "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc\
                 49ca9cccf179b645991664b39d77ef317c71b845b1e30bd509112041d3a19783",
            ),
            (
                "pbkdf2-sha256",
                "Password",
                "NaCl",
                80_000,
                "4ddcd8f60b98be21830cee5ef22701f9641a4418d04c0414aeff08876b34ab56\
                 a1d425a1225833549adb841b51c9b3176a272bdebba1d078478f62b397f33c8d",
            ),
        ] {
            let [salt, tag] = [salt.as_bytes(), &hex(tag)].map(|bytes| STANDARD_NO_PAD.encode(bytes));
            let hash = Pbkdf2Hash::read(name, &format!("i={iterations}${salt}${tag}")).unwrap();
            assert!(hash.matches(password.as_bytes()), "{name} {iterations} {password}");
            assert!(!hash.matches(format!("{password}x").as_bytes()), "{name} {iterations} {password}");
        }
    }

    #[test]
    fn passlibs_spelling_verifies() {
        // passlib 1.7.4, tests/test_handlers_pbkdf2.py: the password "password".
        for (name, text) in [
            ("pbkdf2", "1212$OB.dtnSEXZK8U5cgxU/GYQ$y5LKPOplRmok7CZp/aqVDVg8zGI"),
            ("pbkdf2-sha256", "1212$4vjV83LKPjQzk31VI4E0Vw$hsYF68OiOUPdDZ1Fg.fJPeq1h/gXXY7acBp9/6c.tmQ"),
            (
                "pbkdf2-sha512",
                "1212$RHY0Fr3IDMSVO/RSZyb5ow$eNLfBK.eVozomMr.1gYa17k9B7KIK25NOEshvhrSX.esqY3s.FvWZViXz4KoLlQI.BzY/\
                 YTNJOiKc5gBYFYGww",
            ),
        ] {
            let hash = Pbkdf2Hash::read(name, text).unwrap();
            assert!(hash.matches(b"password"), "{name}");
            assert!(!hash.matches(b"passwore"), "{name}");
        }
    }

    #[test]
    fn a_stored_text_does_not_choose_what_we_spend() {
        let read = |name, iterations: &str, tag: usize| {
            let tag = STANDARD_NO_PAD.encode(vec![7; tag]);
            Pbkdf2Hash::read(name, &format!("{iterations}$c2FsdA${tag}")).map(drop)
        };
        for (name, iterations, tag, verdict, why) in [
            ("pbkdf2-sha256", "i=2000000", 32, Ok(()), "as much as we pay"),
            ("pbkdf2-sha256", "i=2000001", 32, Err(InvalidHash::Cost), "one more"),
            ("pbkdf2-sha256", "i=4294967295", 32, Err(InvalidHash::Cost), "an hour"),
            ("pbkdf2-sha256", "i=1000001", 33, Err(InvalidHash::Cost), "a second block costs as much again"),
            ("pbkdf2", "i=500001", 64, Err(InvalidHash::Cost), "four blocks of SHA-1"),
            ("pbkdf2", "i=1300000", 20, Ok(()), "what OWASP asks for"),
            ("pbkdf2-sha256", "i=0", 32, Err(InvalidHash::Malformed), "nothing at all"),
            ("pbkdf2-sha256", "i=4294967296", 32, Err(InvalidHash::Malformed), "no number of iterations"),
            ("pbkdf2-sha256", "i=1,l=32", 32, Ok(()), "the length told"),
            ("pbkdf2-sha256", "i=1,l=31", 32, Err(InvalidHash::Malformed), "another length"),
            ("pbkdf2-sha256", "l=32,i=1", 32, Err(InvalidHash::Malformed), "another order"),
            ("pbkdf2-sha256", "t=1", 32, Err(InvalidHash::Malformed), "another name"),
            ("pbkdf2-sha256", "i=1", 15, Err(InvalidHash::Malformed), "a tag that could be guessed"),
            ("pbkdf2-sha256", "i=1", 65, Err(InvalidHash::Malformed), "a tag longer than any"),
        ] {
            assert_eq!(read(name, iterations, tag), verdict, "{why}");
        }
        assert!(matches!(Pbkdf2Hash::read("pbkdf2", "i=1$c2FsdA"), Err(InvalidHash::Malformed)), "no tag");
    }
}
