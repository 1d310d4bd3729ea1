//! Signing in: what a good login gives, what a bad one learns (nothing), and what many bad ones can't do.

use std::time::Instant;

use leasehold_tests::clock::now;
use leasehold_tests::http::{Call, Reply};
use leasehold_tests::proxy::Proxy;
use leasehold_tests::stack::{Setup, Stack, shared};
use leasehold_tests::tenant::{
    ADMIN, ADMIN_PASSWORD, API, APP, BACKEND, PASSWORD, Session, Tenant, USER, fresh_name,
};
use serde_json::{Value, json};

use crate::support::{minutes, report, timed, together};

async fn login(tenant: &Tenant, body: &Value) -> Reply {
    Call::post(tenant.url("/login")).json(body).send(&tenant.http).await
}

#[tokio::test]
async fn a_login_answers_what_a_client_needs() {
    let tenant = Tenant::create(shared()).await;
    let reply = tenant.login_as(USER, PASSWORD).await.expect(200);
    assert_eq!(reply.header("cache-control"), "no-store");
    let session = Session::from_reply(&reply);
    let body = &session.body;
    assert_eq!(body["token_type"], "Bearer");
    assert_eq!(body["expires_in"], 900);
    assert_eq!(session.sid, session.token().session());
    assert_eq!(session.sid.len(), 32);
    for member in ["refresh_token_expires_in", "refresh_after", "server_time", "session_expires_at"] {
        assert!(body[member].is_i64(), "{member} in {body}");
    }
    assert!(body.get("rotation").is_none_or(Value::is_null), "only a refresh rotates");
}

#[tokio::test]
async fn an_access_token_is_an_rfc_9068_token_in_every_algorithm() {
    for algorithm in ["RS256", "ES256", "EdDSA"] {
        let tenant = Tenant::create_with(shared(), algorithm, json!({})).await;
        let session = tenant.login().await;
        let claims = tenant.verify(&session.access).await.expect("it verifies");
        let jwt = session.jwt();
        assert_eq!(jwt.header["typ"], "at+jwt");
        assert_eq!(jwt.header["alg"], algorithm);
        assert_eq!(jwt.header.as_object().expect("an object").len(), 3, "typ, alg, kid and nothing else");
        assert_eq!(claims["iss"], tenant.issuer.as_str());
        assert_eq!(claims["tid"], tenant.name.as_str());
        assert_eq!(claims["sub"], session.token().subject().as_str());
        assert_eq!(claims["client_id"], APP);
        assert_eq!(claims["sid"], session.sid.as_str());
        assert_eq!(claims["scope"], session.body["scope"]);
        let audiences = claims["aud"].to_string();
        assert!(audiences.contains(API) && audiences.contains(&tenant.issuer), "{audiences}");
        let (iat, exp) = (claims["iat"].as_i64().expect("iat"), claims["exp"].as_i64().expect("exp"));
        assert!((iat - now()).abs() <= 5 && exp == iat + 900, "{claims}");
        assert!(claims["jti"].as_str().is_some_and(|jti| jti.len() >= 16), "{claims}");
        assert!(claims["auth_time"].is_i64() && claims["amr"].is_array(), "{claims}");
        assert_eq!(claims["roles"], json!(["user"]));
        assert!(claims.get("permissions").is_none(), "left out when empty: {claims}");
        let epochs = claims["ep"].as_str().expect("ep");
        let numbers: Vec<_> = epochs.split('.').map(str::parse::<u32>).collect();
        assert!(numbers.len() == 2 && numbers.iter().all(Result::is_ok), "{epochs}");
        assert!(session.access.len() < 4096);
        assert!(!claims.to_string().contains("argon2"), "no hash in a token");
    }
}

#[tokio::test]
async fn the_granted_scope_is_no_more_than_client_and_request_allow() {
    let tenant = Tenant::create(shared()).await;
    let body =
        |scope: &str| json!({"client_id": APP, "username": USER, "password": PASSWORD, "scope": scope});
    assert_eq!(login(&tenant, &body("read")).await.expect(200).string("scope"), "read");
    let greedy = login(&tenant, &body("read admin:keys admin:users")).await;
    match greedy.status {
        200 => assert_eq!(greedy.string("scope"), "read"),
        _ => assert_eq!(greedy.error(), "invalid_scope"),
    }
}

#[tokio::test]
async fn every_login_opens_a_family_of_its_own() {
    let tenant = Tenant::create(shared()).await;
    let (first, second) = (tenant.login().await, tenant.login().await);
    assert_ne!(first.sid, second.sid);
    assert_eq!(first.token().user, second.token().user);
    tenant.rotate(&first.refresh).await;
    tenant.rotate(&second.refresh).await;
}

#[tokio::test]
async fn nobody_can_tell_why_a_login_failed() {
    let tenant = Tenant::create(shared()).await;
    tenant.add_user(shared(), "dora", "harbor-Pencil 2 sphinx").await;
    let disable = json!({"op": "user.disable", "tenant": tenant.name, "username": "dora"});
    shared().operator(&tenant.http, &disable).await;
    let suspended = Tenant::create(shared()).await;
    let suspend = json!({"op": "tenant.suspend", "tenant": suspended.name});
    shared().operator(&tenant.http, &suspend).await;
    let mut nowhere = tenant.clone();
    nowhere.name = fresh_name();
    let nowhere_url = format!("{}/t/{}/login", shared().base_url(), nowhere.name);
    let credentials = json!({"client_id": APP, "username": USER, "password": PASSWORD});
    let replies = [
        ("a wrong password", tenant.login_as(USER, "wrong password, long enough").await),
        ("an unknown user", tenant.login_as("nobody", PASSWORD).await),
        ("a disabled user", tenant.login_as("dora", "harbor-Pencil 2 sphinx").await),
        ("a disabled user's wrong password", tenant.login_as("dora", "wrong password, long enough").await),
        ("a name that can't be", tenant.login_as("a#b", PASSWORD).await),
        ("an empty password", tenant.login_as(USER, "").await),
        ("a suspended tenant", suspended.login_as(USER, PASSWORD).await),
        ("an unknown tenant", Call::post(nowhere_url).json(&credentials).send(&tenant.http).await),
    ];
    let wanted = replies[0].1.text();
    for (why, reply) in replies {
        if why == "an empty password" && reply.status == 400 {
            continue; // It shows nothing about any user, so it may be called what it is.
        }
        assert_eq!((reply.status, reply.error().as_str()), (401, "invalid_credentials"), "{why}: {reply}");
        assert_eq!(reply.expect_error_shape().text(), wanted, "{why}");
    }
}

#[tokio::test]
async fn an_unknown_user_costs_as_much_time_as_a_wrong_password() {
    // With the hash parameters that are deployed: a difference of a hash would be plain to see.
    let stack = Setup::default().deployed_hashing().start();
    let tenant = Tenant::create(&stack).await;
    tenant.login().await;
    let mut best = [u128::MAX; 3];
    for _ in 0..8 {
        for (i, (user, password)) in
            [(USER, "wrong password, long enough"), ("nobody", PASSWORD), (USER, PASSWORD)].iter().enumerate()
        {
            let begin = Instant::now();
            tenant.login_as(user, password).await.expect(if i == 2 { 200 } else { 401 });
            best[i] = best[i].min(begin.elapsed().as_micros());
        }
    }
    let [wrong, unknown, right] = best;
    report(&[format!(
        "login, fastest of 8 in µs: wrong password {wrong}, unknown user {unknown}, right {right}"
    )]);
    assert!(unknown * 2 > wrong && wrong * 2 > unknown, "wrong {wrong}, unknown {unknown}");
    assert!(wrong > 5000, "the deployed hash is no cheap one: {wrong} µs");
    let stored = leasehold_tests::table::Table::open(&stack.endpoint("dynamodb"), &tenant.http).await;
    let dump = json!(stored.dump_tenant(&tenant.name).await).to_string();
    let phc = dump.split("$argon2id$").nth(1).expect("a PHC string");
    let parameter = |name: &str| -> u32 {
        let from = phc.split(&format!("{name}=")).nth(1).expect("a parameter");
        from.split(|c: char| !c.is_ascii_digit()).next().and_then(|n| n.parse().ok()).expect("a number")
    };
    assert!(parameter("m") >= 19_456 && parameter("t") >= 2, "OWASP: {phc:.40}");
}

#[tokio::test]
async fn an_unknown_user_costs_as_many_aws_calls_as_a_wrong_password() {
    let proxy = Proxy::start();
    let stack = Setup::default().through(&proxy).start();
    let tenant = Tenant::create(&stack).await;
    let mut counts = Vec::new();
    for (user, password) in [(USER, "wrong password, long enough"), ("nobody", PASSWORD)] {
        let mark = proxy.mark();
        tenant.login_as(user, password).await.expect(401);
        let mut operations = proxy.operations_since(mark);
        operations.sort();
        counts.push(operations);
    }
    assert_eq!(counts[0], counts[1]);
}

#[tokio::test]
async fn a_password_is_taken_exactly() {
    let tenant = Tenant::create(shared()).await;
    let long = format!("{}A", "ninety-nine Ravens ".repeat(8));
    let cut = format!("{}B", "ninety-nine Ravens ".repeat(8));
    tenant.add_user(shared(), "longo", &long).await;
    tenant.login_as("longo", &long).await.expect(200);
    tenant.login_as("longo", &cut).await.expect_error(401, "invalid_credentials");
    let variants =
        [PASSWORD.to_uppercase(), PASSWORD.to_lowercase(), format!("{PASSWORD} "), format!(" {PASSWORD}"), {
            format!("{PASSWORD}\u{0}x")
        }];
    for variant in variants {
        let reply = tenant.login_as(USER, &variant).await;
        assert!(matches!(reply.status, 400 | 401), "{variant:?}: {reply}");
    }
    let unicode = "ждать-Café 🦊 naïve über";
    tenant.add_user(shared(), "uma", unicode).await;
    tenant.login_as("uma", unicode).await.expect(200);
}

#[tokio::test]
async fn a_user_name_has_one_spelling() {
    let tenant = Tenant::create(shared()).await;
    let plain = tenant.login().await;
    let shouted = Session::from_reply(&tenant.login_as(&USER.to_uppercase(), PASSWORD).await.expect(200));
    assert_eq!(plain.token().user, shouted.token().user);
    for name in ["a#b", "ada#", "T#x", "ada\u{0}", "аda", "ada\u{200b}", "../ada", "ada|x"] {
        tenant.login_as(name, PASSWORD).await.expect_error(401, "invalid_credentials");
    }
}

#[tokio::test]
async fn a_client_that_may_not_is_told_so_before_any_password_is_looked_at() {
    let tenant = Tenant::create(shared()).await;
    let body = |client: &str| json!({"client_id": client, "username": USER, "password": PASSWORD});
    login(&tenant, &body("nobody")).await.expect_error(401, "invalid_client");
    login(&tenant, &body(BACKEND)).await.expect_error(401, "invalid_client");
    let mut wrong = body(BACKEND);
    wrong["client_secret"] = json!("wrong");
    login(&tenant, &wrong).await.expect_error(401, "invalid_client");
    let missing = login(&tenant, &json!({"username": USER, "password": PASSWORD})).await;
    assert!(matches!(missing.status, 400 | 401), "{missing}");
    let mut right = body(BACKEND);
    right["client_secret"] = json!(tenant.secret);
    login(&tenant, &right).await.expect(200);
    tenant.login_backend().await;
}

#[tokio::test]
async fn a_login_that_is_not_one_is_refused_without_a_hash() {
    let tenant = Tenant::create(shared()).await;
    let table = [
        json!({}),
        json!([]),
        json!("x"),
        json!({"client_id": APP, "username": USER}),
        json!({"client_id": APP, "password": PASSWORD}),
        json!({"client_id": APP, "username": 7, "password": PASSWORD}),
        json!({"client_id": APP, "username": USER, "password": ["a"]}),
        json!({"client_id": APP, "username": USER, "password": null}),
        json!({"client_id": APP, "username": USER, "password": "x".repeat(2000)}),
        json!({"client_id": APP, "username": "x".repeat(2000), "password": PASSWORD}),
    ];
    for body in table {
        let reply = login(&tenant, &body).await;
        assert!(matches!(reply.status, 400 | 401), "{body:.80}: {reply}");
        reply.expect_error_shape();
    }
}

#[tokio::test]
async fn the_least_recently_used_session_leaves_when_a_user_has_too_many() {
    let timed = timed().await;
    let tenant = Tenant::with_policy(&timed.stack, json!({"max_sessions_per_user": 2})).await;
    let first = tenant.login().await;
    let second = tenant.login().await;
    timed.clock.advance(minutes(1));
    // Used last is what counts, not opened last.
    let first = tenant.rotate(&first.refresh).await;
    timed.clock.advance(minutes(1));
    let third = tenant.login().await;
    tenant.refuses(&second.refresh).await;
    tenant.rotate(&first.refresh).await;
    let listed = tenant.sessions(&third.access).await.expect(200).json();
    assert_eq!(listed["sessions"].as_array().map(Vec::len), Some(2), "{listed}");
}

/// A stack that lets five attempts on an account through, and twelve from an address.
fn throttled() -> Stack {
    Setup::default()
        .instances(3)
        .function_env("LOGIN_ACCOUNT_LIMIT", "5")
        .function_env("LOGIN_ADDRESS_LIMIT", "12")
        .function_env("LOGIN_ACCOUNT_WINDOW_SECONDS", "3600")
        .function_env("LOGIN_ADDRESS_WINDOW_SECONDS", "3600")
        .start()
}

#[tokio::test]
async fn guessing_is_throttled_and_harms_neither_sessions_nor_known_devices() {
    let stack = throttled();
    let tenant = Tenant::create(&stack).await;
    let device =
        json!({"client_id": APP, "username": USER, "password": PASSWORD, "device": "adas-phone-4f1c9e0b72"});
    let session = Session::from_reply(&login(&tenant, &device).await.expect(200));

    // Twenty guesses at once: the count is raised before the hash, so no more than the limit are looked at.
    let replies = together(20, |i| {
        let tenant = tenant.clone();
        async move { tenant.login_as(USER, &format!("guess number {i} of many")).await }
    })
    .await;
    let looked_at = replies.iter().filter(|reply| reply.status == 401).count();
    assert!((1..=5).contains(&looked_at), "{looked_at} of 20 parallel guesses were looked at");
    for reply in replies {
        if reply.status != 401 {
            assert_eq!(reply.status, 429, "{reply}");
            assert!(reply.header("retry-after").parse::<u32>().is_ok_and(|wait| wait >= 1), "{reply}");
            reply.expect_error_shape();
        }
    }

    // A stranger with the right password is not told that it is right.
    tenant.login_as(USER, PASSWORD).await.expect(429);
    // The session lives, and so does the door for the device that is known.
    let session = tenant.rotate(&session.refresh).await;
    login(&tenant, &device).await.expect(200);
    tenant.rotate(&session.refresh).await;
    // Another device is a stranger, whatever it calls itself.
    let mut other = device.clone();
    other["device"] = json!("some-other-phone-000000");
    login(&tenant, &other).await.expect(429);
}

#[tokio::test]
async fn one_address_cannot_try_many_accounts_and_cannot_lie_about_itself() {
    let stack = throttled();
    let tenant = Tenant::create(&stack).await;
    let guess = |i: usize| {
        Call::post(tenant.url("/login"))
            .header("x-forwarded-for", format!("203.0.113.{i}"))
            .header("forwarded", format!("for=203.0.113.{i}"))
            .header("x-real-ip", format!("203.0.113.{i}"))
            .json(&json!({"client_id": APP, "username": format!("user{i}"), "password": "a guess of some length"}))
            .send(&tenant.http)
    };
    let mut looked_at = 0;
    for i in 0..16 {
        let reply = guess(i).await;
        assert!(matches!(reply.status, 401 | 429), "{reply}");
        looked_at += usize::from(reply.status == 401);
    }
    assert!(looked_at <= 12, "{looked_at} guesses were looked at");
    // The counters are the tenant's own: another tenant's users on this address are not locked out.
    let other = Tenant::create(&stack).await;
    other.login().await;
}

#[tokio::test]
async fn logins_that_succeed_use_nothing_up() {
    let stack = throttled();
    let tenant = Tenant::create(&stack).await;
    for _ in 0..14 {
        tenant.login().await;
    }
}

#[tokio::test]
async fn an_unknown_name_is_throttled_like_a_known_one() {
    let stack = throttled();
    let tenant = Tenant::create(&stack).await;
    let mut known = Vec::new();
    let mut unknown = Vec::new();
    for _ in 0..6 {
        known.push(tenant.login_as(USER, "a guess of some length").await.status);
        unknown.push(tenant.login_as("nobody", "a guess of some length").await.status);
    }
    assert_eq!(known, unknown);
    assert_eq!(known.last(), Some(&429));
}

#[tokio::test]
async fn the_admin_client_is_for_admins_and_its_tokens_open_no_user_route() {
    let tenant = Tenant::create(shared()).await;
    let body = |user: &str, password: &str| json!({"client_id": "leasehold-admin", "username": user, "password": password});
    let admin = Session::from_reply(&login(&tenant, &body(ADMIN, ADMIN_PASSWORD)).await.expect(200));
    let audience = admin.jwt().claims["aud"].to_string();
    assert!(audience.contains(&format!("{}/admin", tenant.issuer)) && !audience.contains(API), "{audience}");
    tenant.sessions(&admin.access).await.expect(401);
    login(&tenant, &body(USER, PASSWORD)).await.expect_error(403, "access_denied");
    login(&tenant, &body(USER, "wrong password, long enough")).await.expect_error(401, "invalid_credentials");
    // A token of the admin client is worth nothing at another client, nor the other way round.
    tenant.refuses(&admin.refresh).await;
    let plain = tenant.login().await;
    Call::post(tenant.url("/refresh"))
        .json(&json!({"client_id": "leasehold-admin", "refresh_token": plain.refresh}))
        .send(&tenant.http)
        .await
        .expect_error(400, "invalid_grant");
    tenant.rotate(&plain.refresh).await;
}
