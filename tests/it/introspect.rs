//! Introspection: who may ask, what is told of a good token, and that nothing at all is told of any other.

use leasehold_tests::http::{Call, Reply};
use leasehold_tests::stack::shared;
use leasehold_tests::tenant::{APP, BACKEND, Session, Tenant, USER};
use serde_json::{Value, json};

use crate::forge::Forger;
use crate::support::{days, seconds, timed};

async fn ask(tenant: &Tenant, token: &str) -> Reply {
    let call = Call::post(tenant.url("/introspect")).basic(BACKEND, &tenant.secret).form(&[("token", token)]);
    let reply = call.send(&tenant.http).await.expect(200);
    assert_eq!(reply.header("cache-control"), "no-store", "{reply}");
    reply
}

async fn active(tenant: &Tenant, token: &str) -> Value {
    let told = ask(tenant, token).await.json();
    assert_eq!(told["active"], true, "{told}");
    told
}

async fn inactive(tenant: &Tenant, token: &str, what: &str) {
    assert_eq!(ask(tenant, token).await.text(), r#"{"active":false}"#, "{what}");
}

#[tokio::test]
async fn a_good_access_token_is_described() {
    for algorithm in ["RS256", "ES256", "EdDSA"] {
        let tenant = Tenant::create_with(shared(), algorithm, json!({})).await;
        let session = tenant.login().await;
        let claims = session.jwt().claims;
        let told = active(&tenant, &session.access).await;
        for name in ["iss", "sub", "client_id", "scope", "sid", "exp", "iat", "jti", "roles"] {
            assert_eq!(told[name], claims[name], "{algorithm}: {name}");
        }
        assert_eq!(told["token_type"], "Bearer");
        assert_eq!(told["aud"].as_array().map(Vec::len), claims["aud"].as_array().map(Vec::len));
        for name in ["ep", "tid", "username"] {
            assert!(told.get(name).is_none(), "{name} is nobody's business: {told}");
        }
    }
}

#[tokio::test]
async fn a_refresh_token_is_told_to_its_own_client_for_as_long_as_it_would_be_taken() {
    let timed = timed().await;
    let tenant = Tenant::create(&timed.stack).await;
    let session = tenant.login_backend().await;
    let told = active(&tenant, &session.refresh).await;
    assert_eq!((&told["client_id"], &told["sid"]), (&json!(BACKEND), &json!(session.sid)));
    assert!(told.get("token_type").is_none() && told.get("aud").is_none(), "{told}");
    let next = refresh(&tenant, &session).await;
    active(&tenant, &next.refresh).await;
    // A retry with the one before would still get an answer: a client that lost it is not to sign its user out.
    active(&tenant, &session.refresh).await;
    let last = refresh(&tenant, &next).await;
    inactive(&tenant, &session.refresh, "two generations old").await;
    active(&tenant, &last.refresh).await;
    inactive(&tenant, &tenant.login().await.refresh, "another client's").await;
    timed.clock.advance(days(31));
    inactive(&tenant, &last.refresh, "unused for too long").await;
}

async fn refresh(tenant: &Tenant, session: &Session) -> Session {
    let form = [("grant_type", "refresh_token"), ("client_id", BACKEND), ("refresh_token", &session.refresh)];
    let call = Call::post(tenant.url("/token")).basic(BACKEND, &tenant.secret).form(&form);
    Session::from_reply(&call.send(&tenant.http).await.expect(200))
}

#[tokio::test]
async fn what_was_revoked_is_not_active_at_once() {
    let stack = shared();
    let tenant = Tenant::create(stack).await;
    let session = tenant.login().await;
    active(&tenant, &session.access).await;
    tenant.revoke(&session.refresh).await.expect(200);
    inactive(&tenant, &session.access, "its session was revoked").await;
    let session = tenant.login().await;
    tenant.sign_out_everywhere(&session.access).await.expect(204);
    inactive(&tenant, &session.access, "the user signed out everywhere").await;
    let (session, backend) = (tenant.login().await, tenant.login_backend().await);
    stack
        .operator(&tenant.http, &json!({"op": "user.disable", "tenant": tenant.name, "username": USER}))
        .await;
    inactive(&tenant, &session.access, "the user is disabled").await;
    inactive(&tenant, &backend.refresh, "the user is disabled").await;
}

#[tokio::test]
async fn of_every_other_token_nothing_is_told() {
    let (tenant, other) =
        (Tenant::create_with(shared(), "EdDSA", json!({})).await, Tenant::create(shared()).await);
    let forger = Forger::of(shared(), &tenant).await;
    let session = tenant.login().await;
    let good = session.jwt();
    let claim = |name: &str, value: Value| {
        let mut jwt = good.clone();
        jwt.claims[name] = value;
        jwt
    };
    let head = |name: &str, value: Value| {
        let mut jwt = good.clone();
        jwt.header[name] = value;
        jwt
    };
    active(&tenant, &forger.sign(&good).await).await;
    let exp = good.claims["exp"].as_i64().expect("exp");
    for (what, jwt) in [
        ("expired", claim("exp", json!(exp - 10_000))),
        ("for an API that is not the client's", claim("aud", json!(["https://elsewhere.example"]))),
        ("for nobody", claim("aud", json!([]))),
        ("for the administration", claim("aud", json!([format!("{}/admin", tenant.issuer)]))),
        ("another tenant's", claim("tid", json!(other.name))),
        ("another issuer's", claim("iss", json!(other.issuer))),
        ("of an old epoch", claim("ep", json!("0.7"))),
        ("of nobody", claim("sub", json!(format!("usr_{}", "0".repeat(32))))),
        ("of no session", claim("sid", json!("0".repeat(32)))),
        ("an ID token", head("typ", json!("JWT"))),
        ("with a key of its own", head("jwk", json!({}))),
    ] {
        inactive(&tenant, &forger.sign(&jwt).await, what).await;
    }
    inactive(&tenant, &claim("scope", json!("admin:keys")).encode(), "forged").await;
    for (what, token) in [
        ("rubbish", "x"),
        ("dots", "a.b.c"),
        ("a token of another tenant", &other.login().await.access),
        ("a refresh token of another tenant", &other.login_backend().await.refresh),
        ("a very long text", &"A".repeat(7000)),
    ] {
        inactive(&tenant, token, what).await;
    }
    active(&tenant, &session.access).await;
}

#[tokio::test]
async fn only_confidential_clients_that_prove_who_they_are_may_ask() {
    let tenant = Tenant::create(shared()).await;
    let token = tenant.login().await.access;
    let url = tenant.url("/introspect");
    let form = |pairs: &[(&str, &str)]| Call::post(&url).form(pairs);
    for (what, call) in [
        ("nobody", form(&[("token", &token)])),
        ("a public client", form(&[("token", &token), ("client_id", APP)])),
        ("an unknown client", form(&[("token", &token)]).basic("nobody", "x")),
        ("a wrong secret", form(&[("token", &token)]).basic(BACKEND, "lhs_x")),
        ("no secret", form(&[("token", &token), ("client_id", BACKEND)])),
        ("a bearer token", form(&[("token", &token)]).bearer(&token)),
    ] {
        let reply = call.send(&tenant.http).await;
        assert_eq!((reply.status, reply.error().as_str()), (401, "invalid_client"), "{what}: {reply}");
    }
    let nobody = form(&[("token", &token)]).send(&tenant.http).await;
    assert!(nobody.header("www-authenticate").starts_with("Basic "), "{nobody}");
    let in_body = form(&[("token", &token), ("client_id", BACKEND), ("client_secret", &tenant.secret)]);
    assert_eq!(in_body.send(&tenant.http).await.expect(200).json()["active"], true);
    form(&[]).basic(BACKEND, &tenant.secret).send(&tenant.http).await.expect_error(400, "invalid_request");
    let twice = form(&[("token", &token), ("token", "x")]).basic(BACKEND, &tenant.secret);
    twice.send(&tenant.http).await.expect_error(400, "invalid_request");
    let json = Call::post(&url).basic(BACKEND, &tenant.secret).json(&json!({"token": token}));
    json.send(&tenant.http).await.expect(415);
    let hinted =
        form(&[("token", &token), ("token_type_hint", "refresh_token")]).basic(BACKEND, &tenant.secret);
    assert_eq!(hinted.send(&tenant.http).await.expect(200).json()["active"], true, "a hint is only a hint");
}

#[tokio::test]
async fn a_tenant_that_is_not_served_knows_no_client() {
    let stack = shared();
    let tenant = Tenant::create(stack).await;
    let token = tenant.login().await.access;
    stack.operator(&tenant.http, &json!({"op": "tenant.suspend", "tenant": tenant.name})).await;
    let call =
        Call::post(tenant.url("/introspect")).basic(BACKEND, &tenant.secret).form(&[("token", &token)]);
    call.clone().send(&tenant.http).await.expect_error(401, "invalid_client");
    stack.operator(&tenant.http, &json!({"op": "tenant.resume", "tenant": tenant.name})).await;
    assert_eq!(
        call.send(&tenant.http).await.text(),
        r#"{"active":false}"#,
        "what was issued before stays dead"
    );
}

#[tokio::test]
async fn asking_about_a_spent_token_ends_no_session() {
    let timed = timed().await;
    let tenant = Tenant::create(&timed.stack).await;
    let first = tenant.login_backend().await;
    let second = refresh(&tenant, &first).await;
    let third = refresh(&tenant, &second).await;
    timed.clock.advance(seconds(1));
    inactive(&tenant, &first.refresh, "spent").await;
    refresh(&tenant, &third).await;
}
