//! What the fuzz targets share. Everything is fixed: a crash found is a crash repeated.

use std::sync::OnceLock;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use leasehold::clock::Timestamp;
use leasehold::id::TenantId;
use leasehold::keys::{Algorithm, KeyRing, PublicKey};
use leasehold::token::KeySet;
use serde_json::json;

/// The time by which everything is decided.
pub const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
/// The issuer of the one tenant.
pub const ISSUER: &str = "https://auth.example/t/acme";
/// The audience that must be named.
pub const AUDIENCE: &str = "api";

/// The one tenant with its one key.
pub struct Bench {
    /// The tenant.
    pub tenant: TenantId,
    /// Its keys.
    pub keys: KeySet,
    /// The private half.
    pub pair: Ed25519KeyPair,
    /// How the key is called.
    pub kid: String,
}

/// The bench, made once.
pub fn bench() -> &'static Bench {
    static BENCH: OnceLock<Bench> = OnceLock::new();
    BENCH.get_or_init(|| {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("32 bytes are a seed");
        let spki = pair.public_key().as_der().expect("a public key has a DER form").as_ref().to_vec();
        let public = PublicKey::from_spki(Algorithm::EdDsa, &spki).expect("an Ed25519 key");
        let kid = public.thumbprint(Algorithm::EdDsa).expect("a key has a thumbprint").to_string();
        // As the table holds it, so that new members with defaults change nothing here.
        let ring = json!([{
            "kid": kid, "algorithm": "EdDSA", "custody": "kms", "public": public, "arn": "arn",
            "published_at": NOW.millis() - 1000, "active_from": NOW.millis() - 1000,
        }]);
        let ring: KeyRing = serde_json::from_value(ring).expect("a ring as it is stored");
        Bench { tenant: "acme".parse().expect("a tenant's name"), keys: KeySet::of(&ring, NOW), pair, kid }
    })
}
