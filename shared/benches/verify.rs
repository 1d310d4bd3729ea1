//! What a warm decision on an access token costs, beside the bare signature check of the same token with the same parsed
//! key in the same run.

use std::hint::black_box;
use std::time::Instant;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use criterion::{Criterion, criterion_group, criterion_main};
use leasehold::clock::Timestamp;
use leasehold::id::{FamilyId, TenantId};
use leasehold::keys::{Algorithm, PublicKey};
use leasehold::revocation::Revocation;
use leasehold::revoked::{Entry, Revoked};
use leasehold::token::KeySet;
use leasehold::token::compact::join;
use leasehold::token::verify::Expected;
use leasehold::view::View;
use serde_json::json;

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
const ISSUER: &str = "https://auth.example/t/acme";
const AUDIENCE: &str = "https://api.acme.example";

type Sign = Box<dyn Fn(&[u8]) -> Vec<u8>>;

/// A key pair: its public half as DER, and its private half as what signs.
fn key_pair(algorithm: Algorithm) -> (Vec<u8>, Sign) {
    const SPKI: &str = "a public key has an SPKI form";
    const MADE: &str = "a key can be made";
    const SIGNED: &str = "the key signs";
    match algorithm {
        Algorithm::RS256 => {
            let pair = RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).expect(MADE);
            let spki = pair.public_key().as_der().expect(SPKI).as_ref().to_vec();
            let sign = move |input: &[u8]| {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), input, &mut signature).expect(SIGNED);
                signature
            };
            (spki, Box::new(sign))
        }
        Algorithm::ES256 => {
            let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect(MADE);
            let spki = pair.public_key().as_der().expect(SPKI).as_ref().to_vec();
            let sign =
                move |input: &[u8]| pair.sign(&SystemRandom::new(), input).expect(SIGNED).as_ref().to_vec();
            (spki, Box::new(sign))
        }
        Algorithm::EdDsa => {
            let pair = Ed25519KeyPair::generate().expect(MADE);
            let spki = pair.public_key().as_der().expect(SPKI).as_ref().to_vec();
            (spki, Box::new(move |input: &[u8]| pair.sign(input).as_ref().to_vec()))
        }
    }
}

/// A token as login issues it, and the set of the one key that signed it.
fn token(algorithm: Algorithm) -> (String, KeySet) {
    let (spki, sign) = key_pair(algorithm);
    let public = PublicKey::from_spki(algorithm, &spki).expect("a public key of this kind");
    let kid = public.thumbprint(algorithm).expect("a thumbprint");
    let jwk = public.jwk(&kid, algorithm).expect("an entry of a key set");
    let set = json!({ "keys": [jwk] }).to_string();
    let header = json!({ "typ": "at+jwt", "alg": algorithm.name(), "kid": kid });
    let claims = json!({
        "iss": ISSUER, "sub": "usr_00112233445566778899aabbccddeeff", "aud": [ISSUER, AUDIENCE],
        "client_id": "acme-app", "exp": NOW.seconds() + 900, "iat": NOW.seconds(),
        "jti": "00112233445566778899aabbccddeeff", "scope": "offline_access orders:read orders:write profile",
        "sid": "00112233445566778899aabbccddeeff", "tid": "acme", "ep": "0.0", "auth_time": NOW.seconds(),
        "amr": ["pwd"], "roles": ["user"], "plan": "gold",
    });
    let part = |json: serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let input = format!("{}.{}", part(header), part(claims));
    (join(&input, &sign(input.as_bytes())), KeySet::read(set.as_bytes()).expect("a key set"))
}

/// A tenant of which much is revoked.
fn view(keys: KeySet) -> View {
    let mut revoked = Revoked::new(20_000);
    for _ in 0..10_000 {
        let revocation = Revocation::Session { sid: FamilyId::generate() };
        revoked.add(&Entry { at: NOW, revocation }, NOW).expect("there is room");
    }
    View { keys, revoked }
}

fn verify(criterion: &mut Criterion) {
    let tenant: TenantId = "acme".parse().expect("a tenant id");
    let mut lines = Vec::new();
    for algorithm in [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDsa] {
        let (token, keys) = token(algorithm);
        let (input, signature) = token.rsplit_once('.').expect("three parts");
        let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
        let view = view(keys.clone());
        let key = keys.iter().next().expect("one key");
        let expected = Expected { tenant: &tenant, issuer: ISSUER, audience: AUDIENCE };
        let bare = || key.verifies(black_box(input.as_bytes()), black_box(&signature));
        let decide = || view.decide(expected, black_box(&token), NOW).is_ok();
        assert!(bare() && decide(), "the token is good");
        let mut group = criterion.benchmark_group(algorithm.name());
        group.bench_function("bare signature", |bench| bench.iter(bare));
        group.bench_function("decision", |bench| bench.iter(decide));
        group.finish();
        lines.push(format!("{:<6} decision / bare signature = {:.3}", algorithm.name(), ratio(bare, decide)));
    }
    println!("\nTaken turn and turn about, medians of {ROUNDS} rounds:\n{}", lines.join("\n"));
}

const ROUNDS: usize = 200;

/// How much longer `b` takes than `a`. Both are measured in short turns, so that what slows the machine slows both.
fn ratio(a: impl Fn() -> bool, b: impl Fn() -> bool) -> f64 {
    let time = |work: &dyn Fn() -> bool| {
        let began = Instant::now();
        for _ in 0..50 {
            black_box(work());
        }
        began.elapsed().as_secs_f64()
    };
    let mut ratios: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let bare = time(&a);
            time(&b) / bare
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    ratios[ROUNDS / 2]
}

criterion_group!(benches, verify);
criterion_main!(benches);
