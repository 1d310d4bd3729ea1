//! What a good refresh gives.

use leasehold_tests::clock::now;
use leasehold_tests::http::Call;
use leasehold_tests::stack::shared;
use leasehold_tests::tenant::{API, APP, BACKEND, Session, Tenant};
use serde_json::json;

use crate::support::together;

#[tokio::test]
async fn a_rotation_gives_the_next_generation_of_the_same_family() {
    let tenant = Tenant::create(shared()).await;
    let first = tenant.login().await;
    let second = tenant.rotate(&first.refresh).await;
    let (before, after) = (first.token(), second.token());
    assert_eq!((after.user, after.family), (before.user, before.family));
    assert_eq!(after.generation, before.generation + 1);
    assert_ne!(after.secret, before.secret);
    assert_ne!(after.proof, before.proof);
    assert_eq!(second.sid, first.sid);
    assert_eq!(second.sid, after.session());
    assert_eq!(second.generation(), i64::from(after.generation));
    assert!(!second.replayed());
}

#[tokio::test]
async fn a_family_rotates_as_often_as_its_client_likes() {
    let tenant = Tenant::create(shared()).await;
    let first = tenant.login().await;
    let mut session = first.clone();
    for _ in 0..12 {
        session = tenant.rotate(&session.refresh).await;
    }
    assert_eq!(session.token().generation, first.token().generation + 12);
}

#[tokio::test]
async fn the_answer_has_every_member_and_is_never_cached() {
    let tenant = Tenant::create(shared()).await;
    let reply = tenant.refresh(&tenant.login().await.refresh).await.expect(200);
    assert!(reply.header("content-type").starts_with("application/json"), "{reply}");
    assert_eq!(reply.header("cache-control"), "no-store");
    let body = reply.json();
    assert_eq!(body["token_type"], "Bearer");
    assert_eq!(body["expires_in"], 900);
    assert!(body["scope"].is_string(), "{body}");
    let idle = body["refresh_token_expires_in"].as_i64().expect("refresh_token_expires_in");
    assert!((2_591_000..=2_592_000).contains(&idle), "30 days idle: {idle}");
    let after = body["refresh_after"].as_i64().expect("refresh_after");
    assert!((1..900).contains(&after), "refresh before expiry: {after}");
    assert!((body["server_time"].as_i64().expect("server_time") - now()).abs() <= 5);
    let end = body["session_expires_at"].as_i64().expect("session_expires_at");
    assert!((end - now() - 15_552_000).abs() <= 60, "180 days absolute: {end}");
    assert!(body["rotation"]["generation"].is_i64() && body["rotation"]["replayed"] == false, "{body}");
}

#[tokio::test]
async fn a_fleet_is_told_different_times_to_come_back() {
    let tenant = Tenant::create(shared()).await;
    let mut times = Vec::new();
    for _ in 0..8 {
        times.push(tenant.login().await.body["refresh_after"].as_i64());
    }
    times.dedup();
    assert!(times.len() > 1, "no jitter in {times:?}");
}

#[tokio::test]
async fn the_json_twin_answers_as_the_form_does() {
    let tenant = Tenant::create(shared()).await;
    let session = tenant.login().await;
    let twin = Call::post(tenant.url("/refresh"))
        .json(&json!({"client_id": APP, "refresh_token": session.refresh}))
        .send(&tenant.http)
        .await
        .expect(200);
    let form = tenant.rotate(&Session::from_reply(&twin).refresh).await;
    let members = |body: &serde_json::Value| {
        let mut names: Vec<String> = body.as_object().expect("an object").keys().cloned().collect();
        names.sort();
        names
    };
    assert_eq!(members(&twin.json()), members(&form.body));
}

#[tokio::test]
async fn a_new_access_token_verifies_with_the_published_keys_in_every_algorithm() {
    for algorithm in ["RS256", "ES256", "EdDSA"] {
        let tenant = Tenant::create_with(shared(), algorithm, json!({})).await;
        let first = tenant.login().await;
        let second = tenant.rotate(&first.refresh).await;
        let before = tenant.verify(&first.access).await.expect("the login's token verifies");
        let after = tenant.verify(&second.access).await.expect("the refresh's token verifies");
        assert_eq!(second.jwt().header["alg"], algorithm);
        for same in ["iss", "sub", "client_id", "sid", "tid", "ep", "auth_time", "amr", "scope", "aud"] {
            assert_eq!(before[same], after[same], "{algorithm}: {same}");
        }
        assert_ne!(before["jti"], after["jti"], "{algorithm}: jti is unique");
    }
}

#[tokio::test]
async fn a_narrower_scope_holds_for_one_access_token_only() {
    let tenant = Tenant::create(shared()).await;
    let session = tenant.login().await;
    let whole = session.body["scope"].as_str().expect("a scope").to_owned();
    let narrow = whole.split(' ').next().expect("one scope").to_owned();
    assert_ne!(whole, narrow, "this test needs two scopes");
    let reply = Call::post(tenant.url("/token"))
        .form(&[
            ("grant_type", "refresh_token"),
            ("client_id", APP),
            ("refresh_token", &session.refresh),
            ("scope", &narrow),
        ])
        .send(&tenant.http)
        .await
        .expect(200);
    assert_eq!(reply.string("scope"), narrow);
    let narrowed = Session::from_reply(&reply);
    assert_eq!(narrowed.jwt().claim("scope"), narrow);
    let next = tenant.rotate(&narrowed.refresh).await;
    assert_eq!(next.body["scope"], whole, "the refresh token keeps the original scope (RFC 6749 §6)");
}

#[tokio::test]
async fn unknown_parameters_are_ignored_and_empty_ones_count_as_absent() {
    let tenant = Tenant::create(shared()).await;
    let session = tenant.login().await;
    let pairs = [
        ("grant_type", "refresh_token"),
        ("client_id", APP),
        ("refresh_token", session.refresh.as_str()),
        ("scope", ""),
        ("resource_hint", "whatever"),
    ];
    Call::post(tenant.url("/token")).form(&pairs).send(&tenant.http).await.expect(200);
}

#[tokio::test]
async fn a_confidential_client_refreshes_with_its_secret_in_the_header_or_in_the_body() {
    let tenant = Tenant::create(shared()).await;
    let session = tenant.login_backend().await;
    let basic = Call::post(tenant.url("/token"))
        .basic(BACKEND, &tenant.secret)
        .form(&[("grant_type", "refresh_token"), ("client_id", BACKEND), ("refresh_token", &session.refresh)])
        .send(&tenant.http)
        .await
        .expect(200);
    Call::post(tenant.url("/token"))
        .form(&[
            ("grant_type", "refresh_token"),
            ("client_id", BACKEND),
            ("client_secret", &tenant.secret),
            ("refresh_token", &basic.string("refresh_token")),
        ])
        .send(&tenant.http)
        .await
        .expect(200);
}

#[tokio::test]
async fn every_access_token_has_a_jti_of_its_own() {
    let tenant = Tenant::create(shared()).await;
    let session = tenant.login().await;
    let answers = together(20, |_| {
        let (tenant, token) = (tenant.clone(), session.refresh.clone());
        async move { Session::from_reply(&tenant.refresh(&token).await.expect(200)) }
    })
    .await;
    let mut ids: Vec<String> = answers.iter().map(|session| session.jwt().claim("jti")).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 20);
    assert!(answers.iter().all(|session| session.jwt().claims["aud"].to_string().contains(API)));
}
