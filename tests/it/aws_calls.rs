//! How many AWS calls a request takes, counted at the proxy, not claimed.

use std::fs;

use leasehold_tests::http::Call;
use leasehold_tests::proxy::{Proxy, Seen};
use leasehold_tests::settings::repository;
use leasehold_tests::stack::{Setup, Stack};
use leasehold_tests::tenant::{BACKEND, PASSWORD, Tenant, USER};

use crate::support::report;

struct World {
    proxy: Proxy,
    _stack: Stack,
    tenant: Tenant,
}

async fn world() -> World {
    let proxy = Proxy::start();
    let stack = Setup::default().through(&proxy).start();
    let tenant = Tenant::create(&stack).await;
    // Warm: every function has served a request.
    let session = tenant.login().await;
    let session = tenant.rotate(&session.refresh).await;
    tenant.jwks().await;
    tenant.sessions(&session.access).await.expect(200);
    tenant.revoke(&session.refresh).await.expect(200);
    World { proxy, _stack: stack, tenant }
}

fn sorted(seen: &[Seen]) -> Vec<&str> {
    let mut operations: Vec<&str> = seen.iter().map(|seen| seen.operation.as_str()).collect();
    operations.sort_unstable();
    operations
}

const WRITES: &[&str] = &["PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems"];

#[tokio::test]
async fn a_function_that_starts_asks_for_nothing_and_waits_for_nothing() {
    let world = world().await;
    assert_eq!(world.proxy.cut_short(), 0, "a request whose body never came holds the start up");
    let started = world.proxy.since(0);
    // The table answers what it takes for a health check, KMS knows no such method.
    for (service, status) in [("dynamodb", 200), ("kms", 405)] {
        let unnamed = started.iter().filter(|seen| seen.operation.is_empty() && seen.service == service);
        let answers: Vec<_> = unnamed.map(|seen| (seen.method.as_str(), seen.status)).collect();
        assert!(answers.len() >= 4, "{service}: {answers:?}");
        assert!(answers.iter().all(|answer| *answer == ("GET", Some(status))), "{service}: {answers:?}");
    }
}

#[tokio::test]
async fn a_refresh_is_one_batch_read_one_signature_and_one_write_at_any_generation() {
    let world = world().await;
    let mut session = world.tenant.login().await;
    for generation in 1..=30 {
        let mark = world.proxy.mark();
        session = world.tenant.rotate(&session.refresh).await;
        let seen = world.proxy.since(mark);
        let operations: Vec<&str> = seen.iter().map(|seen| seen.operation.as_str()).collect();
        assert_eq!(operations.len(), 3, "generation {generation}: {operations:?}");
        assert_eq!(operations[..2], ["BatchGetItem", "Sign"], "read, sign, then write");
        assert!(["UpdateItem", "PutItem"].contains(&operations[2]), "{operations:?}");
        let own = format!("T#{}", world.tenant.name);
        let below = format!("{own}#");
        for partition in seen.iter().flat_map(|seen| &seen.partitions) {
            assert!(*partition == own || partition.starts_with(&below), "{partition} is not the tenant's");
        }
        assert!(
            seen[0].body.to_string().contains(r#""ConsistentRead":true"#),
            "a read that decides is consistent"
        );
    }
}

#[tokio::test]
async fn a_replay_takes_no_more_calls_than_a_rotation() {
    let world = world().await;
    let session = world.tenant.login().await;
    world.tenant.rotate(&session.refresh).await;
    for _ in 0..3 {
        let mark = world.proxy.mark();
        world.tenant.rotate(&session.refresh).await;
        let count = world.proxy.since(mark).len();
        assert!(count <= 3, "{:?}", world.proxy.operations_since(mark));
    }
}

#[tokio::test]
async fn a_login_takes_a_fixed_number_of_calls_however_many_sessions_and_users_there_are() {
    let world = world().await;
    let mut counts = Vec::new();
    for _ in 0..12 {
        let mark = world.proxy.mark();
        world.tenant.login().await;
        let seen = world.proxy.since(mark);
        assert_eq!(sorted(&seen).iter().filter(|operation| **operation == "Sign").count(), 1);
        counts.push(seen.len());
    }
    let (least, most) = (counts.iter().min(), counts.iter().max());
    report(&[format!("AWS calls of a login: {counts:?}")]);
    assert!(most <= Some(&10) && least >= Some(&4), "{counts:?}");
    assert!(counts[11] <= counts[0], "no growth with sessions: {counts:?}");
}

#[tokio::test]
async fn a_revocation_is_one_read_and_one_transaction() {
    let world = world().await;
    let session = world.tenant.login().await;
    let mark = world.proxy.mark();
    world.tenant.revoke(&session.refresh).await.expect(200);
    let operations = world.proxy.operations_since(mark);
    assert_eq!(operations.len(), 2, "{operations:?}");
    assert!(["BatchGetItem", "GetItem"].contains(&operations[0].as_str()), "{operations:?}");
    assert_eq!(operations[1], "TransactWriteItems");
}

#[tokio::test]
async fn the_key_set_takes_at_most_one_read_and_never_kms() {
    let world = world().await;
    let urls =
        [world.tenant.url("/.well-known/jwks.json"), world.tenant.url("/.well-known/openid-configuration")];
    for url in urls {
        for _ in 0..3 {
            let mark = world.proxy.mark();
            Call::get(&url).send(&world.tenant.http).await.expect(200);
            let operations = world.proxy.operations_since(mark);
            assert!(operations.len() <= 1, "{operations:?}");
            assert!(operations.iter().all(|operation| operation == "GetItem" || operation == "BatchGetItem"));
        }
    }
}

/// The operations that a row of the documentation names, sorted.
fn documented(route: &str) -> Vec<String> {
    let text = fs::read_to_string(repository().join("shared/docs/performance.md")).expect("performance.md");
    let start = format!("| {route} | ");
    let mut table = text.lines().skip_while(|line| *line != "## AWS calls");
    let row = table.find_map(|line| line.strip_prefix(start.as_str())).expect("a row of the table");
    let words = row.split(|c: char| !c.is_ascii_alphabetic());
    // The row says "at once" and "the hash" too: operations are the words with a capital letter.
    let mut operations: Vec<String> =
        words.filter(|word| word.starts_with(|c: char| c.is_ascii_uppercase())).map(str::to_owned).collect();
    operations.sort_unstable();
    operations
}

#[tokio::test]
async fn the_documented_calls_are_those_that_are_made() {
    let world = world().await;
    let tenant = &world.tenant;
    let (session, other) = (tenant.login_for("openid read").await, tenant.login().await);
    let introspect = |token: &str| {
        Call::post(tenant.url("/introspect")).basic(BACKEND, &tenant.secret).form(&[("token", token)])
    };
    let userinfo = || Call::get(tenant.url("/userinfo")).bearer(&session.access);
    let feed = || Call::get(tenant.url("/.well-known/revocations"));
    for call in [introspect(&session.access), userinfo(), feed()] {
        call.send(&tenant.http).await.expect(200);
    }
    let login = serde_json::json!({"client_id": "shop-app", "username": USER, "password": PASSWORD});
    let rows = [
        ("login", Call::post(tenant.url("/login")).json(&login)),
        ("refresh", tenant.refresh_call(&other.refresh)),
        ("refresh, first replay", tenant.refresh_call(&other.refresh)),
        ("refresh, further replays", tenant.refresh_call(&other.refresh)),
        ("GET /sessions", Call::get(tenant.url("/sessions")).bearer(&session.access)),
        ("jwks", Call::get(tenant.url("/.well-known/jwks.json"))),
        ("introspect, access token", introspect(&session.access)),
        ("introspect, refresh token", introspect(&session.refresh)),
        ("userinfo", userinfo()),
        (
            "revoke",
            Call::post(tenant.url("/revoke")).form(&[("client_id", "shop-app"), ("token", &session.refresh)]),
        ),
    ];
    for (route, call) in rows {
        let mark = world.proxy.mark();
        call.send(&tenant.http).await.expect(200);
        let seen = world.proxy.since(mark);
        assert_eq!(sorted(&seen), documented(route), "{route}");
    }
    // The feed reads a partition for each ten minutes of the longest access-token life, 3,600 s by default.
    let mark = world.proxy.mark();
    feed().send(&tenant.http).await.expect(200);
    let operations = world.proxy.operations_since(mark);
    assert_eq!(operations[0], "BatchGetItem");
    assert!((7..=8).contains(&operations[1..].len()), "{operations:?}");
    assert!(operations[1..].iter().all(|operation| operation == "Query"), "{operations:?}");
}

#[tokio::test]
async fn a_refusal_writes_nothing() {
    let world = world().await;
    let tenant = &world.tenant;
    let session = tenant.login().await;
    let mut forged = session.token();
    forged.secret[0] ^= 1;
    let mut unknown = session.token();
    unknown.family[0] ^= 1;
    for (what, token) in
        [("rubbish", "x".to_owned()), ("a wrong secret", forged.encode()), ("no family", unknown.encode())]
    {
        let mark = world.proxy.mark();
        tenant.refuses(&token).await;
        tenant.revoke(&token).await.expect(200);
        tenant.confirm(&token).await.expect(204);
        let operations = world.proxy.operations_since(mark);
        assert!(
            !operations.iter().any(|name| WRITES.contains(&name.as_str()) || name == "Sign"),
            "{what}: {operations:?}"
        );
    }
    let mark = world.proxy.mark();
    tenant.sessions("x").await.expect(401);
    let spoiled = format!("{}x", session.access);
    tenant.sessions(&spoiled).await.expect(401);
    assert!(!world.proxy.operations_since(mark).iter().any(|name| WRITES.contains(&name.as_str())));
    tenant.login_as(USER, PASSWORD).await.expect(200);
}

#[tokio::test]
async fn a_token_that_is_none_costs_no_call_for_its_family() {
    let world = world().await;
    let mark = world.proxy.mark();
    world.tenant.refuses("lhr_rubbish").await;
    let operations = world.proxy.operations_since(mark);
    assert!(operations.len() <= 1, "a malformed token is told by its checksum: {operations:?}");
}

#[tokio::test]
async fn nothing_ever_scans() {
    let world = world().await;
    world.tenant.login().await;
    let operations = world.proxy.operations_since(0);
    assert!(!operations.iter().any(|operation| operation == "Scan"), "cost must grow with requests");
}
