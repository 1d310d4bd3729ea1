//! Who may call what: every route of the administration needs its one scope, from the token and from the user's present
//! roles. The routes come from the function's own table.

use leasehold_tests::http::Call;
use leasehold_tests::stack::shared;
use leasehold_tests::tenant::{ADMIN, ADMIN_CLIENT, ADMIN_PASSWORD, Tenant, USER};
use serde_json::json;

const SCOPES: [&str; 6] =
    ["admin:keys", "admin:users", "admin:clients", "admin:sessions", "admin:policy", "admin:audit"];

fn path(key: &str) -> (String, String) {
    let (method, path) = key.split_once(' ').expect("a method");
    let own = path
        .replace("/t/{tenant}/admin", "")
        .replace("{kid}", &"A".repeat(43))
        .replace("{sid}", &"0".repeat(32));
    (method.to_owned(), own.replace("{id}", &format!("usr_{}", "0".repeat(32))))
}

#[tokio::test]
async fn each_route_needs_its_scope_and_no_other_will_do() {
    let tenant = Tenant::create(shared()).await;
    for scope in SCOPES {
        let admin = tenant.admin_as(ADMIN, ADMIN_PASSWORD, Some(scope)).await;
        assert_eq!(admin.session.body["scope"], scope);
        for route in leasehold_admin::TABLE.iter().filter(|route| route.scope != scope) {
            let (method, path) = path(route.key);
            let reply = admin.send(admin.call(&method, &path)).await;
            let refused = reply.expect_problem(403, "insufficient_scope");
            let challenge = refused.header("www-authenticate");
            assert!(
                challenge.contains("insufficient_scope") && challenge.contains(route.scope),
                "{challenge}"
            );
        }
    }
}

#[tokio::test]
async fn without_a_token_of_the_administration_every_route_answers_with_a_challenge() {
    let tenant = Tenant::create(shared()).await;
    let user = tenant.login().await;
    let admin = tenant.admin().await;
    for route in leasehold_admin::TABLE {
        let (method, path) = path(route.key);
        let url = format!("{}{path}", admin.base);
        let bare = Call::new(&method, &url).send(&tenant.http).await.expect_problem(401, "invalid_token");
        assert_eq!(bare.header("www-authenticate"), "Bearer realm=\"leasehold\"", "{}", route.key);
        for (what, token) in [
            ("a user's token", &user.access),
            ("a refresh token", &admin.session.refresh),
            ("noise", &"x.y.z".to_owned()),
        ] {
            let reply = Call::new(&method, &url).bearer(token).send(&tenant.http).await;
            let refused = reply.expect_problem(401, "invalid_token");
            assert!(
                refused.header("www-authenticate").contains("error=\"invalid_token\""),
                "{what} at {}",
                route.key
            );
        }
    }
}

#[tokio::test]
async fn an_admins_token_is_good_for_the_administration_alone() {
    let tenant = Tenant::create(shared()).await;
    let admin = tenant.admin().await;
    assert_eq!(admin.session.jwt().claims["aud"], json!([format!("{}/admin", tenant.issuer)]));
    tenant.sessions(&admin.token).await.expect(401);
    tenant.verify(&admin.token).await.expect_err("not for an API");
}

#[tokio::test]
async fn who_is_no_admin_does_not_sign_in_there_and_a_demoted_one_is_out_at_once() {
    let tenant = Tenant::create(shared()).await;
    let body =
        json!({"client_id": ADMIN_CLIENT, "username": USER, "password": leasehold_tests::tenant::PASSWORD});
    Call::post(tenant.url("/login")).json(&body).send(&tenant.http).await.expect_error(403, "access_denied");
    let admin = tenant.admin().await;
    let words = "velvet-Harbour 9 tulip";
    let id = admin
        .add_user(&tenant, &json!({"username": "helper", "roles": ["admin:audit", "admin:users"]}), words)
        .await;
    let helper = tenant.admin_as("helper", words, None).await;
    assert_eq!(helper.session.body["scope"], "admin:audit admin:users");
    helper.get("/audit").await.expect(200);
    admin.patch(&format!("/users/{id}"), "*", &json!({"roles": ["admin:users"]})).await.expect(200);
    helper.get("/audit").await.expect_problem(403, "insufficient_scope");
    helper.get("/users").await.expect(200);
    let refreshed = Call::post(tenant.url("/refresh"))
        .json(&json!({"client_id": ADMIN_CLIENT, "refresh_token": helper.session.refresh}))
        .send(&tenant.http)
        .await
        .expect(200);
    assert_eq!(refreshed.string("scope"), "admin:users");
    admin.patch(&format!("/users/{id}"), "*", &json!({"status": "disabled"})).await.expect(200);
    helper.get("/users").await.expect_problem(401, "invalid_token");
}

#[tokio::test]
async fn a_suspended_tenant_has_no_administration() {
    let tenant = Tenant::create(shared()).await;
    let admin = tenant.admin().await;
    shared().operator(&tenant.http, &json!({"op": "tenant.suspend", "tenant": tenant.name})).await;
    admin.get("/keys").await.expect_problem(401, "invalid_token");
    shared().operator(&tenant.http, &json!({"op": "tenant.resume", "tenant": tenant.name})).await;
    admin.get("/keys").await.expect_problem(401, "invalid_token");
    tenant.admin().await.get("/keys").await.expect(200);
}
