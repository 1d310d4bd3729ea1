//! What several modules need and what is too particular for the harness.

use std::future::Future;
use std::io::Write as _;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use leasehold_tests::clock::Clock;
use leasehold_tests::http::{Call, Http, Reply};
use leasehold_tests::process;
use leasehold_tests::stack::{Setup, Stack};
use leasehold_tests::tenant::Tenant;
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard};
use tokio::task::JoinSet;

/// Runs `n` futures at once and returns what they gave, in no order.
pub async fn together<F>(n: usize, make: impl Fn(usize) -> F) -> Vec<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let mut set = JoinSet::new();
    for i in 0..n {
        set.spawn(make(i));
    }
    set.join_all().await
}

/// Asks until the answer is yes; fails after the bound with what was waited for.
#[track_caller]
pub fn eventually<F: Future<Output = bool>>(
    what: &str,
    bound: Duration,
    mut ask: impl FnMut() -> F,
) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let deadline = Instant::now() + bound;
        while !ask().await {
            assert!(Instant::now() < deadline, "at {caller}: not within {bound:?}: {what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Ends processes in order, as Lambda does, and waits for those that take their place.
pub async fn restart(stack: &Stack, functions: &[&str]) {
    for function in functions {
        let before = stack.instances_of(function);
        for pid in &before {
            process::signal("TERM", i64::from(*pid));
        }
        eventually("the function is back", seconds(30), || async {
            let now = stack.instances_of(function);
            now.len() == before.len() && now.iter().all(|pid| !before.contains(pid))
        })
        .await;
    }
}

/// A stack whose clock a test may move, one test at a time. Time only goes forward; tenants are fresh anyway.
pub struct Timed {
    pub stack: Stack,
    pub clock: Clock,
}

/// The stack with the movable clock, for this test alone until the guard goes.
pub async fn timed() -> MutexGuard<'static, Timed> {
    static TIMED: OnceLock<Mutex<Timed>> = OnceLock::new();
    let start = || {
        let clock = Clock::start();
        Mutex::new(Timed { stack: Setup::default().clock(&clock).start(), clock })
    };
    TIMED.get_or_init(start).lock().await
}

pub const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub const fn minutes(n: u64) -> Duration {
    Duration::from_secs(n * 60)
}

pub const fn days(n: u64) -> Duration {
    Duration::from_secs(n * 86_400)
}

/// Prints measured results also when the test passes: `cargo test` shows what `println!` says of failures only.
pub fn report(lines: &[String]) {
    // Nobody may be listening, and then there is nobody to tell.
    drop(writeln!(std::io::stderr(), "\n{}", lines.join("\n")));
}

/// Asks the KMS of a stack. It wants to see credentials and checks none.
pub async fn ask_kms(http: &Http, kms: &str, operation: &str, body: Value) -> Reply {
    // A KMS of several regions looks for the region here; a local stack's is this one.
    let scope = "AWS4-HMAC-SHA256 Credential=local/20260101/eu-west-1/kms/aws4_request, SignedHeaders=host, Signature=00";
    Call::post(kms)
        .header("x-amz-target", format!("TrentService.{operation}"))
        .header("x-amz-date", "20260101T000000Z")
        .header("authorization", scope)
        .body("application/x-amz-json-1.1", body.to_string())
        .send(http)
        .await
}

/// How many keys of a tenant KMS has, enabled and disabled, but for those that are being deleted.
pub async fn kms_keys(stack: &Stack, tenant: &Tenant) -> [usize; 2] {
    let kms = stack.endpoint("kms");
    let ask = |operation: &'static str, body: Value| ask_kms(&tenant.http, &kms, operation, body);
    let mut counts = [0, 0];
    let mut marker = Value::Null;
    loop {
        let mut body = json!({"Limit": 1000});
        if !marker.is_null() {
            body["Marker"] = marker;
        }
        let page = ask("ListKeys", body).await.expect(200).json();
        for key in page["Keys"].as_array().expect("keys") {
            let id = json!({"KeyId": key["KeyId"]});
            let tags = ask("ListResourceTags", id.clone()).await.json();
            let tags = tags["Tags"].as_array().cloned().unwrap_or_default();
            let ours =
                |tag: &Value| tag["TagKey"] == "leasehold:tenant" && tag["TagValue"] == tenant.name.as_str();
            if !tags.iter().any(ours) {
                continue;
            }
            let metadata = ask("DescribeKey", id).await.expect(200).json();
            match metadata["KeyMetadata"]["KeyState"].as_str() {
                Some("Enabled") => counts[0] += 1,
                Some("Disabled") => counts[1] += 1,
                _ => {}
            }
        }
        marker = page["NextMarker"].clone();
        if marker.is_null() {
            return counts;
        }
    }
}
