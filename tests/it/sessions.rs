//! A user's own sessions, and with them the verification of access tokens: these are the routes that take one.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use leasehold_tests::clock::now;
use leasehold_tests::http::{Call, raw};
use leasehold_tests::stack::shared;
use leasehold_tests::tenant::{APP, PASSWORD, Session, Tenant, USER};
use leasehold_tests::token::Jwt;
use serde_json::{Value, json};

use crate::forge::Forger;

#[tokio::test]
async fn a_user_sees_their_own_sessions() {
    let tenant = Tenant::create(shared()).await;
    tenant.add_user(shared(), "bela", "walnut-Comet 6 bridge").await;
    tenant.login_as("bela", "walnut-Comet 6 bridge").await.expect(200);
    let first = Call::post(tenant.url("/login"))
        .header("x-client-version", "shop-ios/5.4.1")
        .json(&json!({"client_id": APP, "username": USER, "password": PASSWORD, "device": "Ada's phone"}))
        .send(&tenant.http)
        .await
        .expect(200);
    let first = Session::from_reply(&first);
    let second = tenant.login().await;
    let reply = tenant.sessions(&second.access).await.expect(200);
    assert!(reply.header("cache-control").contains("no-store"), "{reply}");
    let body = reply.json();
    let listed = body["sessions"].as_array().expect("sessions");
    assert_eq!(listed.len(), 2, "{body}");
    let of = |sid: &str| listed.iter().find(|session| session["sid"] == sid).expect("listed").clone();
    assert_eq!(of(&first.sid)["current"], false);
    assert_eq!(of(&second.sid)["current"], true);
    let phone = of(&first.sid);
    assert_eq!(phone["client_id"], APP);
    assert_eq!(phone["client_version"], "shop-ios/5.4.1");
    assert!((phone["created_at"].as_i64().expect("created_at") - now()).abs() <= 10, "{phone}");
    let used = phone["last_used_at"].as_i64().expect("last_used_at");
    assert!(used <= now() && now() - used <= 3700, "to the hour: {phone}");
    assert!(!reply.text().contains("hash") && !reply.text().contains("lhr_"), "{reply}");
}

#[tokio::test]
async fn a_user_ends_one_session_by_its_id() {
    let tenant = Tenant::create(shared()).await;
    let (keep, end) = (tenant.login().await, tenant.login().await);
    let call = || Call::delete(tenant.url(&format!("/sessions/{}", end.sid))).bearer(&keep.access);
    call().send(&tenant.http).await.expect(204);
    tenant.refuses(&end.refresh).await;
    tenant.rotate(&keep.refresh).await;
    let listed = tenant.sessions(&keep.access).await.expect(200).text();
    assert!(!listed.contains(&end.sid), "{listed}");
}

#[tokio::test]
async fn nobody_ends_what_is_not_theirs() {
    let tenant = Tenant::create(shared()).await;
    tenant.add_user(shared(), "bela", "walnut-Comet 6 bridge").await;
    let other = tenant.login_as("bela", "walnut-Comet 6 bridge").await.expect(200);
    let (mine, other) = (tenant.login().await, Session::from_reply(&other));
    for sid in
        [other.sid.as_str(), &"0".repeat(32), "x", "..", "%23", &other.sid.to_uppercase(), &"a".repeat(500)]
    {
        let reply = Call::delete(tenant.url(&format!("/sessions/{sid}")))
            .bearer(&mine.access)
            .send(&tenant.http)
            .await;
        assert!(matches!(reply.status, 400 | 404), "{sid}: {reply}");
    }
    tenant.rotate(&other.refresh).await;
    tenant.rotate(&mine.refresh).await;
}

#[tokio::test]
async fn signing_out_everywhere_ends_all_and_a_login_in_the_same_moment_lives() {
    let tenant = Tenant::create(shared()).await;
    for _ in 0..10 {
        let sessions = [tenant.login().await, tenant.login().await];
        tenant.sign_out_everywhere(&sessions[0].access).await.expect(204);
        let anew = tenant.login().await;
        for old in &sessions {
            tenant.refuses(&old.refresh).await;
            tenant.sessions(&old.access).await.expect(401);
        }
        tenant.sessions(&anew.access).await.expect(200);
        tenant.rotate(&anew.refresh).await;
    }
}

#[tokio::test]
async fn signing_out_everywhere_else_keeps_the_current_session() {
    let tenant = Tenant::create(shared()).await;
    let (current, other) = (tenant.login().await, tenant.login().await);
    Call::delete(tenant.url("/sessions?except=current"))
        .bearer(&current.access)
        .send(&tenant.http)
        .await
        .expect(204);
    tenant.refuses(&other.refresh).await;
    tenant.sessions(&other.access).await.expect(401);
    let next = tenant.rotate(&current.refresh).await;
    tenant.sessions(&next.access).await.expect(200);
}

#[tokio::test]
async fn signing_out_everywhere_ends_no_other_user() {
    let tenant = Tenant::create(shared()).await;
    tenant.add_user(shared(), "bela", "walnut-Comet 6 bridge").await;
    let other = Session::from_reply(&tenant.login_as("bela", "walnut-Comet 6 bridge").await.expect(200));
    let mine = tenant.login().await;
    tenant.sign_out_everywhere(&mine.access).await.expect(204);
    tenant.rotate(&other.refresh).await;
    tenant.sessions(&other.access).await.expect(200);
}

#[tokio::test]
async fn an_exception_that_does_not_exist_is_refused_and_ends_nothing() {
    let tenant = Tenant::create(shared()).await;
    let session = tenant.login().await;
    for query in ["except=all", "except=", "except=current&except=current", "except=Current"] {
        let reply = Call::delete(tenant.url(&format!("/sessions?{query}")))
            .bearer(&session.access)
            .send(&tenant.http)
            .await;
        assert_eq!(reply.status, 400, "{query}: {reply}");
    }
    tenant.rotate(&session.refresh).await;
}

/// The challenge of RFC 6750 §3 that a call without a good token gets.
#[track_caller]
fn challenged(reply: &leasehold_tests::http::Reply, error: Option<&str>) {
    let challenge = reply.header("www-authenticate");
    assert!(challenge.starts_with("Bearer ") && challenge.contains("realm="), "{reply}");
    match error {
        Some(error) => assert!(challenge.contains(&format!("error=\"{error}\"")), "{reply}"),
        None => assert!(!challenge.contains("error="), "no token, no error: {reply}"),
    }
}

#[tokio::test]
async fn a_call_without_a_token_is_challenged() {
    let tenant = Tenant::create(shared()).await;
    let session = tenant.login().await;
    for (method, path) in
        [("GET", "/sessions"), ("DELETE", "/sessions"), ("DELETE", &*format!("/sessions/{}", session.sid))]
    {
        let bare = Call::new(method, tenant.url(path)).send(&tenant.http).await.expect(401);
        challenged(&bare, None);
        let basic = Call::new(method, tenant.url(path)).basic("a", "b").send(&tenant.http).await.expect(401);
        challenged(&basic, None);
        let query = format!("{path}?access_token={}", session.access);
        Call::new(method, tenant.url(&query)).send(&tenant.http).await.expect(401);
        for token in ["x", "a.b.c", &session.refresh, &"A".repeat(4000)] {
            let bad = Call::new(method, tenant.url(path)).bearer(token).send(&tenant.http).await.expect(401);
            challenged(&bad, Some("invalid_token"));
        }
    }
    tenant.rotate(&session.refresh).await;
}

#[tokio::test]
async fn two_tokens_in_one_request_are_refused() {
    let tenant = Tenant::create(shared()).await;
    let access = tenant.login().await.access;
    let reply = Call::get(tenant.url("/sessions"))
        .bearer(&access)
        .header("authorization", format!("Bearer {access}"))
        .send(&tenant.http)
        .await;
    assert!(matches!(reply.status, 400 | 401), "RFC 6750 §2: {reply}");
    let path = format!("/t/{}/sessions?access_token={access}", tenant.name);
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {access}\r\n\r\n");
    let answer = raw(shared().gateway(), request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 4") || answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(!answer.contains(&access), "no echo");
}

#[tokio::test]
async fn a_token_that_the_service_would_not_issue_is_refused_though_its_signature_is_good() {
    let tenant = Tenant::create_with(shared(), "EdDSA", json!({})).await;
    let forger = Forger::of(shared(), &tenant).await;
    let session = tenant.login().await;
    let good = session.jwt();
    let use_it = |token: String| {
        let call = Call::get(tenant.url("/sessions")).bearer(&token);
        call.send(&tenant.http)
    };
    use_it(forger.sign(&good).await).await.expect(200);

    let issuer = tenant.issuer.clone();
    let set = |member: &str, value: Value| {
        let mut jwt = good.clone();
        jwt.claims[member] = value;
        jwt
    };
    let without = |member: &str| {
        let mut jwt = good.clone();
        jwt.claims.as_object_mut().expect("claims").remove(member);
        jwt
    };
    let head = |member: &str, value: Value| {
        let mut jwt = good.clone();
        jwt.header[member] = value;
        jwt
    };
    let exp = good.claims["exp"].as_i64().expect("exp");
    let table = [
        ("another issuer", set("iss", json!("https://elsewhere.example"))),
        ("an issuer with a slash", set("iss", json!(format!("{issuer}/")))),
        ("an issuer in capitals", set("iss", json!(issuer.to_uppercase()))),
        ("a list of issuers", set("iss", json!([issuer]))),
        ("no issuer", without("iss")),
        ("an audience that is not us", set("aud", json!(["https://api.shop.example"]))),
        ("the audience of admins", set("aud", json!([format!("{issuer}/admin")]))),
        ("no audience", without("aud")),
        ("another tenant", set("tid", json!("globex"))),
        ("no tenant", without("tid")),
        ("an old epoch", set("ep", json!("0.999"))),
        ("an epoch that is none", set("ep", json!("x"))),
        ("no epoch", without("ep")),
        ("an expiry long past", set("exp", json!(exp - 100_000))),
        ("an expiry as text", set("exp", json!(exp.to_string()))),
        ("an expiry with a fraction", set("exp", json!(1e300))),
        ("an expiry before all time", set("exp", json!(-1))),
        ("no expiry", without("exp")),
        ("a beginning in the future", set("nbf", json!(exp))),
        ("a beginning as text", set("nbf", json!("0"))),
        ("an issue in the future", set("iat", json!(exp + 100_000))),
        ("no subject", without("sub")),
        ("a subject that is none", set("sub", json!("ada"))),
        ("a subject of nobody", set("sub", json!(format!("usr_{}", "0".repeat(32))))),
        ("another type", head("typ", json!("JWT"))),
        ("the type of a logout token", head("typ", json!("logout+jwt"))),
        ("an unknown crit", head("crit", json!(["b64"]))),
        ("an empty crit", head("crit", json!([]))),
        ("a key set's address", head("jku", json!("http://127.0.0.1:1/jwks"))),
        ("a key of its own", head("jwk", json!({"kty": "OKP", "crv": "Ed25519", "x": "AA"}))),
        ("a certificate's address", head("x5u", json!("http://127.0.0.1:1/c"))),
        ("a certificate", head("x5c", json!(["AA"]))),
        ("another algorithm", head("alg", json!("ES256"))),
        ("no algorithm", head("alg", json!("none"))),
        ("a MAC", head("alg", json!("HS256"))),
        ("another key", head("kid", json!("A".repeat(43)))),
        ("a key with a path", head("kid", json!("../../etc/passwd"))),
        ("a key with a delimiter", head("kid", json!("T#x"))),
        ("a key that is a number", head("kid", json!(1))),
    ];
    for (why, jwt) in table {
        let reply = use_it(forger.sign(&jwt).await).await;
        assert_eq!(reply.status, 401, "{why}: {reply}");
        challenged(&reply, Some("invalid_token"));
    }
    let encoded = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let claims = encoded(&good.claims.to_string());
    let kid = good.header["kid"].as_str().expect("kid");
    let twice = format!(r#"{{"alg":"EdDSA","alg":"EdDSA","typ":"at+jwt","kid":"{kid}"}}"#);
    let double_member = forger.sign_text(&format!("{}.{claims}", encoded(&twice))).await;
    assert_eq!(use_it(double_member).await.status, 401, "a header member twice (RFC 7515 §4)");
    let not_json =
        forger.sign_text(&format!("{}.{}", encoded(&good.header.to_string()), encoded("\u{feff}{"))).await;
    assert_eq!(use_it(not_json).await.status, 401, "claims that are no JSON");
}

#[tokio::test]
async fn a_token_whose_bytes_were_touched_is_refused() {
    for algorithm in ["RS256", "ES256", "EdDSA"] {
        let tenant = Tenant::create_with(shared(), algorithm, json!({})).await;
        let session = tenant.login().await;
        let good = &session.access;
        let parts: Vec<&str> = good.split('.').collect();
        let jwt = session.jwt();
        let mut unsigned = jwt.clone();
        unsigned.header["alg"] = json!("none");
        unsigned.signature.clear();
        let mut zeros = jwt.clone();
        zeros.signature = vec![0; jwt.signature.len()];
        let mut promoted = jwt.clone();
        promoted.claims["roles"] = json!(["admin"]);
        let last = |text: &str| {
            // Another character that decodes to the same bytes where base64url leaves bits unused.
            let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
            let end = text.chars().last().expect("not empty");
            let at = alphabet.find(end).expect("base64url");
            let other = alphabet.as_bytes()[at ^ 1];
            format!("{}{}", &text[..text.len() - 1], char::from(other))
        };
        let table = [
            ("no signature", format!("{}.{}.", parts[0], parts[1])),
            ("no third part", format!("{}.{}", parts[0], parts[1])),
            ("a fourth part", format!("{good}.x")),
            ("an unsigned header", unsigned.encode()),
            ("a signature of zeros", zeros.encode()),
            ("claims that grew a role", promoted.encode()),
            ("padding", format!("{good}=")),
            ("a signature that is not canonical", format!("{}.{}.{}", parts[0], parts[1], last(parts[2]))),
            (
                "a character of another alphabet",
                format!("{}.{}.{}", parts[0], parts[1], parts[2].replace('_', "/") + "+"),
            ),
            ("a blank", format!("{}. {}.{}", parts[0], parts[1], parts[2])),
            ("JSON instead", json!({"payload": parts[1], "signatures": []}).to_string()),
        ];
        for (why, token) in table {
            let reply = Call::get(tenant.url("/sessions")).bearer(&token).send(&tenant.http).await;
            // Where it is not even one token, it may be called a malformed request (RFC 6750 §3.1).
            assert!(matches!(reply.status, 400 | 401), "{algorithm}, {why}: {reply}");
        }
        tenant.sessions(good).await.expect(200);
        assert_eq!(Jwt::parse(good).encode().len(), good.len());
    }
}

#[tokio::test]
async fn a_disabled_user_is_out_at_once_and_back_only_by_signing_in_again() {
    let tenant = Tenant::create(shared()).await;
    let session = tenant.login().await;
    let command = |op: &str| json!({"op": op, "tenant": tenant.name, "username": USER});
    shared().operator(&tenant.http, &command("user.disable")).await;
    tenant.refuses(&session.refresh).await;
    tenant.sessions(&session.access).await.expect(401);
    shared().operator(&tenant.http, &command("user.enable")).await;
    tenant.refuses(&session.refresh).await;
    tenant.sessions(&session.access).await.expect(401);
    let anew = tenant.login().await;
    tenant.sessions(&anew.access).await.expect(200);
    tenant.rotate(&anew.refresh).await;
}
