//! scrypt (RFC 7914) as others stored it, and Firebase's use of it.
//!
//! Firebase does not store what scrypt gives. It encrypts a key of the project, the *signer key*, under it (AES-256 in
//! counter mode, counter from zero) and stores the ciphertext (github.com/firebase/scrypt). Its hashes therefore carry
//! that key, and its salts a separator of the project.

use aws_lc_rs::cipher::{AES_256, AES_256_KEY_LEN, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use scrypt::Params;
use zeroize::Zeroizing;

use super::stored::{InvalidHash, TAG_LENGTHS, bytes, number, parts, values};
use crate::secret::same_bytes;

/// N · r · p · 128 bytes, and so the memory too: 256 MiB, which is a second or so of a core. OWASP asks for half.
const MAX_WORK: u64 = 256 * 1024 * 1024;

pub(super) struct ScryptHash {
    params: Params,
    /// What scrypt is given as its salt.
    salt: Vec<u8>,
    tag: Vec<u8>,
    form: Form,
}

enum Form {
    /// The tag is what scrypt gives.
    Plain,
    /// The tag is this signer key, encrypted.
    Firebase(Vec<u8>),
}

impl ScryptHash {
    /// What stands behind `$scrypt$`: `ln=<log2 N>,r=…,p=…$salt$tag`.
    pub(super) fn read_phc(text: &str) -> Result<Self, InvalidHash> {
        let [parameters, salt, tag] = parts(text)?;
        let [log_n, r, p] = values(parameters, ["ln", "r", "p"])?;
        Ok(Self {
            params: params(log_n, r, p)?,
            salt: bytes(salt, 1..=64)?,
            tag: bytes(tag, TAG_LENGTHS)?,
            form: Form::Plain,
        })
    }

    /// What stands behind `$firebase-scrypt$`: `ln=<mem_cost>,r=<rounds>,ss=<salt separator>,sk=<signer key>$salt$tag`,
    /// all bytes in base64 without padding.
    pub(super) fn read_firebase(text: &str) -> Result<Self, InvalidHash> {
        let [parameters, salt, tag] = parts(text)?;
        let [log_n, r, separator, signer_key] = values(parameters, ["ln", "r", "ss", "sk"])?;
        let signer_key = bytes(signer_key, TAG_LENGTHS)?;
        let tag = bytes(tag, signer_key.len()..=signer_key.len())?;
        let salt = [bytes(salt, 1..=64)?, bytes(separator, 0..=16)?].concat();
        Ok(Self { params: params(log_n, r, "1")?, salt, tag, form: Form::Firebase(signer_key) })
    }

    /// Whether it was made of this password; nothing when that can't be computed.
    pub(super) fn matches(&self, password: &[u8]) -> Option<bool> {
        let tag = match &self.form {
            Form::Plain => self.derive(password, self.tag.len())?,
            Form::Firebase(signer_key) => {
                let key = self.derive(password, AES_256_KEY_LEN)?;
                let key = UnboundCipherKey::new(&AES_256, &key).ok()?;
                let mut tag = Zeroizing::new(signer_key.clone());
                let from_zero = EncryptionContext::Iv128(FixedLength::from([0; 16]));
                EncryptingKey::ctr(key).ok()?.less_safe_encrypt(&mut tag, from_zero).ok()?;
                tag
            }
        };
        Some(same_bytes(&tag, &self.tag))
    }

    fn derive(&self, password: &[u8], length: usize) -> Option<Zeroizing<Vec<u8>>> {
        let mut derived = Zeroizing::new(vec![0_u8; length]);
        scrypt::scrypt(password, &self.salt, &self.params, &mut derived).ok()?;
        Some(derived)
    }
}

fn params(log_n: &str, r: &str, p: &str) -> Result<Params, InvalidHash> {
    let (log_n, r, p) = (number(log_n)?, number(r)?, number(p)?);
    // Within 2^(13+32+7) where log_n is below 32.
    let work = 1_u64.checked_shl(log_n).filter(|_| log_n < 32).map(|n| n.saturating_mul(128 * u64::from(r)));
    let within = work.is_some_and(|work| work.saturating_mul(u64::from(p)) <= MAX_WORK);
    let log_n = u8::try_from(log_n).ok().filter(|_| within).ok_or(InvalidHash::Cost)?;
    Params::new(log_n, r, p).map_err(|_| InvalidHash::Cost)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

    use crate::password::stored::hex;

    #[test]
    fn the_vectors_of_rfc_7914_verify() {
        // Section 12, all but the last, which takes a gibibyte: more than we pay.
        for ((log_n, r, p), password, salt, tag) in [
            (
                (4, 1, 1),
                "",
                "",
                "77d6576238657b203b19ca42c18a0497f16b4844e3074ae8dfdffa3fede21442\
                 fcd0069ded0948f8326a753a0fc81f17e8d3e0fb2e0d3628cf35e20c38d18906",
            ),
            (
                (10, 8, 16),
                "password",
                "NaCl",
                "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162\
                 2eaf30d92e22a3886ff109279d9830dac727afb94a83ee6d8360cbdfa2cc0640",
            ),
            (
                (14, 8, 1),
                "pleaseletmein",
                "SodiumChloride",
                "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2\
                 d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887",
            ),
        ] {
            let params = Params::new(log_n, r, p).unwrap();
            let hash = ScryptHash { params, salt: salt.into(), tag: hex(tag), form: Form::Plain };
            assert_eq!(hash.matches(password.as_bytes()), Some(true), "{password}");
            assert_eq!(hash.matches(b"passwore"), Some(false), "{password}");
        }
    }

    #[test]
    fn passlibs_hash_verifies() {
        // passlib 1.7.4, documentation of passlib.hash.scrypt.
        let text = "ln=16,r=8,p=1$aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBsjjJxD+iCs5E";
        let hash = ScryptHash::read_phc(text).unwrap();
        assert_eq!(hash.matches(b"password"), Some(true));
    }

    #[test]
    fn firebases_vector_verifies() {
        // github.com/firebase/scrypt, README.md: signer key, separator, salt and hash of "user1password".
        let no_pad = |text: &str| STANDARD_NO_PAD.encode(STANDARD.decode(text).unwrap());
        let text = format!(
            "ln=14,r=8,ss={},sk={}${}${}",
            no_pad("Bw=="),
            no_pad(
                "jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA=="
            ),
            no_pad("42xEC+ixf3L2lw=="),
            no_pad(
                "lSrfV15cpx95/sZS2W9c9Kp6i/LVgQNDNC/qzrCnh1SAyZvqmZqAjTdn3aoItz+VHjoZilo78198JAdRuid5lQ=="
            ),
        );
        let hash = ScryptHash::read_firebase(&text).unwrap();
        assert_eq!(hash.matches(b"user1password"), Some(true));
        assert_eq!(hash.matches(b"user2password"), Some(false));
        let another_project = text.replacen("ss=Bw", "ss=BA", 1);
        let hash = ScryptHash::read_firebase(&another_project).unwrap();
        assert_eq!(hash.matches(b"user1password"), Some(false), "the separator counts");
    }

    #[test]
    fn a_stored_text_does_not_choose_what_we_spend() {
        let (salt, tag) = (STANDARD_NO_PAD.encode([7; 16]), STANDARD_NO_PAD.encode([7; 32]));
        for (parameters, verdict, why) in [
            ("ln=18,r=8,p=1", Ok(()), "as much as we pay"),
            ("ln=17,r=8,p=2", Ok(()), "half the memory, twice"),
            ("ln=18,r=8,p=2", Err(InvalidHash::Cost), "twice as much"),
            ("ln=19,r=8,p=1", Err(InvalidHash::Cost), "twice as much memory"),
            ("ln=1,r=1048576,p=1", Ok(()), "as much, otherwise"),
            ("ln=1,r=1048577,p=1", Err(InvalidHash::Cost), "in blocks too"),
            ("ln=32,r=1,p=1", Err(InvalidHash::Cost), "4 billion"),
            ("ln=64,r=1,p=1", Err(InvalidHash::Cost), "no number of a machine"),
            ("ln=256,r=1,p=1", Err(InvalidHash::Cost), "that would be 0 in a byte"),
            ("ln=31,r=4294967295,p=4294967295", Err(InvalidHash::Cost), "everything"),
            ("ln=1,r=4294967295,p=1", Err(InvalidHash::Cost), "blocks alone"),
            ("ln=1,r=1,p=4294967295", Err(InvalidHash::Cost), "lanes alone"),
            ("ln=0,r=8,p=1", Err(InvalidHash::Malformed), "nothing"),
            ("ln=14,r=0,p=1", Err(InvalidHash::Malformed), "no block"),
            ("ln=14,r=8", Err(InvalidHash::Malformed), "not all"),
            ("r=8,ln=14,p=1", Err(InvalidHash::Malformed), "another order"),
            ("ln=14,r=8,p=1,l=32", Err(InvalidHash::Malformed), "something more"),
        ] {
            let read = ScryptHash::read_phc(&format!("{parameters}${salt}${tag}")).map(drop);
            assert_eq!(read, verdict, "{why}");
        }
    }

    #[test]
    fn a_firebase_hash_is_as_long_as_the_signer_key() {
        let of = |key: usize, tag: usize| {
            let [key, tag] = [key, tag].map(|length| STANDARD_NO_PAD.encode(vec![7; length]));
            ScryptHash::read_firebase(&format!("ln=14,r=8,ss=Bw,sk={key}$c2FsdA${tag}")).map(drop)
        };
        assert_eq!(of(64, 64), Ok(()));
        for (key, tag, why) in [
            (64, 63, "cut"),
            (64, 1, "a byte, which could be guessed"),
            (1, 1, "a key of one byte too"),
            (0, 0, "none"),
            (65, 65, "longer than any"),
        ] {
            assert_eq!(of(key, tag), Err(InvalidHash::Malformed), "{why}");
        }
        let standard_only = "ln=14,r=8,ss=,sk=AAAAAAAAAAAAAAAAAAAAAA$c2FsdA$AAAAAAAAAAAAAAAAAAAAAA";
        assert!(ScryptHash::read_firebase(standard_only).is_ok(), "a project without a separator");
        let dear = standard_only.replacen("ln=14", "ln=19", 1);
        assert!(matches!(ScryptHash::read_firebase(&dear), Err(InvalidHash::Cost)));
    }
}
