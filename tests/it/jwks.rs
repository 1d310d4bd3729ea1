//! The published keys and the two discovery documents.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use leasehold_tests::http::Call;
use leasehold_tests::stack::{Setup, shared};
use leasehold_tests::tenant::{Tenant, fresh_name};
use serde_json::{Value, json};

const JWKS: &str = "/.well-known/jwks.json";
const OPENID: &str = "/.well-known/openid-configuration";

fn rfc8414(tenant: &str) -> String {
    format!("{}/.well-known/oauth-authorization-server/t/{tenant}", shared().base_url())
}

#[tokio::test]
async fn the_set_holds_the_public_key_that_signs_under_its_thumbprint() {
    for (algorithm, members) in [
        ("RS256", vec!["e", "kty", "n"]),
        ("ES256", vec!["crv", "kty", "x", "y"]),
        ("EdDSA", vec!["crv", "kty", "x"]),
    ] {
        let tenant = Tenant::create_with(shared(), algorithm, json!({})).await;
        let set = tenant.jwks().await;
        let keys = set["keys"].as_array().expect("keys");
        assert_eq!(keys.len(), 1, "{set}");
        let key = &keys[0];
        assert_eq!((&key["alg"], &key["use"]), (&json!(algorithm), &json!("sig")));
        for private in ["d", "p", "q", "dp", "dq", "qi", "k"] {
            assert!(key.get(private).is_none(), "{private} is published");
        }
        let required: serde_json::Map<String, Value> =
            members.iter().map(|name| ((*name).to_owned(), key[*name].clone())).collect();
        let canonical = Value::Object(required).to_string();
        let thumbprint = URL_SAFE_NO_PAD.encode(digest(&SHA256, canonical.as_bytes()));
        assert_eq!(key["kid"], thumbprint, "RFC 7638");
        assert_eq!(tenant.login().await.jwt().header["kid"], thumbprint);
        assert!(!set.to_string().contains("arn:"), "no ARN");
    }
}

#[tokio::test]
async fn every_origin_may_read_it_and_caches_know_how_long() {
    let tenant = Tenant::create(shared()).await;
    for url in [tenant.url(JWKS), tenant.url(OPENID), rfc8414(&tenant.name)] {
        let reply =
            Call::get(&url).header("origin", "https://shop.example").send(&tenant.http).await.expect(200);
        assert!(reply.header("content-type").starts_with("application/"), "{reply}");
        assert!(reply.header("cache-control").contains("public"), "{reply}");
        assert!(reply.header("cache-control").contains("max-age="), "{reply}");
        assert_eq!(reply.header("access-control-allow-origin"), "*", "{reply}");
        assert_eq!(reply.header("access-control-allow-credentials"), "", "{reply}");
        assert_eq!(reply.header("set-cookie"), "", "{reply}");
    }
    let reply = Call::get(tenant.url(JWKS)).send(&tenant.http).await.expect(200);
    assert!(reply.header("cache-control").contains("max-age=300"), "{reply}");
    let short = Tenant::with_policy(shared(), json!({"jwks_max_age_seconds": 7})).await;
    let reply = Call::get(short.url(JWKS)).send(&short.http).await.expect(200);
    assert!(reply.header("cache-control").contains("max-age=7"), "{reply}");
}

#[tokio::test]
async fn an_unchanged_set_is_not_sent_again() {
    let tenant = Tenant::create(shared()).await;
    let url = tenant.url(JWKS);
    let reply = Call::get(&url).send(&tenant.http).await.expect(200);
    let tag = reply.header("etag").to_owned();
    assert!(tag.starts_with('"') || tag.starts_with("W/\""), "{reply}");
    for matching in [tag.clone(), format!("\"x\", {tag}"), "*".to_owned()] {
        let again = Call::get(&url).header("if-none-match", &matching).send(&tenant.http).await;
        assert_eq!(again.status, 304, "{matching}: {again}");
        assert!(again.body.is_empty(), "{again}");
        assert_eq!(again.header("etag"), tag);
        assert_eq!(again.header("access-control-allow-origin"), "*", "{again}");
    }
    for other in ["\"x\"", "x", ""] {
        Call::get(&url).header("if-none-match", other).send(&tenant.http).await.expect(200);
    }
    let other = Tenant::create(shared()).await;
    Call::get(other.url(JWKS)).header("if-none-match", tag).send(&tenant.http).await.expect(200);
}

#[tokio::test]
async fn both_discovery_documents_speak_for_exactly_this_tenant() {
    let tenant = Tenant::create(shared()).await;
    assert_eq!(tenant.issuer, format!("{}/t/{}", shared().base_url(), tenant.name));
    for url in [tenant.url(OPENID), rfc8414(&tenant.name)] {
        let document = Call::get(&url).send(&tenant.http).await.expect(200).json();
        assert_eq!(document["issuer"], tenant.issuer.as_str(), "RFC 8414 §3.3");
        for (member, path) in
            [("jwks_uri", JWKS), ("token_endpoint", "/token"), ("revocation_endpoint", "/revoke")]
        {
            assert_eq!(document[member], tenant.url(path), "{member}");
        }
        let grants = document["grant_types_supported"].as_array().expect("grant_types_supported");
        assert_eq!(grants, &vec![json!("refresh_token")], "no password grant is advertised (RFC 9700 §2.4)");
        let methods = document["token_endpoint_auth_methods_supported"].to_string();
        for method in ["none", "client_secret_basic", "client_secret_post"] {
            assert!(methods.contains(method), "{method} in {methods}");
        }
        Call::get(document["jwks_uri"].as_str().expect("a URL")).send(&tenant.http).await.expect(200);
    }
}

#[tokio::test]
async fn key_sets_may_be_published_elsewhere_and_nothing_else_moves() {
    let stack = Setup::default().function_env("KEYS_URL", "https://keys.example").start();
    let tenant = Tenant::create(&stack).await;
    let document = Call::get(tenant.url(OPENID)).send(&tenant.http).await.expect(200).json();
    assert_eq!(document["jwks_uri"], format!("https://keys.example/t/{}{JWKS}", tenant.name));
    assert_eq!(document["issuer"], tenant.issuer.as_str());
    assert_eq!(document["token_endpoint"], tenant.url("/token"));
    // Whoever knows the issuer alone finds them where they always were.
    assert!(tenant.jwks().await["keys"][0].is_object());
}

#[tokio::test]
async fn nothing_is_published_for_a_tenant_that_is_not_served() {
    let tenant = Tenant::create(shared()).await;
    let paths = |name: &str| {
        let base = format!("{}/t/{name}", shared().base_url());
        [format!("{base}{JWKS}"), format!("{base}{OPENID}"), rfc8414(name)]
    };
    for name in [fresh_name(), "UPPER".into(), "a%23b".into(), "%2e%2e".into(), "x".repeat(500)] {
        for url in paths(&name) {
            let reply = Call::get(&url).send(&tenant.http).await;
            assert_eq!(reply.status, 404, "{url}: {reply}");
            assert!(!reply.text().contains(&name), "no echo: {reply}");
        }
    }
    let command = |op: &str| json!({"op": op, "tenant": tenant.name});
    shared().operator(&tenant.http, &command("tenant.suspend")).await;
    for url in paths(&tenant.name) {
        Call::get(&url).send(&tenant.http).await.expect(404);
    }
    shared().operator(&tenant.http, &command("tenant.resume")).await;
    for url in paths(&tenant.name) {
        Call::get(&url).send(&tenant.http).await.expect(200);
    }
}

#[tokio::test]
async fn the_documents_are_read_only() {
    let tenant = Tenant::create(shared()).await;
    for url in [tenant.url(JWKS), tenant.url(OPENID), rfc8414(&tenant.name)] {
        for method in ["POST", "PUT", "DELETE", "PATCH"] {
            let reply = Call::new(method, &url).send(&tenant.http).await;
            assert!(matches!(reply.status, 404 | 405), "{method} {url}: {reply}");
        }
    }
}
