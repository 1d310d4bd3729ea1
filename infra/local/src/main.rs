//! `leasehold-local`: starts the stack, seeds it, says where everything is, and stops it cleanly.

/// Prints a line; a reader that has gone is no reason to leave processes behind, as the panic of `println!` would.
macro_rules! say {
    ($($text:tt)*) => {
        drop(std::io::Write::write_fmt(&mut std::io::stdout(), format_args!("{}\n", format_args!($($text)*))))
    };
}

mod tour;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use clap::Parser;
use leasehold_local::lambda::logs::Console;
use leasehold_local::seed;
use leasehold_local::stack::{Options, Stack};
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Runs Leasehold on this machine: the functions as processes behind an API gateway, with an embedded DynamoDB and KMS.
#[derive(Debug, Parser)]
#[command(name = "leasehold-local")]
struct Flags {
    /// Port of the service (0: any free port)
    #[arg(long, env = "PORT", default_value_t = 9000)]
    port: u16,
    /// Folder for data, logs and seed.json
    #[arg(long, env = "DATA", default_value = ".local", value_name = "FOLDER")]
    data: PathBuf,
    /// Port of the embedded DynamoDB
    #[arg(long, env = "DYNAMODB_PORT", default_value_t = 0, value_name = "PORT")]
    dynamodb_port: u16,
    /// Port of the embedded KMS
    #[arg(long, env = "KMS_PORT", default_value_t = 0, value_name = "PORT")]
    kms_port: u16,
    /// Port of Lambda's Invoke API
    #[arg(long, env = "LAMBDA_PORT", default_value_t = 0, value_name = "PORT")]
    lambda_port: u16,
    /// Where functions find DynamoDB, if not at the embedded one
    #[arg(long, env = "FUNCTIONS_DYNAMODB_URL", value_name = "URL")]
    functions_dynamodb_url: Option<String>,
    /// Where functions find KMS, if not at the embedded one
    #[arg(long, env = "FUNCTIONS_KMS_URL", value_name = "URL")]
    functions_kms_url: Option<String>,
    /// Processes per function
    #[arg(long, env = "INSTANCES", default_value_t = 1, value_name = "N")]
    instances: usize,
    /// JSON file with the policy of the seeded tenants
    #[arg(long, env = "POLICY", value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Environment variable for every function (repeatable)
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    function_env: Vec<(String, String)>,
    /// Period of the schedule, if not the template's (0: off)
    #[arg(long, env = "SCHEDULE_SECONDS", value_name = "SECONDS")]
    schedule_seconds: Option<u64>,
    /// Folder of the function binaries [default: that of this program]
    #[arg(long, env = "BIN_DIR", value_name = "FOLDER")]
    bin_dir: Option<PathBuf>,
    /// The template with routes, functions and table
    #[arg(long, env = "TEMPLATE", value_name = "FILE", default_value_os_t = Options::default_template(), hide_default_value = true)]
    template: PathBuf,
    /// Base URL that issuers begin with [default: http://localhost:PORT]
    #[arg(long, env = "PUBLIC_URL", value_name = "URL")]
    public_url: Option<String>,
    /// Start without the two seeded tenants
    #[arg(long, env = "NO_SEED")]
    no_seed: bool,
    /// Show all output of the functions, not only warnings and errors
    #[arg(long, env = "SHOW_LOGS")]
    show_logs: bool,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').filter(|(key, _)| !key.is_empty()).ok_or("expected KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

#[tokio::main]
async fn main() -> ExitCode {
    let own = tracing_subscriber::filter::Targets::new().with_target("leasehold_local", tracing::Level::INFO);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .without_time()
        .with_target(false)
        .with_level(false);
    tracing_subscriber::registry().with(lines).with(own).init();
    match run(Flags::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(std::io::stderr(), "leasehold-local: {error}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(flags: Flags) -> Result<(), Failure> {
    let policy = flags.policy.as_deref().map(read_policy).transpose()?;
    let (data, no_seed) = (flags.data.clone(), flags.no_seed);
    let options = options(flags)?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;

    say!("Starting the embedded DynamoDB and KMS (data in {}) and the functions …", data.display());
    let stack = tokio::select! {
        stack = Stack::start(options) => stack?,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    let seeded = async {
        let seed = if no_seed {
            seed::announce(&stack, &data, BTreeMap::new())?
        } else {
            say!("Seeding two tenants through the operator function …");
            seed::plant(&stack, &data, policy.as_ref()).await?
        };
        tour::print(&seed, &data);
        Ok::<(), Failure>(())
    };
    let outcome = tokio::select! {
        outcome = seeded => outcome,
        _ = terminate.recv() => Err("stopped while seeding".into()),
        _ = interrupt.recv() => Err("stopped while seeding".into()),
    };
    if outcome.is_ok() {
        say!("ready");
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        say!("\nStopping …");
    }
    stack.shutdown().await;
    outcome
}

fn options(flags: Flags) -> Result<Options, Failure> {
    let bin_dir = match flags.bin_dir {
        Some(folder) => folder,
        None => std::env::current_exe()?.parent().map(Path::to_owned).unwrap_or_default(),
    };
    let mut options = Options::new(flags.data, bin_dir);
    options.port = flags.port;
    options.dynamodb_port = flags.dynamodb_port;
    options.kms_port = flags.kms_port;
    options.lambda_port = flags.lambda_port;
    options.functions_dynamodb_url = flags.functions_dynamodb_url;
    options.functions_kms_url = flags.functions_kms_url;
    options.instances = flags.instances;
    options.function_env = flags.function_env;
    options.schedule = flags.schedule_seconds.map(Duration::from_secs);
    options.template = flags.template;
    options.public_url = flags.public_url;
    options.console = if flags.show_logs { Console::All } else { Console::Problems };
    Ok(options)
}

fn read_policy(path: &Path) -> Result<Value, Failure> {
    let shown = path.display();
    let text = fs::read(path).map_err(|error| format!("cannot read the policy {shown}: {error}"))?;
    let policy: Value =
        serde_json::from_slice(&text).map_err(|error| format!("the policy {shown}: {error}"))?;
    if policy.is_object() {
        Ok(policy)
    } else {
        Err(format!("the policy {shown} is not a JSON object").into())
    }
}
