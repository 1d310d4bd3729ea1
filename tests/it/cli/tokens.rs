//! Commands about tokens: explain, verify, health.

use std::fs;

use leasehold_tests::cli::Cli;
use leasehold_tests::http::Call;
use leasehold_tests::stack::{Setup, shared};
use leasehold_tests::tenant::{ADMIN_PASSWORD, API, Tenant};
use serde_json::{Value, json};

use super::session::sign_in;
use crate::forge::Forger;
use crate::support::{eventually, seconds};

#[tokio::test]
async fn a_token_on_standard_input_is_explained_and_never_printed() {
    let (cli, tenant) = (Cli::anywhere(), Tenant::create(shared()).await);
    sign_in(&cli, &tenant);
    let session = tenant.login().await;
    let good = cli.run_with(&["explain"], &format!("  {}\n", session.access)).expect(0);
    assert!(good.out.starts_with("access token, good\n") && good.out.contains(&session.sid), "{good}");
    tenant.revoke(&session.refresh).await.expect(200);
    let ended = cli.run_with(&["explain"], &session.refresh).expect(0);
    assert!(ended.out.starts_with("refresh token, refused: revoked\n"), "{ended}");
    assert!(ended.out.contains("NO  revoked") && ended.out.contains("session.revoke"), "{ended}");
    assert!(ended.out.contains("A refresh would be refused"), "{ended}");
    let body = cli.run_with(&["explain", "--json", "--audience", API], &session.access).expect(0);
    assert_eq!((&body.json()["good"], &body.json()["reason"]), (&json!(false), &json!("session")));
    let rubbish = cli.run_with(&["explain"], "what is this").expect(0);
    assert!(rubbish.out.starts_with("unknown, refused: malformed"), "{rubbish}");
    for ran in [&good, &ended, &body] {
        for token in [&session.access, &session.refresh] {
            assert!(!ran.to_string().contains(&token[token.len() - 40..]), "{ran}");
        }
    }
    cli.run(&["explain"]).expect(2);
    // What stands on the command line stays in the shell's history: it is not taken.
    cli.run(&["explain", &session.access]).expect(2);
    Cli::anywhere().run_with(&["explain"], &session.access).expect(3);
    let other = Cli::anywhere();
    let login =
        ["login", &tenant.issuer, "--username", "root-admin", "--password-stdin", "--scope", "admin:audit"];
    other.run_with(&login, ADMIN_PASSWORD).expect(0);
    other.run_with(&["explain"], &session.access).expect(4);
}

#[tokio::test]
async fn a_token_is_verified_by_what_the_tenant_publishes() {
    let (tenant, other) = (Tenant::create(shared()).await, Tenant::create(shared()).await);
    let cli = Cli::anywhere();
    let session = tenant.login().await;
    let issuer = ["--issuer", &tenant.issuer];
    let verify = |more: &[&str], token: &str| cli.run_with(&[&["verify"], &issuer[..], more].concat(), token);
    let refused = |more: &[&str], token: &str, reason: &str| {
        let ran = verify(more, token).expect(9);
        assert!(ran.out.is_empty() && ran.err.starts_with(&format!("leasehold: {reason}: ")), "{ran}");
    };
    let good = verify(&[], &session.access).expect(0);
    assert!(good.out.contains(&session.sid), "{good}");
    let body = verify(&["--audience", API, "--json"], &session.access).expect(0).json();
    assert_eq!((&body["verified"], &body["claims"]), (&json!(true), &session.jwt().claims));
    verify(&[&session.access], "").expect(0);
    refused(&["--audience", "https://elsewhere.example"], &session.access, "audience");
    refused(&[], &other.login().await.access, "issuer");
    refused(&[], &session.refresh, "malformed");
    refused(&[], "a.b.c", "malformed");
    let mut changed = session.jwt();
    changed.claims["scope"] = json!("admin:keys");
    refused(&[], &changed.encode(), "signature");
    refused(&[], tenant.login_for("openid").await.body["id_token"].as_str().expect("an ID token"), "header");
    let json = verify(&["--json"], &changed.encode()).expect(9);
    assert_eq!(json.json(), json!({"verified": false, "reason": "signature"}));
    tenant.revoke(&session.refresh).await.expect(200);
    refused(&[], &session.access, "session");
    verify(&["--no-revocations"], &session.access).expect(0);
    let nowhere = tenant.issuer.replace(&tenant.name, "nowhere");
    let mut foreign = session.jwt();
    foreign.claims["iss"] = json!(nowhere);
    foreign.claims["tid"] = json!("nowhere");
    let unknown = cli.run_with(&["verify", "--issuer", &nowhere], &foreign.encode()).expect(9);
    assert!(unknown.err.contains("tenant: "), "{unknown}");
    let silent = cli.run_with(&["verify", "--issuer", "http://127.0.0.1:9/t/acme"], &session.access);
    assert!([Some(7), Some(9)].contains(&silent.code), "{silent}");
    cli.run_with(&["verify"], &session.access).expect(2);
    cli.run(&["verify", "--issuer", &tenant.issuer]).expect(2);
}

#[tokio::test]
async fn any_vector_is_tried_by_a_key_set_in_a_file() {
    let tenant = Tenant::create_with(shared(), "EdDSA", json!({})).await;
    let forger = Forger::of(shared(), &tenant).await;
    let cli = Cli::anywhere();
    let keys = cli.home().join("keys.json");
    fs::write(&keys, tenant.jwks().await.to_string()).expect("the key set");
    let keys = keys.display().to_string();
    let session = tenant.login().await;
    let (text, good) = (session.access.clone(), session.jwt());
    let iat = good.claims["iat"].as_u64().expect("iat");
    let verify =
        |more: &[&str], token: &str| cli.run_with(&[&["verify", "--jwks", &keys], more].concat(), token);
    verify(&[], &text).expect(0);
    verify(&["--issuer", &tenant.issuer, "--audience", API], &text).expect(0);
    let of =
        |ran: leasehold_tests::cli::Ran| ran.expect(9).err.split(": ").nth(1).unwrap_or_default().to_owned();
    assert_eq!(of(verify(&["--issuer", "https://auth.example/t/globex"], &text)), "issuer");
    assert_eq!(of(verify(&["--audience", "x"], &text)), "audience");
    assert_eq!(of(verify(&["--at", &(iat + 10_000).to_string()], &text)), "expired");
    assert_eq!(of(verify(&["--at", &(iat - 61).to_string()], &text)), "not_yet_valid");
    for (name, value, reason) in [
        ("alg", json!("none"), "algorithm"),
        ("alg", json!("HS256"), "algorithm"),
        ("typ", json!("JWT"), "header"),
        ("crit", json!(["b64"]), "header"),
        ("jwk", json!({}), "header"),
        ("kid", json!("A".repeat(43)), "unknown_key"),
    ] {
        let mut jwt = good.clone();
        jwt.header[name] = value;
        assert_eq!(of(verify(&[], &forger.sign(&jwt).await)), reason, "{name}");
    }
    for (name, value, reason) in [
        ("exp", json!(1.5), "malformed"),
        ("sid", Value::Null, "malformed"),
        ("tid", json!("globex"), "issuer"),
    ] {
        let mut jwt = good.clone();
        jwt.claims[name] = value;
        assert_eq!(of(verify(&[], &forger.sign(&jwt).await)), reason, "{name}");
    }
    fs::write(&keys, "{}").expect("a file");
    verify(&[], &text).expect(2);
    cli.run_with(&["verify", "--jwks", "not-there.json"], &text).expect(5);
}

#[tokio::test]
async fn health_is_a_table_a_document_and_a_page() {
    let stack = Setup::default().function_env("HEALTH_FLUSH_SECONDS", "1").start();
    let (cli, tenant) = (Cli::anywhere(), Tenant::create(&stack).await);
    sign_in(&cli, &tenant);
    let (good, dead) = (tenant.login().await, tenant.login().await);
    tenant.revoke(&dead.refresh).await.expect(200);
    let empty = cli.run(&["health", "--hours", "1"]).expect(0);
    assert!(empty.out.contains("tokens refused"), "{empty}");
    for n in 0..12 {
        let token = if n % 4 == 0 { &dead.access } else { &good.access };
        let call = Call::get(tenant.url("/sessions")).bearer(token).header("x-client-version", "<script>/1");
        call.send(&tenant.http).await;
    }
    let told = async || cli.run(&["health", "--json"]).expect(0).json();
    eventually("the counts are written", seconds(20), || async {
        tenant.sessions(&good.access).await.expect(200);
        told().await["total"]["failures"] == 3
    })
    .await;
    let table = cli.run(&["health", "--days", "2"]).expect(0);
    assert!(table.out.contains("VERSION") && table.out.contains("verify.session 3"), "{table}");
    assert!(table.out.contains("3 of "), "{table}");
    let page = cli.home().join("health.html");
    let ran = cli.run(&["health", "--html", &page.display().to_string()]).expect(0);
    assert!(ran.out.is_empty() && ran.err.contains("health.html"), "{ran}");
    let html = fs::read_to_string(&page).expect("the page");
    assert!(
        html.starts_with("<!doctype html>") && html.contains("<svg") && html.contains(&tenant.name),
        "{html}"
    );
    assert!(!html.contains("<script") && !html.contains("http:") && !html.contains("https:"), "{html}");
    for wrong in [
        &["health", "--hours", "0"][..],
        &["health", "--days", "32"],
        &["health", "--hours", "1", "--days", "1"],
    ] {
        cli.run(wrong).expect(2);
    }
    Cli::anywhere().run(&["health"]).expect(3);
    let other = Cli::anywhere();
    let login = [
        "login",
        &tenant.issuer,
        "--username",
        "root-admin",
        "--password-stdin",
        "--scope",
        "admin:sessions",
    ];
    other.run_with(&login, ADMIN_PASSWORD).expect(0);
    other.run(&["health"]).expect(4);
}
