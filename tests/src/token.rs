//! Refresh tokens and access tokens taken apart, and put together again wrongly.
//!
//! Written from the wire contract, not from the product's code: the two must agree.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::Value;

const PREFIX: &str = "lhr_";

/// The fields of a refresh token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshToken {
    /// User id.
    pub user: [u8; 16],
    /// Family id.
    pub family: [u8; 16],
    /// Generation.
    pub generation: u32,
    /// Link of the hash chain that proves the generation.
    pub proof: [u8; 16],
    /// Secret of this generation.
    pub secret: [u8; 32],
}

impl RefreshToken {
    /// Takes a token of the service apart; the test fails if it is not one.
    #[track_caller]
    pub fn parse(text: &str) -> Self {
        let encoded = text.strip_prefix(PREFIX).expect("a refresh token begins with lhr_");
        let bytes = URL_SAFE_NO_PAD.decode(encoded).expect("unpadded base64url");
        assert_eq!(bytes.len(), 88, "16 + 16 + 4 + 16 + 32 + 4 bytes");
        let (payload, checksum) = bytes.split_at(84);
        assert_eq!(checksum, Self::checksum(payload), "checksum");
        Self {
            user: payload[0..16].try_into().expect("16"),
            family: payload[16..32].try_into().expect("16"),
            generation: u32::from_be_bytes(payload[32..36].try_into().expect("4")),
            proof: payload[36..52].try_into().expect("16"),
            secret: payload[52..84].try_into().expect("32"),
        }
    }

    /// The wire form with a valid checksum, whatever the fields hold.
    pub fn encode(&self) -> String {
        let mut bytes = Vec::with_capacity(88);
        bytes.extend(self.user);
        bytes.extend(self.family);
        bytes.extend(self.generation.to_be_bytes());
        bytes.extend(self.proof);
        bytes.extend(self.secret);
        let checksum = Self::checksum(&bytes);
        bytes.extend(checksum);
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
    }

    /// The user id as it stands in `sub`.
    pub fn subject(&self) -> String {
        format!("usr_{}", hex(&self.user))
    }

    /// The family id as it stands in `sid`.
    pub fn session(&self) -> String {
        hex(&self.family)
    }

    fn checksum(payload: &[u8]) -> [u8; 4] {
        let hash = digest(&SHA256, &[PREFIX.as_bytes(), payload].concat());
        hash.as_ref()[..4].try_into().expect("4 of 32 bytes")
    }
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut out, byte| {
        write!(out, "{byte:02x}").expect("a String takes everything");
        out
    })
}

/// An access token taken apart without a look at its signature.
#[derive(Clone, Debug)]
pub struct Jwt {
    /// Header.
    pub header: Value,
    /// Claims.
    pub claims: Value,
    /// Signature bytes.
    pub signature: Vec<u8>,
}

impl Jwt {
    /// Takes a compact JWS apart.
    #[track_caller]
    pub fn parse(text: &str) -> Self {
        let parts: Vec<Vec<u8>> =
            text.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).expect("base64url")).collect();
        assert_eq!(parts.len(), 3, "header, claims, signature");
        Self {
            header: serde_json::from_slice(&parts[0]).expect("a JSON header"),
            claims: serde_json::from_slice(&parts[1]).expect("JSON claims"),
            signature: parts[2].clone(),
        }
    }

    /// The compact form of whatever the fields hold now.
    pub fn encode(&self) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.{}", part(&self.header), part(&self.claims), URL_SAFE_NO_PAD.encode(&self.signature))
    }

    /// A string claim, empty when absent.
    pub fn claim(&self, name: &str) -> String {
        self.claims[name].as_str().unwrap_or_default().to_owned()
    }
}

/// Verifies an access token as an API would that knows nothing of Leasehold: with a JWT library and a JWKS document.
pub fn verify(token: &str, jwks: &Value, issuer: &str, audience: &str) -> Result<Value, String> {
    verify_at(token, jwks, issuer, audience, None)
}

/// The same by another clock than this machine's, in epoch seconds: for stacks that live at another time.
pub fn verify_at(
    token: &str,
    jwks: &Value,
    issuer: &str,
    audience: &str,
    now: Option<i64>,
) -> Result<Value, String> {
    let header = jsonwebtoken::decode_header(token).map_err(|error| error.to_string())?;
    let set: JwkSet = serde_json::from_value(jwks.clone()).map_err(|error| error.to_string())?;
    let kid = header.kid.ok_or("no kid")?;
    let key: &Jwk = set.find(&kid).ok_or("the kid is not published")?;
    let algorithm: Algorithm = key
        .common
        .key_algorithm
        .ok_or("the key names no algorithm")?
        .to_string()
        .parse()
        .map_err(|_| "an algorithm no library knows")?;
    let mut validation = Validation::new(algorithm);
    validation.set_issuer(&[issuer]);
    validation.set_audience(&[audience]);
    validation.set_required_spec_claims(&["iss", "exp", "aud", "sub"]);
    validation.validate_exp = now.is_none();
    let key = DecodingKey::from_jwk(key).map_err(|error| error.to_string())?;
    let data = jsonwebtoken::decode::<Value>(token, &key, &validation).map_err(|error| error.to_string())?;
    let times = (data.claims["iat"].as_i64(), now, data.claims["exp"].as_i64());
    match times {
        (_, None, _) => Ok(data.claims),
        (Some(issued), Some(now), Some(expires)) if issued <= now && now < expires => Ok(data.claims),
        _ => Err(format!("not good at that time: {times:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refresh_token_survives_a_round_trip() {
        let token =
            RefreshToken { user: [1; 16], family: [2; 16], generation: 7, proof: [3; 16], secret: [4; 32] };
        let text = token.encode();
        assert_eq!(text.len(), 4 + 118);
        assert_eq!(RefreshToken::parse(&text), token);
        assert_eq!(token.session(), "02".repeat(16));
    }
}
