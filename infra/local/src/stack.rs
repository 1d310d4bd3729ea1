//! The whole stack, started and stopped together. Must never leave a process or a half-started server behind: what
//! began is stopped when a later step fails.

mod options;
mod start_error;

use std::ffi::OsString;
use std::fmt;
use std::fs::{DirBuilder, File, TryLockError};
use std::io;
use std::net::Ipv4Addr;
use std::os::unix::fs::DirBuilderExt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::client::{Client, ClientError, Reply};
use crate::dynamodb::DynamoDb;
use crate::files;
use crate::gateway::Gateway;
use crate::kms::Kms;
use crate::lambda::instance::Instance;
use crate::lambda::logs::Log;
use crate::lambda::process::{self, Program};
use crate::lambda::{ACCOUNT, Function, Functions, invoke_api, runtime_api, schedule};
use crate::server::Server;
use crate::template::{Givens, ScheduleSpec, Template};
pub use options::Options;
pub use start_error::StartError;

/// Name of the deployment that functions see.
const STAGE: &str = "local";
/// How long open requests may take when the stack stops.
const DRAIN: Duration = Duration::from_secs(3);
/// How long functions may take until their first poll; Lambda allows 10 s, a busy laptop gets more.
const READY_LIMIT: Duration = Duration::from_mins(1);
/// A function whose process ends this often before its first poll will not start.
const STILLBORN_LIMIT: u32 = 3;

/// A running stack.
pub struct Stack {
    base_url: String,
    lambda_url: String,
    client: Client,
    functions: Functions,
    schedules: Vec<JoinHandle<()>>,
    gateway: Server,
    invoke_api: Server,
    host: Host,
    kms: Kms,
    dynamodb: DynamoDb,
    /// Held for as long as the stack uses its folder.
    _lock: File,
}

impl fmt::Debug for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stack").field("base_url", &self.base_url).finish_non_exhaustive()
    }
}

impl Stack {
    /// Starts everything; returns when every function has asked for its first event.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let lock = prepare(&options)?;
        let gateway = bind(options.port, "the gateway", "--port").await?;
        let dynamodb = bind(options.dynamodb_port, "DynamoDB", "--dynamodb-port").await?;
        let kms = bind(options.kms_port, "KMS", "--kms-port").await?;
        let lambda = bind(options.lambda_port, "Lambda", "--lambda-port").await?;
        let port = port_of(&gateway)?;
        let base_url = options.public_url.clone().unwrap_or_else(|| format!("http://localhost:{port}"));
        let lambda_url = format!("http://127.0.0.1:{}", port_of(&lambda)?);

        let template = Template::load(&options.template, &Givens::new(STAGE, &options.region, &base_url))?;
        let functions = Functions::new(template.functions, &options.region);
        let routes = Gateway::new(template.routes, template.authorizers, &functions, port)
            .map_err(StartError::Routes)?;
        let schedules = scheduled(template.schedules, &functions, options.schedule)?;
        check_binaries(&options, &functions)?;

        let data_file = options.data.join("dynamodb.sqlite");
        let dynamodb = DynamoDb::start(dynamodb, Some(data_file), options.sweep).await?;
        dynamodb.create_table(&template.table).await?;
        let kms = Kms::start(kms, Some(options.data.join("kms.json")), &options.region, ACCOUNT).await?;
        for key in &template.keys {
            kms.ensure_symmetric_key(key.id, &key.name)?;
        }

        let environment = shared_environment(&options, &dynamodb.url(), &kms.url());
        let host = Host::start(&options, &functions, &environment).await?;
        if let Err(error) = host.ready().await {
            host.stop().await;
            return Err(error);
        }
        Ok(Self {
            base_url,
            lambda_url,
            client: Client::default(),
            gateway: Server::start(gateway, routes.router()),
            invoke_api: Server::start(lambda, invoke_api::router(functions.clone())),
            schedules: schedules.into_iter().map(tokio::spawn).collect(),
            functions,
            host,
            kms,
            dynamodb,
            _lock: lock,
        })
    }

    /// Where clients reach the service; every issuer begins with it.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Endpoint of Lambda's Invoke API.
    pub fn lambda_url(&self) -> &str {
        &self.lambda_url
    }

    /// Endpoint of the embedded DynamoDB.
    pub fn dynamodb_url(&self) -> String {
        self.dynamodb.url()
    }

    /// Endpoint of the embedded KMS.
    pub fn kms_url(&self) -> String {
        self.kms.url()
    }

    /// The functions, by short name.
    pub fn functions(&self) -> &Functions {
        &self.functions
    }

    /// Calls a function through the Invoke API, over the wire.
    pub async fn invoke(&self, function: &str, event: &Value) -> Result<Reply, ClientError> {
        self.client.invoke(&self.lambda_url, function, event).await
    }

    /// Stops everything: the gateway first, the functions next, what they use last.
    pub async fn shutdown(self) {
        self.schedules.iter().for_each(JoinHandle::abort);
        tokio::join!(self.gateway.stop(DRAIN), self.invoke_api.stop(DRAIN));
        self.host.stop().await;
        tokio::join!(self.kms.shutdown(), self.dynamodb.shutdown());
    }
}

/// The processes of all functions.
#[derive(Debug)]
struct Host {
    stop: watch::Sender<bool>,
    members: Vec<Member>,
}

#[derive(Debug)]
struct Member {
    instance: Arc<Instance>,
    runtime_api: Server,
    supervisor: JoinHandle<()>,
}

type Environment = Vec<(OsString, OsString)>;

impl Host {
    async fn start(
        options: &Options,
        functions: &Functions,
        shared: &Environment,
    ) -> Result<Self, StartError> {
        let (stop, stopped) = watch::channel(false);
        let mut members = Vec::new();
        for function in functions.iter() {
            for number in 1..=options.instances.max(1) {
                let instance = Instance::new(function.clone(), number);
                let listener = bind(0, "a Runtime API", "nothing").await?;
                let environment =
                    environment_of(function, shared, port_of(&listener)?, &options.function_env);
                let program = Program { path: options.bin_dir.join(&function.spec.name), environment };
                let log = Log::open(&options.data.join("logs"), instance.label(), options.console)
                    .map_err(|cause| StartError::Data { path: options.data.clone(), cause })?;
                let runtime_api = Server::start(listener, runtime_api::router(instance.clone()));
                let supervisor = process::supervise(instance.clone(), program, log, stopped.clone());
                members.push(Member { instance, runtime_api, supervisor: tokio::spawn(supervisor) });
            }
        }
        Ok(Self { stop, members })
    }

    /// Waits until every instance has asked for an event.
    async fn ready(&self) -> Result<(), StartError> {
        let limit = tokio::time::Instant::now() + READY_LIMIT;
        for member in &self.members {
            let mut life = member.instance.watch_life();
            let settled = life.wait_for(|life| life.polled || life.stillborn >= STILLBORN_LIMIT);
            let polled = tokio::time::timeout_at(limit, settled)
                .await
                .is_ok_and(|life| life.is_ok_and(|life| life.polled));
            if !polled {
                return Err(StartError::Function { label: member.instance.label() });
            }
        }
        Ok(())
    }

    async fn stop(self) {
        self.stop.send_replace(true);
        for member in self.members {
            let _ = member.supervisor.await;
            member.runtime_api.stop(Duration::ZERO).await;
        }
    }
}

/// Makes the data folder ours alone and clears what an earlier run left for others to read.
fn prepare(options: &Options) -> Result<File, StartError> {
    let failed = |cause| StartError::Data { path: options.data.clone(), cause };
    DirBuilder::new().recursive(true).mode(0o700).create(&options.data).map_err(failed)?;
    let lock = File::create(options.data.join("lock")).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(StartError::InUse { path: options.data.clone() }),
        Err(TryLockError::Error(cause)) => return Err(failed(cause)),
    }
    files::remove(&options.data.join("seed.json")).map_err(failed)?;
    Ok(lock)
}

async fn bind(port: u16, what: &'static str, flag: &'static str) -> Result<TcpListener, StartError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(|cause| {
        if cause.kind() == io::ErrorKind::AddrInUse {
            StartError::PortTaken { port, what, flag }
        } else {
            StartError::Bind { port, what, cause }
        }
    })
}

fn port_of(listener: &TcpListener) -> Result<u16, StartError> {
    let address = listener.local_addr();
    address.map(|address| address.port()).map_err(|cause| StartError::Bind {
        port: 0,
        what: "a server",
        cause,
    })
}

fn check_binaries(options: &Options, functions: &Functions) -> Result<(), StartError> {
    let missing: Vec<String> = functions
        .iter()
        .map(|function| &function.spec.name)
        .filter(|name| !options.bin_dir.join(name).is_file())
        .cloned()
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(StartError::Binaries { missing: missing.join(", "), folder: options.bin_dir.clone() })
}

fn scheduled(
    specs: Vec<ScheduleSpec>,
    functions: &Functions,
    period: Option<Duration>,
) -> Result<Vec<impl Future<Output = ()> + Send + 'static>, StartError> {
    let mut runs = Vec::new();
    for ScheduleSpec { function, period: own, input } in specs {
        let function = functions.find(&function).ok_or_else(|| {
            StartError::Routes(format!("a schedule names {function}, which is no function"))
        })?;
        let period = period.unwrap_or(own);
        if !period.is_zero() {
            runs.push(schedule::run(function.clone(), input, period));
        }
    }
    Ok(runs)
}

/// What all functions are given. Nothing else tells them where AWS is.
fn shared_environment(options: &Options, dynamodb_url: &str, kms_url: &str) -> Environment {
    let dynamodb_url = options.functions_dynamodb_url.as_deref().unwrap_or(dynamodb_url);
    let kms_url = options.functions_kms_url.as_deref().unwrap_or(kms_url);
    let mut environment: Environment = [
        ("AWS_REGION", options.region.as_str()),
        ("AWS_DEFAULT_REGION", options.region.as_str()),
        ("AWS_ACCESS_KEY_ID", "local"),
        ("AWS_SECRET_ACCESS_KEY", "local"),
        ("AWS_ENDPOINT_URL_DYNAMODB", dynamodb_url),
        ("AWS_ENDPOINT_URL_KMS", kms_url),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
        ("_HANDLER", "bootstrap"),
        ("TZ", ":UTC"),
    ]
    .iter()
    .map(|(key, value)| ((*key).into(), (*value).into()))
    .collect();
    environment.extend(std::env::var_os("PATH").map(|path| ("PATH".into(), path)));
    environment
}

fn environment_of(
    function: &Function,
    shared: &Environment,
    port: u16,
    overrides: &[(String, String)],
) -> Environment {
    let spec = &function.spec;
    let own = [
        ("AWS_LAMBDA_RUNTIME_API".to_owned(), format!("127.0.0.1:{port}")),
        ("AWS_LAMBDA_FUNCTION_NAME".to_owned(), spec.name.clone()),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE".to_owned(), spec.memory_mb.to_string()),
    ];
    let text = |(key, value): (&String, &String)| (key.into(), value.into());
    let mut environment = shared.clone();
    environment.extend(spec.environment.iter().map(text));
    environment.extend(own.iter().chain(overrides).map(|(key, value)| text((key, value))));
    environment
}
