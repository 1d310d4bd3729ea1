//! What the token routes refuse, and that a refusal changes nothing.

use leasehold_tests::http::Call;
use leasehold_tests::stack::shared;
use leasehold_tests::tenant::{APP, BACKEND, Tenant, fresh_name};
use leasehold_tests::token::RefreshToken;
use serde_json::json;

#[tokio::test]
async fn everything_that_is_no_good_token_gets_the_same_bytes() {
    let (tenant, other) = (Tenant::create(shared()).await, Tenant::create(shared()).await);
    let revoked = tenant.login().await.refresh;
    tenant.revoke(&revoked).await.expect(200);
    let first = tenant.login().await.refresh;
    let second = tenant.rotate(&first).await.refresh;
    tenant.rotate(&second).await;
    let foreign = other.login().await.refresh;
    let of_another_client = tenant.login_backend().await.refresh;
    let unknown =
        RefreshToken { user: [1; 16], family: [2; 16], generation: 3, proof: [4; 16], secret: [5; 32] };
    let mut wrong_checksum = unknown.encode();
    wrong_checksum.pop();
    wrong_checksum.push('A');
    let jwt = tenant.login().await.access;
    let table = [
        ("revoked", revoked),
        ("reused", first),
        ("of another tenant", foreign),
        ("of another client", of_another_client),
        ("of no family", unknown.encode()),
        ("with a wrong checksum", wrong_checksum),
        ("without its prefix", unknown.encode()[4..].to_owned()),
        ("with another prefix", format!("lht_{}", &unknown.encode()[4..])),
        ("with padding", format!("{}=", unknown.encode())),
        ("with white space", format!(" {} ", unknown.encode())),
        ("cut short", unknown.encode()[..60].to_owned()),
        ("too long", format!("{}AAAA", unknown.encode())),
        ("of one letter", "x".to_owned()),
        ("of other alphabets", "lhr_ぎ\u{0}\u{202e}\n".to_owned()),
        ("of 4000 letters", "A".repeat(4000)),
        ("an access token", jwt),
    ];
    let mut bodies = Vec::new();
    for (why, token) in &table {
        let reply = tenant.refresh(token).await;
        assert_eq!(
            (reply.status, reply.error()),
            (400, "invalid_grant".to_owned()),
            "a token {why}: {reply}"
        );
        bodies.push(reply.expect_error_shape().text());
    }
    bodies.sort();
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "the bytes tell refusals apart: {bodies:?}");
}

#[tokio::test]
async fn a_session_of_another_tenant_or_client_survives_being_tried() {
    let (tenant, other) = (Tenant::create(shared()).await, Tenant::create(shared()).await);
    let session = tenant.login().await;
    for _ in 0..3 {
        other.refuses(&session.refresh).await;
        Call::post(tenant.url("/token"))
            .basic(BACKEND, &tenant.secret)
            .form(&[
                ("grant_type", "refresh_token"),
                ("client_id", BACKEND),
                ("refresh_token", &session.refresh),
            ])
            .send(&tenant.http)
            .await
            .expect_error(400, "invalid_grant");
    }
    tenant.rotate(&session.refresh).await;
}

#[tokio::test]
async fn a_spent_token_tried_by_another_client_or_tenant_is_not_theft() {
    let (tenant, other) = (Tenant::create(shared()).await, Tenant::create(shared()).await);
    let first = tenant.login().await;
    let second = tenant.rotate(&first.refresh).await;
    let third = tenant.rotate(&second.refresh).await;
    other.refuses(&first.refresh).await;
    Call::post(tenant.url("/token"))
        .basic(BACKEND, &tenant.secret)
        .form(&[("grant_type", "refresh_token"), ("client_id", BACKEND), ("refresh_token", &first.refresh)])
        .send(&tenant.http)
        .await
        .expect_error(400, "invalid_grant");
    tenant.rotate(&third.refresh).await;
}

#[tokio::test]
async fn a_request_that_is_not_one_is_refused_and_spends_nothing() {
    let tenant = Tenant::create(shared()).await;
    let session = tenant.login().await;
    let token = session.refresh.as_str();
    let grant = ("grant_type", "refresh_token");
    let client = ("client_id", APP);
    let refresh = ("refresh_token", token);
    let table = [
        ("no grant type", vec![client, refresh], 400, "invalid_request"),
        ("an empty grant type", vec![("grant_type", ""), client, refresh], 400, "invalid_request"),
        (
            "a password grant",
            vec![("grant_type", "password"), client, refresh],
            400,
            "unsupported_grant_type",
        ),
        ("another grant", vec![("grant_type", "client_credentials"), client], 400, "unsupported_grant_type"),
        ("no token", vec![grant, client], 400, "invalid_request"),
        ("an empty token", vec![grant, client, ("refresh_token", "")], 400, "invalid_request"),
        ("two tokens", vec![grant, client, refresh, refresh], 400, "invalid_request"),
        ("two grant types", vec![grant, grant, client, refresh], 400, "invalid_request"),
        ("two clients", vec![grant, client, client, refresh], 400, "invalid_request"),
        ("an unknown client", vec![grant, ("client_id", "nobody"), refresh], 401, "invalid_client"),
        ("a client with a delimiter", vec![grant, ("client_id", "a#b"), refresh], 401, "invalid_client"),
    ];
    for (why, pairs, status, error) in table {
        let reply = Call::post(tenant.url("/token")).form(&pairs).send(&tenant.http).await;
        assert_eq!((reply.status, reply.error().as_str()), (status, error), "{why}: {reply}");
        assert!(!reply.expect_error_shape().text().contains(&token[4..]), "{why}: no echo");
    }
    assert!(!tenant.rotate(token).await.replayed(), "nothing above has spent the token");
}

#[tokio::test]
async fn the_client_is_always_named() {
    let tenant = Tenant::create(shared()).await;
    let token = tenant.login().await.refresh;
    let form = Call::post(tenant.url("/token"))
        .form(&[("grant_type", "refresh_token"), ("refresh_token", &token)])
        .send(&tenant.http)
        .await;
    assert!(matches!(form.status, 400 | 401), "{form}");
    form.expect_error_shape();
    let twin =
        Call::post(tenant.url("/refresh")).json(&json!({"refresh_token": token})).send(&tenant.http).await;
    assert!(matches!(twin.status, 400 | 401), "{twin}");
    twin.expect_error_shape();
    assert!(!tenant.rotate(&token).await.replayed());
}

#[tokio::test]
async fn a_scope_beyond_the_original_is_refused_and_spends_nothing() {
    let tenant = Tenant::create(shared()).await;
    let token = tenant.login().await.refresh;
    for scope in ["admin:keys", "read admin:users", "read\" write", "réad"] {
        let reply = Call::post(tenant.url("/token"))
            .form(&[
                ("grant_type", "refresh_token"),
                ("client_id", APP),
                ("refresh_token", &token),
                ("scope", scope),
            ])
            .send(&tenant.http)
            .await;
        assert_eq!((reply.status, reply.error()), (400, "invalid_scope".to_owned()), "{scope}: {reply}");
    }
    assert!(!tenant.rotate(&token).await.replayed());
}

#[tokio::test]
async fn a_confidential_client_without_its_secret_is_refused_and_spends_nothing() {
    let tenant = Tenant::create(shared()).await;
    let token = tenant.login_backend().await.refresh;
    let pairs = [("grant_type", "refresh_token"), ("client_id", BACKEND), ("refresh_token", token.as_str())];
    let call = || Call::post(tenant.url("/token"));
    let wrong_in_body = [pairs.as_slice(), &[("client_secret", "wrong")]].concat();
    call().form(&pairs).send(&tenant.http).await.expect_error(401, "invalid_client");
    call().form(&wrong_in_body).send(&tenant.http).await.expect_error(401, "invalid_client");
    let basic = call().basic(BACKEND, "wrong").form(&pairs).send(&tenant.http).await;
    let basic = basic.expect_error(401, "invalid_client");
    assert!(basic.header("www-authenticate").starts_with("Basic"), "RFC 6749 §5.2: {basic}");
    // A public client has no secret, and may not pretend to.
    let as_app = [("grant_type", "refresh_token"), ("client_id", APP), ("refresh_token", token.as_str())];
    call().form(&as_app).send(&tenant.http).await.expect_error(400, "invalid_grant");
    let good = call().basic(BACKEND, &tenant.secret).form(&pairs).send(&tenant.http).await.expect(200);
    assert_eq!(good.json()["rotation"]["replayed"], false);
}

#[tokio::test]
async fn two_ways_of_naming_the_client_at_once_are_refused() {
    let tenant = Tenant::create(shared()).await;
    let token = tenant.login_backend().await.refresh;
    let reply = Call::post(tenant.url("/token"))
        .basic(BACKEND, &tenant.secret)
        .form(&[
            ("grant_type", "refresh_token"),
            ("client_id", BACKEND),
            ("client_secret", &tenant.secret),
            ("refresh_token", &token),
        ])
        .send(&tenant.http)
        .await;
    assert_eq!((reply.status, reply.error()), (400, "invalid_request".to_owned()), "RFC 6749 §2.3: {reply}");
    let reply = Call::post(tenant.url("/token"))
        .basic(BACKEND, &tenant.secret)
        .form(&[("grant_type", "refresh_token"), ("client_id", APP), ("refresh_token", &token)])
        .send(&tenant.http)
        .await;
    assert!(matches!(reply.status, 400 | 401), "two different clients: {reply}");
}

#[tokio::test]
async fn an_unknown_tenant_answers_like_a_dead_token() {
    let tenant = Tenant::create(shared()).await;
    let token = tenant.login().await.refresh;
    let known = tenant.refuses("lhr_x").await;
    for name in
        [fresh_name(), "no_such".into(), "UPPER".into(), "a%23b".into(), "%00".into(), "t".repeat(300)]
    {
        let url = format!("{}/t/{name}/token", shared().base_url());
        let reply = Call::post(url)
            .form(&[("grant_type", "refresh_token"), ("client_id", APP), ("refresh_token", &token)])
            .send(&tenant.http)
            .await;
        assert_eq!((reply.status, reply.text()), (400, known.text()), "tenant {name}");
    }
}

#[tokio::test]
async fn no_token_in_the_query_or_by_another_method_is_taken() {
    let tenant = Tenant::create(shared()).await;
    let token = tenant.login().await.refresh;
    let query = format!("/token?grant_type=refresh_token&client_id={APP}&refresh_token={token}");
    Call::post(tenant.url(&query)).form(&[]).send(&tenant.http).await.expect_error(400, "invalid_request");
    for method in ["GET", "PUT", "DELETE", "PATCH"] {
        let reply = Call::new(method, tenant.url(&query)).send(&tenant.http).await;
        assert!(matches!(reply.status, 404 | 405), "{method}: {reply}");
    }
    assert!(!tenant.rotate(&token).await.replayed());
}
