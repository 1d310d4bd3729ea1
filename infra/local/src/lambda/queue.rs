//! Invocations that wait for an idle instance. First come, first served; must never lose an invocation that an instance
//! took and could not begin.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::Outcome;

/// One event on its way to an instance.
#[derive(Debug)]
pub struct Invocation {
    /// Request id.
    pub id: String,
    /// X-Ray header.
    pub trace_id: String,
    /// The event, JSON.
    pub event: Bytes,
    /// Nobody wants it begun after this.
    pub expires: Option<Instant>,
    /// Where the outcome goes.
    pub reply: oneshot::Sender<Outcome>,
}

/// The queue of one function.
#[derive(Debug, Default)]
pub struct Queue {
    waiting: Mutex<VecDeque<Invocation>>,
    arrived: Notify,
}

impl Queue {
    /// Adds an invocation at the end.
    pub fn push(&self, invocation: Invocation) {
        self.lock().push_back(invocation);
        self.arrived.notify_one();
    }

    /// Puts back an invocation that was taken and not begun.
    pub fn put_back(&self, invocation: Invocation) {
        self.lock().push_front(invocation);
        self.arrived.notify_one();
    }

    /// Waits for the next invocation that is still wanted. Cancelling loses nothing: `Notify` hands the wake-up on.
    pub async fn next(&self) -> Invocation {
        loop {
            let arrived = self.arrived.notified();
            if let Some(invocation) = self.take() {
                return invocation;
            }
            arrived.await;
        }
    }

    fn take(&self) -> Option<Invocation> {
        let now = Instant::now();
        let mut waiting = self.lock();
        loop {
            let invocation = waiting.pop_front()?;
            if invocation.expires.is_none_or(|expires| now < expires) {
                return Some(invocation);
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Invocation>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
