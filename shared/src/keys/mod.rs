//! The life of a tenant's signing keys. A key's state derives from the timestamps in the ring and the present moment,
//! never from a job having run:
//!
//! | State | Published in the JWKS | Signs | Begins |
//! | --- | --- | --- | --- |
//! | pending | yes | no | when it is published |
//! | active | yes | yes, it alone | when it is promoted |
//! | retiring | yes | no | when another key became active |
//! | retired | no | no | when no token it signed can live |
//! | compromised | no | no | when an admin says so, at once |
//!
//! A ring never holds a private key; that stays with the custody of the key.

pub mod jwk;
pub mod life;
pub mod ring;

use serde::{Deserialize, Serialize};

pub use jwk::PublicKey;
pub use life::{Due, Margins, Refused, Switch};
pub use ring::{Key, KeyRing, KeyState};

/// A signature algorithm of access tokens (RFC 7518 §3.1, RFC 8037 §3.1). Each key is used with exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256, 2048-bit keys: what API Gateway's own JWT authorizer accepts.
    RS256,
    /// ECDSA on P-256 with SHA-256.
    ES256,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

impl Algorithm {
    /// The `alg` value on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RS256 => "RS256",
            Self::ES256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }
}

impl From<Algorithm> for jsonwebtoken::Algorithm {
    fn from(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::RS256 => Self::RS256,
            Algorithm::ES256 => Self::ES256,
            Algorithm::EdDsa => Self::EdDSA,
        }
    }
}

/// Who holds the private half of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Custody {
    /// KMS, which never gives it out and signs on request.
    Kms,
    /// The table, encrypted under a key of KMS: a function decrypts it once and signs by itself.
    Wrapped,
}

impl Custody {
    /// The word on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kms => "kms",
            Self::Wrapped => "wrapped",
        }
    }
}

/// What a signing key is made as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyKind {
    /// What it signs with.
    pub algorithm: Algorithm,
    /// Who holds its private half.
    pub custody: Custody,
}
