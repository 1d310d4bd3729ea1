//! What a refresh costs apart from AWS: parsing, deciding, rotating, replaying, the signing input.

use std::collections::BTreeSet;
use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use leasehold::client::{Client, ClientType, Settings};
use leasehold::clock::Timestamp;
use leasehold::id::{FamilyId, Kid};
use leasehold::keys::{Algorithm, KeyRing};
use leasehold::policy::Policy;
use leasehold::refresh::family::{Fresh, Grant, Opening, Presentation, Rotated};
use leasehold::refresh::{Family, RefreshToken, Replay, present};
use leasehold::tenant::Tenant;
use leasehold::token::claims::{AccessClaims, Epochs};
use leasehold::token::compact::signing_input;
use leasehold::user::{Profile, User};

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

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

fn access_token(criterion: &mut Criterion) {
    let kid: Kid = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs".parse().expect("a kid");
    let (client, user) = (client(), user());
    let claims = AccessClaims {
        iss: "https://auth.example/t/acme".to_owned(),
        sub: user.id,
        aud: BTreeSet::from(["https://api.example".to_owned()]),
        client_id: client.id,
        exp: NOW.seconds() + 900,
        iat: NOW.seconds(),
        nbf: None,
        jti: "00112233445566778899aabbccddeeff".to_owned(),
        scope: "orders:read orders:write".to_owned(),
        sid: FamilyId::generate(),
        tid: "acme".parse().expect("a tenant id"),
        ep: Epochs { tenant: 0, user: 0 },
        auth_time: NOW.seconds(),
        amr: vec!["pwd".to_owned()],
        roles: BTreeSet::new(),
        permissions: BTreeSet::new(),
        custom: serde_json::Map::new(),
    };
    criterion.bench_function("access token/signing input", |bench| {
        bench.iter(|| signing_input(Algorithm::ES256, &kid, black_box(&claims)));
    });
}

criterion_group!(benches, refresh, access_token);
criterion_main!(benches);
