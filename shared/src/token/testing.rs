//! Private keys and claims for the tests of whatever verifies.

use std::collections::BTreeSet;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use serde_json::json;

use super::claims::{AccessClaims, Epochs};
use super::compact::ecdsa_from_der;
use crate::clock::Timestamp;
use crate::id::{ClientId, FamilyId, UserId};
use crate::keys::Algorithm;

/// When the tests play.
pub const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
/// Whose tokens they are about.
pub const ISSUER: &str = "https://auth.example/t/acme";

/// A private key of each kind.
pub enum Signer {
    /// RS256.
    Rsa(RsaKeyPair),
    /// ES256.
    P256(EcdsaKeyPair),
    /// EdDSA.
    Ed25519(Ed25519KeyPair),
}

impl Signer {
    /// A new one, and its public half as DER.
    pub fn generate(algorithm: Algorithm) -> (Self, Vec<u8>) {
        match algorithm {
            Algorithm::RS256 => {
                let pair = RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
                let spki = pair.public_key().as_der().unwrap().as_ref().to_vec();
                (Self::Rsa(pair), spki)
            }
            Algorithm::ES256 => {
                let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
                let spki = pair.public_key().as_der().unwrap().as_ref().to_vec();
                (Self::P256(pair), spki)
            }
            Algorithm::EdDsa => {
                let pair = Ed25519KeyPair::generate().unwrap();
                let spki = pair.public_key().as_der().unwrap().as_ref().to_vec();
                (Self::Ed25519(pair), spki)
            }
        }
    }

    /// Signs as JWS wants it.
    pub fn sign(&self, input: &[u8]) -> Vec<u8> {
        let rng = SystemRandom::new();
        match self {
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &rng, input, &mut signature).unwrap();
                signature
            }
            Self::P256(pair) => ecdsa_from_der(pair.sign(&rng, input).unwrap().as_ref()).unwrap().to_vec(),
            Self::Ed25519(pair) => pair.sign(input).as_ref().to_vec(),
        }
    }

    /// Signs as KMS does.
    pub fn der(&self, input: &[u8]) -> Vec<u8> {
        match self {
            Self::P256(pair) => pair.sign(&SystemRandom::new(), input).unwrap().as_ref().to_vec(),
            Self::Rsa(_) | Self::Ed25519(_) => self.sign(input),
        }
    }
}

/// The claims of a good token.
pub fn claims() -> AccessClaims {
    AccessClaims {
        iss: ISSUER.to_owned(),
        sub: UserId::from_bytes([1; 16]),
        aud: BTreeSet::from(["api".to_owned()]),
        client_id: "app".parse::<ClientId>().unwrap(),
        exp: NOW.seconds() + 900,
        iat: NOW.seconds(),
        nbf: None,
        jti: "j".to_owned(),
        scope: "read".to_owned(),
        sid: FamilyId::from_bytes([2; 16]),
        tid: "acme".parse().unwrap(),
        ep: Epochs { tenant: 1, user: 2 },
        auth_time: NOW.seconds(),
        amr: vec!["pwd".to_owned()],
        roles: BTreeSet::new(),
        permissions: BTreeSet::new(),
        custom: serde_json::Map::from_iter([("plan".to_owned(), json!("gold"))]),
    }
}
