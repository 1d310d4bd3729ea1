//! Key specs, key material and what each spec can sign.
//!
//! Nothing here knows ids, states or files: a material is made, saved, loaded and used. It must never show its
//! private part except through [`Material::to_private_bytes`].

use aws_lc_rs::{
    digest::{self, Digest},
    encoding::{AsDer, PublicKeyX509Der},
    error::Unspecified,
    rand,
    rsa::KeySize,
    signature::{
        self, ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair,
        KeyPair, RsaEncoding, RsaKeyPair, RsaParameters, UnparsedPublicKey,
    },
};
use serde::{Deserialize, Serialize};

use super::refusal::Refusal;

/// The key specs this KMS has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum KeySpec {
    #[serde(rename = "SYMMETRIC_DEFAULT")]
    Symmetric,
    #[serde(rename = "RSA_2048")]
    Rsa2048,
    #[serde(rename = "RSA_3072")]
    Rsa3072,
    #[serde(rename = "RSA_4096")]
    Rsa4096,
    #[serde(rename = "ECC_NIST_P256")]
    P256,
    #[serde(rename = "ECC_NIST_EDWARDS25519")]
    Ed25519,
}

const SPECS: [KeySpec; 6] = [
    KeySpec::Symmetric,
    KeySpec::Rsa2048,
    KeySpec::Rsa3072,
    KeySpec::Rsa4096,
    KeySpec::P256,
    KeySpec::Ed25519,
];

/// Specs of KMS that this KMS refuses by name.
const SPECS_ELSEWHERE: [&str; 12] = [
    "ECC_NIST_P384",
    "ECC_NIST_P521",
    "ECC_SECG_P256K1",
    "HMAC_224",
    "HMAC_256",
    "HMAC_384",
    "HMAC_512",
    "SM2",
    "ML_DSA_44",
    "ML_DSA_65",
    "ML_DSA_87",
    "ML_KEM_768",
];

impl KeySpec {
    /// Reads the wire name; `member` is the field that carried it.
    pub(super) fn parse(name: &str, member: &str) -> Result<Self, Refusal> {
        if let Some(spec) = SPECS.into_iter().find(|spec| spec.name() == name) {
            return Ok(spec);
        }
        if SPECS_ELSEWHERE.contains(&name) {
            return Err(Refusal::Unsupported(format!(
                "The key spec {name} is not part of the embedded KMS."
            )));
        }
        Err(Refusal::constraint(
            member,
            &format!("satisfy enum value set: [{}]", SPECS.map(Self::name).join(", ")),
        ))
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Symmetric => "SYMMETRIC_DEFAULT",
            Self::Rsa2048 => "RSA_2048",
            Self::Rsa3072 => "RSA_3072",
            Self::Rsa4096 => "RSA_4096",
            Self::P256 => "ECC_NIST_P256",
            Self::Ed25519 => "ECC_NIST_EDWARDS25519",
        }
    }

    /// The one usage a key of this spec has here.
    pub(super) fn usage(self) -> &'static str {
        match self {
            Self::Symmetric => "ENCRYPT_DECRYPT",
            _ => "SIGN_VERIFY",
        }
    }

    pub(super) fn signing_algorithms(self) -> Vec<&'static str> {
        ALGORITHMS.iter().filter(|(_, algorithm)| algorithm.fits(self)).map(|(name, _)| *name).collect()
    }
}

/// A signing algorithm of this KMS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SigningAlgorithm {
    RsaPkcs1(Hash),
    RsaPss(Hash),
    EcdsaSha256,
    Ed25519,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

const ALGORITHMS: [(&str, SigningAlgorithm); 8] = [
    ("RSASSA_PKCS1_V1_5_SHA_256", SigningAlgorithm::RsaPkcs1(Hash::Sha256)),
    ("RSASSA_PKCS1_V1_5_SHA_384", SigningAlgorithm::RsaPkcs1(Hash::Sha384)),
    ("RSASSA_PKCS1_V1_5_SHA_512", SigningAlgorithm::RsaPkcs1(Hash::Sha512)),
    ("RSASSA_PSS_SHA_256", SigningAlgorithm::RsaPss(Hash::Sha256)),
    ("RSASSA_PSS_SHA_384", SigningAlgorithm::RsaPss(Hash::Sha384)),
    ("RSASSA_PSS_SHA_512", SigningAlgorithm::RsaPss(Hash::Sha512)),
    ("ECDSA_SHA_256", SigningAlgorithm::EcdsaSha256),
    ("ED25519_SHA_512", SigningAlgorithm::Ed25519),
];

/// Algorithms of KMS that no key of this KMS can use.
const ALGORITHMS_ELSEWHERE: [&str; 4] = ["ECDSA_SHA_384", "ECDSA_SHA_512", "SM2DSA", "ML_DSA_SHAKE_256"];

impl SigningAlgorithm {
    /// Finds the algorithm for a key of `spec`, or refuses it as KMS does.
    pub(super) fn for_spec(name: &str, spec: KeySpec) -> Result<Self, Refusal> {
        let incompatible = || {
            Refusal::InvalidKeyUsage(format!(
                "Algorithm {name} is incompatible with key spec {}.",
                spec.name()
            ))
        };
        match ALGORITHMS.iter().find(|(known, _)| *known == name) {
            Some((_, algorithm)) if algorithm.fits(spec) => Ok(*algorithm),
            Some(_) => Err(incompatible()),
            None if ALGORITHMS_ELSEWHERE.contains(&name) => Err(incompatible()),
            None if name == "ED25519_PH_SHA_512" && spec == KeySpec::Ed25519 => {
                Err(Refusal::Unsupported("ED25519_PH_SHA_512 is not part of the embedded KMS.".to_owned()))
            }
            None if name == "ED25519_PH_SHA_512" => Err(incompatible()),
            None => Err(Refusal::constraint(
                "signingAlgorithm",
                &format!("satisfy enum value set: [{}]", ALGORITHMS.map(|(name, _)| name).join(", ")),
            )),
        }
    }

    fn fits(self, spec: KeySpec) -> bool {
        match self {
            Self::RsaPkcs1(_) | Self::RsaPss(_) => {
                matches!(spec, KeySpec::Rsa2048 | KeySpec::Rsa3072 | KeySpec::Rsa4096)
            }
            Self::EcdsaSha256 => spec == KeySpec::P256,
            Self::Ed25519 => spec == KeySpec::Ed25519,
        }
    }

    /// The digest it signs; Ed25519 signs the message itself (RFC 8032 §5.1).
    pub(super) fn digest(self) -> Option<&'static digest::Algorithm> {
        match self {
            Self::RsaPkcs1(Hash::Sha256) | Self::RsaPss(Hash::Sha256) | Self::EcdsaSha256 => {
                Some(&digest::SHA256)
            }
            Self::RsaPkcs1(Hash::Sha384) | Self::RsaPss(Hash::Sha384) => Some(&digest::SHA384),
            Self::RsaPkcs1(Hash::Sha512) | Self::RsaPss(Hash::Sha512) => Some(&digest::SHA512),
            Self::Ed25519 => None,
        }
    }

    fn rsa(self) -> Option<(&'static dyn RsaEncoding, &'static RsaParameters)> {
        match self {
            Self::RsaPkcs1(Hash::Sha256) => {
                Some((&signature::RSA_PKCS1_SHA256, &signature::RSA_PKCS1_2048_8192_SHA256))
            }
            Self::RsaPkcs1(Hash::Sha384) => {
                Some((&signature::RSA_PKCS1_SHA384, &signature::RSA_PKCS1_2048_8192_SHA384))
            }
            Self::RsaPkcs1(Hash::Sha512) => {
                Some((&signature::RSA_PKCS1_SHA512, &signature::RSA_PKCS1_2048_8192_SHA512))
            }
            Self::RsaPss(Hash::Sha256) => {
                Some((&signature::RSA_PSS_SHA256, &signature::RSA_PSS_2048_8192_SHA256))
            }
            Self::RsaPss(Hash::Sha384) => {
                Some((&signature::RSA_PSS_SHA384, &signature::RSA_PSS_2048_8192_SHA384))
            }
            Self::RsaPss(Hash::Sha512) => {
                Some((&signature::RSA_PSS_SHA512, &signature::RSA_PSS_2048_8192_SHA512))
            }
            Self::EcdsaSha256 | Self::Ed25519 => None,
        }
    }
}

/// What a signature is made over.
pub(super) enum Signable {
    Digest(Digest),
    Message(Vec<u8>),
}

/// A key that was generated or loaded.
#[derive(Debug)]
pub(super) enum Material {
    Symmetric(Secret),
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// The bytes of a symmetric key; `Debug` shows none.
pub(super) struct Secret(pub(super) [u8; 32]);

impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Secret")
    }
}

impl Material {
    /// Generates a key; slow for RSA.
    pub(super) fn generate(spec: KeySpec) -> Result<Self, Unspecified> {
        Ok(match spec {
            KeySpec::Symmetric => {
                let mut bytes = [0; 32];
                rand::fill(&mut bytes)?;
                Self::Symmetric(Secret(bytes))
            }
            KeySpec::Rsa2048 => Self::Rsa(RsaKeyPair::generate(KeySize::Rsa2048)?),
            KeySpec::Rsa3072 => Self::Rsa(RsaKeyPair::generate(KeySize::Rsa3072)?),
            KeySpec::Rsa4096 => Self::Rsa(RsaKeyPair::generate(KeySize::Rsa4096)?),
            KeySpec::P256 => Self::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)?),
            KeySpec::Ed25519 => Self::Ed25519(Ed25519KeyPair::generate()?),
        })
    }

    /// Loads what [`Self::to_private_bytes`] gave; nothing if it is no key of that spec.
    pub(super) fn load(spec: KeySpec, bytes: &[u8]) -> Option<Self> {
        let rsa = |size: KeySize| {
            RsaKeyPair::from_pkcs8(bytes)
                .ok()
                .filter(|key| key.public_modulus_len() == size.len())
                .map(Self::Rsa)
        };
        match spec {
            KeySpec::Symmetric => Some(Self::Symmetric(Secret(bytes.try_into().ok()?))),
            KeySpec::Rsa2048 => rsa(KeySize::Rsa2048),
            KeySpec::Rsa3072 => rsa(KeySize::Rsa3072),
            KeySpec::Rsa4096 => rsa(KeySize::Rsa4096),
            KeySpec::P256 => {
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, bytes).ok().map(Self::P256)
            }
            KeySpec::Ed25519 => Ed25519KeyPair::from_pkcs8(bytes).ok().map(Self::Ed25519),
        }
    }

    /// The private key: PKCS#8 as KMS hands data keys out, or the bare 32 bytes of a symmetric key.
    pub(super) fn to_private_bytes(&self) -> Result<Vec<u8>, Unspecified> {
        Ok(match self {
            Self::Symmetric(secret) => secret.0.to_vec(),
            Self::Rsa(key) => key.as_der()?.as_ref().to_vec(),
            Self::P256(key) => key.to_pkcs8v1()?.as_ref().to_vec(),
            Self::Ed25519(key) => key.to_pkcs8v1()?.as_ref().to_vec(),
        })
    }

    /// The public key as SubjectPublicKeyInfo (RFC 5280 §4.1), which a symmetric key does not have.
    pub(super) fn to_public_der(&self) -> Result<Vec<u8>, Unspecified> {
        let der: PublicKeyX509Der<'_> = match self {
            Self::Symmetric(_) => return Err(Unspecified),
            Self::Rsa(key) => key.public_key().as_der()?,
            Self::P256(key) => key.public_key().as_der()?,
            Self::Ed25519(key) => key.public_key().as_der()?,
        };
        Ok(der.as_ref().to_vec())
    }

    /// Signs; ECDSA comes out as DER (RFC 3279 §2.2.3), as from KMS.
    pub(super) fn sign(&self, algorithm: SigningAlgorithm, over: &Signable) -> Result<Vec<u8>, Unspecified> {
        match (self, over) {
            (Self::Rsa(key), Signable::Digest(digest)) => {
                let (encoding, _) = algorithm.rsa().ok_or(Unspecified)?;
                let mut made = vec![0; key.public_modulus_len()];
                key.sign_digest(encoding, digest, &mut made)?;
                Ok(made)
            }
            (Self::P256(key), Signable::Digest(digest)) => Ok(key.sign_digest(digest)?.as_ref().to_vec()),
            (Self::Ed25519(key), Signable::Message(message)) => Ok(key.try_sign(message)?.as_ref().to_vec()),
            _ => Err(Unspecified),
        }
    }

    /// Says whether `signature` is this key's.
    pub(super) fn verify(&self, algorithm: SigningAlgorithm, over: &Signable, signature: &[u8]) -> bool {
        match (self, over) {
            (Self::Rsa(key), Signable::Digest(digest)) => algorithm.rsa().is_some_and(|(_, parameters)| {
                let public = UnparsedPublicKey::new(parameters, key.public_key().as_ref());
                public.verify_digest(digest, signature).is_ok()
            }),
            (Self::P256(key), Signable::Digest(digest)) => {
                let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key.public_key().as_ref());
                public.verify_digest(digest, signature).is_ok()
            }
            (Self::Ed25519(key), Signable::Message(message)) => {
                UnparsedPublicKey::new(&ED25519, key.public_key().as_ref()).verify(message, signature).is_ok()
            }
            _ => false,
        }
    }
}
