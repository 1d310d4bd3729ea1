//! What the embedded DynamoDB must have in common with the service, asked through the real SDK client.
//!
//! Each row names the page whose behaviour it relies on: `API_*` is the DynamoDB API reference. These are the promises
//! the refresh flow is built on; they are kept by a library, and a new version of it must keep them.

mod endpoint;
mod transactions;
mod writes;

use std::{collections::HashMap, path::PathBuf, time::Duration};

use aws_credential_types::Credentials;
use aws_sdk_dynamodb::{
    Client, Config,
    config::{BehaviorVersion, Region, retry::RetryConfig},
    error::ProvideErrorMetadata,
    types::AttributeValue,
};
use leasehold_local::dynamodb::{DynamoDb, Table};
use tokio::net::TcpListener;

const TABLE: &str = "leasehold";

type Item = HashMap<String, AttributeValue>;

fn table() -> Table {
    Table {
        name: TABLE.to_owned(),
        partition_key: "PK".to_owned(),
        sort_key: "SK".to_owned(),
        ttl_attribute: Some("expires_at".to_owned()),
    }
}

/// Sweeps too seldom to matter to a test that does not ask for it.
async fn start(data_file: Option<PathBuf>) -> (DynamoDb, Client) {
    start_sweeping(data_file, Duration::from_hours(1)).await
}

async fn start_sweeping(data_file: Option<PathBuf>, every: Duration) -> (DynamoDb, Client) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let database = DynamoDb::start(listener, data_file, every).await.expect("the database starts");
    database.create_table(&table()).await.expect("the table is made");
    let client = client(&database.url());
    (database, client)
}

fn client(url: &str) -> Client {
    Client::from_conf(
        Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .endpoint_url(url)
            .region(Region::new("eu-central-1"))
            .credentials_provider(Credentials::new("local", "local", None, None, "tests"))
            .retry_config(RetryConfig::disabled())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .build(),
    )
}

/// An item with its keys and one number.
fn item(pk: &str, sk: &str, version: u64) -> Item {
    [("PK", text(pk)), ("SK", text(sk)), ("version", number(version))]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
}

fn key(pk: &str, sk: &str) -> Item {
    [("PK", text(pk)), ("SK", text(sk))].map(|(name, value)| (name.to_owned(), value)).into()
}

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

fn number(value: u64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

async fn put(client: &Client, item: Item) {
    client.put_item().table_name(TABLE).set_item(Some(item)).send().await.expect("put");
}

async fn get(client: &Client, pk: &str, sk: &str) -> Option<Item> {
    let get = client.get_item().table_name(TABLE).set_key(Some(key(pk, sk))).consistent_read(true);
    get.send().await.expect("got").item
}

/// `ok`, or the name of the error.
fn outcome<T, E: ProvideErrorMetadata>(result: Result<T, E>) -> String {
    match result {
        Ok(_) => "ok".to_owned(),
        Err(error) => error.code().unwrap_or("no error code").to_owned(),
    }
}

/// A path nobody has used in this run or an earlier one.
fn fresh_path(name: &str) -> PathBuf {
    let mut random = [0; 8];
    aws_lc_rs::rand::fill(&mut random).expect("randomness");
    let folder =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{:016x}", u64::from_be_bytes(random)));
    std::fs::create_dir_all(&folder).expect("a folder for the test");
    folder.join(name)
}
