//! What a caller may choose about a stack.

use std::path::PathBuf;
use std::time::Duration;

use crate::lambda::logs::Console;

/// Settings of a stack. A port of 0 means any free port.
#[derive(Debug, Clone)]
pub struct Options {
    /// Port of the gateway.
    pub port: u16,
    /// Port of the embedded DynamoDB.
    pub dynamodb_port: u16,
    /// Port of the embedded KMS.
    pub kms_port: u16,
    /// Port of Lambda's Invoke API.
    pub lambda_port: u16,
    /// Folder of everything that is kept.
    pub data: PathBuf,
    /// Where functions find DynamoDB, if not at the embedded one.
    pub functions_dynamodb_url: Option<String>,
    /// Where functions find KMS, if not at the embedded one.
    pub functions_kms_url: Option<String>,
    /// Processes per function.
    pub instances: usize,
    /// Environment variables for every function, over those of the template.
    pub function_env: Vec<(String, String)>,
    /// Period of the schedules, if not the template's; zero switches them off.
    pub schedule: Option<Duration>,
    /// How often expired items are deleted.
    pub sweep: Duration,
    /// Folder of the function binaries.
    pub bin_dir: PathBuf,
    /// The template.
    pub template: PathBuf,
    /// Base URL that issuers begin with, if not the gateway's own.
    pub public_url: Option<String>,
    /// What of the functions' output goes to the console.
    pub console: Console,
    /// Region in ARNs and for the SDKs.
    pub region: String,
}

impl Options {
    /// Free ports, one instance, the template of this repository.
    pub fn new(data: impl Into<PathBuf>, bin_dir: impl Into<PathBuf>) -> Self {
        Self {
            port: 0,
            dynamodb_port: 0,
            kms_port: 0,
            lambda_port: 0,
            data: data.into(),
            functions_dynamodb_url: None,
            functions_kms_url: None,
            instances: 1,
            function_env: Vec::new(),
            schedule: None,
            sweep: Duration::from_mins(1),
            bin_dir: bin_dir.into(),
            template: Self::default_template(),
            public_url: None,
            console: Console::Problems,
            region: "eu-west-1".to_owned(),
        }
    }

    /// `infra/template.yaml` of the tree that this was built from.
    pub fn default_template() -> PathBuf {
        PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../template.yaml"))
    }
}
