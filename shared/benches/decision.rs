//! What a refresh costs apart from AWS: parsing, deciding, rotating, replaying, signing input, verification. Verification
//! is measured beside the bare signature check of the same key, in the same run.

use std::collections::BTreeSet;
use std::hint::black_box;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use criterion::{Criterion, criterion_group, criterion_main};
use leasehold::client::{Client, ClientType, Settings};
use leasehold::clock::Timestamp;
use leasehold::id::FamilyId;
use leasehold::keys::{Algorithm, Custody, Key, KeyKind, KeyRing, PublicKey};
use leasehold::policy::Policy;
use leasehold::refresh::family::{Fresh, Grant, Opening, Presentation, Rotated};
use leasehold::refresh::{Family, RefreshToken, Replay, present};
use leasehold::tenant::Tenant;
use leasehold::token::claims::{AccessClaims, Epochs};
use leasehold::token::compact::{join, signing_input};
use leasehold::token::verify::Verifier;
use leasehold::user::{Profile, User};

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
const ISSUER: &str = "https://auth.example/t/acme";

fn tenant(ring: KeyRing) -> Tenant {
    Tenant::new("acme".parse().expect("a tenant id"), Policy::default(), ring, NOW)
}

fn client() -> Client {
    Client::new("app".parse().expect("a client id"), ClientType::Public, Settings::default(), NOW).0
}

fn user() -> User {
    User::new("ada".parse().expect("a name"), Profile::default(), NOW)
}

fn open(tenant: &Tenant, client: &Client, user: &User) -> Rotated {
    let grant = Grant {
        user: user.id,
        client: client.id.clone(),
        device: None,
        client_version: None,
        scope: BTreeSet::new(),
        audience: BTreeSet::new(),
        amr: vec!["pwd".to_owned()],
        tenant_epoch: 0,
        user_epoch: 0,
    };
    Family::open(grant, &tenant.policy, Opening::draw(), NOW)
}

fn refresh(criterion: &mut Criterion) {
    let (tenant, client, user) = (tenant(KeyRing::default()), client(), user());
    let Rotated { family, successor: first } = open(&tenant, &client, &user);
    let text = first.encode();
    let presentation =
        |token| Presentation { tenant: &tenant, client: &client, user: Some(&user), token, now: NOW };
    let mut group = criterion.benchmark_group("refresh");
    group.bench_function("parse a token", |bench| bench.iter(|| RefreshToken::parse(black_box(&text))));
    group.bench_function("decide: current token", |bench| {
        bench.iter(|| present(Some(black_box(&family)), presentation(&first)));
    });
    group.bench_function("rotate", |bench| {
        bench.iter(|| black_box(&family).rotate(&tenant, &first, &Fresh::draw(), NOW));
    });
    let rotated = family.rotate(&tenant, &first, &Fresh::draw(), NOW);
    group.bench_function("replay", |bench| {
        bench.iter(|| black_box(&rotated.family).replay(&tenant, &first, Replay::Prompt, NOW));
    });
    let mut aged = rotated;
    for _ in 0..1000 {
        aged = aged.family.rotate(&tenant, &aged.successor, &Fresh::draw(), NOW);
    }
    group.bench_function("decide: 1,000 generations old", |bench| {
        bench.iter(|| present(Some(black_box(&aged.family)), presentation(&first)));
    });
    group.finish();
}

enum Signer {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Signer {
    fn new(algorithm: Algorithm) -> (Self, Vec<u8>) {
        const SPKI: &str = "a public key has an SPKI form";
        const MADE: &str = "a key can be made";
        match algorithm {
            Algorithm::RS256 => {
                let pair = RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).expect(MADE);
                let spki = pair.public_key().as_der().expect(SPKI).as_ref().to_vec();
                (Self::Rsa(pair), spki)
            }
            Algorithm::ES256 => {
                let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect(MADE);
                let spki = pair.public_key().as_der().expect(SPKI).as_ref().to_vec();
                (Self::P256(pair), spki)
            }
            Algorithm::EdDsa => {
                let pair = Ed25519KeyPair::generate().expect(MADE);
                let spki = pair.public_key().as_der().expect(SPKI).as_ref().to_vec();
                (Self::Ed25519(pair), spki)
            }
        }
    }

    fn sign(&self, input: &[u8]) -> Vec<u8> {
        const SIGNED: &str = "the key signs";
        let rng = SystemRandom::new();
        match self {
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &rng, input, &mut signature).expect(SIGNED);
                signature
            }
            Self::P256(pair) => pair.sign(&rng, input).expect(SIGNED).as_ref().to_vec(),
            Self::Ed25519(pair) => pair.sign(input).as_ref().to_vec(),
        }
    }
}

fn access_token(criterion: &mut Criterion) {
    for algorithm in [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDsa] {
        let (signer, spki) = Signer::new(algorithm);
        let public = PublicKey::from_spki(algorithm, &spki).expect("a public key of this kind");
        let kid = public.thumbprint(algorithm).expect("a thumbprint");
        let kind = KeyKind { algorithm, custody: Custody::Kms };
        let key = Key::made(kind, kid.clone(), public, String::new(), NOW);
        let decoding_key = key.public.decoding_key(algorithm).expect("a key that verifies");
        let tenant = tenant(KeyRing::with_first_key(key));
        let (client, user) = (client(), user());
        let claims = AccessClaims {
            iss: ISSUER.to_owned(),
            sub: user.id,
            aud: BTreeSet::from(["https://api.example".to_owned()]),
            client_id: client.id,
            exp: NOW.seconds() + 900,
            iat: NOW.seconds(),
            nbf: None,
            jti: "00112233445566778899aabbccddeeff".to_owned(),
            scope: "orders:read orders:write".to_owned(),
            sid: FamilyId::generate(),
            tid: tenant.id.clone(),
            ep: Epochs { tenant: 0, user: 0 },
            auth_time: NOW.seconds(),
            amr: vec!["pwd".to_owned()],
            roles: BTreeSet::new(),
            permissions: BTreeSet::new(),
            custom: serde_json::Map::new(),
        };
        let input = signing_input(algorithm, &kid, &claims).expect("the claims fit");
        let token = join(&input, &signer.sign(input.as_bytes()));
        let signature = token.rsplit('.').next().expect("a signature");
        let mut group = criterion.benchmark_group(format!("access token {}", algorithm.name()));
        group.bench_function("signing input", |bench| {
            bench.iter(|| signing_input(algorithm, &kid, black_box(&claims)));
        });
        group.bench_function("bare signature check", |bench| {
            bench.iter(|| {
                jsonwebtoken::crypto::verify(
                    signature,
                    black_box(input.as_bytes()),
                    &decoding_key,
                    algorithm.into(),
                )
            });
        });
        let verifier = Verifier {
            tenant: &tenant.id,
            issuer: ISSUER,
            ring: &tenant.ring,
            audience: "https://api.example",
        };
        group.bench_function("verify", |bench| bench.iter(|| verifier.verify(black_box(&token), NOW)));
        group.finish();
    }
}

criterion_group!(benches, refresh, access_token);
criterion_main!(benches);
