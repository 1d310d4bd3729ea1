//! Starts, watches, restarts and stops the process of one instance. A crash or a time-out costs the invocation it hits
//! and nothing else. Must never leave a process behind: children are killed when this stack drops them, share its
//! process group, and one whose Runtime API has gone (this stack was killed with SIGKILL) ends by itself, because its
//! poll fails.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::Instant;

use super::Outcome;
use super::instance::Instance;
use super::logs::{Log, Source};
use crate::clock;

/// From SIGTERM to SIGKILL. Lambda gives 500 ms with an internal extension; a busy laptop gets more.
const GRACE: Duration = Duration::from_secs(2);
/// From a function's death by SIGINT to our own stop.
const INTERRUPTED: Duration = Duration::from_secs(1);
const SIGINT: i32 = rustix::process::Signal::INT.as_raw();
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How to start a function's process.
#[derive(Debug, Clone)]
pub struct Program {
    /// The binary.
    pub path: PathBuf,
    /// Its whole environment.
    pub environment: Vec<(OsString, OsString)>,
}

enum Ended {
    Stopped,
    Restart(Reason),
}

/// Why a process is gone.
struct Reason {
    text: String,
    interrupted: bool,
}

impl Reason {
    fn new(text: String) -> Self {
        Self { text, interrupted: false }
    }

    fn of(status: io::Result<ExitStatus>) -> Self {
        match status {
            // `ExitStatus` shows "exit status: 1" and "signal: 9 (SIGKILL)".
            Ok(status) => Self {
                text: format!("process ended: {status}"),
                interrupted: status.signal() == Some(SIGINT),
            },
            Err(error) => Self::new(format!("process lost: {error}")),
        }
    }
}

/// Keeps one process of the program running until `stop` says otherwise.
pub async fn supervise(instance: Arc<Instance>, program: Program, log: Log, mut stop: watch::Receiver<bool>) {
    let mut pause = FIRST_PAUSE;
    loop {
        if *stop.borrow() {
            return;
        }
        instance.process_starts();
        let reason = match spawn(&program, &log) {
            Ok(child) => {
                instance.process_is(pid_of(&child));
                match attend(&instance, child, &mut stop).await {
                    Ended::Stopped => return,
                    Ended::Restart(reason) => reason,
                }
            }
            Err(error) => Reason::new(format!("cannot be started ({}): {error}", program.path.display())),
        };
        if reason.interrupted {
            // Ctrl-C in a terminal reaches the whole process group; our own stop is a moment behind.
            let _ = tokio::time::timeout(INTERRUPTED, stopping(&mut stop)).await;
        }
        let reason = reason.text;
        let served = instance.process_ended(|id| {
            Outcome::failed(
                Some("Runtime.ExitError"),
                &format!("RequestId: {id} Error: Runtime exited with error: {reason}"),
            )
        });
        pause = if served > 0 { FIRST_PAUSE } else { LONGEST_PAUSE.min(pause * 2) };
        log.note(&format!("{reason}; starting again in {} ms", pause.as_millis()));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stopping(&mut stop) => return,
        }
    }
}

fn spawn(program: &Program, log: &Log) -> io::Result<Child> {
    let mut child = Command::new(&program.path)
        .env_clear()
        .envs(program.environment.iter().map(|(key, value)| (key, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(stdout) = child.stdout.take() {
        tokio::spawn(log.clone().copy(stdout, Source::Stdout));
    }
    if let Some(stderr) = child.stderr.take() {
        tokio::spawn(log.clone().copy(stderr, Source::Stderr));
    }
    Ok(child)
}

async fn attend(instance: &Instance, mut child: Child, stop: &mut watch::Receiver<bool>) -> Ended {
    let mut deadline = instance.watch_deadline();
    loop {
        let due = *deadline.borrow_and_update();
        let overdue = async {
            match due {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            status = child.wait() => return Ended::Restart(Reason::of(status)),
            () = overdue => {
                if let Some(id) = instance.time_out(Instant::now()) {
                    let _ = child.kill().await;
                    return Ended::Restart(Reason::new(format!("request {id} timed out; its process was killed")));
                }
            }
            _ = deadline.changed() => {}
            () = stopping(stop) => {
                terminate(instance, &mut child).await;
                return Ended::Stopped;
            }
        }
    }
}

async fn terminate(instance: &Instance, child: &mut Child) {
    let grace_ms = u64::try_from(GRACE.as_millis()).unwrap_or(u64::MAX);
    instance.announce_shutdown(clock::now_millis().saturating_add(grace_ms));
    if let Some(pid) = pid_of(child) {
        // Not yet waited for, so the id is still this child's.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
    if tokio::time::timeout(GRACE, child.wait()).await.is_err() {
        let _ = child.kill().await;
    }
    instance.process_ended(|id| {
        Outcome::failed(Some("Runtime.ExitError"), &format!("RequestId: {id} Error: the stack is stopping"))
    });
}

fn pid_of(child: &Child) -> Option<rustix::process::Pid> {
    child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(rustix::process::Pid::from_raw)
}

/// Done when the stack stops, or has gone without a word.
async fn stopping(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}
