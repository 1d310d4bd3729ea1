//! The authorizer before the sample API: whom it lets in, how it refuses, what it costs, what it does in an outage.

use leasehold_tests::clock::Clock;
use leasehold_tests::http::{Call, Reply};
use leasehold_tests::proxy::{Action, Proxy, Rule};
use leasehold_tests::stack::{Setup, Stack, shared};
use leasehold_tests::tenant::Tenant;
use leasehold_tests::token::Jwt;
use serde_json::{Value, json};

use crate::forge::Forger;
use crate::support::{seconds, timed};

const INVALID: &str = r#"Bearer realm="leasehold", error="invalid_token""#;

fn message(text: &str) -> Value {
    json!({ "message": text })
}

#[track_caller]
fn forbidden(reply: &Reply, what: &str) {
    assert_eq!((reply.status, reply.json()), (403, message("Forbidden")), "{what}: {reply}");
}

/// The challenge of an answer of the annotated route, with its status.
fn challenge(reply: &Reply) -> (u16, &str) {
    (reply.status, reply.header("www-authenticate"))
}

async fn order(tenant: &Tenant, access: &str) -> Reply {
    Call::post(tenant.url("/sample/orders")).bearer(access).json(&json!({})).send(&tenant.http).await
}

#[tokio::test]
async fn who_has_the_scope_comes_in_and_the_api_knows_who_it_is() {
    for algorithm in ["RS256", "ES256", "EdDSA"] {
        let tenant = Tenant::create_with(shared(), algorithm, json!({})).await;
        let session = tenant.login().await;
        let subject = session.jwt().claim("sub");
        let orders = tenant.orders(&session.access).await.expect(200).json();
        assert_eq!(orders["of"], subject.as_str(), "{algorithm}");
        assert_eq!(order(&tenant, &session.access).await.expect(201).json()["by"], subject.as_str());
        let me = tenant.me(&session.access).await.expect(200).json();
        assert_eq!((&me["tenant"], &me["subject"]), (&json!(tenant.name), &json!(subject)));
        assert!(me["scope"].as_str().is_some_and(|scope| scope.contains("orders:read")), "{me}");
    }
}

#[tokio::test]
async fn a_scope_that_is_missing_is_forbidden_even_right_after_one_that_is_not() {
    let tenant = Tenant::create(shared()).await;
    let session = tenant.login_for("orders:read").await;
    tenant.orders(&session.access).await.expect(200);
    // The gateway keeps the result that it just had, for this token and this path; the method is another.
    forbidden(&order(&tenant, &session.access).await, "writing with the scope to read");
    tenant.me(&session.access).await.expect(200);
    let other = tenant.login_for("orders:write").await;
    order(&tenant, &other.access).await.expect(201);
    forbidden(&tenant.orders(&other.access).await, "reading with the scope to write");
}

#[tokio::test]
async fn where_the_authorizer_decides_refusals_are_the_gateways() {
    let (tenant, other) = (Tenant::create(shared()).await, Tenant::create(shared()).await);
    let session = tenant.login().await;
    let url = tenant.url("/sample/orders");
    let none = Call::get(&url).send(&tenant.http).await;
    assert_eq!((none.status, none.json()), (401, message("Unauthorized")));
    for (what, call) in [
        ("rubbish", Call::get(&url).bearer("x")),
        ("a refresh token", Call::get(&url).bearer(&session.refresh)),
        ("another scheme", Call::get(&url).basic("a", "b")),
        ("a spoilt signature", Call::get(&url).bearer(&format!("{}A", session.access))),
        ("another tenant's token", Call::get(&url).bearer(&other.login().await.access)),
        ("an admin's token", Call::get(&url).bearer(&tenant.admin().await.token)),
        ("a backend's, for another API", Call::get(&url).bearer(&tenant.login_backend().await.access)),
        ("two tokens", Call::get(&url).bearer(&session.access).bearer(&session.access)),
    ] {
        forbidden(&call.send(&tenant.http).await, what);
    }
    let query = Call::get(format!("{url}?access_token={}", session.access)).send(&tenant.http).await;
    assert_eq!(query.status, 401, "a token in the query is none (RFC 6750 §2.3): {query}");
    tenant.orders(&session.access).await.expect(200);
}

#[tokio::test]
async fn where_it_annotates_the_api_answers_with_the_challenge() {
    let (tenant, other) = (Tenant::create(shared()).await, Tenant::create(shared()).await);
    let session = tenant.login().await;
    let url = tenant.url("/sample/me");
    let bare = r#"Bearer realm="leasehold""#;
    for (what, call, answer) in [
        ("no token", Call::get(&url), (401, bare)),
        ("another scheme", Call::get(&url).basic("a", "b"), (401, bare)),
        ("rubbish", Call::get(&url).bearer("x"), (401, INVALID)),
        ("another tenant's", Call::get(&url).bearer(&other.login().await.access), (401, INVALID)),
        ("an admin's", Call::get(&url).bearer(&tenant.admin().await.token), (401, INVALID)),
        ("two tokens", Call::get(&url).bearer(&session.access).bearer(&session.access), (400, "")),
    ] {
        let reply = call.send(&tenant.http).await;
        assert_eq!(challenge(&reply), answer, "{what}: {reply}");
    }
    tenant.me(&session.access).await.expect(200);
}

#[tokio::test]
async fn a_token_that_is_over_is_challenged_so_that_the_phone_refreshes() {
    let timed = timed().await;
    let tenant = Tenant::with_policy(&timed.stack, json!({"access_token_seconds": 60})).await;
    let session = tenant.login().await;
    tenant.orders(&session.access).await.expect(200);
    timed.clock.advance(seconds(61));
    forbidden(&tenant.orders(&session.access).await, "expired");
    assert_eq!(challenge(&tenant.me(&session.access).await), (401, INVALID));
    let next = tenant.rotate(&session.refresh).await;
    tenant.orders(&next.access).await.expect(200);
    tenant.me(&next.access).await.expect(200);
    let lines = timed.stack.logs();
    assert!(lines.contains(r#""reason":"expired""#), "the reason is counted");
    assert!(!lines.contains(&session.access), "and the token is not logged");
}

#[tokio::test]
async fn tenants_that_are_none_or_not_served_let_nobody_in() {
    let stack = shared();
    let tenant = Tenant::create(stack).await;
    let session = tenant.login().await;
    for name in ["nobody-here", "UPPER", "a%2Fb", "x"] {
        let url = |path: &str| format!("{}/t/{name}{path}", stack.base_url());
        let orders = Call::get(url("/sample/orders")).bearer(&session.access).send(&tenant.http).await;
        forbidden(&orders, name);
        let me = Call::get(url("/sample/me")).bearer(&session.access).send(&tenant.http).await;
        assert_eq!(challenge(&me), (401, INVALID), "{name}: {me}");
    }
}

/// A stack behind a proxy, with a clock to move.
struct Bench {
    proxy: Proxy,
    clock: Clock,
    stack: Stack,
}

fn bench() -> Bench {
    let (proxy, clock) = (Proxy::start(), Clock::start());
    // Counts of decisions are written with requests too: not here, where calls are counted.
    let stack = Setup::default()
        .through(&proxy)
        .clock(&clock)
        .function_env("HEALTH_FLUSH_SECONDS", "1000000")
        .start();
    Bench { proxy, clock, stack }
}

#[tokio::test]
async fn between_two_polls_a_decision_makes_no_call() {
    let Bench { proxy, clock, stack } = bench();
    let tenant = Tenant::create(&stack).await;
    let session = tenant.login().await;
    tenant.me(&session.access).await.expect(200);
    for round in 0..5 {
        clock.advance(seconds(2));
        let mark = proxy.mark();
        // The clock of the stack goes on by itself: these take less than two seconds together, or it polls once more.
        let began = clock.now();
        for _ in 0..20 {
            tenant.me(&session.access).await.expect(200);
        }
        let polls = usize::try_from(1 + (clock.now() - began + 1) / 2).expect("few");
        let operations = proxy.operations_since(mark);
        let reads = operations.iter().filter(|name| *name == "BatchGetItem").count();
        let queries = operations.iter().filter(|name| *name == "Query").count();
        assert!(reads >= 1 && reads <= polls, "round {round}: one read per poll: {operations:?}");
        assert!(queries <= 2 * polls, "round {round}: a query, two at the border of buckets: {operations:?}");
        assert_eq!(reads + queries, operations.len(), "round {round}: {operations:?}");
    }
}

#[tokio::test]
async fn in_an_outage_it_decides_for_as_long_as_revocations_may_be_late_and_then_refuses_to() {
    let Bench { proxy, clock, stack } = bench();
    let tenant = Tenant::create(&stack).await;
    let session = tenant.login().await;
    tenant.me(&session.access).await.expect(200);
    proxy.inject(Rule::any(Action::Error("InternalServerError")));
    clock.advance(seconds(2));
    tenant.me(&session.access).await.expect(200);
    clock.advance(seconds(3));
    let me = tenant.me(&session.access).await;
    assert_eq!((me.status, me.json()["error"].clone()), (503, json!("temporarily_unavailable")), "{me}");
    assert!(!me.header("retry-after").is_empty(), "{me}");
    let orders = tenant.orders(&session.access).await;
    assert_eq!(orders.status, 500, "never a 4xx for trouble of ours: {orders}");
    proxy.heal();
    tenant.me(&session.access).await.expect(200);
    tenant.orders(&session.access).await.expect(200);
}

#[tokio::test]
async fn trouble_can_be_told_to_refuse() {
    let proxy = Proxy::start();
    let stack = Setup::default().through(&proxy).function_env("AUTHORIZER_TROUBLE", "refuse").start();
    let tenant = Tenant::create(&stack).await;
    let session = tenant.login().await;
    proxy.inject(Rule::any(Action::Error("InternalServerError")));
    forbidden(&tenant.orders(&session.access).await, "nothing can be decided");
    proxy.heal();
    tenant.me(&session.access).await.expect(200);
}

#[tokio::test]
async fn a_flood_of_made_up_keys_and_tenants_costs_little_and_disturbs_nobody() {
    let Bench { proxy, clock, stack } = bench();
    let tenant = Tenant::create_with(&stack, "EdDSA", json!({})).await;
    let session = tenant.login().await;
    tenant.me(&session.access).await.expect(200);
    let stranger = |jwt: &Jwt, n: usize| {
        let mut jwt = jwt.clone();
        jwt.header["kid"] = json!(format!("{n:A>43}"));
        jwt.encode()
    };
    let jwt = session.jwt();
    let (mark, began) = (proxy.mark(), clock.now());
    for n in 0..300 {
        assert_eq!(tenant.me(&stranger(&jwt, n)).await.status, 401);
        if n % 50 == 0 {
            tenant.me(&session.access).await.expect(200);
        }
    }
    let reads =
        |mark: usize| proxy.operations_since(mark).iter().filter(|name| *name == "BatchGetItem").count();
    let allowed = usize::try_from(2 + (clock.now() - began) / 2).expect("few");
    assert!(reads(mark) <= allowed, "{} reads for 300 made-up keys, {allowed} allowed", reads(mark));

    let mark = proxy.mark();
    for n in 0..100 {
        let mut jwt = jwt.clone();
        let name = format!("made-up-{}", n % 10);
        jwt.claims["tid"] = json!(name);
        jwt.claims["iss"] = json!(format!("{}/t/{name}", stack.base_url()));
        jwt.claims["aud"] = json!([format!("https://api.{name}.example")]);
        let url = format!("{}/t/{name}/sample/me", stack.base_url());
        let reply = Call::get(url).bearer(&jwt.encode()).send(&tenant.http).await;
        assert_eq!(challenge(&reply), (401, INVALID));
    }
    assert!(reads(mark) <= 10, "one per name: {}", reads(mark));
    let mark = proxy.mark();
    for n in 0..100 {
        let url = format!("{}/t/made-up-{}/sample/me", stack.base_url(), 100 + n);
        assert_eq!(Call::get(url).bearer(&session.access).send(&tenant.http).await.status, 401);
    }
    assert_eq!(reads(mark), 0, "a token that names another tenant causes no look-up");
    tenant.me(&session.access).await.expect(200);
}

#[tokio::test]
async fn a_tenant_created_after_its_name_was_tried_is_known_after_the_cool_down() {
    let Bench { proxy: _proxy, clock, stack } = bench();
    let known = Tenant::create_with(&stack, "EdDSA", json!({})).await;
    let name = leasehold_tests::tenant::fresh_name();
    let mut jwt = known.login().await.jwt();
    jwt.claims["tid"] = json!(name);
    jwt.claims["iss"] = json!(format!("{}/t/{name}", stack.base_url()));
    jwt.claims["aud"] = json!([format!("https://api.{name}.example")]);
    let url = format!("{}/t/{name}/sample/me", stack.base_url());
    let reply = Call::get(&url).bearer(&jwt.encode()).send(&known.http).await;
    assert_eq!(challenge(&reply), (401, INVALID));
    let tenant = Tenant::create_named(&stack, &name, "ES256", json!({})).await;
    let session = tenant.login().await;
    assert_eq!(tenant.me(&session.access).await.status, 401, "remembered as nobody");
    clock.advance(seconds(30));
    tenant.me(&session.access).await.expect(200);
}

#[tokio::test]
async fn a_signature_that_is_good_is_not_enough() {
    let tenant = Tenant::create_with(shared(), "EdDSA", json!({})).await;
    let forger = Forger::of(shared(), &tenant).await;
    let good = tenant.login().await.jwt();
    tenant.me(&forger.sign(&good).await).await.expect(200);
    for (member, value) in [
        ("aud", json!([tenant.issuer])),
        ("aud", json!(format!("https://api.{}.example", tenant.name))),
        ("scope", json!("")),
        ("scope", json!("orders:readorders:read")),
        ("tid", json!("globex")),
        ("ep", json!("-1.0")),
    ] {
        let mut jwt = good.clone();
        jwt.claims[member] = value.clone();
        forbidden(&tenant.orders(&forger.sign(&jwt).await).await, &format!("{member} = {value}"));
    }
    let mut id_token = good.clone();
    id_token.header["typ"] = json!("JWT");
    assert_eq!(challenge(&tenant.me(&forger.sign(&id_token).await).await), (401, INVALID));
}
