//! Private halves of wrapped keys, in the memory of a warm function.
//!
//! They are wiped when they are dropped (aws-lc cleanses private keys it frees), they are dropped as soon as the ring
//! of their tenant no longer holds them as a key that may sign, and there are never more than [`MOST`].

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};

use crate::clock::Timestamp;
use crate::id::{Kid, TenantId};
use crate::keys::{Algorithm, Key, KeyRing, KeyState, PublicKey};
use crate::secret::Secret;

/// How many private halves a process keeps at most; an RSA key takes about 3 KB.
const MOST: usize = 512;

/// The private half can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unloadable;

/// A private key that signs in this process.
pub enum LocalKey {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rsa(RsaKeyPair),
    /// ECDSA on P-256, with the fixed-width signatures of JWS.
    P256(EcdsaKeyPair),
    /// Ed25519.
    Ed25519(Ed25519KeyPair),
}

impl fmt::Debug for LocalKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("LocalKey(***)")
    }
}

impl LocalKey {
    /// Reads PKCS #8 (RFC 5208) and makes sure that it is the private half of `key`: a blob put in another's place by
    /// somebody who can write the table must not sign under this key's id.
    pub fn load(key: &Key, pkcs8: &Secret<Vec<u8>>) -> Result<Self, Unloadable> {
        let pkcs8 = pkcs8.expose();
        let unloadable = |_| Unloadable;
        let (loaded, public) = match key.algorithm {
            Algorithm::RS256 => {
                let pair = RsaKeyPair::from_pkcs8(pkcs8).map_err(unloadable)?;
                let public = pair.public_key().as_der().map_err(|_| Unloadable)?.as_ref().to_vec();
                (Self::Rsa(pair), public)
            }
            Algorithm::ES256 => {
                let pair =
                    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8).map_err(unloadable)?;
                let public = pair.public_key().as_der().map_err(|_| Unloadable)?.as_ref().to_vec();
                (Self::P256(pair), public)
            }
            Algorithm::EdDsa => {
                let pair = Ed25519KeyPair::from_pkcs8(pkcs8).map_err(unloadable)?;
                let public = pair.public_key().as_der().map_err(|_| Unloadable)?.as_ref().to_vec();
                (Self::Ed25519(pair), public)
            }
        };
        match PublicKey::from_spki(key.algorithm, &public) {
            Ok(public) if public == key.public => Ok(loaded),
            Ok(_) | Err(_) => Err(Unloadable),
        }
    }

    /// Signs, in the form of JWS (RFC 7518 §3).
    pub fn sign(&self, input: &[u8]) -> Result<Vec<u8>, Unloadable> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, input, &mut signature).map_err(|_| Unloadable)?;
                Ok(signature)
            }
            Self::P256(pair) => {
                pair.sign(&random, input).map(|signature| signature.as_ref().to_vec()).map_err(|_| Unloadable)
            }
            Self::Ed25519(pair) => Ok(pair.sign(input).as_ref().to_vec()),
        }
    }
}

/// The private halves that this process keeps.
#[derive(Debug, Default)]
pub struct LocalKeys {
    kept: Mutex<HashMap<(TenantId, Kid), Arc<LocalKey>>>,
}

impl LocalKeys {
    /// The one of this tenant and id.
    pub fn find(&self, tenant: &TenantId, kid: &Kid) -> Option<Arc<LocalKey>> {
        self.lock().get(&(tenant.clone(), kid.clone())).cloned()
    }

    /// Keeps one. When there are too many, any other leaves: it is decrypted again when it is needed.
    pub fn keep(&self, tenant: &TenantId, kid: &Kid, key: Arc<LocalKey>) {
        let mut kept = self.lock();
        if kept.len() >= MOST
            && let Some(other) = kept.keys().next().cloned()
        {
            kept.remove(&other);
        }
        kept.insert((tenant.clone(), kid.clone()), key);
    }

    /// Drops what the tenant's ring no longer lets sign.
    pub fn keep_only(&self, tenant: &TenantId, ring: &KeyRing, now: Timestamp) {
        let may_sign = |kid: &Kid| {
            ring.find(kid).is_some_and(|key| {
                matches!(key.state(now), KeyState::Pending | KeyState::Active | KeyState::Retiring)
            })
        };
        self.lock().retain(|(owner, kid), _| owner != tenant || may_sign(kid));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(TenantId, Kid), Arc<LocalKey>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{Custody, KeyKind};

    fn pkcs8(algorithm: Algorithm) -> (Secret<Vec<u8>>, PublicKey) {
        use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
        let (private, public) = match algorithm {
            Algorithm::RS256 => {
                let pair = RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
                let private = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).unwrap().as_ref().to_vec();
                (private, pair.public_key().as_der().unwrap().as_ref().to_vec())
            }
            Algorithm::ES256 => {
                let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
                let private = pair.to_pkcs8v1().unwrap().as_ref().to_vec();
                (private, pair.public_key().as_der().unwrap().as_ref().to_vec())
            }
            Algorithm::EdDsa => {
                let pair = Ed25519KeyPair::generate().unwrap();
                let private = pair.to_pkcs8v1().unwrap().as_ref().to_vec();
                (private, pair.public_key().as_der().unwrap().as_ref().to_vec())
            }
        };
        (Secret::new(private), PublicKey::from_spki(algorithm, &public).unwrap())
    }

    fn key(algorithm: Algorithm, public: PublicKey) -> Key {
        let kid = public.thumbprint(algorithm).unwrap();
        let kind = KeyKind { algorithm, custody: Custody::Wrapped };
        Key::made(kind, kid, public, "arn".to_owned(), Timestamp::from_seconds(0))
    }

    #[test]
    fn what_a_local_key_signs_its_public_half_verifies() {
        for algorithm in [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDsa] {
            let (private, public) = pkcs8(algorithm);
            let key = key(algorithm, public);
            let loaded = LocalKey::load(&key, &private).unwrap();
            let token = compact::join("input", &loaded.sign(b"input").unwrap());
            let (_, signature) = token.split_once('.').unwrap();
            let decoding = key.public.decoding_key(algorithm).unwrap();
            let good = jsonwebtoken::crypto::verify(signature, b"input", &decoding, algorithm.into());
            assert!(good.unwrap(), "{algorithm:?}");
            assert_eq!(format!("{loaded:?}"), "LocalKey(***)");
        }
    }

    use crate::token::compact;

    #[test]
    fn a_private_half_of_another_key_is_refused() {
        for algorithm in [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDsa] {
            let ((_, public), (other, _)) = (pkcs8(algorithm), pkcs8(algorithm));
            assert!(LocalKey::load(&key(algorithm, public.clone()), &other).is_err(), "{algorithm:?}");
            for odd in [vec![], vec![0; 64], other.expose()[1..].to_vec()] {
                assert!(LocalKey::load(&key(algorithm, public.clone()), &Secret::new(odd)).is_err());
            }
        }
        let (ed25519, _) = pkcs8(Algorithm::EdDsa);
        let (_, p256) = pkcs8(Algorithm::ES256);
        assert!(LocalKey::load(&key(Algorithm::ES256, p256), &ed25519).is_err(), "of another kind");
    }

    #[test]
    fn a_key_that_left_the_ring_leaves_memory() {
        let now = Timestamp::from_seconds(9);
        let (private, public) = pkcs8(Algorithm::EdDsa);
        let key = key(Algorithm::EdDsa, public);
        let loaded = Arc::new(LocalKey::load(&key, &private).unwrap());
        let (acme, other): (TenantId, TenantId) = ("acme".parse().unwrap(), "other".parse().unwrap());
        let keys = LocalKeys::default();
        keys.keep(&acme, &key.kid, Arc::clone(&loaded));
        keys.keep(&other, &key.kid, loaded);
        let ring = KeyRing::with_first_key(key.clone());
        keys.keep_only(&acme, &ring, now);
        assert!(keys.find(&acme, &key.kid).is_some(), "it still signs");
        let compromised = KeyRing::with_first_key(Key { compromised_at: Some(now), ..key.clone() });
        keys.keep_only(&acme, &compromised, now);
        assert!(keys.find(&acme, &key.kid).is_none(), "it must not");
        keys.keep_only(&other, &KeyRing::default(), now);
        assert!(keys.find(&other, &key.kid).is_none(), "the ring has no such key");
    }
}
