//! A flood of requests that are one or two edits away from good ones, with a good one every thousand that must succeed.
//!
//! No edited token may be taken, nothing may answer 5xx, no function may panic, and none may grow. `EDITS_REQUESTS`
//! (1,000,000), `EDITS_SEED` (1), `EDITS_AT_ONCE` (16).

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use leasehold_tests::dice::Dice;
use leasehold_tests::http::{Call, encode};
use leasehold_tests::process::{left_by, resources};
use leasehold_tests::settings;
use leasehold_tests::stack::{Setup, Stack};
use leasehold_tests::tenant::{APP, PASSWORD, Session, Tenant};
use tokio::sync::Mutex as AsyncMutex;

const INSTANCES: u32 = 2;
const FUNCTIONS: [&str; 4] = ["login", "refresh", "revoke", "jwks"];
const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

/// A tenant, the session whose tokens are edited, and one whose tokens must go on working.
struct Target {
    tenant: Tenant,
    edited: Session,
    control: AsyncMutex<Session>,
}

#[derive(Default)]
struct Tally {
    sent: AtomicUsize,
    controls: AtomicUsize,
    statuses: Mutex<BTreeMap<(&'static str, u16), usize>>,
    broken: Mutex<Vec<String>>,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let requests = settings::number("EDITS_REQUESTS", 1_000_000);
    let seed = settings::number("EDITS_SEED", 1) as u64;
    let at_once = settings::number("EDITS_AT_ONCE", 16);
    let stack = Arc::new(Setup::default().instances(INSTANCES).start());
    let mut targets = Vec::new();
    for algorithm in ["RS256", "ES256", "EdDSA"] {
        let tenant = Tenant::create_with(&stack, algorithm, serde_json::json!({})).await;
        tenant.add_user(&stack, "edith", PASSWORD).await;
        let edited = Session::from_reply(&tenant.login_as("edith", PASSWORD).await.expect(200));
        let control = AsyncMutex::new(tenant.login().await);
        targets.push(Target { tenant, edited, control });
    }
    let (targets, tally) = (Arc::new(targets), Arc::new(Tally::default()));
    let before = memory(&stack);
    let begin = Instant::now();
    let workers: Vec<_> = (0..at_once)
        .map(|worker| {
            let (targets, tally) = (Arc::clone(&targets), Arc::clone(&tally));
            let mut dice = Dice::new(seed, worker as u64);
            tokio::spawn(async move {
                loop {
                    let number = tally.sent.fetch_add(1, Ordering::Relaxed);
                    if number >= requests {
                        return;
                    }
                    let target = dice.one_of(&targets);
                    if number % 1000 == 999 {
                        control(target, &tally).await;
                    } else {
                        edit(target, &mut dice, &tally).await;
                    }
                    if number % (requests / 20).max(1) == 0 {
                        println!("edits: {number}/{requests}, {:.0?}", begin.elapsed());
                    }
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.expect("a worker ends");
    }
    finish(&stack, &tally, &before, begin)
}

/// Resident memory by function, the largest instance, in KiB.
fn memory(stack: &Stack) -> BTreeMap<&'static str, u64> {
    let largest = |function: &str| {
        stack.instances_of(function).into_iter().filter_map(resources).map(|(kib, _)| kib).max().unwrap_or(0)
    };
    FUNCTIONS.iter().map(|function| (*function, largest(function))).collect()
}

/// How many requests a function has had.
fn served(tally: &Tally, function: &str) -> u64 {
    let statuses = tally.statuses.lock().unwrap_or_else(PoisonError::into_inner);
    let of = |what: &str| match what.rsplit('/').next() {
        Some("token" | "refresh" | "confirm") => "refresh",
        Some("revoke" | "sessions") => "revoke",
        _ => "login",
    };
    statuses.iter().filter(|((what, _), _)| of(what) == function).map(|(_, count)| *count as u64).sum()
}

fn finish(stack: &Stack, tally: &Tally, before: &BTreeMap<&'static str, u64>, begin: Instant) -> ExitCode {
    let after = memory(stack);
    let mut broken = std::mem::take(&mut *tally.broken.lock().unwrap_or_else(PoisonError::into_inner));
    for (function, kib) in &after {
        let served = served(tally, function);
        println!("  {function}: {} KiB before, {kib} KiB after {served} requests", before[function]);
        if before[function] == 0 || *kib == 0 {
            broken.push(format!("{function} was not found, so nothing was measured"));
        }
        if *kib > before[function] + 8 * 1024 + left_by(served / u64::from(INSTANCES)) {
            broken.push(format!("{function} has grown from {} to {kib} KiB", before[function]));
        }
    }
    if stack.logs().contains("panicked") {
        broken.push("a function panicked".to_owned());
    }
    let statuses = tally.statuses.lock().unwrap_or_else(PoisonError::into_inner);
    for ((what, status), count) in statuses.iter() {
        println!("  {count:>8} x {status} {what}");
    }
    println!(
        "edits: {} requests, {} good ones among them, {} broken promises, {:.0?}",
        statuses.values().sum::<usize>() + tally.controls.load(Ordering::Relaxed),
        tally.controls.load(Ordering::Relaxed),
        broken.len(),
        begin.elapsed()
    );
    for broken in broken.iter().take(20) {
        println!("  BROKEN: {broken}");
    }
    if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A good refresh and a good look at the sessions.
async fn control(target: &Target, tally: &Tally) {
    let mut session = target.control.lock().await;
    let reply = target.tenant.refresh(&session.refresh).await;
    let mut good = reply.status == 200;
    if good {
        *session = Session::from_reply(&reply);
        good = target.tenant.sessions(&session.access).await.status == 200;
    }
    tally.controls.fetch_add(1, Ordering::Relaxed);
    if !good {
        tally
            .broken
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(format!("a good request failed: {reply}"));
    }
}

/// One request, near to a good one.
async fn edit(target: &Target, dice: &mut Dice, tally: &Tally) {
    let Target { tenant, edited, .. } = target;
    let (refresh, access) = (&edited.refresh, &edited.access);
    let url = |path: &str| tenant.url(path);
    // What is edited in a token must be refused; what is edited elsewhere in a body may happen to be good.
    let (what, must_refuse, call) = match dice.below(9) {
        0 => ("refresh token at /token", true, tenant.refresh_call(&spoiled(refresh, dice))),
        1 => {
            let body = serde_json::json!({"client_id": APP, "refresh_token": spoiled(refresh, dice)});
            ("refresh token at /refresh", true, Call::post(url("/refresh")).json(&body))
        }
        2 | 3 => {
            let token = spoiled(access, dice);
            // A header line can't hold everything that an edit can bring.
            let token: String = token.chars().filter(char::is_ascii_graphic).collect();
            if token == *access {
                return;
            }
            ("access token at /sessions", true, Call::get(url("/sessions")).bearer(&token))
        }
        4 => {
            let body = format!("grant_type=refresh_token&client_id={APP}&refresh_token={}", encode(refresh));
            ("form at /token", false, Call::post(url("/token")).body(FORM, spoiled(&body, dice)))
        }
        5 => {
            let body = serde_json::json!({"client_id": APP, "refresh_token": refresh}).to_string();
            ("JSON at /refresh", false, Call::post(url("/refresh")).body(JSON, spoiled(&body, dice)))
        }
        6 => {
            let body = serde_json::json!({"client_id": APP, "refresh_token": refresh}).to_string();
            ("JSON at /confirm", false, Call::post(url("/confirm")).body(JSON, spoiled(&body, dice)))
        }
        7 => {
            let body = serde_json::json!({"client_id": APP, "username": "edith", "password": PASSWORD});
            ("JSON at /login", false, Call::post(url("/login")).body(JSON, spoiled(&body.to_string(), dice)))
        }
        _ => {
            // The token is edited first: a good one would end the session that all others are made of.
            let body = format!("client_id={APP}&token={}", encode(&spoiled(refresh, dice)));
            ("form at /revoke", false, Call::post(url("/revoke")).body(FORM, spoiled(&body, dice)))
        }
    };
    let shown = format!("{call:?}");
    let broken = match call.try_send(&tenant.http).await {
        Ok(reply) => {
            let mut statuses = tally.statuses.lock().unwrap_or_else(PoisonError::into_inner);
            *statuses.entry((what, reply.status)).or_default() += 1;
            drop(statuses);
            let taken = must_refuse && reply.status < 400;
            (taken || reply.status >= 500).then(|| format!("{what}: {reply} to {shown}"))
        }
        Err(error) => Some(format!("{what}: {error} to {shown}")),
    };
    if let Some(broken) = broken {
        tally.broken.lock().unwrap_or_else(PoisonError::into_inner).push(broken);
    }
}

/// The text with one or two edits: a character changed, dropped, doubled, put in, or exchanged with its neighbour.
fn spoiled(text: &str, dice: &mut Dice) -> String {
    const ALPHABET: &[u8] = b"ABCxyz019-_.=+/%&{}\"\\: ,;[]~\0\n\x7f";
    let mut bytes = text.as_bytes().to_vec();
    loop {
        for _ in 0..=dice.below(2) {
            let at = dice.below(bytes.len());
            match dice.below(5) {
                0 => bytes[at] = *dice.one_of(ALPHABET),
                1 if bytes.len() > 1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, bytes[at]),
                3 => bytes.insert(at, *dice.one_of(ALPHABET)),
                _ => {
                    let next = (at + 1) % bytes.len();
                    bytes.swap(at, next);
                }
            }
        }
        let edited = String::from_utf8_lossy(&bytes).into_owned();
        if edited != text {
            return edited;
        }
    }
}
