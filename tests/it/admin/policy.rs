//! The policy in the hands of admins.

use leasehold_tests::stack::shared;
use leasehold_tests::tenant::{PASSWORD, Tenant, USER};
use serde_json::json;

use crate::support::together;

#[tokio::test]
async fn a_change_counts_from_the_next_token_on() {
    let tenant = Tenant::create(shared()).await;
    let admin = tenant.admin().await;
    let before = admin.get("/policy").await.expect(200);
    assert_eq!(before.json()["policy"]["access_token_seconds"], 900);
    assert_eq!(
        before.json()["bounds"]["access_token_seconds"],
        json!({"default": 900, "low": 10, "high": 3600})
    );
    let change = json!({"access_token_seconds": 120, "jwks_max_age_seconds": 7});
    let after = admin.patch("/policy", before.header("etag"), &change).await.expect(200);
    assert_eq!(after.json()["policy"]["access_token_seconds"], 120);
    assert_eq!(tenant.login().await.body["expires_in"], 120);
    let keys =
        leasehold_tests::http::Call::get(tenant.url("/.well-known/jwks.json")).send(&tenant.http).await;
    assert!(keys.header("cache-control").contains("max-age=7,"), "{keys}");
    admin.patch("/policy", before.header("etag"), &change).await.expect_problem(412, "precondition_failed");
    admin.patch("/policy", after.header("etag"), &json!({"access_token_seconds": null})).await.expect(200);
    assert_eq!(tenant.login().await.body["expires_in"], 900);
}

#[tokio::test]
async fn nonsense_is_refused_with_its_bounds() {
    let tenant = Tenant::create(shared()).await;
    let admin = tenant.admin().await;
    let before = admin.get("/policy").await.expect(200);
    for (member, value, low, high) in [
        ("access_token_seconds", 9, 10, 3600),
        ("access_token_seconds", 3601, 10, 3600),
        ("retry_window_seconds", 601, 0, 600),
        ("late_retry_limit", 21, 0, 20),
        ("absolute_seconds", 59, 60, 34_560_000),
        ("max_sessions_per_user", 0, 1, 100),
        ("code_seconds", 59, 60, 604_800),
    ] {
        let refused = admin
            .patch("/policy", "*", &json!({ member: value }))
            .await
            .expect_problem(400, "invalid_request");
        let json = refused.json();
        assert_eq!(
            (&json["member"], &json["low"], &json["high"]),
            (&json!(member), &json!(low), &json!(high))
        );
    }
    for body in [
        json!({"idle_seconds": "60"}),
        json!({"idle_seconds": 1.5}),
        json!({"idle_seconds": -1}),
        json!({"issuer": "https://evil.example"}),
        json!({"epoch": 9}),
        json!({"algorithm": "none"}),
        json!({"allowed_scopes": ["a b"]}),
        json!([]),
    ] {
        admin.patch("/policy", "*", &body).await.expect_problem(400, "invalid_request");
    }
    let call = admin.call("PATCH", "/policy").json(&json!({"idle_seconds": 60}));
    admin.send(call).await.expect_problem(428, "precondition_required");
    let after = admin.get("/policy").await.expect(200);
    assert_eq!((after.header("etag"), after.json()), (before.header("etag"), before.json()));
}

#[tokio::test]
async fn scopes_that_the_tenant_does_not_allow_are_granted_to_nobody() {
    let tenant = Tenant::create(shared()).await;
    let admin = tenant.admin().await;
    let session = tenant.login().await;
    admin.patch("/policy", "*", &json!({"allowed_scopes": ["read"]})).await.expect(200);
    assert_eq!(tenant.login().await.body["scope"], "read");
    assert_eq!(tenant.rotate(&session.refresh).await.body["scope"], "read");
    let body = json!({"client_id": "wide", "type": "public", "scopes": ["write"]});
    let refused = admin.post("/clients", &body).await.expect_problem(400, "invalid_request");
    assert_eq!(refused.json()["member"], "scopes");
    tenant.admin().await.get("/keys").await.expect(200);
}

#[tokio::test]
async fn hashes_follow_the_tenants_cost_at_the_next_login() {
    let tenant = Tenant::create(shared()).await;
    let admin = tenant.admin().await;
    let hash = async || {
        let exported = admin.get("/export").await.expect(200).json();
        let users = exported["items"].as_array().expect("items").clone();
        let ada = users.iter().find(|user| user["username"] == USER).expect("the user").clone();
        ada["password_hash"].as_str().expect("a hash").to_owned()
    };
    assert!(hash().await.contains("$m=256,t=1,"), "the test stack's own cost");
    admin.patch("/policy", "*", &json!({"argon2_memory_kib": 512, "argon2_iterations": 2})).await.expect(200);
    tenant.login_as(USER, PASSWORD).await.expect(200);
    assert!(hash().await.contains("$m=512,t=2,"), "{}", hash().await);
    tenant.login_as(USER, PASSWORD).await.expect(200);
    tenant.login_as(USER, "another").await.expect(401);
}

#[tokio::test]
async fn of_changes_at_once_on_one_version_one_is_made() {
    let tenant = Tenant::create(shared()).await;
    let admin = tenant.admin().await;
    let tag = admin.get("/policy").await.expect(200).header("etag").to_owned();
    let replies = together(8, |n| {
        let (admin, tag) = (admin.clone(), tag.clone());
        async move { admin.patch("/policy", &tag, &json!({"idle_seconds": 1000 + n})).await }
    })
    .await;
    assert_eq!(replies.iter().filter(|reply| reply.status == 200).count(), 1);
}
