//! RFC 7009.

use leasehold_tests::http::Call;
use leasehold_tests::proxy::{Action, Proxy, Rule};
use leasehold_tests::stack::{Setup, shared};
use leasehold_tests::tenant::{APP, BACKEND, Tenant};
use serde_json::json;

use crate::support::{eventually, seconds};

#[tokio::test]
async fn a_revoked_token_ends_its_family_and_no_other() {
    let tenant = Tenant::create(shared()).await;
    let (first, other) = (tenant.login().await, tenant.login().await);
    let second = tenant.rotate(&first.refresh).await;
    let reply = tenant.revoke(&second.refresh).await.expect(200);
    assert!(reply.body.is_empty(), "{reply}");
    tenant.refuses(&second.refresh).await;
    tenant.refuses(&first.refresh).await;
    tenant.rotate(&other.refresh).await;
}

#[tokio::test]
async fn an_access_token_of_a_revoked_family_is_refused_within_the_revocation_delay() {
    let tenant = Tenant::create(shared()).await;
    let session = tenant.login().await;
    tenant.sessions(&session.access).await.expect(200);
    tenant.revoke(&session.refresh).await.expect(200);
    eventually("the access token is refused", seconds(5), async || {
        tenant.sessions(&session.access).await.status == 401
    })
    .await;
}

#[tokio::test]
async fn a_client_that_lost_a_reply_can_sign_out_with_the_token_it_has() {
    let tenant = Tenant::create(shared()).await;
    let first = tenant.login().await;
    let lost = tenant.rotate(&first.refresh).await;
    tenant.revoke(&first.refresh).await.expect(200);
    tenant.refuses(&lost.refresh).await;
    tenant.refuses(&first.refresh).await;
}

#[tokio::test]
async fn the_hint_is_only_a_hint() {
    let tenant = Tenant::create(shared()).await;
    for hint in ["refresh_token", "access_token", "no_such_type", ""] {
        let session = tenant.login().await;
        Call::post(tenant.url("/revoke"))
            .form(&[("client_id", APP), ("token", &session.refresh), ("token_type_hint", hint)])
            .send(&tenant.http)
            .await
            .expect(200);
        tenant.refuses(&session.refresh).await;
    }
}

#[tokio::test]
async fn json_does_as_well_as_a_form() {
    let tenant = Tenant::create(shared()).await;
    let session = tenant.login().await;
    let body = json!({"client_id": APP, "token": session.refresh, "token_type_hint": "refresh_token"});
    Call::post(tenant.url("/revoke")).json(&body).send(&tenant.http).await.expect(200);
    tenant.refuses(&session.refresh).await;
}

#[tokio::test]
async fn what_is_not_ours_is_answered_200_and_changes_nothing() {
    let (tenant, other) = (Tenant::create(shared()).await, Tenant::create(shared()).await);
    let (session, foreign) = (tenant.login().await, other.login().await);
    let of_backend = tenant.login_backend().await;
    let mut forged = session.token();
    forged.secret[0] ^= 1;
    let mut invented = session.token();
    invented.family[0] ^= 1;
    for token in [
        "x",
        "lhr_x",
        &"A".repeat(4000),
        &forged.encode(),
        &invented.encode(),
        &foreign.refresh,
        &of_backend.refresh,
    ] {
        let reply = tenant.revoke(token).await.expect(200);
        assert!(reply.body.is_empty(), "{reply}");
    }
    tenant.rotate(&session.refresh).await;
    other.rotate(&foreign.refresh).await;
    Call::post(tenant.url("/token"))
        .basic(BACKEND, &tenant.secret)
        .form(&[
            ("grant_type", "refresh_token"),
            ("client_id", BACKEND),
            ("refresh_token", &of_backend.refresh),
        ])
        .send(&tenant.http)
        .await
        .expect(200);
}

#[tokio::test]
async fn revoking_twice_is_as_good_as_once() {
    let tenant = Tenant::create(shared()).await;
    let session = tenant.login().await;
    for _ in 0..3 {
        tenant.revoke(&session.refresh).await.expect(200);
    }
    tenant.refuses(&session.refresh).await;
}

#[tokio::test]
async fn an_access_token_ends_its_session_too() {
    let tenant = Tenant::create(shared()).await;
    let (session, other) = (tenant.login().await, tenant.login().await);
    tenant.revoke(&session.access).await.expect(200);
    tenant.refuses(&session.refresh).await;
    tenant.rotate(&other.refresh).await;
    // Not one that was touched, and not at a client it was not issued to.
    let spoiled = format!("{}A", &other.access[..other.access.len() - 1]);
    let untouched = if spoiled == other.access { "x".to_owned() } else { spoiled };
    tenant.revoke(&untouched).await.expect(200);
    Call::post(tenant.url("/revoke"))
        .basic(BACKEND, &tenant.secret)
        .form(&[("client_id", BACKEND), ("token", &other.access)])
        .send(&tenant.http)
        .await
        .expect(200);
    tenant.sessions(&other.access).await.expect(200);
}

#[tokio::test]
async fn revoke_wants_a_client_and_a_token() {
    let tenant = Tenant::create(shared()).await;
    let session = tenant.login().await;
    let backend = tenant.login_backend().await;
    let send = |pairs: &[(&str, &str)]| Call::post(tenant.url("/revoke")).form(pairs).send(&tenant.http);
    let token = ("token", session.refresh.as_str());
    send(&[("client_id", APP)]).await.expect_error(400, "invalid_request");
    send(&[("client_id", APP), ("token", "")]).await.expect_error(400, "invalid_request");
    send(&[("client_id", APP), token, token]).await.expect_error(400, "invalid_request");
    send(&[("client_id", "nobody"), token]).await.expect_error(401, "invalid_client");
    let nameless = send(&[token]).await;
    assert!(matches!(nameless.status, 400 | 401), "{nameless}");
    let theirs = ("token", backend.refresh.as_str());
    send(&[("client_id", BACKEND), theirs]).await.expect_error(401, "invalid_client");
    send(&[("client_id", BACKEND), ("client_secret", "wrong"), theirs])
        .await
        .expect_error(401, "invalid_client");
    tenant.rotate(&session.refresh).await;
    Call::post(tenant.url("/revoke"))
        .basic(BACKEND, &tenant.secret)
        .form(&[("client_id", BACKEND), theirs])
        .send(&tenant.http)
        .await
        .expect(200);
    Call::post(tenant.url("/token"))
        .basic(BACKEND, &tenant.secret)
        .form(&[("grant_type", "refresh_token"), ("client_id", BACKEND), ("refresh_token", &backend.refresh)])
        .send(&tenant.http)
        .await
        .expect_error(400, "invalid_grant");
}

#[tokio::test]
async fn a_conflict_is_retried_and_an_outage_is_503_with_the_session_alive() {
    let proxy = Proxy::start();
    let stack = Setup::default().through(&proxy).start();
    let tenant = Tenant::create(&stack).await;

    let session = tenant.login().await;
    proxy.inject(Rule::on("TransactWriteItems", Action::Error("TransactionConflict")).times(1));
    tenant.revoke(&session.refresh).await.expect(200);
    proxy.heal();
    tenant.refuses(&session.refresh).await;

    let session = tenant.login().await;
    for operation in ["TransactWriteItems", "GetItem", "BatchGetItem"] {
        proxy.inject(Rule::on(operation, Action::Error("InternalServerError")));
    }
    tenant.revoke(&session.refresh).await.expect_error(503, "temporarily_unavailable");
    proxy.heal();
    let session = tenant.rotate(&session.refresh).await;
    tenant.revoke(&session.refresh).await.expect(200);
    tenant.refuses(&session.refresh).await;

    // The reply to the write is lost: whichever way it went, the client that tries again is told the truth.
    let session = tenant.login().await;
    proxy.inject(Rule::on("TransactWriteItems", Action::DropAfter).times(1));
    tenant.revoke(&session.refresh).await.expect(200);
    tenant.refuses(&session.refresh).await;
}
