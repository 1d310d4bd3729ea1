//! A customer's API: verifies an access token offline with an ordinary JWT library (RFC 9068 §4).

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::Value;

use crate::show::Failure;

/// The claims of a good token.
pub fn access_token(token: &str, keys: &JwkSet, issuer: &str, audience: &str) -> Result<Value, Failure> {
    let header = decode_header(token)?;
    if header.typ.as_deref() != Some("at+jwt") {
        return Err("the token's type is not at+jwt".into());
    }
    let kid = header.kid.ok_or("the token names no key")?;
    let jwk = keys.find(&kid).ok_or("the token's key is not published by this tenant")?;
    // The key says which algorithm it is for; the token does not get to choose (RFC 8725 §3.1).
    let algorithm = jwk.common.key_algorithm.ok_or("the key names no algorithm")?;
    let algorithm: Algorithm = algorithm.to_string().parse()?;
    let mut validation = Validation::new(algorithm);
    validation.set_issuer(&[issuer]);
    validation.set_audience(&[audience]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    Ok(decode::<Value>(token, &DecodingKey::from_jwk(jwk)?, &validation)?.claims)
}
