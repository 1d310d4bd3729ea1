//! Functions of two adjacent releases share the table while one replaces the other, and after a rollback: every item that
//! either writes is read by the other.
//!
//! | Test | Shows |
//! | --- | --- |
//! | [`before`] | what the release before wrote is read by this one, used, changed, and keeps members that this one does not know |
//! | [`after`] | what this release writes has every member, of the same type, that the release before wrote; that release's readers asked for no more |
//! | [`together`] | both serve and administer one table at once; needs that release's binaries, so it is run by hand |
//! | [`kinds`] | every kind of item that the schema has a key for was recorded |
//!
//! All of them begin with [`scene`], a tenant's life in small. A feature that writes something new belongs in there.
//!
//! `release-0.2.json` holds items as the functions of release 0.2 (commit bf9a708, 26 November 2026) wrote them to the
//! embedded DynamoDB: [`record`] drove binaries of 74b6441, the same but for the version number. It is synthetic: the
//! tenant, its users, passwords and tokens are of that one run, and its signing keys are in a KMS that is gone. Releases
//! further back are in git: 0.1 (commit 7c07707) is what 0.2 was held against.
//!
//! When a release is out, record it in the place of this one, and say its commit here. `together` is run against the same
//! binaries, before a release and after every change to what is written.
//!
//! ```sh
//! git worktree add /tmp/before <commit> && (cd /tmp/before && cargo build --workspace)
//! export PREVIOUS=/tmp/before/target/debug
//! cargo test -p leasehold-tests --test it -- --ignored releases::record --test-threads=1
//! cargo test -p leasehold-tests --test it -- --ignored releases::together --test-threads=1
//! ```

mod after;
mod before;
mod kinds;
mod scene;
mod shape;
mod together;

use std::fs;
use std::path::PathBuf;

use leasehold_tests::clock;
use leasehold_tests::http::Http;
use leasehold_tests::settings;
use leasehold_tests::stack::{Setup, Stack};
use leasehold_tests::table::Table;
use serde_json::{Value, json};

use kinds::{NEW, kind};
use scene::scene;

const TENANT: &str = "keepsake";

/// A stack that bounds and counts signatures, as deployed ones do and the local one does not.
fn setup() -> Setup {
    Setup::default().function_env("SIGNATURES_PER_TENANT", "400")
}

/// The table that a stack keeps.
async fn table(stack: &Stack) -> Table {
    Table::open(&stack.endpoint("dynamodb"), &Http::new()).await
}

/// Every item of a tenant, its place in the directory too.
async fn items(table: &Table, name: &str) -> Vec<Value> {
    let mut items = table.dump().await;
    let own = |key: &str| key == format!("T#{name}") || key.starts_with(&format!("T#{name}#"));
    items.retain(|item| own(text(item, "PK")) || text(item, "SK") == name);
    items.sort_by_key(|item| (text(item, "PK").to_owned(), text(item, "SK").to_owned()));
    items
}

fn text<'a>(item: &'a Value, attribute: &str) -> &'a str {
    item[attribute]["S"].as_str().unwrap_or_default()
}

/// The release before, as it was recorded.
fn recorded() -> Value {
    let text = fs::read_to_string(file()).expect("the recorded items");
    serde_json::from_str(&text).expect("JSON")
}

fn recorded_items() -> Vec<Value> {
    recorded()["items"].as_array().expect("items").clone()
}

fn file() -> PathBuf {
    settings::repository().join("tests/it/releases/release-0.2.json")
}

#[tokio::test]
#[ignore = "writes release-0.2.json; needs the binaries of the release before in PREVIOUS"]
async fn record() {
    let stack = setup().binaries(&previous()).start();
    let table = table(&stack).await;
    let held = scene(&stack, &table, TENANT).await;
    let items = items(&table, TENANT).await;
    let unknown: Vec<&Value> = items.iter().filter(|item| kind(item) == NEW).collect();
    assert!(unknown.is_empty(), "name them in `kind`: {unknown:?}");
    let record = json!({
        "recorded_at": clock::now(),
        "base_url": stack.base_url(),
        "tokens": held.tokens,
        "shown": held.shown,
        "items": items,
    });
    fs::write(file(), serde_json::to_string_pretty(&record).expect("JSON") + "\n").expect("written");
}

/// A folder with the functions of the release before, and with this one's where that had none.
fn previous() -> PathBuf {
    let given = settings::previous().expect("PREVIOUS, the folder of the other release's binaries");
    let given = fs::canonicalize(given).expect("PREVIOUS is a folder");
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
