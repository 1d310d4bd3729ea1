//! What the embedded KMS must have in common with AWS KMS, asked through the real SDK client.
//!
//! Each row names the page of the KMS documentation whose behaviour it copies: `API_*` is the API reference,
//! `key-state` the developer guide's table of key states.

mod encryption;
mod files;
mod keys;
mod signing;
mod tags;
mod wire;

use std::path::PathBuf;

use aws_credential_types::Credentials;
use aws_sdk_kms::{
    Client, Config,
    config::{BehaviorVersion, Region, retry::RetryConfig},
    error::ProvideErrorMetadata,
    types::{KeySpec, KeyUsageType},
};
use leasehold_local::kms::Kms;
use tokio::net::TcpListener;

const REGION: &str = "eu-central-1";
const ACCOUNT: &str = "000000000000";

async fn start(key_file: Option<PathBuf>) -> (Kms, Client) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let kms = Kms::start(listener, key_file, REGION, ACCOUNT).await.expect("the KMS starts");
    let client = client(&kms.url());
    (kms, client)
}

fn client(url: &str) -> Client {
    Client::from_conf(
        Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .endpoint_url(url)
            .region(Region::new(REGION))
            .credentials_provider(Credentials::new("local", "local", None, None, "tests"))
            .retry_config(RetryConfig::disabled())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .build(),
    )
}

async fn create(client: &Client, spec: KeySpec) -> String {
    let usage = match spec {
        KeySpec::SymmetricDefault => KeyUsageType::EncryptDecrypt,
        _ => KeyUsageType::SignVerify,
    };
    let created = client.create_key().key_spec(spec).key_usage(usage).send().await.expect("the key is made");
    created.key_metadata.expect("metadata").arn.expect("an ARN")
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
