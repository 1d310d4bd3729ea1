//! What this project adds to the library: the table, the file, the sweep, the end.

use std::{
    os::unix::fs::PermissionsExt,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use aws_sdk_dynamodb::types::{BillingMode, KeyType, TimeToLiveStatus};
use leasehold_local::dynamodb::{DynamoDb, DynamoDbError, Table};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
};

use crate::{TABLE, fresh_path, get, item, number, put, start, start_sweeping, table};

#[tokio::test]
async fn the_table_is_what_the_template_says() {
    let (_database, client) = start(None).await;
    let described =
        client.describe_table().table_name(TABLE).send().await.expect("described").table.expect("a table");
    let keys = described.key_schema.expect("keys");
    let keys: Vec<_> = keys.iter().map(|key| (key.attribute_name.as_str(), key.key_type.clone())).collect();
    assert_eq!(keys, [("PK", KeyType::Hash), ("SK", KeyType::Range)]);
    let billing = described.billing_mode_summary.expect("billing").billing_mode;
    assert_eq!(billing, Some(BillingMode::PayPerRequest));
    let ttl = client.describe_time_to_live().table_name(TABLE).send().await.expect("described");
    let ttl = ttl.time_to_live_description.expect("TTL");
    assert_eq!(ttl.attribute_name.as_deref(), Some("expires_at"));
    assert_eq!(ttl.time_to_live_status, Some(TimeToLiveStatus::Enabled));
}

#[tokio::test]
async fn making_a_table_again_changes_nothing_unless_it_differs() {
    let (database, client) = start(None).await;
    put(&client, item("p", "s", 1)).await;
    let differs = |result| matches!(result, Err(DynamoDbError::TableDiffers { .. }));
    let rows = [
        ("the same", table(), false),
        ("without TTL, which stays", Table { ttl_attribute: None, ..table() }, false),
        ("another partition key", Table { partition_key: "pk".to_owned(), ..table() }, true),
        ("another sort key", Table { sort_key: "sk".to_owned(), ..table() }, true),
        ("another TTL attribute", Table { ttl_attribute: Some("ttl".to_owned()), ..table() }, true),
    ];
    for (why, table, refused) in rows {
        let result = database.create_table(&table).await;
        assert!(refused || result.is_ok(), "{why}");
        assert_eq!(differs(result), refused, "{why}");
    }
    let unnameable = database.create_table(&Table { name: "a b".to_owned(), ..table() }).await;
    assert!(matches!(unnameable, Err(DynamoDbError::Table { .. })));
    assert_eq!(get(&client, "p", "s").await, Some(item("p", "s", 1)));
}

#[tokio::test]
async fn a_restart_keeps_items_and_a_file_for_its_owner_only() {
    let file = fresh_path("table.db");
    let (database, client) = start(Some(file.clone())).await;
    put(&client, item("p", "s", 41)).await;
    database.shutdown().await;
    let mode = std::fs::metadata(&file).expect("the data file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let (database, client) = start(Some(file.clone())).await;
    assert_eq!(get(&client, "p", "s").await, Some(item("p", "s", 41)));
    put(&client, item("p", "s", 42)).await;
    database.shutdown().await;

    let (_database, client) = start(Some(file)).await;
    assert_eq!(get(&client, "p", "s").await, Some(item("p", "s", 42)));
}

#[tokio::test]
async fn two_databases_in_memory_are_strangers() {
    let (_one, here) = start(None).await;
    let (_other, there) = start(None).await;
    put(&here, item("p", "s", 1)).await;
    assert_eq!(get(&there, "p", "s").await, None);
}

#[tokio::test]
async fn the_sweep_deletes_what_expired_and_nothing_else() {
    let (_database, client) = start_sweeping(None, Duration::from_millis(50)).await;
    let expiring = |sk: &str, expires_at| {
        let mut item = item("p", sk, 1);
        item.insert("expires_at".to_owned(), expires_at);
        item
    };
    let now = now();
    put(&client, expiring("later", number(now + 3600))).await;
    put(&client, expiring("in words", crate::text("1"))).await;
    put(&client, item("p", "never", 1)).await;
    put(&client, expiring("expired", number(now - 1))).await;
    let deadline = Instant::now() + Duration::from_secs(10);
    while get(&client, "p", "expired").await.is_some() {
        assert!(Instant::now() < deadline, "the sweep never came");
    }
    for sk in ["later", "in words", "never"] {
        assert!(get(&client, "p", sk).await.is_some(), "{sk}");
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_stops_the_start() {
    let noise = fresh_path("table.db");
    std::fs::write(
        &noise,
        "not a database, not at all; longer than SQLite's header of a hundred bytes ".repeat(9),
    )
    .expect("written");
    let nowhere = fresh_path("table.db").join("table.db");
    for (why, file) in [("noise", noise), ("no such folder", nowhere)] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let started = DynamoDb::start(listener, Some(file.clone()), Duration::from_hours(1)).await;
        let error = started.err().unwrap_or_else(|| panic!("{why}: it started"));
        assert!(error.to_string().contains(&file.display().to_string()), "{why}: {error}");
    }
}

#[tokio::test]
async fn shutdown_ends_with_a_client_that_never_finishes() {
    let (database, _client) = start(Some(fresh_path("table.db"))).await;
    let address = database.url().replace("http://", "");
    let mut half = TcpStream::connect(&address).await.expect("connected");
    half.write_all(b"POST / HTTP/1.1\r\nHost: d\r\nContent-Length: 9\r\n\r\n{").await.expect("sent");
    tokio::time::timeout(Duration::from_secs(15), database.shutdown()).await.expect("it stops");
    assert!(TcpStream::connect(&address).await.is_err(), "the port is free");
}

#[expect(clippy::disallowed_methods, reason = "the sweep goes by the clock of the machine")]
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}
