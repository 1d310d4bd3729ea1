//! An ordinary day's load for a long time: memory and descriptors stay flat, and p99 steady.
//!
//! `SOAK_SECONDS` (3600), `SOAK_AT_ONCE` (4), `SOAK_PAUSE_MS` (20). Each of the loops refreshes, now and then looks at the
//! sessions and the key set, asks the sample API, has its token introspected, retries, signs in anew and signs out; an
//! admin looks in. Reported every twentieth of the time.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use leasehold_tests::dice::Dice;
use leasehold_tests::http::Call;
use leasehold_tests::process::{left_by, resources};
use leasehold_tests::settings;
use leasehold_tests::stack::{Setup, Stack};
use leasehold_tests::tenant::{BACKEND, PASSWORD, Session, Tenant};

const INSTANCES: u32 = 2;
const FUNCTIONS: [&str; 7] = ["login", "refresh", "revoke", "jwks", "authorizer", "introspect", "admin"];

#[derive(Default)]
struct Seen {
    latencies: Vec<Duration>,
    served: BTreeMap<&'static str, u64>,
    broken: Vec<String>,
}

/// What one part of the run showed.
struct Part {
    p99: Duration,
    requests: usize,
    /// By function: memory of the largest instance in KiB, descriptors of all.
    held: BTreeMap<&'static str, (u64, usize)>,
    /// By function: the requests since the beginning.
    served: BTreeMap<&'static str, u64>,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let seconds = settings::number("SOAK_SECONDS", 3600) as u64;
    let loops = settings::number("SOAK_AT_ONCE", 4);
    let pause = Duration::from_millis(settings::number("SOAK_PAUSE_MS", 20) as u64);
    let stack = Setup::default().instances(INSTANCES).start();
    let tenant = Tenant::create(&stack).await;
    for user in 0..loops {
        tenant.add_user(&stack, &format!("user{user}"), PASSWORD).await;
    }
    let seen = Arc::new(Mutex::new(Seen::default()));
    let end = Instant::now() + Duration::from_secs(seconds);
    let running: Vec<_> = (0..loops)
        .map(|number| tokio::spawn(live(tenant.clone(), number, pause, end, Arc::clone(&seen))))
        .collect();
    let parts = u32::try_from((seconds / 10).clamp(3, 20)).unwrap_or(20);
    let mut shown = Vec::new();
    for part in 0..parts {
        tokio::time::sleep(Duration::from_secs(seconds) / parts).await;
        let (taken, served) = {
            let mut seen = lock(&seen);
            (std::mem::take(&mut seen.latencies), seen.served.clone())
        };
        let now = summary(&stack, taken, served);
        println!(
            "soak: part {}/{parts}: {} requests, p99 {:.1?}, {:?}",
            part + 1,
            now.requests,
            now.p99,
            now.held
        );
        shown.push(now);
    }
    for one in running {
        one.await.expect("a loop ends");
    }
    judge(&stack, &shown, std::mem::take(&mut lock(&seen).broken))
}

fn lock(seen: &Mutex<Seen>) -> std::sync::MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

fn summary(stack: &Stack, mut latencies: Vec<Duration>, served: BTreeMap<&'static str, u64>) -> Part {
    latencies.sort_unstable();
    let p99 = latencies.get(latencies.len() * 99 / 100).copied().unwrap_or_default();
    let held = |function: &&'static str| {
        let all: Vec<_> = stack.instances_of(function).into_iter().filter_map(resources).collect();
        let memory = all.iter().map(|(kib, _)| *kib).max().unwrap_or(0);
        (*function, (memory, all.iter().map(|(_, files)| files).sum()))
    };
    Part { p99, requests: latencies.len(), held: FUNCTIONS.iter().map(held).collect(), served }
}

/// Compares the second part, when all is warm, with the last.
fn judge(stack: &Stack, parts: &[Part], mut broken: Vec<String>) -> ExitCode {
    let (early, late) = (&parts[1], &parts[parts.len() - 1]);
    for (function, (memory, files)) in &late.held {
        let (memory_then, files_then) = early.held[function];
        let count = |part: &Part| part.served.get(function).copied().unwrap_or_default();
        let left = left_by((count(late) - count(early)) / u64::from(INSTANCES));
        println!("  {function}: {memory_then} KiB, then {memory} KiB; its trace ids take up to {left} KiB");
        if memory_then == 0 || *memory == 0 {
            broken.push(format!("{function} was not found, so nothing was measured"));
        }
        if *memory > memory_then + left + 4096 {
            broken.push(format!("{function} grew from {memory_then} to {memory} KiB"));
        }
        if *files > files_then + 8 {
            broken.push(format!("{function} went from {files_then} to {files} descriptors"));
        }
    }
    // Others use the machine too: only what has changed for good counts, over several parts.
    let calm = |parts: &[Part]| parts.iter().map(|part| part.p99).min().unwrap_or_default();
    let half = parts.len() / 2;
    let (then, now) = (calm(&parts[..half.max(1)]), calm(&parts[half..]));
    if now > then * 2 + Duration::from_millis(20) {
        broken.push(format!("p99 went from {then:?} to {now:?}"));
    }
    if stack.logs().contains("panicked") {
        broken.push("a function panicked".to_owned());
    }
    let requests: usize = parts.iter().map(|part| part.requests).sum();
    println!(
        "soak: {requests} requests, calmest p99 {then:.1?} then {now:.1?}, {} broken promises",
        broken.len()
    );
    for broken in broken.iter().take(20) {
        println!("  BROKEN: {broken}");
    }
    if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// One user's endless day.
async fn live(tenant: Tenant, number: usize, pause: Duration, end: Instant, seen: Arc<Mutex<Seen>>) {
    let mut dice = Dice::new(1, number as u64);
    let mut session: Option<Session> = None;
    while Instant::now() < end {
        tokio::time::sleep(pause).await;
        let begin = Instant::now();
        let (function, reply) = match (&session, dice.below(100)) {
            (None, _) => ("login", tenant.login_as(&format!("user{number}"), PASSWORD).await),
            (Some(_), 0..10) => {
                ("jwks", Call::get(tenant.url("/.well-known/jwks.json")).send(&tenant.http).await)
            }
            (Some(held), 10..25) => ("revoke", tenant.sessions(&held.access).await),
            (Some(held), 25..28) => ("revoke", tenant.revoke(&held.refresh).await),
            (Some(held), 28..36) => ("authorizer", tenant.orders(&held.access).await),
            (Some(held), 36..40) => {
                let call = Call::post(tenant.url("/introspect")).basic(BACKEND, &tenant.secret);
                ("introspect", call.form(&[("token", held.access.as_str())]).send(&tenant.http).await)
            }
            (Some(_), 40) => ("admin", tenant.admin().await.get("/users?limit=10").await),
            (Some(held), _) => ("refresh", tenant.refresh(&held.refresh).await),
        };
        {
            let mut seen = lock(&seen);
            seen.latencies.push(begin.elapsed());
            *seen.served.entry(function).or_default() += 1;
        }
        if reply.status != 200 {
            lock(&seen).broken.push(reply.to_string());
            session = None;
            continue;
        }
        let body = reply.json();
        if body.get("refresh_token").is_some() {
            // Now and then the reply is lost, and the next refresh is a retry.
            if session.is_none() || !dice.in_thousand(50) {
                session = Some(Session::from_reply(&reply));
            }
        } else if body.is_null() {
            // Signed out.
            session = None;
        }
    }
}
