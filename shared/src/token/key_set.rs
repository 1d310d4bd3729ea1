//! The keys by which a tenant's tokens are verified, ready for use: parsed once, not with every token.
//!
//! It must never hold a key of another tenant than the one it was made for, and never use a key with another algorithm
//! than the one recorded for it (RFC 8725 §3.1).

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, OnceLock};

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::Value;

use crate::clock::Timestamp;
use crate::id::Kid;
use crate::keys::{Algorithm, KeyRing, PublicKey};

/// The most keys that are taken from a published set.
pub const MAX_KEYS: usize = 64;

/// A document is not a key set, or one that nobody should trust.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a key set: {0}")]
pub struct InvalidKeySet(&'static str);

/// A public key with its one algorithm.
pub struct VerifyingKey {
    kid: Kid,
    algorithm: Algorithm,
    public: PublicKey,
    /// `None` inside: the members are no key. Parsed at the first use, so that a ring read for one request parses one.
    ready: OnceLock<Option<ParsedPublicKey>>,
}

impl VerifyingKey {
    fn new(kid: Kid, algorithm: Algorithm, public: PublicKey) -> Self {
        Self { kid, algorithm, public, ready: OnceLock::new() }
    }

    /// Its id.
    pub const fn kid(&self) -> &Kid {
        &self.kid
    }

    /// The one algorithm it is used with.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether this is its signature over the message: raw bytes, for ECDSA the 64 of RFC 7518 §3.4.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let ready = self.ready.get_or_init(|| parse(self.algorithm, &self.public));
        ready.as_ref().is_some_and(|key| key.verify_sig(message, signature).is_ok())
    }

    fn is(&self, other: &Self) -> bool {
        self.kid == other.kid && self.algorithm == other.algorithm && self.public == other.public
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("VerifyingKey")
            .field("kid", &self.kid)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

/// The library checks what a key must be: a modulus of 2048 bits or more, a point that lies on the curve (RFC 8725 §3.4).
fn parse(algorithm: Algorithm, public: &PublicKey) -> Option<ParsedPublicKey> {
    let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
    match (algorithm, public) {
        (Algorithm::RS256, PublicKey::Rsa { n, e }) => RsaPublicKeyComponents { n: bytes(n)?, e: bytes(e)? }
            .to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
            .ok(),
        (Algorithm::ES256, PublicKey::P256 { x, y }) => {
            let (x, y) = (bytes(x)?, bytes(y)?);
            let point = [&[4], x.as_slice(), y.as_slice()].concat();
            let whole = x.len() == 32 && y.len() == 32;
            whole.then(|| ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).ok()).flatten()
        }
        (Algorithm::EdDsa, PublicKey::Ed25519 { x }) => {
            let point = bytes(x)?;
            (point.len() == 32).then(|| ParsedPublicKey::new(&ED25519, point).ok()).flatten()
        }
        (Algorithm::RS256 | Algorithm::ES256 | Algorithm::EdDsa, _) => None,
    }
}

/// The keys of one tenant at one moment.
#[derive(Clone, Debug, Default)]
pub struct KeySet(Vec<Arc<VerifyingKey>>);

impl KeySet {
    /// The keys of a ring whose signatures are to be accepted at `now`.
    pub fn of(ring: &KeyRing, now: Timestamp) -> Self {
        Self(
            ring.published(now)
                .map(|key| Arc::new(VerifyingKey::new(key.kid.clone(), key.algorithm, key.public.clone())))
                .collect(),
        )
    }

    /// Every key of a ring, those included that are no longer published: to tell a person what a token was signed with.
    /// Nothing that guards anything may verify by it.
    pub fn whole(ring: &KeyRing) -> Self {
        Self(
            ring.iter()
                .map(|key| Arc::new(VerifyingKey::new(key.kid.clone(), key.algorithm, key.public.clone())))
                .collect(),
        )
    }

    /// Reads a published set (RFC 7517 §5). Keys of kinds that are not ours are passed over, and so is one that is
    /// marked for another use or holds a private part.
    ///
    /// # Errors
    /// When it is no such document, names one id twice or holds more than [`MAX_KEYS`] keys.
    pub fn read(document: &[u8]) -> Result<Self, InvalidKeySet> {
        #[derive(Deserialize)]
        struct Document {
            keys: Vec<Value>,
        }
        let document: Document =
            serde_json::from_slice(document).map_err(|_| InvalidKeySet("no JSON of that form"))?;
        if document.keys.len() > MAX_KEYS {
            return Err(InvalidKeySet("too many keys"));
        }
        let keys: Vec<_> = document.keys.iter().filter_map(entry).map(Arc::new).collect();
        let kids: BTreeSet<_> = keys.iter().map(|key| &key.kid).collect();
        if kids.len() == keys.len() { Ok(Self(keys)) } else { Err(InvalidKeySet("an id stands twice")) }
    }

    /// The same set, with what `earlier` has parsed already.
    #[must_use]
    pub fn taking_over(self, earlier: &Self) -> Self {
        let kept =
            |key: Arc<VerifyingKey>| earlier.0.iter().find(|known| known.is(&key)).cloned().unwrap_or(key);
        Self(self.0.into_iter().map(kept).collect())
    }

    /// The same set without the keys that are not named.
    #[must_use]
    pub fn only(&self, kids: &[Kid]) -> Self {
        Self(self.0.iter().filter(|key| kids.contains(&key.kid)).cloned().collect())
    }

    /// The key of this id. Compared with ids in memory, and never looked up elsewhere.
    pub fn find(&self, kid: &str) -> Option<&VerifyingKey> {
        self.0.iter().find(|key| key.kid.as_str() == kid).map(AsRef::as_ref)
    }

    /// The keys.
    pub fn iter(&self) -> impl Iterator<Item = &VerifyingKey> {
        self.0.iter().map(AsRef::as_ref)
    }
}

/// One entry of a published set, if it is a key of ours.
fn entry(jwk: &Value) -> Option<VerifyingKey> {
    let member = |name: &str| jwk.get(name).and_then(Value::as_str);
    if jwk.get("use").is_some_and(|used| used != "sig") || jwk.get("d").is_some() {
        return None;
    }
    let kid = member("kid")?.parse().ok()?;
    let algorithm = match (member("kty")?, member("crv")) {
        ("RSA", None) => Algorithm::RS256,
        ("EC", Some("P-256")) => Algorithm::ES256,
        ("OKP", Some("Ed25519")) => Algorithm::EdDsa,
        _ => return None,
    };
    if jwk.get("alg").is_some_and(|alg| alg != algorithm.name()) {
        return None;
    }
    let public = serde_json::from_value(jwk.clone()).ok()?;
    Some(VerifyingKey::new(kid, algorithm, public))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const KID: &str = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs";
    /// RFC 8037 appendix A.2.
    const POINT: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

    fn okp() -> Value {
        json!({ "kty": "OKP", "crv": "Ed25519", "x": POINT, "kid": KID, "alg": "EdDSA", "use": "sig" })
    }

    fn read(keys: &[Value]) -> Result<KeySet, InvalidKeySet> {
        KeySet::read(json!({ "keys": keys }).to_string().as_bytes())
    }

    #[test]
    fn the_example_of_rfc_8037_verifies() {
        let set = read(&[okp()]).unwrap();
        let key = set.find(KID).unwrap();
        let message = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
        let signature = URL_SAFE_NO_PAD
            .decode("hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg")
            .unwrap();
        assert!(key.verifies(message, &signature));
        assert!(!key.verifies(b"another", &signature));
    }

    #[test]
    fn keys_that_are_not_ours_are_passed_over() {
        let with = |name: &str, value: Value| {
            let mut key = okp();
            key[name] = value;
            key
        };
        let rows = [
            with("use", json!("enc")),
            with("d", json!("AA")),
            with("kid", json!("short")),
            with("kid", json!(7)),
            with("kty", json!("oct")),
            with("crv", json!("X25519")),
            with("alg", json!("ES256")),
            with("alg", json!("HS256")),
            with("x", json!(null)),
            json!("a text"),
            json!({ "kty": "oct", "k": "AA", "kid": KID, "alg": "HS256" }),
        ];
        for row in rows {
            assert!(read(std::slice::from_ref(&row)).unwrap().find(KID).is_none(), "{row}");
            assert!(read(&[json!({}), okp()]).unwrap().find(KID).is_some(), "beside one that is");
        }
    }

    #[test]
    fn documents_that_are_no_key_set_are_refused() {
        for text in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[{"kid":1}"#, "<html>"] {
            assert!(KeySet::read(text.as_bytes()).is_err(), "{text}");
        }
        assert!(read(&[okp(), okp()]).is_err(), "one id twice");
        assert!(read(&vec![json!({}); MAX_KEYS + 1]).is_err());
    }

    #[test]
    fn a_point_off_the_curve_and_a_short_modulus_verify_nothing() {
        let zeros = URL_SAFE_NO_PAD.encode([0_u8; 32]);
        let off = json!({ "kty": "EC", "crv": "P-256", "x": zeros, "y": zeros, "kid": KID });
        let small =
            json!({ "kty": "RSA", "n": URL_SAFE_NO_PAD.encode([0xff; 128]), "e": "AQAB", "kid": KID });
        let long =
            json!({ "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode([1; 33]), "kid": KID });
        for key in [off, small, long] {
            let set = read(&[key]).unwrap();
            assert!(!set.find(KID).unwrap().verifies(b"m", &[0; 64]));
        }
    }

    #[test]
    fn what_was_parsed_is_taken_over_only_for_the_same_key() {
        let earlier = read(&[okp()]).unwrap();
        let _parsed = earlier.find(KID).unwrap().verifies(b"", &[]);
        let later = read(&[okp()]).unwrap().taking_over(&earlier);
        assert!(later.find(KID).unwrap().ready.get().is_some());
        let mut other = okp();
        other["x"] = json!(URL_SAFE_NO_PAD.encode([7; 32]));
        let later = read(&[other]).unwrap().taking_over(&earlier);
        assert!(later.find(KID).unwrap().ready.get().is_none(), "another key under the same id");
        assert!(earlier.only(&[]).find(KID).is_none());
    }
}
