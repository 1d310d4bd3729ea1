//! The Lambda service as the function binaries see it: each instance is an OS process that polls its own Runtime API for
//! one event at a time. Must never tell a function that it runs locally: what differs from AWS is only where the
//! endpoints point.

pub mod instance;
pub mod invoke_api;
pub mod logs;
pub mod process;
pub mod queue;
pub mod runtime_api;
pub mod schedule;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::random;
use crate::template::FunctionSpec;
use queue::{Invocation, Queue};

/// Account id in ARNs and events.
pub const ACCOUNT: &str = "000000000000";

/// Largest event or response of a synchronous invocation.
pub const PAYLOAD_LIMIT: usize = 6 * 1024 * 1024;

/// How an invocation ended.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// The function's response.
    Answer(Bytes),
    /// A function error, as Lambda's error document.
    Failed(Bytes),
}

impl Outcome {
    /// A function error in Lambda's words.
    pub fn failed(error_type: Option<&str>, message: &str) -> Self {
        let document = match error_type {
            Some(error_type) => json!({"errorType": error_type, "errorMessage": message}),
            None => json!({"errorMessage": message}),
        };
        Self::Failed(document.to_string().into())
    }
}

/// One Lambda function and its queue; instances take from it.
#[derive(Debug)]
pub struct Function {
    /// From the template.
    pub spec: FunctionSpec,
    /// `arn:aws:lambda:…`.
    pub arn: String,
    /// What waits for an instance.
    pub queue: Queue,
}

/// The caller gave up before the function answered.
#[derive(Debug, thiserror::Error)]
#[error("the function did not answer in time")]
pub struct TimedOut;

impl Function {
    fn new(spec: FunctionSpec, region: &str) -> Self {
        let arn = format!("arn:aws:lambda:{region}:{ACCOUNT}:function:{}", spec.name);
        Self { spec, arn, queue: Queue::default() }
    }

    /// Queues an event and waits for the outcome; with a limit, for no longer than that.
    pub async fn invoke(&self, call: Call) -> Result<Outcome, TimedOut> {
        let (reply, outcome) = oneshot::channel();
        let expires = call.limit.map(|limit| Instant::now() + limit);
        let Call { id, trace_id, event, .. } = call;
        self.queue.push(Invocation { id, trace_id, event, expires, reply });
        let outcome = async { outcome.await.map_err(|_| TimedOut) };
        match expires {
            Some(expires) => tokio::time::timeout_at(expires, outcome).await.map_err(|_| TimedOut)?,
            None => outcome.await,
        }
    }
}

/// An event to be handled.
#[derive(Debug)]
pub struct Call {
    /// Request id.
    pub id: String,
    /// X-Ray header.
    pub trace_id: String,
    /// The event, JSON.
    pub event: Bytes,
    /// How long the caller waits.
    pub limit: Option<Duration>,
}

impl Call {
    /// A call without a limit, with fresh ids.
    pub fn new(event: Bytes) -> Self {
        Self { id: random::uuid(), trace_id: trace_id(), event, limit: None }
    }
}

/// A fresh X-Ray header.
pub fn trace_id() -> String {
    let hex = random::uuid().replace('-', "");
    let seconds = crate::clock::now().as_secs();
    format!("Root=1-{seconds:08x}-{};Parent={};Sampled=0", &hex[..24], &hex[16..])
}

/// The functions of the stack, by short name.
#[derive(Debug, Clone)]
pub struct Functions(Arc<BTreeMap<String, Arc<Function>>>);

impl Functions {
    /// One per function of the template.
    pub fn new(specs: BTreeMap<String, FunctionSpec>, region: &str) -> Self {
        let functions =
            specs.into_iter().map(|(name, spec)| (name, Arc::new(Function::new(spec, region)))).collect();
        Self(Arc::new(functions))
    }

    /// The function of that short name.
    pub fn find(&self, name: &str) -> Option<&Arc<Function>> {
        self.0.get(name)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Function>> {
        self.0.values()
    }
}
