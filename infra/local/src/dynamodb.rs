//! DynamoDB without AWS: `dynoxide-rs` behind a port, with the two things it leaves to its host.
//!
//! The functions must not be able to tell this from the service, so nothing here touches an item: the server answers
//! from its own database and this module only opens it, sweeps it and stops it. It must never share the runtime of
//! the gateway: the server runs SQLite on its async threads, and a slow disk would hold up every other request.
//!
//! What it does not copy: reads are always consistent, nothing is throttled, writes never meet a
//! `TransactionConflict`. Tests that need those put a proxy in between.

use std::{
    fs::OpenOptions,
    io,
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use dynoxide::{
    Database, DynoxideError,
    actions::{
        create_table::CreateTableRequest,
        describe_table::DescribeTableRequest,
        describe_time_to_live::DescribeTimeToLiveRequest,
        update_time_to_live::{TimeToLiveSpecification, UpdateTimeToLiveRequest},
    },
    types::{AttributeDefinition, KeySchemaElement, KeyType, ScalarAttributeType},
};
use tokio::{net::TcpListener, sync::oneshot};

/// How long `shutdown` waits for a client that has sent half a request.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(3);

/// The shortest sweep period: a sweep takes the database lock.
const SHORTEST_SWEEP: Duration = Duration::from_millis(50);

/// Why the embedded DynamoDB could not start or could not make a table.
#[derive(Debug, thiserror::Error)]
pub enum DynamoDbError {
    /// The data file is missing its folder, is not ours, or is not a database.
    #[error("the DynamoDB data file {} cannot be opened", path.display())]
    Open {
        /// The data file.
        path: PathBuf,
        /// What the database said.
        source: DynoxideError,
    },
    /// The data file cannot be created.
    #[error("the DynamoDB data file {} cannot be created", path.display())]
    Create {
        /// The data file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The database in memory cannot be made.
    #[error("a database in memory cannot be made")]
    Memory(#[source] DynoxideError),
    /// The listener cannot be used, or no thread could be started for it.
    #[error("the DynamoDB endpoint cannot listen")]
    Listen(#[source] io::Error),
    /// The database refused to make or describe the table.
    #[error("the table {table} cannot be made")]
    Table {
        /// The table.
        table: String,
        /// What the database said.
        source: DynoxideError,
    },
    /// A table of that name exists, with other keys or another TTL attribute.
    #[error("the table {table} exists with another shape: {difference}")]
    TableDiffers {
        /// The table.
        table: String,
        /// What is there instead.
        difference: String,
    },
    /// The database stopped in the middle of a call.
    #[error("the database stopped")]
    Stopped,
}

/// A table as the stack needs one: string keys, pay per request, no index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// The partition key, a string.
    pub partition_key: String,
    /// The sort key, a string.
    pub sort_key: String,
    /// The attribute whose epoch seconds say when an item may be deleted.
    pub ttl_attribute: Option<String>,
}

/// A running DynamoDB endpoint. Dropping it stops it without waiting.
pub struct DynamoDb {
    database: Database,
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    stopped: oneshot::Receiver<()>,
}

impl DynamoDb {
    /// Opens the database (in memory without `data_file`) and serves it on `listener`, deleting expired items every
    /// `sweep_every`.
    pub async fn start(
        listener: TcpListener,
        data_file: Option<PathBuf>,
        sweep_every: Duration,
    ) -> Result<Self, DynamoDbError> {
        let address = listener.local_addr().map_err(DynamoDbError::Listen)?;
        let listener = listener.into_std().map_err(DynamoDbError::Listen)?;
        let database = blocking(move || open(data_file.as_deref())).await?;

        let (stop, stop_requested) = oneshot::channel();
        let (report_ready, ready) = oneshot::channel();
        let (report_stopped, stopped) = oneshot::channel();
        let served = database.clone();
        std::thread::Builder::new()
            .name("dynamodb".to_owned())
            .spawn(move || {
                let runtime = match runtime() {
                    Ok(runtime) => runtime,
                    Err(error) => return drop(report_ready.send(Err(error))),
                };
                runtime.block_on(serve(listener, report_ready, served, sweep_every, stop_requested));
                // Ends what outlived the grace, and with it the last handles on the data file.
                runtime.shutdown_timeout(SHUTDOWN_GRACE);
                let _ = report_stopped.send(());
            })
            .map_err(DynamoDbError::Listen)?;
        ready.await.unwrap_or_else(|_| Err(io::ErrorKind::Other.into())).map_err(DynamoDbError::Listen)?;
        Ok(Self { database, address, stop, stopped })
    }

    /// The endpoint URL, as `AWS_ENDPOINT_URL_DYNAMODB` wants it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Makes the table unless it is there already; a table of that name with another shape is an error.
    pub async fn create_table(&self, table: &Table) -> Result<(), DynamoDbError> {
        let database = self.database.clone();
        let table = table.clone();
        blocking(move || {
            ensure_table(&database, &table)?;
            table.ttl_attribute.as_deref().map_or(Ok(()), |ttl| ensure_ttl(&database, &table.name, ttl))
        })
        .await
    }

    /// Stops accepting, lets running requests finish and closes the data file.
    pub async fn shutdown(self) {
        let Self { database, stop, stopped, .. } = self;
        drop(database);
        let _ = stop.send(());
        drop(stopped.await);
    }
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).thread_name("dynamodb").enable_all().build()
}

async fn serve(
    listener: std::net::TcpListener,
    ready: oneshot::Sender<io::Result<()>>,
    database: Database,
    sweep_every: Duration,
    stop: oneshot::Receiver<()>,
) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return drop(ready.send(Err(error))),
    };
    drop(ready.send(Ok(())));
    let sweeping = tokio::spawn(sweep(database.clone(), sweep_every.max(SHORTEST_SWEEP)));
    let (begin_stop, stop_begun) = oneshot::channel::<()>();
    let server = dynoxide::server::serve_with_shutdown(listener, database, async move {
        // An error is the owner gone without a word: stop as well.
        drop(stop.await);
        drop(begin_stop);
    });
    let deadline = async {
        drop(stop_begun.await);
        tokio::time::sleep(SHUTDOWN_GRACE).await;
    };
    tokio::select! {
        result = server => if let Err(error) = result {
            tracing::error!(%error, "the DynamoDB endpoint stopped");
        },
        () = deadline => {}
    }
    sweeping.abort();
}

async fn sweep(database: Database, every: Duration) {
    let mut timer = tokio::time::interval(every);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        timer.tick().await;
        let database = database.clone();
        match tokio::task::spawn_blocking(move || database.sweep_ttl()).await {
            Ok(Ok(0)) => {}
            Ok(Ok(deleted)) => tracing::debug!(deleted, "expired items deleted"),
            Ok(Err(error)) => tracing::warn!(%error, "the TTL sweep failed"),
            Err(_) => return,
        }
    }
}

fn open(data_file: Option<&Path>) -> Result<Database, DynamoDbError> {
    let Some(path) = data_file else {
        return Database::memory().map_err(DynamoDbError::Memory);
    };
    // Password hashes live in it. SQLite gives its journal files the mode of the database.
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .map_err(|source| DynamoDbError::Create { path: path.to_owned(), source })?;
    Database::new(&path.to_string_lossy())
        .map_err(|source| DynamoDbError::Open { path: path.to_owned(), source })
}

fn ensure_table(database: &Database, table: &Table) -> Result<(), DynamoDbError> {
    let refused = |source| DynamoDbError::Table { table: table.name.clone(), source };
    let keys = [(&table.partition_key, KeyType::HASH), (&table.sort_key, KeyType::RANGE)];
    let key_schema: Vec<_> = keys
        .iter()
        .map(|(name, key_type)| KeySchemaElement {
            attribute_name: (*name).clone(),
            key_type: key_type.clone(),
        })
        .collect();
    let attribute_definitions: Vec<_> = keys
        .iter()
        .map(|(name, _)| AttributeDefinition {
            attribute_name: (*name).clone(),
            attribute_type: ScalarAttributeType::S,
        })
        .collect();
    let request = CreateTableRequest {
        table_name: table.name.clone(),
        key_schema: key_schema.clone(),
        attribute_definitions,
        billing_mode: Some("PAY_PER_REQUEST".to_owned()),
        ..CreateTableRequest::default()
    };
    match database.create_table(request) {
        Ok(_) => return Ok(()),
        Err(DynoxideError::ResourceInUseException(_)) => {}
        Err(source) => return Err(refused(source)),
    }
    let described =
        database.describe_table(DescribeTableRequest { table_name: table.name.clone() }).map_err(refused)?;
    let found: Vec<_> =
        described.table.key_schema.iter().map(|key| (&key.attribute_name, key.key_type.clone())).collect();
    if found != keys {
        let difference = format!("its keys are {found:?}");
        return Err(DynamoDbError::TableDiffers { table: table.name.clone(), difference });
    }
    Ok(())
}

fn ensure_ttl(database: &Database, table: &str, attribute: &str) -> Result<(), DynamoDbError> {
    let refused = |source| DynamoDbError::Table { table: table.to_owned(), source };
    let described = database
        .describe_time_to_live(DescribeTimeToLiveRequest { table_name: table.to_owned() })
        .map_err(refused)?;
    match described.time_to_live_description.attribute_name {
        Some(found) if found == attribute => Ok(()),
        Some(found) => {
            let difference = format!("its TTL attribute is {found}");
            Err(DynamoDbError::TableDiffers { table: table.to_owned(), difference })
        }
        None => database
            .update_time_to_live(UpdateTimeToLiveRequest {
                table_name: table.to_owned(),
                time_to_live_specification: TimeToLiveSpecification {
                    attribute_name: attribute.to_owned(),
                    enabled: true,
                },
            })
            .map(drop)
            .map_err(refused),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, DynamoDbError> + Send + 'static,
) -> Result<T, DynamoDbError> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(DynamoDbError::Stopped))
}
