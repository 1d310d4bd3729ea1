//! The wire form of a refresh token: `lhr_` and unpadded base64url of
//! user 16 · family 16 · generation 4 (big endian) · proof 16 · secret 32 · checksum 4 bytes.
//!
//! The checksum (first bytes of SHA-256 over prefix and payload) lets a secret scanner and our own parser tell a token
//! from noise without a look-up. It proves nothing.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use super::proof::Proof;
use crate::id::{FamilyId, UserId};
use crate::secret::{Secret, sha256};

const PREFIX: &str = "lhr_";
const PAYLOAD: usize = 16 + 16 + 4 + 16 + 32;
const CHECKSUM: usize = 4;
/// Characters of a token on the wire.
pub const LENGTH: usize = PREFIX.len() + (PAYLOAD + CHECKSUM) * 4 / 3 + 1;

/// A text is not a refresh token of ours. Says nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a refresh token")]
pub struct Malformed;

/// A refresh token taken apart. That it parses says nothing of whether it is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshToken {
    /// Whose family it claims to be of.
    pub user: UserId,
    /// Which family it claims to be of.
    pub family: FamilyId,
    /// Which generation it claims to be.
    pub generation: u32,
    /// Proves an earlier generation without its secret being kept.
    pub proof: Proof,
    /// 256 random bits.
    pub secret: Secret<[u8; 32]>,
}

impl RefreshToken {
    /// The text to hand to the client, and to nobody else.
    pub fn encode(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new([0_u8; PAYLOAD + CHECKSUM]);
        bytes[..16].copy_from_slice(self.user.as_bytes());
        bytes[16..32].copy_from_slice(self.family.as_bytes());
        bytes[32..36].copy_from_slice(&self.generation.to_be_bytes());
        bytes[36..52].copy_from_slice(self.proof.expose());
        bytes[52..PAYLOAD].copy_from_slice(self.secret.expose());
        let checksum = checksum(&bytes[..PAYLOAD]);
        bytes[PAYLOAD..].copy_from_slice(&checksum);
        Zeroizing::new(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes.as_slice())))
    }

    /// Reads a token; only the one canonical spelling counts.
    ///
    /// # Errors
    /// [`Malformed`] for every other text.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        if text.len() != LENGTH {
            return Err(Malformed);
        }
        let body = text.strip_prefix(PREFIX).ok_or(Malformed)?;
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(body).map_err(|_| Malformed)?);
        let (payload, sum) = bytes.split_at_checked(PAYLOAD).ok_or(Malformed)?;
        if sum != checksum(payload) {
            return Err(Malformed);
        }
        Ok(Self {
            user: UserId::from_bytes(part(payload, 0)?),
            family: FamilyId::from_bytes(part(payload, 16)?),
            generation: u32::from_be_bytes(part(payload, 32)?),
            proof: Proof::new(part(payload, 36)?),
            secret: Secret::new(part(payload, 52)?),
        })
    }
}

fn part<const N: usize>(payload: &[u8], from: usize) -> Result<[u8; N], Malformed> {
    payload.get(from..from + N).and_then(|part| part.try_into().ok()).ok_or(Malformed)
}

fn checksum(payload: &[u8]) -> [u8; CHECKSUM] {
    let mut input = Zeroizing::new(Vec::with_capacity(PREFIX.len() + PAYLOAD));
    input.extend_from_slice(PREFIX.as_bytes());
    input.extend_from_slice(payload);
    let [a, b, c, d, ..] = sha256(&input);
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn token() -> RefreshToken {
        RefreshToken {
            user: UserId::generate(),
            family: FamilyId::generate(),
            generation: 7,
            proof: Proof::new([3; 16]),
            secret: Secret::new([9; 32]),
        }
    }

    #[test]
    fn a_token_has_its_stated_length_and_prefix() {
        let text = token().encode();
        assert_eq!(text.len(), LENGTH);
        assert!(text.starts_with("lhr_"));
    }

    #[test]
    fn every_other_spelling_is_refused() {
        let text = token().encode();
        let mut last = text.as_bytes().to_vec();
        *last.last_mut().unwrap() = if text.ends_with('A') { b'B' } else { b'A' };
        let odd = [
            String::new(),
            "lhr_".to_owned(),
            text.to_uppercase(),
            format!("{}=", text.as_str()),
            format!(" {}", text.as_str()),
            text.replacen("lhr_", "lhs_", 1),
            text[..text.len() - 1].to_owned(),
            format!("{}A", text.as_str()),
            String::from_utf8(last).unwrap(),
            "lhr_".to_owned() + &"\u{e9}".repeat(59),
        ];
        for text in odd {
            assert_eq!(RefreshToken::parse(&text), Err(Malformed), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn encoding_and_parsing_agree(user: [u8; 16], family: [u8; 16], generation: u32, proof: [u8; 16], secret: [u8; 32]) {
            let token = RefreshToken {
                user: UserId::from_bytes(user),
                family: FamilyId::from_bytes(family),
                generation,
                proof: Proof::new(proof),
                secret: Secret::new(secret),
            };
            prop_assert_eq!(RefreshToken::parse(&token.encode()), Ok(token));
        }

        #[test]
        fn no_single_changed_character_parses(at in 4..LENGTH, with in "[A-Za-z0-9_-]") {
            let text = token().encode();
            let mut changed = text.as_bytes().to_vec();
            changed[at] = with.as_bytes()[0];
            prop_assume!(changed != text.as_bytes());
            prop_assert_eq!(RefreshToken::parse(std::str::from_utf8(&changed).unwrap()), Err(Malformed));
        }

        #[test]
        fn noise_never_panics(text in "\\PC*") {
            prop_assert_eq!(RefreshToken::parse(&text), Err(Malformed));
        }
    }
}
