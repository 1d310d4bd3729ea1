//! Load on the running stack: how many refreshes, logins and key-set reads a second, how long each takes, what CPU the
//! function processes spend on one, and how many AWS calls each route makes, counted at a proxy.
//!
//! Figures are for comparing two runs on one machine, side by side; embedded DynamoDB and KMS take their part of the
//! machine. `LOAD_SECONDS` sets how long each measurement runs (default 8).

use std::pin::Pin;
use std::time::{Duration, Instant};

use leasehold_tests::http::Call;
use leasehold_tests::proxy::Proxy;
use leasehold_tests::settings;
use leasehold_tests::stack::{Setup, Stack};
use leasehold_tests::tenant::{APP, PASSWORD, Tenant};
use serde_json::json;

/// Users who sign in by turns, so that none reaches the limit of sessions.
const USERS: usize = 64;

#[tokio::main]
async fn main() {
    let seconds = settings::number("LOAD_SECONDS", 8);
    let time = Duration::from_secs(u64::try_from(seconds).unwrap_or(8));
    println!("Profile: {}. {seconds} s per row, 2 instances per function.\n", settings::binaries().display());
    println!("| Route | Connections | Requests/s | p50 ms | p99 ms | CPU of the function, ms/request |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: |");
    let stack = Setup::default().deployed_hashing().instances(2).start();
    for algorithm in ["ES256", "RS256"] {
        let tenant = Tenant::create_with(&stack, algorithm, json!({ "max_sessions_per_user": 100 })).await;
        for connections in [1, 32] {
            refreshes(&stack, &tenant, algorithm, connections, time).await;
        }
    }
    let tenant = Tenant::create_with(&stack, "ES256", json!({})).await;
    for user in 0..USERS {
        tenant.add_user(&stack, &format!("user{user}"), PASSWORD).await;
    }
    let mut login_ms = 0.0;
    for connections in [1, 32] {
        let measured = logins(&stack, &tenant, connections, time).await;
        if connections == 1 {
            login_ms = measured;
        }
    }
    for connections in [1, 32] {
        key_sets(&stack, &tenant, connections, time).await;
    }
    drop(stack);
    share_of_hashing(login_ms, time).await;
    aws_calls().await;
}

/// What a run of one kind of request gave.
struct Measured {
    latencies: Vec<Duration>,
    elapsed: Duration,
    cpu_ms: f64,
}

impl Measured {
    fn print(mut self, route: &str, connections: usize) -> f64 {
        self.latencies.sort_unstable();
        let count = self.latencies.len();
        let at = |percent: usize| {
            self.latencies.get(count * percent / 100).map_or(0.0, |time| time.as_secs_f64() * 1e3)
        };
        #[expect(clippy::cast_precision_loss, reason = "counts of requests are small")]
        let requests = count as f64;
        println!(
            "| {route} | {connections} | {:.0} | {:.2} | {:.2} | {:.2} |",
            requests / self.elapsed.as_secs_f64(),
            at(50),
            at(99),
            self.cpu_ms / requests.max(1.0)
        );
        at(50)
    }
}

/// One repeated request; gives back the state for the next.
type Work<S> = fn(S) -> Pin<Box<dyn Future<Output = S> + Send>>;

/// Runs one loop for each of the states, side by side, until the time is over.
async fn measure<S: Send + 'static>(
    stack: &Stack,
    function: &str,
    time: Duration,
    states: Vec<S>,
    work: Work<S>,
) -> Measured {
    let before = cpu_ms(&stack.instances_of(function));
    let began = Instant::now();
    let loops: Vec<_> = states
        .into_iter()
        .map(|mut state| {
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                while began.elapsed() < time {
                    let start = Instant::now();
                    state = work(state).await;
                    latencies.push(start.elapsed());
                }
                latencies
            })
        })
        .collect();
    let mut latencies = Vec::new();
    for one in loops {
        latencies.extend(one.await.expect("a loop of requests ends"));
    }
    let elapsed = began.elapsed();
    Measured { latencies, elapsed, cpu_ms: cpu_ms(&stack.instances_of(function)) - before }
}

/// CPU time that these processes have used so far, in milliseconds; the kernel counts in steps of 10.
fn cpu_ms(pids: &[u32]) -> f64 {
    pids.iter()
        .filter_map(|pid| std::fs::read_to_string(format!("/proc/{pid}/stat")).ok())
        .filter_map(|stat| {
            let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
            let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok();
            Some((ticks(11)? + ticks(12)?) * 10.0)
        })
        .sum()
}

async fn refreshes(stack: &Stack, tenant: &Tenant, algorithm: &str, connections: usize, time: Duration) {
    let mut states = Vec::new();
    for _ in 0..connections {
        states.push((tenant.clone(), tenant.login().await.refresh));
    }
    let measured = measure(stack, "refresh", time, states, |(tenant, token)| {
        Box::pin(async move {
            let next = tenant.rotate(&token).await.refresh;
            (tenant, next)
        })
    });
    measured.await.print(&format!("refresh ({algorithm})"), connections);
}

async fn logins(stack: &Stack, tenant: &Tenant, connections: usize, time: Duration) -> f64 {
    let states = (0..connections).map(|connection| (tenant.clone(), connection)).collect();
    let measured = measure(stack, "login", time, states, |(tenant, turn): (Tenant, usize)| {
        Box::pin(async move {
            tenant.login_as(&format!("user{}", turn % USERS), PASSWORD).await.expect(200);
            (tenant, turn + 7)
        })
    });
    measured.await.print("login (OWASP argon2id)", connections)
}

async fn key_sets(stack: &Stack, tenant: &Tenant, connections: usize, time: Duration) {
    let states = (0..connections).map(|_| tenant.clone()).collect();
    let measured = measure(stack, "jwks", time, states, |tenant| {
        Box::pin(async move {
            tenant.jwks().await;
            tenant
        })
    });
    measured.await.print("jwks", connections);
}

/// What a login costs without its hash: the same login on a stack whose hashes cost next to nothing.
async fn share_of_hashing(with_hash_ms: f64, time: Duration) {
    let stack = Setup::default().instances(2).start();
    let tenant = Tenant::create_with(&stack, "ES256", json!({})).await;
    for user in 0..USERS {
        tenant.add_user(&stack, &format!("user{user}"), PASSWORD).await;
    }
    let states = vec![(tenant, 0_usize)];
    let measured = measure(&stack, "login", time.min(Duration::from_secs(3)), states, |(tenant, turn)| {
        Box::pin(async move {
            tenant.login_as(&format!("user{}", turn % USERS), PASSWORD).await.expect(200);
            (tenant, turn + 1)
        })
    });
    let without_ms = measured.await.print("login (hash of 256 KiB)", 1);
    println!(
        "\nOf a login's {with_hash_ms:.1} ms at one connection, {:.0} % are not argon2id.",
        100.0 * without_ms / with_hash_ms
    );
}

/// Counts the AWS calls of each route at a proxy.
async fn aws_calls() {
    let proxy = Proxy::start();
    let stack = Setup::default().through(&proxy).start();
    let tenant = Tenant::create(&stack).await;
    let session = tenant.login().await;
    let print = |route: &str, mark: usize| {
        println!("| {route} | {} |", proxy.operations_since(mark).join(", "));
    };
    println!("\n| Route | AWS calls |");
    println!("| --- | --- |");
    let mark = proxy.mark();
    tenant.login().await;
    print("login, unknown device", mark);
    let device =
        json!({ "client_id": APP, "username": "user0", "password": PASSWORD, "device": "phone-7f3a" });
    tenant.add_user(&stack, "user0", PASSWORD).await;
    let sign_in = || Call::post(tenant.url("/login")).json(&device).send(&tenant.http);
    sign_in().await.expect(200);
    let mark = proxy.mark();
    sign_in().await.expect(200);
    print("login, known device", mark);
    let mark = proxy.mark();
    let next = tenant.rotate(&session.refresh).await;
    print("refresh", mark);
    let mark = proxy.mark();
    tenant.refresh(&session.refresh).await.expect(200);
    print("refresh, first replay", mark);
    let mark = proxy.mark();
    tenant.refresh(&session.refresh).await.expect(200);
    print("refresh, further replays", mark);
    let mark = proxy.mark();
    tenant.confirm(&next.refresh).await.expect(204);
    print("confirm", mark);
    let mark = proxy.mark();
    tenant.sessions(&next.access).await.expect(200);
    print("GET /sessions", mark);
    let mark = proxy.mark();
    tenant.jwks().await;
    print("jwks", mark);
    let mark = proxy.mark();
    tenant.revoke(&next.refresh).await.expect(200);
    print("revoke", mark);
}
