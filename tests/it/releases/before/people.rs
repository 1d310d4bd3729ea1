//! Users, admins and clients find what was theirs: passwords, codes, secrets, rights.

use leasehold_tests::tenant::{APP, BACKEND, PASSWORD, Session, USER};
use serde_json::{Value, json};

use super::super::scene::{
    BROUGHT, CORA, DEVICE, NEW_PASSWORD, OVERLAP_SECONDS, TILL, VERSION, login_at, login_with, once,
};
use super::Kept;
use crate::support::seconds;

#[tokio::test]
async fn users_and_admins_sign_in_and_find_what_was_theirs() {
    let kept = Kept::start().await;
    let tenant = &kept.tenant;
    let session = tenant.login().await;
    let listed = tenant.sessions(&session.access).await.expect(200).json();
    assert!(listed["sessions"].as_array().is_some_and(|all| all.len() >= 6), "{listed}");
    login_with(tenant, USER, PASSWORD, VERSION, json!({"device": DEVICE})).await.expect(200);
    tenant.login_as("bob", PASSWORD).await.expect(401);
    tenant.login_as("bob", NEW_PASSWORD).await.expect(200);
    tenant.admin_as("second", PASSWORD, None).await.get("/keys").await.expect(200);
    let admin = tenant.admin().await;
    let bob = admin.user("bob").await["user_id"].as_str().expect("an id").to_owned();
    let path = format!("/users/{bob}");
    admin.patch(&path, "*", &json!({"claims": {"plan": "gold"}})).await.expect(200);
    admin.patch("/policy", "*", &json!({"idle_seconds": 100_000})).await.expect(200);
    admin.patch(&format!("/clients/{APP}"), "*", &json!({"scopes": ["read"]})).await.expect(200);
    admin.patch("/clients/kiosk", "*", &json!({"status": "active"})).await.expect(200);
    admin.delete(&format!("{path}/sessions")).await.expect(204);
    tenant.refuses(kept.token("after it")).await;
    tenant.rotate(kept.token("fresh")).await;
    let code = admin.post(&format!("{path}/reset"), &json!({})).await.expect(200).string("code");
    tenant.set_password("bob", &code, PASSWORD).await.expect(204);
    tenant.login_as("bob", NEW_PASSWORD).await.expect(401);
    tenant.login_as("bob", PASSWORD).await.expect(200);
    kept.all_was_carried_through().await;
    kept.all_was_read();
}

#[tokio::test]
async fn codes_of_then_set_a_password_once() {
    let kept = Kept::start().await;
    let tenant = &kept.tenant;
    // One who never had a password, and one whose old one is good until the code is used.
    tenant.login_as("cora", PASSWORD).await.expect(401);
    let before = Session::from_reply(&tenant.login_as("dora", PASSWORD).await.expect(200));
    let admin = tenant.admin().await;
    for name in ["cora", "dora"] {
        let path = format!("/users/{}", admin.user(name).await["user_id"].as_str().expect("an id"));
        admin.patch(&path, "*", &json!({"claims": {"a": 1}})).await.expect(200);
    }
    kept.all_was_carried_through().await;
    tenant.set_password("dora", kept.shown("code of cora"), NEW_PASSWORD).await.expect(401);
    for name in ["cora", "dora"] {
        let code = kept.shown(&format!("code of {name}"));
        tenant.set_password(name, code, NEW_PASSWORD).await.expect(204);
        tenant.login_as(name, NEW_PASSWORD).await.expect(200);
        tenant.set_password(name, code, PASSWORD).await.expect(401);
        tenant.login_as(name, PASSWORD).await.expect(401);
    }
    for dead in [kept.token("before a reset"), &before.refresh] {
        tenant.refuses(dead).await;
    }
    kept.all_was_carried_through().await;
    kept.all_was_read();
}

#[tokio::test]
async fn users_brought_along_then_sign_in_and_are_hashed_anew() {
    let kept = Kept::start().await;
    let tenant = &kept.tenant;
    for (name, password, _) in BROUGHT {
        tenant.login_as(name, "another").await.expect(401);
        let session = Session::from_reply(&tenant.login_as(name, password).await.expect(200));
        assert_eq!(session.jwt().claims["roles"], json!(["old"]), "{name}");
    }
    let exported = tenant.admin().await.get("/export?limit=100").await.expect(200).json();
    for (name, password, _) in BROUGHT {
        let users = exported["items"].as_array().expect("items");
        let user = users.iter().find(|user| user["username"] == name).expect("the user");
        let hash = user["password_hash"].as_str().expect("a hash");
        assert!(hash.starts_with("$argon2id$v=19$m=256,t=2,"), "by the policy of then: {hash}");
        assert_eq!(user["created_at"], 1_500_000_000);
        tenant.login_as(name, password).await.expect(200);
    }
    kept.all_was_carried_through().await;
    kept.all_was_read();
}

#[tokio::test]
async fn who_was_disabled_is_refused_until_enabled() {
    let kept = Kept::start().await;
    let tenant = &kept.tenant;
    tenant.login_as("eve", PASSWORD).await.expect_error(401, "invalid_credentials");
    let admin = tenant.admin().await;
    let user = admin.user("eve").await;
    assert_eq!(
        (&user["status"], &admin.user("six").await["status"]),
        (&json!("disabled"), &json!("disabled"))
    );
    assert_eq!(admin.user("gus").await, Value::Null, "removed");
    let path = format!("/users/{}", user["user_id"].as_str().expect("an id"));
    admin.patch(&path, "*", &json!({"status": "active"})).await.expect(200);
    tenant.login_as("eve", PASSWORD).await.expect(200);
    tenant.refuses(kept.token("of a disabled user")).await;
    kept.all_was_carried_through().await;
    kept.all_was_read();
}

#[tokio::test]
async fn both_secrets_of_a_client_are_good_until_the_overlap_ends() {
    let kept = Kept::start().await;
    let tenant = &kept.tenant;
    let (old, new) = (kept.shown("backend before"), kept.shown("backend"));
    login_at(tenant, BACKEND, old).await.expect(200);
    login_at(tenant, BACKEND, new).await.expect(200);
    login_at(tenant, BACKEND, &format!("{new}x")).await.expect(401);
    login_at(tenant, "till", kept.shown("till")).await.expect(200);
    let shown = tenant.admin().await.get(&format!("/clients/{BACKEND}")).await.expect(200).json();
    assert_eq!(shown["secrets"].as_array().map(Vec::len), Some(2), "{shown}");
    let scopes = json!({"scopes": ["read", "write"]});
    tenant.admin().await.patch(&format!("/clients/{BACKEND}"), "*", &scopes).await.expect(200);
    kept.all_was_carried_through().await;
    // The stack's clock began ten minutes after the record.
    kept.clock.advance(seconds(OVERLAP_SECONDS - 900));
    login_at(tenant, BACKEND, old).await.expect(200);
    kept.clock.advance(seconds(301));
    login_at(tenant, BACKEND, old).await.expect(401);
    login_at(tenant, BACKEND, new).await.expect(200);
    let renewed =
        tenant.admin().await.post(&format!("/clients/{BACKEND}/secret"), &json!({})).await.expect(200);
    login_at(tenant, BACKEND, &renewed.string("client_secret")).await.expect(200);
    login_at(tenant, BACKEND, new).await.expect(200);
    kept.all_was_carried_through().await;
    kept.all_was_read();
}

#[tokio::test]
async fn a_creation_that_was_answered_then_is_answered_the_same() {
    let kept = Kept::start().await;
    let tenant = &kept.tenant;
    let admin = tenant.admin().await;
    for (what, asked) in [("answer of till", TILL), ("answer of cora", CORA)] {
        let again = once(&admin, asked).await.expect(201);
        assert_eq!((again.text().as_str(), again.header("idempotency-replayed")), (kept.shown(what), "true"));
        let other = once(&admin, (asked.0, r#"{"x":1}"#)).await;
        other.expect_problem(422, "idempotency_mismatch");
    }
    let second = tenant.admin_as("second", PASSWORD, None).await;
    once(&second, TILL).await.expect_problem(409, "already_exists");
    kept.all_was_carried_through().await;
    kept.all_was_read();
}
