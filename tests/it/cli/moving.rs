//! Users who move: in with the hashes of another system, out with ours, a break in between.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use leasehold_tests::cli::Cli;
use leasehold_tests::stack::shared;
use leasehold_tests::tenant::{Session, Tenant};
use serde_json::{Value, json};

use super::session::sign_in;
use crate::support::{eventually, seconds};

/// github.com/firebase/scrypt, README.md: the parameters of a project, and a user with the password "user1password".
const HASH_CONFIG: &str = "hash_config {
  algorithm: SCRYPT,
  base64_signer_key: jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA==,
  base64_salt_separator: Bw==,
  rounds: 8,
  mem_cost: 14,
}
";
const FIREBASE_HASH: &str =
    "lSrfV15cpx95/sZS2W9c9Kp6i/LVgQNDNC/qzrCnh1SAyZvqmZqAjTdn3aoItz+VHjoZilo78198JAdRuid5lQ==";
/// Openwall, crypt_blowfish: the password "U*U".
const BCRYPT_HASH: &str = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";

async fn signed_in() -> (Cli, Tenant) {
    let tenant = Tenant::create(shared()).await;
    let cli = Cli::anywhere();
    sign_in(&cli, &tenant);
    (cli, tenant)
}

fn report(cli: &Cli, name: &str) -> Vec<Value> {
    let text = fs::read_to_string(cli.home().join(name)).expect("a report");
    text.lines().map(|line| serde_json::from_str(line).expect("a line of the report")).collect()
}

#[tokio::test]
async fn users_are_brought_along_with_their_hashes() {
    let (cli, tenant) = signed_in().await;
    let lines = [
        json!({"username": "old-bcrypt", "password_hash": BCRYPT_HASH, "roles": ["member"], "claims": {"plan": "pro"}}).to_string(),
        json!({"username": "no-hash"}).to_string(),
        String::new(),
        json!({"username": "bad-hash", "password_hash": "5f4dcc3b5aa765d61d8327deb882cf99"}).to_string(),
        json!({"username": "dear-hash", "password_hash": BCRYPT_HASH.replace("$05$", "$31$")}).to_string(),
        "not JSON".to_owned(),
        json!({"username": "disabled", "password_hash": BCRYPT_HASH, "status": "disabled"}).to_string(),
    ];
    fs::write(cli.home().join("users.ndjson"), lines.join("\n")).expect("a file");
    let ran = cli.run(&["users", "import", "users.ndjson", "--json"]).expect(8);
    let summary = ran.json();
    assert_eq!(
        (&summary["created"], &summary["exists"], &summary["refused"]),
        (&json!(3), &json!(0), &json!(3)),
        "{ran}"
    );
    let report = report(&cli, "users.ndjson.report.ndjson");
    let outcome = |line: u64| report.iter().find(|row| row["line"] == line).map(|row| row["outcome"].clone());
    for (line, expected) in
        [(1, "created"), (2, "created"), (4, "refused"), (5, "refused"), (6, "refused"), (7, "created")]
    {
        assert_eq!(outcome(line), Some(json!(expected)), "line {line}: {report:?}");
    }
    let reason = |line: u64| report.iter().find(|row| row["line"] == line).map(|row| row["reason"].clone());
    assert_eq!((reason(4), reason(5)), (Some(json!("unknown_scheme")), Some(json!("out_of_bounds"))));
    assert!(
        !fs::exists(cli.home().join("users.ndjson.report.ndjson.checkpoint")).expect("a look"),
        "it is done"
    );

    let claims = Session::from_reply(&tenant.login_as("old-bcrypt", "U*U").await.expect(200)).jwt().claims;
    assert_eq!((&claims["roles"], &claims["plan"]), (&json!(["member"]), &json!("pro")));
    tenant.login_as("old-bcrypt", "U*U*").await.expect_error(401, "invalid_credentials");
    tenant.login_as("disabled", "U*U").await.expect_error(401, "invalid_credentials");
    let hash_of = |name: &str| {
        let file = format!("export-{name}.ndjson");
        cli.run(&["users", "export", &file]).expect(0);
        let text = fs::read_to_string(cli.home().join(file)).expect("an export");
        let users = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("a user"));
        users.into_iter().find(|user| user["username"] == name).expect("the user")["password_hash"].clone()
    };
    let renewed = hash_of("old-bcrypt");
    assert!(renewed.as_str().is_some_and(|hash| hash.starts_with("$argon2id$")), "hashed anew: {renewed}");
    assert_eq!(hash_of("disabled"), BCRYPT_HASH, "nobody has signed in");
    tenant.login_as("old-bcrypt", "U*U").await.expect(200);
}

#[tokio::test]
async fn users_of_firebase_keep_their_passwords() {
    let (cli, tenant) = signed_in().await;
    let export = json!({"users": [
        {"localId": "a1", "email": "Ada@Acme.example", "passwordHash": FIREBASE_HASH, "salt": "42xEC+ixf3L2lw==", "createdAt": "1512066867000"},
        {"localId": "b2", "phoneNumber": "+15550100"},
    ]});
    fs::write(cli.home().join("users.json"), export.to_string()).expect("a file");
    fs::write(cli.home().join("hash.txt"), HASH_CONFIG).expect("a file");
    let import = [
        "users",
        "import",
        "users.json",
        "--from",
        "firebase",
        "--hash-config",
        "hash.txt",
        "--uid-claim",
        "firebase_uid",
    ];
    cli.run(&import).expect(8);
    let rows = report(&cli, "users.json.report.ndjson");
    assert_eq!(
        (&rows[0]["outcome"], &rows[1]["outcome"]),
        (&json!("created"), &json!("refused")),
        "{rows:?}"
    );
    tenant.login_as("ada@acme.example", "user2password").await.expect_error(401, "invalid_credentials");
    let claims = Session::from_reply(&tenant.login_as("ada@acme.example", "user1password").await.expect(200))
        .jwt()
        .claims;
    assert_eq!(claims["firebase_uid"], "a1");
    tenant.login_as("ada@acme.example", "user1password").await.expect(200);
}

/// A file of users, and how many.
fn write_users(cli: &Cli, count: usize) -> String {
    let line =
        |n: usize| json!({"username": format!("user-{n}"), "password_hash": BCRYPT_HASH}).to_string() + "\n";
    fs::write(cli.home().join("users.ndjson"), (0..count).map(line).collect::<String>()).expect("a file");
    "users.ndjson".to_owned()
}

#[tokio::test]
async fn an_interrupted_import_goes_on_without_doubles() {
    const USERS: usize = 10_000;
    let (cli, _) = signed_in().await;
    let file = write_users(&cli, USERS);
    let checkpoint = cli.home().join("users.ndjson.report.ndjson.checkpoint");
    let mut done = 0;
    // Killed wherever it is, twice, each time after it has come on.
    for _ in 0..2 {
        let mut running = cli.start(&["users", "import", &file]);
        let lines = || {
            let text = fs::read(&checkpoint).ok()?;
            serde_json::from_slice::<Value>(&text).ok()?["lines"].as_u64()
        };
        eventually("a chunk is done", Duration::from_mins(1), async || {
            lines().is_some_and(|lines| lines > done)
        })
        .await;
        running.kill().expect("it runs");
        running.wait().expect("it ends");
        done = lines().expect("a checkpoint");
    }
    assert!(done < USERS as u64, "it was interrupted");
    let ran = cli.run(&["users", "import", &file, "--json"]).expect(0);
    assert!(ran.err.contains(&format!("going on behind line {done}")), "{ran}");
    let summary = ran.json();
    assert_eq!(summary["lines"], USERS);
    assert_eq!(
        summary["created"].as_u64().zip(summary["exists"].as_u64()).map(|(a, b)| a + b),
        Some(USERS as u64)
    );
    let rows = report(&cli, "users.ndjson.report.ndjson");
    let numbers: BTreeSet<_> = rows.iter().filter_map(|row| row["line"].as_u64()).collect();
    assert_eq!((rows.len(), numbers.len()), (USERS, USERS), "each line is reported once");

    cli.run(&["users", "export", "all.ndjson"]).expect(0);
    let text = fs::read_to_string(cli.home().join("all.ndjson")).expect("an export");
    let names: Vec<_> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("a user")["username"].clone().to_string())
        .filter(|name| name.starts_with("\"user-"))
        .collect();
    let distinct: BTreeSet<_> = names.iter().collect();
    assert_eq!((names.len(), distinct.len()), (USERS, USERS), "each user is there once");
}

#[tokio::test]
async fn a_checkpoint_is_not_taken_for_another_file() {
    let (cli, _) = signed_in().await;
    let file = write_users(&cli, 3);
    let checkpoint = cli.home().join("users.ndjson.report.ndjson.checkpoint");
    fs::write(&checkpoint, "{}").expect("a file");
    let ran = cli.run(&["users", "import", &file]).expect(2);
    assert!(ran.err.contains("--restart"), "{ran}");
    cli.run(&["users", "import", &file, "--restart"]).expect(0);
    cli.run(&["users", "import", &file]).expect(0);
    let rows = report(&cli, "users.ndjson.report.ndjson");
    assert!(rows.len() == 3 && rows.iter().all(|row| row["outcome"] == "exists"), "{rows:?}");
}

#[tokio::test]
async fn an_export_is_its_owners_alone_and_fits_another_tenant() {
    use std::os::unix::fs::PermissionsExt as _;
    let (cli, _) = signed_in().await;
    let file = write_users(&cli, 120);
    cli.run(&["users", "import", &file]).expect(0);
    let exported = cli.run(&["users", "export", "all.ndjson", "--for-import", "--json"]).expect(0).json();
    assert_eq!(exported["users"], 122, "with the tenant's own user and admin");
    let mode = fs::metadata(cli.home().join("all.ndjson")).expect("the file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let ran = cli.run(&["users", "export", "all.ndjson"]).expect(6);
    assert!(ran.err.contains("--restart"), "{ran}");

    let other = Tenant::create(shared()).await;
    sign_in(&cli, &other);
    let ran = cli.run(&["users", "import", "all.ndjson", "--report", "other.ndjson", "--json"]);
    let summary = ran.json();
    let counts = [&summary["created"], &summary["exists"], &summary["refused"]];
    assert_eq!(counts, [&json!(120), &json!(1), &json!(1)], "nobody becomes an admin by a file: {ran}");
    other.login_as("user-7", "U*U").await.expect(200);
}

#[tokio::test]
async fn an_interrupted_export_goes_on_without_doubles() {
    const USERS: usize = 2000;
    let (cli, _) = signed_in().await;
    let file = write_users(&cli, USERS);
    cli.run(&["users", "import", &file]).expect(0);
    let checkpoint = cli.home().join("all.ndjson.checkpoint");
    let mut running = cli.start(&["users", "export", "all.ndjson"]);
    let users = || serde_json::from_slice::<Value>(&fs::read(&checkpoint).ok()?).ok()?["users"].as_u64();
    eventually("a page is done", seconds(60), || std::future::ready(users().is_some_and(|users| users > 0)))
        .await;
    running.kill().expect("it runs");
    running.wait().expect("it ends");
    let done = users().expect("a checkpoint");
    // As if it had been killed between the page and the checkpoint.
    let path = cli.home().join("all.ndjson");
    let more = fs::read_to_string(&path).expect("a file") + "{\"username\":\"half a li";
    fs::write(&path, more).expect("a file");
    let ran = cli.run(&["users", "export", "all.ndjson"]).expect(0);
    assert!(ran.err.contains(&format!("going on behind {done} users")), "{ran}");
    let text = fs::read_to_string(&path).expect("an export");
    let users = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("a whole line"));
    let names: Vec<_> = users.map(|user| user["username"].to_string()).collect();
    let distinct: BTreeSet<_> = names.iter().collect();
    assert_eq!((names.len(), distinct.len()), (USERS + 2, USERS + 2), "each user is there once");
    assert!(!checkpoint.exists());
}

#[tokio::test]
async fn what_can_not_be_read_is_said_before_anything_is_sent() {
    let (cli, _) = signed_in().await;
    cli.run(&["users", "import", "not-there.ndjson"]).expect(2);
    fs::write(cli.home().join("users.json"), r#"{"users": [{}"#).expect("a file");
    fs::write(cli.home().join("hash.txt"), HASH_CONFIG).expect("a file");
    fs::write(cli.home().join("bad.txt"), "algorithm: BCRYPT").expect("a file");
    cli.run(&["users", "import", "users.json", "--from", "firebase", "--hash-config", "hash.txt"]).expect(2);
    cli.run(&["users", "import", "users.json", "--from", "firebase", "--hash-config", "bad.txt"]).expect(2);
    cli.run(&["users", "import", "users.json", "--hash-config", "hash.txt"]).expect(2);
}
