//! Secrets stay where they belong: nowhere in a log, nowhere in the table, and nothing in the table redeems anything.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use leasehold_tests::http::Call;
use leasehold_tests::stack::{Setup, Stack};
use leasehold_tests::table::{Table, strings};
use leasehold_tests::tenant::{ADMIN, ADMIN_PASSWORD, APP, BACKEND, PASSWORD, Session, Tenant, USER};
use leasehold_tests::token::{RefreshToken, hex};
use serde_json::{Value, json};

use crate::support::{report, together};

const NEW_PASSWORD: &str = "copper-Nebula 9 ticket";
const MISTYPED: &str = "tidal-Lantern 7 quarz!";
const INVITED: &str = "invited";
const DEVICE: &str = "adas-phone-7d1e55a0c3";

/// Everything that happens to tokens and passwords, and every secret that was about.
async fn live_a_little(tenant: &Tenant) -> Vec<(String, Vec<u8>)> {
    let mut sessions = Vec::new();
    let login = json!({"client_id": APP, "username": USER, "password": PASSWORD, "device": DEVICE});
    let first = Call::post(tenant.url("/login")).json(&login).send(&tenant.http).await.expect(200);
    let first = Session::from_reply(&first);
    let second = tenant.rotate(&first.refresh).await;
    tenant.rotate(&first.refresh).await;
    tenant.confirm(&second.refresh).await.expect(204);
    let third = tenant.rotate(&second.refresh).await;
    tenant.refuses(&first.refresh).await;
    sessions.extend([first, second, third]);
    let revoked = tenant.login().await;
    tenant.revoke(&revoked.refresh).await.expect(200);
    tenant.sessions(&revoked.access).await;
    tenant.sessions(&revoked.refresh).await.expect(401);
    let backend = tenant.login_backend().await;
    tenant.refuses(&backend.refresh).await;
    tenant.login_as(USER, MISTYPED).await.expect(401);
    // A user who types the password where the name goes, and one who sends a token to the wrong route.
    tenant.login_as(PASSWORD, USER).await.expect(401);
    tenant.login_as(USER, &revoked.refresh).await.expect(401);
    Call::get(tenant.url(&format!("/sessions?access_token={}", revoked.access)))
        .send(&tenant.http)
        .await
        .expect(401);
    tenant.login_as(ADMIN, ADMIN_PASSWORD).await.expect(200);
    let last = tenant.login().await;
    tenant.sign_out_everywhere(&last.access).await.expect(204);
    tenant.change_password(USER, PASSWORD, NEW_PASSWORD).await.expect(204);
    let live = Session::from_reply(&tenant.login_as(USER, NEW_PASSWORD).await.expect(200));
    let live = tenant.rotate(&live.refresh).await;
    sessions.extend([revoked, backend, last, live]);
    let shown = administer(tenant).await;
    let admin = tenant.admin().await;
    for token in sessions.iter().flat_map(|session: &Session| [&session.access, &session.refresh]) {
        admin.post("/explain", &json!({"token": token})).await.expect(200);
    }

    let mut secrets = vec![
        ("the password".to_owned(), PASSWORD.as_bytes().to_vec()),
        ("the new password".to_owned(), NEW_PASSWORD.as_bytes().to_vec()),
        ("the mistyped password".to_owned(), MISTYPED.as_bytes().to_vec()),
        ("the admin's password".to_owned(), ADMIN_PASSWORD.as_bytes().to_vec()),
        ("the client's secret".to_owned(), tenant.secret.clone().into_bytes()),
    ];
    secrets.extend(shown.into_iter().map(|(what, text)| (what.to_owned(), text.into_bytes()[4..].to_vec())));
    for (n, session) in sessions.iter().enumerate() {
        let token = session.token();
        secrets.push((format!("refresh token {n}"), session.refresh.as_bytes()[4..].to_vec()));
        secrets.push((format!("secret {n}, raw"), token.secret.to_vec()));
        secrets.push((format!("secret {n}, hex"), hex(&token.secret).into_bytes()));
        secrets
            .push((format!("secret {n}, base64"), STANDARD.encode(token.secret).as_bytes()[..42].to_vec()));
        secrets.push((
            format!("secret {n}, base64url"),
            URL_SAFE_NO_PAD.encode(token.secret).as_bytes()[..42].to_vec(),
        ));
        let signature = session.access.rsplit('.').next().expect("a signature");
        secrets.push((format!("access token {n}"), signature.as_bytes().to_vec()));
        // A proof says nothing without its secret, but only its hash is to be kept.
        secrets.push((format!("proof {n}, raw"), token.proof.to_vec()));
        secrets.push((format!("proof {n}, hex"), hex(&token.proof).into_bytes()));
        secrets.push((format!("proof {n}, base64"), STANDARD.encode(token.proof).as_bytes()[..21].to_vec()));
    }
    secrets
}

/// An admin's day: every secret that is shown once.
async fn administer(tenant: &Tenant) -> Vec<(&'static str, String)> {
    let admin = tenant.admin().await;
    let key = "9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d";
    let keyed = |path: &str, body: Value| admin.call("POST", path).header("idempotency-key", key).json(&body);
    let invited = admin.send(keyed("/users", json!({"username": INVITED}))).await.expect(201);
    let client = json!({"client_id": "till", "type": "confidential"});
    let client = admin.send(keyed("/clients", client)).await.expect(201);
    let renewed = admin.post("/clients/till/secret", &json!({})).await.expect(200);
    admin.post("/keys/rotate", &json!({"force": true, "custody": "wrapped"})).await.expect(200);
    admin.get("/users?limit=1").await.expect(200);
    vec![
        ("a one-time code", invited.string("code")),
        ("a new client's secret", client.string("client_secret")),
        ("a renewed secret", renewed.string("client_secret")),
        ("an admin's refresh token", admin.session.refresh.clone()),
        ("an Idempotency-Key", key.to_owned()),
    ]
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

/// Where any of the secrets stands, in any file of the stack: logs, table, whatever else there is.
fn scan(stack: &Stack, secrets: &[(String, Vec<u8>)]) -> Vec<String> {
    let mut all = Vec::new();
    files(stack.data(), &mut all);
    let mut found = Vec::new();
    for path in all {
        let bytes = fs::read(&path).unwrap_or_default();
        for (what, secret) in secrets {
            if bytes.windows(secret.len()).any(|window| window == secret) {
                found.push(format!("{what} in {}", path.display()));
            }
        }
    }
    found
}

#[tokio::test]
async fn no_secret_is_in_a_log_or_in_the_table_and_the_scan_finds_a_planted_one() {
    let stack = Setup::default().start();
    let tenant = Tenant::create(&stack).await;
    let secrets = live_a_little(&tenant).await;
    assert_eq!(scan(&stack, &secrets), Vec::<String>::new());

    let table = Table::open(&stack.endpoint("dynamodb"), &tenant.http).await;
    let (pk, sk) = table.key_names().await;
    let token = tenant.login_as(USER, NEW_PASSWORD).await.expect(200).string("refresh_token");
    table
        .put(&json!({pk: {"S": format!("T#{}", tenant.name)}, sk: {"S": "PLANTED"}, "value": {"S": token}}))
        .await;
    let planted = vec![("the planted token".to_owned(), token.as_bytes()[4..].to_vec())];
    assert!(!scan(&stack, &planted).is_empty(), "the scan looks where the table is");
}

#[tokio::test]
async fn every_request_leaves_one_line_of_json_in_the_log() {
    let stack = Setup::default().start();
    let tenant = Tenant::create(&stack).await;
    let session = tenant.login().await;
    tenant.rotate(&session.refresh).await;
    tenant.refuses("lhr_x").await;
    tenant.login_as("a\nb\u{1b}[31m", PASSWORD).await.expect(401);
    let logs = stack.logs();
    let lines: Vec<Value> = logs
        .lines()
        .filter(|line| line.contains(&tenant.name) && line.contains("duration_ms"))
        .map(|line| {
            let from = line.find('{').expect("a JSON line");
            serde_json::from_str(&line[from..]).expect("one line is one object")
        })
        .collect();
    assert!(lines.len() >= 4, "{logs}");
    assert!(!logs.contains('\u{1b}'), "no control characters get through");
}

/// A stored value in every form in which it might be tried.
fn forms(value: &str, out: &mut BTreeSet<String>) {
    let mut add = |bytes: &[u8]| {
        out.insert(hex(bytes));
        out.insert(STANDARD.encode(bytes));
        out.insert(URL_SAFE_NO_PAD.encode(bytes));
        if let Ok(text) = std::str::from_utf8(bytes) {
            out.insert(text.to_owned());
        }
    };
    add(value.as_bytes());
    if let Ok(bytes) = STANDARD.decode(value).or_else(|_| URL_SAFE_NO_PAD.decode(value)) {
        add(&bytes);
    }
}

/// All values of a dump: strings, and what is inside strings that are JSON documents.
fn values(items: &[Value]) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for text in items.iter().flat_map(strings) {
        all.insert(text.to_owned());
        if let Ok(inner) = serde_json::from_str::<Value>(text) {
            all.extend(strings(&inner).into_iter().map(str::to_owned));
        }
    }
    all
}

/// Every way of redeeming something; the names of those that succeeded.
async fn redeem(tenant: &Tenant, value: &str) -> Vec<String> {
    let prefixed = format!("lhr_{value}");
    let login = |client: &str, secret: Option<&str>, username: &str, password: &str| {
        let mut body = json!({"client_id": client, "username": username, "password": password});
        if let Some(secret) = secret {
            body["client_secret"] = json!(secret);
        }
        Call::post(tenant.url("/login")).json(&body)
    };
    let code = |value: &str| {
        let body = json!({"client_id": APP, "username": INVITED, "code": value, "new_password": "anything-Else 4 today"});
        Call::post(tenant.url("/password")).json(&body)
    };
    let attempts = [
        ("a refresh token", tenant.refresh_call(value)),
        ("a refresh token", tenant.refresh_call(&prefixed)),
        ("the user's password", login(APP, None, USER, value)),
        ("the admin's password", login(APP, None, ADMIN, value)),
        ("a client's secret", login(BACKEND, Some(value), USER, NEW_PASSWORD)),
        ("a client's secret", login(BACKEND, Some(&format!("lhs_{value}")), USER, NEW_PASSWORD)),
        ("a one-time code", code(value)),
        ("a one-time code", code(&format!("lhc_{value}"))),
        (
            "an access token",
            Call::get(tenant.url("/sessions"))
                .header("authorization", format!("Bearer {}", value.replace(['\n', '\r'], ""))),
        ),
    ];
    let mut redeemed = Vec::new();
    for (what, call) in attempts {
        // A value that cannot even be sent is not redeemed.
        let Ok(reply) = call.try_send(&tenant.http).await else { continue };
        assert!(reply.status < 500, "{value:?} as {what}: {reply}");
        if reply.status < 300 {
            redeemed.push(format!("{value:?} as {what}"));
        }
    }
    redeemed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_in_a_dump_of_the_table_redeems_anything() {
    let stack = Setup::default().instances(2).start();
    let tenant = Tenant::create(&stack).await;
    live_a_little(&tenant).await;
    let table = Table::open(&stack.endpoint("dynamodb"), &tenant.http).await;
    let items = table.dump_tenant(&tenant.name).await;
    let mut candidates = BTreeSet::new();
    for value in values(&items).iter().filter(|value| value.len() >= 8 && value.len() < 1000) {
        forms(value, &mut candidates);
    }
    let candidates: Vec<String> = candidates.into_iter().collect();
    let counts = (candidates.len(), items.len());
    report(&[format!("{} forms of the values of {} items tried as nine credentials", counts.0, counts.1)]);
    assert!(candidates.len() > 50, "the dump is there");
    let redeemed = together(candidates.len().min(6), |lane| {
        let (tenant, candidates) = (tenant.clone(), candidates.clone());
        async move {
            let mut redeemed = Vec::new();
            for value in candidates.iter().skip(lane).step_by(6) {
                redeemed.extend(redeem(&tenant, value).await);
            }
            redeemed
        }
    })
    .await;
    assert_eq!(redeemed.concat(), Vec::<String>::new());

    // The same test finds a token that is stored in clear text.
    let token = tenant.login_as(USER, NEW_PASSWORD).await.expect(200).string("refresh_token");
    let (pk, sk) = table.key_names().await;
    table
        .put(&json!({pk: {"S": format!("T#{}", tenant.name)}, sk: {"S": "PLANTED"}, "value": {"S": token}}))
        .await;
    let mut found = Vec::new();
    for value in values(&table.dump_tenant(&tenant.name).await) {
        if value.starts_with("lhr_") {
            found.extend(redeem(&tenant, &value).await);
        }
    }
    assert_eq!(found.len(), 1, "the planted token is found: {found:?}");
}

/// Whoever reads the table knows user, family and generation; the rest of a token must not follow from what is stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_token_can_be_put_together_from_what_is_stored() {
    let stack = Setup::default().instances(2).start();
    let tenant = Tenant::create(&stack).await;
    let first = tenant.login().await;
    let second = tenant.rotate(&first.refresh).await;
    let table = Table::open(&stack.endpoint("dynamodb"), &tenant.http).await;
    let mut bytes: BTreeSet<Vec<u8>> = BTreeSet::new();
    for value in values(&table.dump_tenant(&tenant.name).await) {
        bytes.insert(value.clone().into_bytes());
        bytes.extend(STANDARD.decode(&value).ok());
        bytes.extend(URL_SAFE_NO_PAD.decode(&value).ok());
        let pairs: Vec<&[u8]> = value.as_bytes().chunks(2).collect();
        let decoded: Option<Vec<u8>> =
            pairs.iter().map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect();
        bytes.extend(decoded);
    }
    let windows = |length: usize| -> BTreeSet<Vec<u8>> {
        let long_enough = bytes.iter().filter(|value| (length..=96).contains(&value.len()));
        long_enough
            .flat_map(|value| [value[..length].to_vec(), value[value.len() - length..].to_vec()])
            .collect()
    };
    let (secrets, proofs) = (windows(32), windows(16));
    let good = second.token();
    let mut tokens = Vec::new();
    for secret in &secrets {
        for generation in [good.generation - 1, good.generation, good.generation + 1] {
            let secret: [u8; 32] = secret.as_slice().try_into().expect("32");
            tokens.push(RefreshToken { secret, generation, ..good.clone() }.encode());
        }
    }
    for proof in &proofs {
        for generation in [0, good.generation, good.generation + 1] {
            let proof: [u8; 16] = proof.as_slice().try_into().expect("16");
            tokens.push(RefreshToken { proof, generation, secret: [0; 32], ..good.clone() }.encode());
        }
    }
    report(&[format!("{} tokens put together from {} stored values", tokens.len(), bytes.len())]);
    let redeemed = together(6, |lane| {
        let (tenant, tokens) = (tenant.clone(), tokens.clone());
        async move {
            for token in tokens.iter().skip(lane).step_by(6) {
                tenant.refuses(token).await;
            }
        }
    })
    .await;
    assert_eq!(redeemed.len(), 6);
    assert_eq!(
        tenant.rotate(&first.refresh).await.refresh,
        second.refresh,
        "and none of them ended the family"
    );
    tenant.rotate(&second.refresh).await;
}
