//! Browsers: the documents answer any origin (see `jwks.rs`), the token routes the origins a client registered, the
//! routes that take an access token none.

use leasehold_tests::http::{Call, Reply};
use leasehold_tests::stack::shared;
use leasehold_tests::tenant::{API, PASSWORD, Tenant, USER};
use serde_json::json;

const ORIGIN: &str = "https://shop.example";

/// A tenant with a web client of its own, besides those of every test tenant.
async fn tenant() -> Tenant {
    let tenant = Tenant::create(shared()).await;
    let command = json!({
        "op": "client.create", "tenant": tenant.name, "client_id": "shop-web", "type": "public",
        "audiences": [API], "scopes": ["read"], "origins": [ORIGIN],
    });
    shared().operator(&tenant.http, &command).await;
    tenant
}

fn allowed(reply: &Reply) -> &str {
    assert_eq!(reply.header("access-control-allow-credentials"), "", "never with credentials: {reply}");
    reply.header("access-control-allow-origin")
}

/// Origins that are not the registered one, however much they look like it.
const OTHERS: &[&str] = &[
    "https://evil.example",
    "http://shop.example",
    "https://shop.example.evil.example",
    "https://evil-shop.example",
    "https://shop.example:8443",
    "https://shop.example/",
    "https://SHOP.example",
    "null",
    "*",
];

#[tokio::test]
async fn a_preflight_is_answered_for_a_registered_origin_exactly() {
    let tenant = tenant().await;
    let preflight = |path: &str, origin: &str| {
        Call::new("OPTIONS", tenant.url(path))
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "content-type")
            .send(&tenant.http)
    };
    for path in ["/login", "/password", "/token", "/refresh", "/confirm", "/revoke"] {
        let reply = preflight(path, ORIGIN).await.expect(204);
        assert_eq!(allowed(&reply), ORIGIN, "{path}");
        assert!(reply.header("access-control-allow-methods").contains("POST"), "{path}: {reply}");
        assert!(reply.header("vary").to_lowercase().contains("origin"), "{path}: {reply}");
        for other in OTHERS {
            let reply = preflight(path, other).await;
            assert_eq!(allowed(&reply), "", "{path} for {other}: {reply}");
        }
    }
}

#[tokio::test]
async fn an_answer_names_the_origin_only_if_its_own_client_registered_it() {
    let tenant = tenant().await;
    let login = |client: &str, origin: &str| {
        Call::post(tenant.url("/login"))
            .header("origin", origin)
            .json(&json!({"client_id": client, "username": USER, "password": PASSWORD}))
            .send(&tenant.http)
    };
    assert_eq!(allowed(&login("shop-web", ORIGIN).await.expect(200)), ORIGIN);
    assert_eq!(allowed(&login("shop-app", ORIGIN).await), "", "another client's origin");
    for other in OTHERS {
        assert_eq!(allowed(&login("shop-web", other).await), "", "{other}");
    }
}

#[tokio::test]
async fn a_refusal_can_be_read_by_the_page_that_asked() {
    let tenant = tenant().await;
    let refused = Call::post(tenant.url("/refresh"))
        .header("origin", ORIGIN)
        .json(&json!({"client_id": "shop-web", "refresh_token": "lhr_x"}))
        .send(&tenant.http)
        .await
        .expect_error(400, "invalid_grant");
    assert_eq!(allowed(&refused), ORIGIN);
}

#[tokio::test]
async fn the_routes_of_access_tokens_answer_no_origin() {
    let tenant = tenant().await;
    let session = tenant.login().await;
    let call = Call::get(tenant.url("/sessions")).header("origin", ORIGIN);
    assert_eq!(allowed(&call.bearer(&session.access).send(&tenant.http).await.expect(200)), "");
    let preflight = Call::new("OPTIONS", tenant.url("/sessions")).header("origin", ORIGIN);
    assert_eq!(preflight.send(&tenant.http).await.status, 404, "no such route");
}

#[tokio::test]
async fn an_origin_of_another_tenant_is_nobodys() {
    let (_, other) = (tenant().await, Tenant::create(shared()).await);
    let preflight = Call::new("OPTIONS", other.url("/token")).header("origin", ORIGIN);
    assert_eq!(allowed(&preflight.send(&other.http).await), "");
}
