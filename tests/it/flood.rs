//! Slow callers, huge bodies and a flood of logins: whoever refreshes meanwhile hardly notices, and memory stays bounded.

use std::time::{Duration, Instant};

use leasehold_tests::http::Call;
use leasehold_tests::process::resources;
use leasehold_tests::stack::{Setup, Stack};
use leasehold_tests::tenant::{APP, Tenant, USER};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::support::{report, together};

/// How long a refresh may take on a machine that is busy with everything else at once. A function that waited for the
/// flood would take many times longer.
const HELD: Duration = Duration::from_secs(3);

/// Refreshes for a while; the longest that one took.
async fn refreshes(tenant: &Tenant, times: usize) -> Duration {
    let mut session = tenant.login().await;
    let mut longest = Duration::ZERO;
    for _ in 0..times {
        let begin = Instant::now();
        session = tenant.rotate(&session.refresh).await;
        longest = longest.max(begin.elapsed());
    }
    longest
}

fn resident(stack: &Stack, function: &str) -> u64 {
    let pids = stack.instances_of(function);
    pids.into_iter().filter_map(resources).map(|(kib, _)| kib).max().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_who_send_a_byte_a_second_hold_nobody_up() {
    let stack = Setup::default().start();
    let tenant = Tenant::create(&stack).await;
    let alone = refreshes(&tenant, 20).await;
    let mut slow = Vec::new();
    for _ in 0..200 {
        let mut stream = TcpStream::connect(stack.gateway()).await.expect("the gateway listens");
        let head = format!(
            "POST /t/{}/token HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: 8000\r\n\r\n",
            tenant.name
        );
        stream.write_all(head.as_bytes()).await.expect("it reads");
        slow.push(stream);
    }
    let among = async {
        let longest = refreshes(&tenant, 40).await;
        report(&[format!("longest refresh: {alone:?} alone, {longest:?} beside 200 slow callers")]);
        longest
    };
    let dripping = async {
        for _ in 0..3 {
            for stream in &mut slow {
                // Whoever was hung up on has failed: fine.
                drop(stream.write_all(b"a").await);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let (longest, ()) = tokio::join!(among, dripping);
    assert!(longest < HELD, "{longest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn huge_bodies_are_refused_and_leave_no_memory_behind() {
    let stack = Setup::default().start();
    let tenant = Tenant::create(&stack).await;
    tenant.login().await;
    let before = resident(&stack, "login");
    for size in [100_000, 4_000_000, 9_000_000, 11_000_000] {
        let replies = together(4, |_| {
            let (tenant, body) = (tenant.clone(), "x".repeat(size));
            // Over the limits of event and gateway the connection may close before all is read.
            async move {
                Call::post(tenant.url("/login")).body("application/json", body).try_send(&tenant.http).await
            }
        })
        .await;
        for reply in replies.into_iter().flatten() {
            assert_eq!(reply.status, 413, "{size} bytes: {reply}");
        }
    }
    tenant.login().await;
    let after = resident(&stack, "login");
    report(&[format!("login: {before} KiB before huge bodies, {after} KiB after")]);
    // What a function ever sees is at most 6 MB, the payload of Lambda; its allocator may keep some of it.
    assert!(after < before + 48 * 1024, "{before} KiB before, {after} KiB after");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_logins_is_bounded_in_memory_and_refreshes_go_on() {
    let stack = Setup::default().deployed_hashing().instances(2).start();
    let tenant = Tenant::create(&stack).await;
    tenant.login().await;
    let before = resident(&stack, "login");
    let flood = together(200, |number| {
        let tenant = tenant.clone();
        async move {
            let body = json!({"client_id": APP, "username": USER, "password": format!("wrong {number}")});
            let call = Call::post(tenant.url("/login")).json(&body);
            call.try_send(&tenant.http).await.map_or(0, |reply| reply.status)
        }
    });
    let (statuses, longest) = tokio::join!(flood, refreshes(&tenant, 60));
    let after = resident(&stack, "login");
    let counted = |wanted: u16| statuses.iter().filter(|status| **status == wanted).count();
    report(&[format!(
        "200 logins at once: {} x 401, {} x 429, {} x 503; longest refresh {longest:?}; login {before} -> {after} KiB",
        counted(401),
        counted(429),
        counted(503)
    )]);
    assert!(statuses.iter().all(|status| matches!(status, 401 | 429 | 503)), "{statuses:?}");
    assert!(longest < HELD, "{longest:?}");
    // One hash at a time and instance, 19 MiB each, and what little a waiting request takes.
    assert!(after < before + 64 * 1024, "{before} KiB before, {after} KiB after");
}
