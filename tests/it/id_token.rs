//! ID tokens and userinfo: asked for by the scope `openid`, for the client alone, and worth nothing at an API.

use leasehold_tests::http::Call;
use leasehold_tests::stack::shared;
use leasehold_tests::tenant::{APP, PASSWORD, Session, Tenant, USER};
use leasehold_tests::token::{Jwt, verify};
use serde_json::{Value, json};

fn id_token(session: &Session) -> Option<String> {
    session.body["id_token"].as_str().map(str::to_owned)
}

async fn login_with(tenant: &Tenant, more: &Value) -> leasehold_tests::http::Reply {
    let mut body = json!({"client_id": APP, "username": USER, "password": PASSWORD});
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    Call::post(tenant.url("/login")).json(&body).send(&tenant.http).await
}

#[tokio::test]
async fn an_id_token_says_who_signed_in_to_the_client_that_asked() {
    for algorithm in ["RS256", "ES256", "EdDSA"] {
        let tenant = Tenant::create_with(shared(), algorithm, json!({})).await;
        let reply =
            login_with(&tenant, &json!({"scope": "openid read", "nonce": "n-0S6_WzA2Mj"})).await.expect(200);
        let session = Session::from_reply(&reply);
        let token = id_token(&session).expect("an ID token");
        let claims =
            verify(&token, &tenant.jwks().await, &tenant.issuer, APP).expect("verifies for the client");
        let access = session.jwt().claims;
        for name in ["iss", "sub", "exp", "iat", "auth_time", "amr", "sid"] {
            assert_eq!(claims[name], access[name], "{algorithm}: {name}");
        }
        assert_eq!((&claims["aud"], &claims["nonce"]), (&json!(APP), &json!("n-0S6_WzA2Mj")));
        assert_eq!(Jwt::parse(&token).header["typ"], "JWT");
        for name in ["scope", "roles", "ep", "tid", "client_id", "jti"] {
            assert!(claims.get(name).is_none(), "{name} is the access token's: {claims}");
        }
    }
}

#[tokio::test]
async fn there_is_none_without_the_scope_and_it_is_not_granted_unasked() {
    let tenant = Tenant::create(shared()).await;
    let unasked = tenant.login().await;
    assert_eq!(id_token(&unasked), None);
    assert!(!unasked.jwt().claim("scope").split(' ').any(|scope| scope == "openid"));
    assert_eq!(id_token(&tenant.login_for("read").await), None);
    let nonce = login_with(&tenant, &json!({"scope": "read", "nonce": "x"})).await.expect(200);
    assert!(nonce.json().get("id_token").is_none());
}

#[tokio::test]
async fn a_refresh_renews_it_without_the_nonce() {
    let tenant = Tenant::create(shared()).await;
    let reply = login_with(&tenant, &json!({"scope": "openid read", "nonce": "once"})).await.expect(200);
    let session = Session::from_reply(&reply);
    let first = Jwt::parse(&id_token(&session).expect("at login"));
    let next = tenant.rotate(&session.refresh).await;
    let second = Jwt::parse(&id_token(&next).expect("at the refresh"));
    for name in ["iss", "sub", "aud", "auth_time", "sid"] {
        assert_eq!(first.claims[name], second.claims[name], "OpenID Connect Core section 12.2: {name}");
    }
    assert!(second.claims.get("nonce").is_none(), "{}", second.claims);
    let replayed = tenant.rotate(&session.refresh).await;
    assert!(id_token(&replayed).is_some(), "a retry gets one too");
    let narrowed = Call::post(tenant.url("/token")).form(&[
        ("grant_type", "refresh_token"),
        ("client_id", APP),
        ("refresh_token", &next.refresh),
        ("scope", "read"),
    ]);
    let narrowed = Session::from_reply(&narrowed.send(&tenant.http).await.expect(200));
    assert_eq!(id_token(&narrowed), None, "the scope of this access token is without openid");
    assert!(id_token(&tenant.rotate(&narrowed.refresh).await).is_some(), "the session's is not");
}

#[tokio::test]
async fn an_id_token_is_no_access_token_and_the_other_way_round() {
    let tenant = Tenant::create(shared()).await;
    let session = tenant.login_for("openid orders:read").await;
    let token = id_token(&session).expect("an ID token");
    tenant.sessions(&token).await.expect(401);
    assert_eq!(tenant.orders(&token).await.status, 403);
    assert_eq!(tenant.me(&token).await.status, 401);
    Call::get(tenant.url("/userinfo")).bearer(&token).send(&tenant.http).await.expect(401);
    tenant.refuses(&token).await;
    tenant.revoke(&token).await.expect(200);
    tenant.orders(&session.access).await.expect(200);
    verify(&session.access, &tenant.jwks().await, &tenant.issuer, APP).expect_err("not for the client");
}

#[tokio::test]
async fn a_nonce_has_a_form() {
    let tenant = Tenant::create(shared()).await;
    for nonce in [json!("x".repeat(129)), json!("a b"), json!("\u{e4}"), json!("\n"), json!(7), json!(["x"])]
    {
        let reply = login_with(&tenant, &json!({"scope": "openid", "nonce": nonce})).await;
        reply.expect_error(400, "invalid_request");
    }
    let longest = "x".repeat(128);
    let reply = login_with(&tenant, &json!({"scope": "openid", "nonce": longest})).await.expect(200);
    assert_eq!(Jwt::parse(&reply.string("id_token")).claims["nonce"], longest.as_str());
}

#[tokio::test]
async fn userinfo_tells_what_the_scope_opens() {
    let stack = shared();
    let tenant = Tenant::create(stack).await;
    let claims = json!({"name": "Grace Hopper", "email": "grace@shop.example", "email_verified": true, "plan": "gold"});
    let user = json!({
        "op": "user.create", "tenant": tenant.name, "username": "grace", "password": "walnut-Comet 6 bridge",
        "roles": ["user"], "claims": claims,
    });
    stack.operator(&tenant.http, &user).await;
    let client = json!({
        "op": "client.create", "tenant": tenant.name, "client_id": "reader", "type": "public", "audiences": [],
        "scopes": ["openid", "profile", "email"], "origins": [],
    });
    stack.operator(&tenant.http, &client).await;
    for (scope, told) in [
        ("openid", json!({})),
        ("openid profile", json!({"name": "Grace Hopper", "preferred_username": "grace"})),
        ("openid email", json!({"email": "grace@shop.example", "email_verified": true})),
    ] {
        let body = json!({"client_id": "reader", "username": "grace", "password": "walnut-Comet 6 bridge", "scope": scope});
        let session = Session::from_reply(
            &Call::post(tenant.url("/login")).json(&body).send(&tenant.http).await.expect(200),
        );
        let reply =
            Call::get(tenant.url("/userinfo")).bearer(&session.access).send(&tenant.http).await.expect(200);
        let mut expected = told.clone();
        expected["sub"] = json!(session.jwt().claim("sub"));
        assert_eq!(reply.json(), expected, "{scope}");
        assert_eq!(reply.header("cache-control"), "no-store");
        let identity = Jwt::parse(&id_token(&session).expect("an ID token")).claims;
        for (name, value) in told.as_object().expect("an object") {
            assert_eq!(&identity[name], value, "{scope}: {name} in the ID token");
        }
        assert!(identity.get("plan").is_none(), "what no scope opens stays in the access token: {identity}");
    }
}

#[tokio::test]
async fn userinfo_needs_a_token_of_this_tenant_with_openid() {
    let (tenant, other) = (Tenant::create(shared()).await, Tenant::create(shared()).await);
    let url = tenant.url("/userinfo");
    let ask = async |token: &str| Call::get(&url).bearer(token).send(&tenant.http).await;
    let session = tenant.login_for("openid").await;
    ask(&session.access).await.expect(200);
    let reply = ask(&tenant.login().await.access).await.expect_error(403, "insufficient_scope");
    let challenge = r#"Bearer realm="leasehold", error="insufficient_scope", scope="openid""#;
    assert_eq!(reply.header("www-authenticate"), challenge);
    for token in [&other.login_for("openid").await.access, &session.refresh, "x", "a.b.c"] {
        ask(token).await.expect_error(401, "invalid_token");
    }
    Call::get(&url).send(&tenant.http).await.expect_error(401, "invalid_token");
    tenant.revoke(&session.refresh).await.expect(200);
    ask(&session.access).await.expect_error(401, "invalid_token");
}

#[tokio::test]
async fn discovery_names_both_and_what_they_know() {
    let tenant = Tenant::create(shared()).await;
    let document = Call::get(tenant.url("/.well-known/openid-configuration"))
        .send(&tenant.http)
        .await
        .expect(200)
        .json();
    for (member, path) in [
        ("introspection_endpoint", "/introspect"),
        ("userinfo_endpoint", "/userinfo"),
        ("revocations_uri", "/.well-known/revocations"),
    ] {
        assert_eq!(document[member], tenant.url(path), "{member}");
    }
    let methods = document["introspection_endpoint_auth_methods_supported"].clone();
    assert_eq!(methods, json!(["client_secret_basic", "client_secret_post"]), "no public client");
    for scope in ["openid", "profile", "email"] {
        assert!(
            document["scopes_supported"].as_array().is_some_and(|scopes| scopes.contains(&json!(scope))),
            "{scope}"
        );
    }
    assert!(document["claims_supported"].as_array().is_some_and(|claims| claims.contains(&json!("nonce"))));
}
