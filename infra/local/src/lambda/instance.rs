//! What is true of one instance right now: whether its process lives, what it is working on, until when. Shared by the
//! Runtime API (which the process calls) and the supervisor (which watches the process); neither may answer an
//! invocation that the other has already answered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::queue::Invocation;
use super::{Function, Outcome};
use crate::clock;

/// One instance of a function.
#[derive(Debug)]
pub struct Instance {
    /// Its function.
    pub function: Arc<Function>,
    /// 1, 2, …
    pub number: usize,
    state: Mutex<State>,
    /// Which process serves this instance; polls of an earlier process are void.
    life: watch::Sender<Life>,
    /// When the current invocation is out of time.
    deadline: watch::Sender<Option<Instant>>,
}

/// The life of an instance's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Life {
    /// Counts processes; 0 before the first.
    pub process: u64,
    /// Has it asked for its first event?
    pub polled: bool,
    /// How often a process ended before it asked for an event, since the last that did.
    pub stillborn: u32,
}

#[derive(Debug, Default)]
struct State {
    process: Option<Pid>,
    current: Option<Current>,
    served: u64,
    extensions: HashMap<String, Extension>,
}

#[derive(Debug)]
struct Current {
    invocation: Invocation,
    began: Instant,
}

#[derive(Debug)]
struct Extension {
    wants_invoke: bool,
    events: mpsc::UnboundedSender<Value>,
}

/// What the Runtime API tells a process about its invocation.
#[derive(Debug, Clone)]
pub struct Begun {
    /// Request id.
    pub id: String,
    /// X-Ray header.
    pub trace_id: String,
    /// The event.
    pub event: bytes::Bytes,
    /// Deadline, milliseconds since the epoch.
    pub deadline_ms: u64,
}

impl Instance {
    /// An instance without a process.
    pub fn new(function: Arc<Function>, number: usize) -> Arc<Self> {
        Arc::new(Self {
            function,
            number,
            state: Mutex::default(),
            life: watch::Sender::default(),
            deadline: watch::Sender::default(),
        })
    }

    /// `refresh-1`.
    pub fn label(&self) -> String {
        format!("{}-{}", self.function.spec.name, self.number)
    }

    /// Watches the life of its processes.
    pub fn watch_life(&self) -> watch::Receiver<Life> {
        self.life.subscribe()
    }

    /// Watches the deadline of the current invocation.
    pub fn watch_deadline(&self) -> watch::Receiver<Option<Instant>> {
        self.deadline.subscribe()
    }

    /// A new process begins.
    pub fn process_starts(&self) {
        self.lock().served = 0;
        self.life.send_modify(|life| {
            life.process += 1;
            life.polled = false;
        });
    }

    /// The new process has this id.
    pub fn process_is(&self, process: Option<Pid>) {
        self.lock().process = process;
    }

    /// The process has gone; whatever it was doing ends with `outcome`. Tells how many invocations it had served.
    pub fn process_ended(&self, outcome: impl FnOnce(&str) -> Outcome) -> u64 {
        let (current, served) = {
            let mut state = self.lock();
            state.extensions.clear();
            state.process = None;
            (state.current.take(), state.served)
        };
        self.life.send_modify(|life| {
            life.process += 1;
            life.stillborn = if life.polled { 0 } else { life.stillborn + 1 };
            life.polled = false;
        });
        if let Some(current) = current {
            self.answer(current, outcome);
        }
        served
    }

    /// The current invocation's time is up: takes it, so that nobody else answers it. Tells its request id.
    pub fn time_out(&self, now: Instant) -> Option<String> {
        let current = {
            let mut state = self.lock();
            let overdue = state.current.as_ref().is_some_and(|current| current.began + self.timeout() <= now);
            if overdue { state.current.take() } else { None }
        }?;
        let id = current.invocation.id.clone();
        let (time, seconds) = (clock::iso_time(clock::now()), self.timeout().as_secs_f64());
        self.answer(current, |id| {
            Outcome::failed(
                Some("Sandbox.Timedout"),
                &format!("{time} {id} Task timed out after {seconds:.2} seconds"),
            )
        });
        Some(id)
    }

    /// The process asks for an event. Waits for one; `None` when the process has gone meanwhile.
    pub async fn next(&self) -> Option<Begun> {
        let unanswered = self.lock().current.take();
        if let Some(current) = unanswered {
            self.answer(current, |id| {
                let message =
                    format!("RequestId: {id} Error: the runtime asked for the next event without a reply");
                Outcome::failed(Some("Runtime.ExitError"), &message)
            });
        }
        self.life.send_modify(|life| life.polled = true);
        let mut life = self.life.subscribe();
        let process = life.borrow_and_update().process;
        let gone = life.wait_for(|life| life.process != process);
        let invocation = tokio::select! {
            invocation = self.function.queue.next() => invocation,
            _ = gone => return None,
        };
        self.begin(invocation, process)
    }

    fn begin(&self, invocation: Invocation, process: u64) -> Option<Begun> {
        let mut state = self.lock();
        if self.life.borrow().process != process || state.process.is_some_and(has_exited) {
            self.function.queue.put_back(invocation);
            return None;
        }
        let timeout = self.timeout();
        let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        let begun = Begun {
            id: invocation.id.clone(),
            trace_id: invocation.trace_id.clone(),
            event: invocation.event.clone(),
            deadline_ms: clock::now_millis().saturating_add(timeout_ms),
        };
        let now = Instant::now();
        self.deadline.send_replace(Some(now + timeout));
        state.extensions.values().filter(|extension| extension.wants_invoke).for_each(|extension| {
            let event = serde_json::json!({
                "eventType": "INVOKE",
                "deadlineMs": begun.deadline_ms,
                "requestId": begun.id,
                "invokedFunctionArn": self.function.arn,
                "tracing": {"type": "X-Amzn-Trace-Id", "value": begun.trace_id},
            });
            let _ = extension.events.send(event);
        });
        state.current = Some(Current { invocation, began: now });
        Some(begun)
    }

    /// The process reports how invocation `id` ended. False when that is not what it is working on.
    pub fn finish(&self, id: &str, outcome: Outcome) -> bool {
        let current = {
            let mut state = self.lock();
            match &state.current {
                Some(current) if current.invocation.id == id => {
                    state.served += 1;
                    state.current.take()
                }
                _ => None,
            }
        };
        let Some(current) = current else { return false };
        self.answer(current, |_| outcome);
        true
    }

    /// Registers an extension; its events come out of the receiver.
    pub fn register(&self, id: String, wants_invoke: bool) -> mpsc::UnboundedReceiver<Value> {
        let (events, receiver) = mpsc::unbounded_channel();
        self.lock().extensions.insert(id, Extension { wants_invoke, events });
        receiver
    }

    /// Tells extensions that the environment is about to end.
    pub fn announce_shutdown(&self, deadline_ms: u64) {
        for extension in self.lock().extensions.values() {
            let event = serde_json::json!({
                "eventType": "SHUTDOWN", "shutdownReason": "spindown", "deadlineMs": deadline_ms,
            });
            let _ = extension.events.send(event);
        }
    }

    fn answer(&self, current: Current, outcome: impl FnOnce(&str) -> Outcome) {
        self.deadline.send_replace(None);
        let Invocation { id, reply, .. } = current.invocation;
        // A caller that has given up is no concern of the function.
        let _ = reply.send(outcome(&id));
    }

    fn timeout(&self) -> std::time::Duration {
        self.function.spec.timeout
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a child has ended, though nobody has waited for it yet: an event given to its last poll would be lost.
fn has_exited(process: Pid) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    !matches!(waitid(WaitId::Pid(process), options), Ok(None))
}
