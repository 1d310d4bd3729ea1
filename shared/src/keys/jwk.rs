//! Public keys: from the SPKI form that KMS gives to JWK members, thumbprints and key sets (RFC 7517, RFC 7638).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, PublicKeyUse, ThumbprintHash};
use serde::{Deserialize, Serialize};

use super::Algorithm;
use crate::id::Kid;

/// What KMS gave is not a public key of the wanted algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a public key for {}", .0.name())]
pub struct InvalidPublicKey(pub Algorithm);

/// The public half of a signing key, as JWK members (RFC 7518 §6, RFC 8037 §2). All members are base64url.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kty")]
pub enum PublicKey {
    /// An RSA key.
    #[serde(rename = "RSA")]
    Rsa {
        /// Modulus.
        n: String,
        /// Exponent.
        e: String,
    },
    /// A point on P-256.
    #[serde(rename = "EC")]
    P256 {
        /// First coordinate.
        x: String,
        /// Second coordinate.
        y: String,
    },
    /// An Ed25519 key.
    #[serde(rename = "OKP")]
    Ed25519 {
        /// The encoded point.
        x: String,
    },
}

impl PublicKey {
    /// Reads the DER-encoded SubjectPublicKeyInfo that KMS gives.
    ///
    /// # Errors
    /// When it is not a public key of `algorithm`.
    pub fn from_spki(algorithm: Algorithm, der: &[u8]) -> Result<Self, InvalidPublicKey> {
        let invalid = |_| InvalidPublicKey(algorithm);
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der));
        let key = match algorithm {
            Algorithm::RS256 => DecodingKey::from_rsa_pem(pem.as_bytes()),
            Algorithm::ES256 => DecodingKey::from_ec_pem(pem.as_bytes()),
            Algorithm::EdDsa => DecodingKey::from_ed_pem(pem.as_bytes()),
        }
        .map_err(invalid)?;
        let jwk = Jwk::from_decoding_key(&key, Some(algorithm.into())).map_err(invalid)?;
        match (algorithm, jwk.algorithm) {
            (Algorithm::RS256, AlgorithmParameters::RSA(rsa)) => Ok(Self::Rsa { n: rsa.n, e: rsa.e }),
            (Algorithm::ES256, AlgorithmParameters::EllipticCurve(ec)) => Ok(Self::P256 { x: ec.x, y: ec.y }),
            (Algorithm::EdDsa, AlgorithmParameters::OctetKeyPair(okp)) => Ok(Self::Ed25519 { x: okp.x }),
            _ => Err(InvalidPublicKey(algorithm)),
        }
    }

    /// The RFC 7638 thumbprint: the key's id on the wire.
    ///
    /// # Errors
    /// When the members are not a key.
    pub fn thumbprint(&self, algorithm: Algorithm) -> Result<Kid, InvalidPublicKey> {
        let jwk: Jwk = serde_json::from_value(self.members()).map_err(|_| InvalidPublicKey(algorithm))?;
        let text = jwk.thumbprint(ThumbprintHash::SHA256).map_err(|_| InvalidPublicKey(algorithm))?;
        text.parse().map_err(|_| InvalidPublicKey(algorithm))
    }

    /// The key ready to verify signatures.
    ///
    /// # Errors
    /// When the members are not a key of `algorithm`.
    pub fn decoding_key(&self, algorithm: Algorithm) -> Result<DecodingKey, InvalidPublicKey> {
        match (algorithm, self) {
            (Algorithm::RS256, Self::Rsa { n, e }) => DecodingKey::from_rsa_components(n, e),
            (Algorithm::ES256, Self::P256 { x, y }) => DecodingKey::from_ec_components(x, y),
            (Algorithm::EdDsa, Self::Ed25519 { x }) => DecodingKey::from_ed_components(x),
            _ => return Err(InvalidPublicKey(algorithm)),
        }
        .map_err(|_| InvalidPublicKey(algorithm))
    }

    /// The entry of a key set (RFC 7517 §4).
    ///
    /// # Errors
    /// When the members are not a key of `algorithm`.
    pub fn jwk(&self, kid: &Kid, algorithm: Algorithm) -> Result<Jwk, InvalidPublicKey> {
        let key = self.decoding_key(algorithm)?;
        let mut jwk =
            Jwk::from_decoding_key(&key, Some(algorithm.into())).map_err(|_| InvalidPublicKey(algorithm))?;
        jwk.common.key_id = Some(kid.as_str().to_owned());
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        Ok(jwk)
    }

    fn members(&self) -> serde_json::Value {
        match self {
            Self::Rsa { n, e } => serde_json::json!({ "kty": "RSA", "n": n, "e": e }),
            Self::P256 { x, y } => serde_json::json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y }),
            Self::Ed25519 { x } => serde_json::json!({ "kty": "OKP", "crv": "Ed25519", "x": x }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_7638_has_its_thumbprint() {
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        let key = PublicKey::Rsa { n: n.to_owned(), e: "AQAB".to_owned() };
        assert_eq!(
            key.thumbprint(Algorithm::RS256).unwrap().as_str(),
            "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
        );
    }

    #[test]
    fn each_kind_of_key_is_published_as_what_it_is_and_as_nothing_else() {
        // The examples of RFC 7638 §3.1, RFC 7517 appendix A.1 and RFC 8037 appendix A.2.
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        let keys = [
            (Algorithm::RS256, PublicKey::Rsa { n: n.to_owned(), e: "AQAB".to_owned() }, "RSA"),
            (
                Algorithm::ES256,
                PublicKey::P256 {
                    x: "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4".to_owned(),
                    y: "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM".to_owned(),
                },
                "EC",
            ),
            (
                Algorithm::EdDsa,
                PublicKey::Ed25519 { x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo".to_owned() },
                "OKP",
            ),
        ];
        let kid: Kid = "A".repeat(43).parse().unwrap();
        for (algorithm, key, kind) in &keys {
            let jwk = serde_json::to_value(key.jwk(&kid, *algorithm).unwrap()).unwrap();
            let said = ["kty", "alg", "use", "kid"].map(|member| jwk[member].as_str().unwrap_or_default());
            assert_eq!(said, [*kind, algorithm.name(), "sig", kid.as_str()]);
            for (other, ..) in keys.iter().filter(|(other, ..)| other != algorithm) {
                assert!(key.decoding_key(*other).is_err(), "{kind} for {}", other.name());
            }
        }
    }

    #[test]
    fn a_key_of_another_kind_is_refused() {
        let key = PublicKey::Ed25519 { x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo".to_owned() };
        assert!(key.decoding_key(Algorithm::EdDsa).is_ok());
        assert!(key.decoding_key(Algorithm::RS256).is_err());
        assert!(PublicKey::from_spki(Algorithm::RS256, b"nonsense").is_err());
        assert!(PublicKey::from_spki(Algorithm::ES256, &[]).is_err());
    }
}
