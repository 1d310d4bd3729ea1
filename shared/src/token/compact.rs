//! The compact form of a signed token (RFC 7515 §3.1): the signing input, and the signature joined to it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use der::asn1::UintRef;
use der::{Decode, Reader, SliceReader};
use serde::Serialize;

use super::claims::AccessClaims;
use super::identity::{ID_TOKEN_TYPE, IdentityClaims};
use crate::id::Kid;
use crate::keys::Algorithm;

/// The longest signing input, in bytes: what KMS signs raw at most (Ed25519), and what leaves room in the 10,240 bytes
/// of headers that API Gateway takes.
pub const MAX_SIGNING_INPUT: usize = 4096;

/// The `typ` of an access token (RFC 9068 §2.1).
pub const ACCESS_TOKEN_TYPE: &str = "at+jwt";

/// A token can't be put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompactError {
    /// The claims are too many.
    #[error("the signing input is longer than {MAX_SIGNING_INPUT} bytes")]
    TooLong,
    /// The signature is not one.
    #[error("the signature is malformed")]
    Signature,
}

#[derive(Serialize)]
struct Header<'a> {
    typ: &'a str,
    alg: &'a str,
    kid: &'a Kid,
}

/// Header and claims of an access token, encoded and ready to be signed (RFC 7515 §5.1).
///
/// # Errors
/// When it would be too long.
pub fn signing_input(algorithm: Algorithm, kid: &Kid, claims: &AccessClaims) -> Result<String, CompactError> {
    encoded(&Header { typ: ACCESS_TOKEN_TYPE, alg: algorithm.name(), kid }, claims)
}

/// The same for an ID token.
///
/// # Errors
/// When it would be too long.
pub fn id_signing_input(
    algorithm: Algorithm,
    kid: &Kid,
    claims: &IdentityClaims,
) -> Result<String, CompactError> {
    encoded(&Header { typ: ID_TOKEN_TYPE, alg: algorithm.name(), kid }, claims)
}

fn encoded(header: &Header<'_>, claims: &impl Serialize) -> Result<String, CompactError> {
    let part = |json: Result<Vec<u8>, serde_json::Error>| {
        URL_SAFE_NO_PAD.encode(json.expect("header and claims have string keys only"))
    };
    let input = format!("{}.{}", part(serde_json::to_vec(header)), part(serde_json::to_vec(claims)));
    if input.len() > MAX_SIGNING_INPUT { Err(CompactError::TooLong) } else { Ok(input) }
}

/// Joins the signature, as JWS wants it, to the signing input.
pub fn join(signing_input: &str, signature: &[u8]) -> String {
    format!("{signing_input}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// Turns the DER form that KMS gives an ECDSA signature into the 64 bytes of JWS (RFC 7518 §3.4).
///
/// # Errors
/// When it is not a signature on P-256.
pub fn ecdsa_from_der(der: &[u8]) -> Result<[u8; 64], CompactError> {
    let read = |der: &[u8]| -> der::Result<[u8; 64]> {
        let mut reader = SliceReader::new(der)?;
        let signature = reader.sequence(|pair| {
            let mut fixed = [0_u8; 64];
            for half in fixed.chunks_exact_mut(32) {
                let number = UintRef::decode(pair)?;
                let bytes = number.as_bytes();
                let start = half.len().checked_sub(bytes.len()).ok_or(der::ErrorKind::Overlength)?;
                half[start..].copy_from_slice(bytes);
            }
            der::Result::Ok(fixed)
        })?;
        reader.finish()?;
        Ok(signature)
    };
    read(der).map_err(|_| CompactError::Signature)
}
