//! The verifier of the shared crate as an API elsewhere uses it: over HTTP, against the running stack.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use leasehold::clock::{self, Timestamp};
use leasehold::remote::{OnTrouble, Polling, Remote, Settings};
use leasehold_tests::http::Call;
use leasehold_tests::settings::binaries;
use leasehold_tests::stack::shared;
use leasehold_tests::tenant::{API, Tenant, sample_api};
use serde_json::json;

use crate::forge::Forger;

fn following(on_trouble: OnTrouble) -> Remote {
    let polling = Polling::every_two_seconds(on_trouble);
    Remote::new(&shared().base_url(), Settings { polling, ..Settings::default() }).expect("a local address")
}

/// `good`, or the reason.
async fn ask(remote: &Remote, tenant: &Tenant, token: &str, at: Timestamp) -> String {
    let id = tenant.name.parse().expect("a tenant id");
    match remote.verify_at(&id, API, token, at).await {
        Ok(verified) => {
            assert_eq!(verified.claims().tid.as_str(), tenant.name);
            "good".to_owned()
        }
        Err(denied) => denied.name().to_owned(),
    }
}

#[tokio::test]
async fn tokens_of_many_tenants_are_verified_each_by_its_own_keys() {
    let remote = Remote::new(&shared().base_url(), Settings::default()).expect("a local address");
    let now = clock::now();
    let mut tenants = Vec::new();
    for algorithm in ["RS256", "ES256", "EdDSA"] {
        tenants.push(Tenant::create_with(shared(), algorithm, json!({})).await);
    }
    for tenant in &tenants {
        let session = tenant.login().await;
        assert_eq!(ask(&remote, tenant, &session.access, now).await, "good");
        for other in tenants.iter().filter(|other| other.name != tenant.name) {
            assert_eq!(ask(&remote, other, &session.access, now).await, "issuer");
        }
        assert_eq!(ask(&remote, tenant, &session.access, clock::now().plus_seconds(900)).await, "expired");
        assert_eq!(ask(&remote, tenant, &session.refresh, now).await, "malformed");
    }
    let nobody = Tenant { name: leasehold_tests::tenant::fresh_name(), ..tenants[0].clone() };
    let session = tenants[0].login().await;
    assert_eq!(ask(&remote, &nobody, &session.access, now).await, "issuer");
}

#[tokio::test]
async fn a_revocation_is_followed_and_the_next_login_is_not_its_victim() {
    let tenant = Tenant::create(shared()).await;
    let remote = following(OnTrouble::Refuse);
    let (one, two) = (tenant.login().await, tenant.login().await);
    let now = clock::now();
    for session in [&one, &two] {
        assert_eq!(ask(&remote, &tenant, &session.access, now).await, "good");
    }
    tenant.revoke(&one.refresh).await.expect(200);
    let later = now.plus_seconds(2);
    assert_eq!(ask(&remote, &tenant, &one.access, later).await, "session");
    assert_eq!(ask(&remote, &tenant, &two.access, later).await, "good");
    tenant.sign_out_everywhere(&two.access).await.expect(204);
    let anew = tenant.login().await;
    assert_eq!(ask(&remote, &tenant, &anew.access, later).await, "good", "between two polls");
    let later = now.plus_seconds(4);
    assert_eq!(ask(&remote, &tenant, &two.access, later).await, "epoch");
    assert_eq!(ask(&remote, &tenant, &anew.access, later).await, "good");
}

#[tokio::test]
async fn a_suspended_tenants_tokens_are_refused_and_those_of_before_stay_so() {
    let stack = shared();
    let tenant = Tenant::create(stack).await;
    let remote = following(OnTrouble::Accept);
    let session = tenant.login().await;
    let now = clock::now();
    assert_eq!(ask(&remote, &tenant, &session.access, now).await, "good");
    stack.operator(&tenant.http, &json!({"op": "tenant.suspend", "tenant": tenant.name})).await;
    assert_eq!(ask(&remote, &tenant, &session.access, now.plus_seconds(2)).await, "tenant");
    stack.operator(&tenant.http, &json!({"op": "tenant.resume", "tenant": tenant.name})).await;
    assert_eq!(ask(&remote, &tenant, &session.access, now.plus_seconds(40)).await, "epoch");
    let anew = tenant.login().await;
    assert_eq!(ask(&remote, &tenant, &anew.access, now.plus_seconds(40)).await, "good");
}

#[tokio::test]
async fn a_key_that_signs_without_notice_is_found_by_way_of_the_feed() {
    let tenant = Tenant::create(shared()).await;
    let remote = following(OnTrouble::Refuse);
    let before = tenant.login().await;
    let now = clock::now();
    assert_eq!(ask(&remote, &tenant, &before.access, now).await, "good");
    // Strangers spend the look-up that an unknown key has.
    let mut stranger = before.jwt();
    stranger.header["kid"] = json!("A".repeat(43));
    assert_eq!(ask(&remote, &tenant, &stranger.encode(), now).await, "unknown_key");
    let admin = tenant.admin().await;
    admin.post("/keys/rotate", &json!({"force": true})).await.expect(200);
    let after = tenant.login().await;
    assert_ne!(after.jwt().header["kid"], before.jwt().header["kid"]);
    assert_eq!(ask(&remote, &tenant, &after.access, now.plus_seconds(2)).await, "good");
    assert_eq!(ask(&remote, &tenant, &before.access, now.plus_seconds(2)).await, "good", "still published");
}

#[tokio::test]
async fn a_good_signature_is_not_enough() {
    let tenant = Tenant::create_with(shared(), "EdDSA", json!({})).await;
    let forger = Forger::of(shared(), &tenant).await;
    let remote = following(OnTrouble::Refuse);
    let now = clock::now();
    let good = tenant.login().await.jwt();
    assert_eq!(ask(&remote, &tenant, &forger.sign(&good).await, now).await, "good");
    for (member, value, reason) in [
        ("aud", json!(["https://elsewhere.example"]), "audience"),
        ("tid", json!("globex"), "issuer"),
        ("exp", json!("9999999999"), "malformed"),
        ("iss", json!(format!("{}/", tenant.issuer)), "issuer"),
    ] {
        let mut jwt = good.clone();
        jwt.claims[member] = value;
        assert_eq!(ask(&remote, &tenant, &forger.sign(&jwt).await, now).await, reason, "{member}");
    }
    let mut id_token = good.clone();
    id_token.header["typ"] = json!("JWT");
    assert_eq!(ask(&remote, &tenant, &forger.sign(&id_token).await, now).await, "header");
}

/// The example of the documentation, running.
struct Example {
    child: Child,
    base: String,
}

impl Example {
    fn start(audience: &str) -> Self {
        let mut child = Command::new(binaries().join("examples/protected_api"))
            .env("PUBLIC_URL", shared().base_url())
            .env("AUDIENCE", audience)
            .env("ADDRESS", "127.0.0.1:0")
            .stdout(Stdio::piped())
            .spawn()
            .expect("the example was built: cargo build --workspace --examples");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
        let address = line.trim().strip_prefix("listening on ").expect("the address").to_owned();
        Self { child, base: format!("http://{address}") }
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[tokio::test]
async fn the_example_of_an_api_does_what_the_documentation_says() {
    let (tenant, other) = (Tenant::create(shared()).await, Tenant::create(shared()).await);
    let example = Example::start(&sample_api(&tenant.name));
    let ask = |name: &str, token: &str| {
        let call = Call::get(format!("{}/t/{name}/orders", example.base));
        let call = if token.is_empty() { call } else { call.bearer(token) };
        call.send(&tenant.http)
    };
    let session = tenant.login().await;
    let reply = ask(&tenant.name, &session.access).await.expect(200);
    assert_eq!(reply.json()["of"], session.jwt().claim("sub").as_str());
    let invalid = "Bearer error=\"invalid_token\"";
    for (name, token, status, challenge) in [
        (&tenant.name, "", 401, "Bearer"),
        (&tenant.name, "x", 401, invalid),
        (&tenant.name, &other.login().await.access, 401, invalid),
        (&other.name, &session.access, 401, invalid),
        (&"no_tenant".to_owned(), &session.access, 401, invalid),
        (
            &tenant.name,
            &tenant.login_for("orders:write").await.access,
            403,
            "Bearer error=\"insufficient_scope\"",
        ),
    ] {
        let reply = ask(name, token).await;
        assert_eq!((reply.status, reply.header("www-authenticate")), (status, challenge), "{reply}");
    }
}
