//! Functions of two adjacent releases share the table while one replaces the other, and after a rollback: every item that
//! either writes is read by the other.
//!
//! | Test | Shows |
//! | --- | --- |
//! | [`before`] | what the release before wrote is read by this one, used, changed, and keeps members that this one does not know |
//! | [`after`] | what this release writes has every member, of the same type, that the release before wrote; that release's readers asked for no more |
//! | [`together`] | both serve one table at once; needs that release's binaries, so it is run by hand |
//!
//! `release-0.1.json` holds items as the functions of commit 7c07707 (22 November 2026), the last before the
//! administration, wrote them to the embedded DynamoDB: [`record`] drove their binaries. It is synthetic: the tenant, its
//! users, passwords and tokens are of that one run, and its signing key is in a KMS that is gone.
//!
//! When a release is out, record it anew beside this file, and say its commit here:
//!
//! ```sh
//! git worktree add /tmp/before <commit> && (cd /tmp/before && cargo build --workspace)
//! PREVIOUS=/tmp/before/target/debug cargo test -p leasehold-tests --test it -- --ignored releases:: --test-threads=1
//! ```

mod after;
mod before;
mod together;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use leasehold_tests::clock;
use leasehold_tests::http::Call;
use leasehold_tests::settings;
use leasehold_tests::stack::{Setup, Stack};
use leasehold_tests::table::Table;
use leasehold_tests::tenant::{APP, PASSWORD, Session, Tenant, USER};
use serde_json::{Value, json};

const TENANT: &str = "keepsake";
const NEW_PASSWORD: &str = "copper-Nebula 9 ticket";
const DEVICE: &str = "adas-phone-4f1c9e0b72";

/// What clients hold after the scene, by what became of it.
struct Held {
    tokens: BTreeMap<String, String>,
    secret: String,
}

/// A tenant's life in small: something of everything that a release writes.
async fn scene(stack: &Stack, name: &str) -> Held {
    let tenant = Tenant::create_named(stack, name, "ES256", json!({})).await;
    tenant.add_user(stack, "bob", PASSWORD).await;
    let mut tokens = BTreeMap::new();
    let mut keep = |what: &str, token: &str| tokens.insert(what.to_owned(), token.to_owned());

    keep("fresh", &tenant.login().await.refresh);
    let first = tenant.login().await;
    let second = tenant.rotate(&first.refresh).await;
    keep("previous", &first.refresh);
    keep("current", &second.refresh);
    let first = tenant.login().await;
    let second = tenant.rotate(&first.refresh).await;
    tenant.rotate(&first.refresh).await;
    tenant.confirm(&second.refresh).await.expect(204);
    keep("spent", &first.refresh);
    keep("confirmed", &second.refresh);
    let revoked = tenant.login().await;
    tenant.revoke(&revoked.refresh).await.expect(200);
    keep("revoked", &revoked.refresh);
    let stolen = tenant.login().await;
    let next = tenant.rotate(&stolen.refresh).await;
    let last = tenant.rotate(&next.refresh).await;
    tenant.refuses(&stolen.refresh).await;
    keep("ended by theft", &last.refresh);
    keep("backend", &tenant.login_backend().await.refresh);
    let at_device = json!({"client_id": APP, "username": USER, "password": PASSWORD, "device": DEVICE});
    let reply = Call::post(tenant.url("/login"))
        .header("x-client-version", "shop-ios/5.4.1")
        .json(&at_device)
        .send(&tenant.http)
        .await;
    keep("at a device", &Session::from_reply(&reply.expect(200)).refresh);
    tenant.login_as(USER, "a wrong password").await.expect(401);
    let before = Session::from_reply(&tenant.login_as("bob", PASSWORD).await.expect(200));
    tenant.change_password("bob", PASSWORD, NEW_PASSWORD).await.expect(204);
    let after = Session::from_reply(&tenant.login_as("bob", NEW_PASSWORD).await.expect(200));
    keep("before a new password", &before.refresh);
    keep("after it", &after.refresh);
    Held { tokens, secret: tenant.secret }
}

/// Every item of a tenant, its place in the directory too.
async fn items(stack: &Stack, name: &str) -> Vec<Value> {
    let table = Table::open(&stack.endpoint("dynamodb"), &leasehold_tests::http::Http::new()).await;
    let mut items = table.dump().await;
    let own = |key: &str| key == format!("T#{name}") || key.starts_with(&format!("T#{name}#"));
    items.retain(|item| own(text(item, "PK")) || text(item, "SK") == name);
    items.sort_by_key(|item| (text(item, "PK").to_owned(), text(item, "SK").to_owned()));
    items
}

fn text<'a>(item: &'a Value, attribute: &str) -> &'a str {
    item[attribute]["S"].as_str().unwrap_or_default()
}

/// What an item is, by its key.
fn kind(item: &Value) -> &'static str {
    let (pk, sk) = (text(item, "PK"), text(item, "SK"));
    let place = pk.split('#').nth(2).unwrap_or_default();
    match (place, sk) {
        _ if pk.starts_with("TENANTS#") => "directory",
        ("", "TENANT") => "tenant",
        ("", sk) if sk.starts_with("CLIENT#") => "client",
        ("L", _) => "login name",
        ("U", "USER") => "user",
        ("U", _) => "family",
        ("R", _) => "revocation",
        ("A", _) => "audit event",
        ("X", sk) if sk.starts_with("K#") => "known device",
        ("X", _) if pk.contains("#X#A#") || pk.contains("#X#L#") => "login counter",
        _ => "new in this release",
    }
}

/// The release before, as it was recorded.
fn recorded() -> Value {
    let text = fs::read_to_string(file()).expect("the recorded items");
    serde_json::from_str(&text).expect("JSON")
}

fn file() -> PathBuf {
    settings::repository().join("tests/it/releases/release-0.1.json")
}

#[tokio::test]
#[ignore = "writes release-0.1.json; needs the binaries of the release before in PREVIOUS"]
async fn record() {
    let stack = Setup::default().binaries(&previous()).start();
    let held = scene(&stack, TENANT).await;
    let record = json!({
        "recorded_at": clock::now(),
        "base_url": stack.base_url(),
        "tokens": held.tokens,
        "secret": held.secret,
        "items": items(&stack, TENANT).await,
    });
    fs::write(file(), serde_json::to_string_pretty(&record).expect("JSON") + "\n").expect("written");
}

/// A folder with the functions of the release before, and with this one's where that had none.
fn previous() -> PathBuf {
    let given = settings::previous().expect("PREVIOUS, the folder of the other release's binaries");
    let folder = settings::scratch().join(format!("{}-previous", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    for function in functions() {
        let of = |folder: &std::path::Path| folder.join(&function);
        let from = if of(&given).exists() { of(&given) } else { of(&settings::binaries()) };
        drop(fs::remove_file(of(&folder)));
        std::os::unix::fs::symlink(from, of(&folder)).expect("a link");
    }
    folder
}

fn functions() -> Vec<String> {
    let folders = fs::read_dir(settings::repository().join("functions")).expect("the functions");
    folders.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
