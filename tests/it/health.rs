//! Validation failure rate by client version: the numbers add up, whatever restarts in between.

use std::collections::BTreeMap;
use std::time::Duration;

use leasehold_tests::http::{Call, Reply};
use leasehold_tests::process;
use leasehold_tests::settings;
use leasehold_tests::stack::{Setup, Stack};
use leasehold_tests::tenant::{APP, Admin, Session, Tenant};
use serde_json::{Value, json};

use crate::support::{days, eventually, report, restart, seconds, timed};

/// Decisions of the big count: a thousand every day, `DECISIONS=10000` for the record.
fn decisions() -> usize {
    settings::number("DECISIONS", 1000)
}

const WORDS: &str = "velvet-Harbour 9 tulip";

async fn login_with(tenant: &Tenant, username: &str, version: &str) -> Reply {
    Call::post(tenant.url("/login"))
        .header("x-client-version", version)
        .json(&json!({"client_id": APP, "username": username, "password": WORDS}))
        .send(&tenant.http)
        .await
}

/// Three users who sign in with each version: from then on it has a row of its own.
async fn make_known(stack: &Stack, tenant: &Tenant, versions: &[&str]) {
    for n in 0..3 {
        tenant.add_user(stack, &format!("user{n}"), WORDS).await;
        for version in versions {
            login_with(tenant, &format!("user{n}"), version).await.expect(200);
        }
    }
    restart(stack, &["login"]).await;
}

async fn show(admin: &Admin, query: &str) -> BTreeMap<String, Value> {
    let report = admin.get(&format!("/health{query}")).await.expect(200).json();
    let versions = report["versions"].as_array().expect("versions").clone();
    versions.into_iter().map(|row| (row["version"].as_str().unwrap_or_default().to_owned(), row)).collect()
}

fn logins_of(rows: &BTreeMap<String, Value>, version: &str) -> u64 {
    rows.get(version).and_then(|row| row["logins"].as_u64()).unwrap_or(0)
}

#[tokio::test]
async fn the_numbers_add_up_over_versions_functions_and_restarts() {
    let stack = Setup::default().instances(2).function_env("HEALTH_FLUSH_SECONDS", "1").start();
    let tenant = Tenant::create(&stack).await;
    let versions = ["ios/1.0", "ios/1.1", "ios/1.2", "android/3.9", "android/3.10", "web/1"];
    make_known(&stack, &tenant, &versions).await;
    let admin = tenant.admin().await;
    let good = tenant.login().await;
    let dead = tenant.login().await;
    tenant.revoke(&dead.refresh).await.expect(200);
    // Version n fails every (n + 2)nd time.
    let mut expected: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for n in 0..decisions() {
        let at = n % versions.len();
        let fails = (n / versions.len()).is_multiple_of(at + 2);
        let token = if fails { &dead.access } else { &good.access };
        let call = Call::get(tenant.url("/sessions")).bearer(token).header("x-client-version", versions[at]);
        call.send(&tenant.http).await.expect(if fails { 401 } else { 200 });
        let row = expected.entry(versions[at].to_owned()).or_default();
        row.0 += 1;
        row.1 += u64::from(fails);
        if n % (decisions() / 4) == decisions() / 8 {
            restart(&stack, &["revoke"]).await;
        }
    }
    restart(&stack, &["revoke"]).await;
    let rows = show(&admin, "").await;
    let found: BTreeMap<String, (u64, u64)> = rows
        .iter()
        .filter(|(version, _)| version.contains('/'))
        .map(|(version, row)| {
            (
                version.clone(),
                (row["validations"].as_u64().unwrap_or(0), row["failures"].as_u64().unwrap_or(0)),
            )
        })
        .collect();
    assert_eq!(found, expected);
    let newest = &rows["android/3.10"];
    assert_eq!(newest["previous"], "android/3.9", "3.10 comes after 3.9");
    let rate = |row: &Value| row["rate"].as_f64().expect("a rate");
    let change = newest["change"].as_f64().expect("a change");
    assert!((change - (rate(newest) - rate(&rows["android/3.9"]))).abs() < 1e-9);
    assert_eq!(newest["reasons"][0]["reason"], "verify.session");
    // Those that were written before their version was known stay among the others.
    let logins: u64 = versions.iter().chain(&["other"]).map(|version| logins_of(&rows, version)).sum();
    assert_eq!(logins, 18, "three users with six versions");
    report(&[format!(
        "{} decisions over {} versions counted exactly, over 5 restarts",
        decisions(),
        versions.len()
    )]);
}

#[tokio::test]
async fn invented_versions_make_one_row() {
    let stack = Setup::default().function_env("HEALTH_FLUSH_SECONDS", "1").start();
    let tenant = Tenant::create(&stack).await;
    let count = decisions();
    for n in 0..count {
        let call = tenant.refresh_call("lhr_nonsense").header("x-client-version", format!("evil{n}/{n}"));
        call.send(&tenant.http).await.expect(400);
    }
    tenant.refresh("lhr_nonsense").await.expect(400);
    restart(&stack, &["refresh"]).await;
    let rows = show(&tenant.admin().await, "").await;
    let names: Vec<&String> = rows.keys().collect();
    assert_eq!(names, ["none", "other"]);
    assert_eq!(rows["other"]["validations"], count);
}

#[tokio::test]
async fn refreshes_and_logins_are_counted_with_their_reasons_and_our_own_trouble_is_not() {
    use leasehold_tests::proxy::{Action, Proxy, Rule};
    let proxy = Proxy::start();
    let stack = Setup::default().function_env("HEALTH_FLUSH_SECONDS", "1").through(&proxy).start();
    let tenant = Tenant::create(&stack).await;
    make_known(&stack, &tenant, &["ios/1"]).await;
    let session = Session::from_reply(&login_with(&tenant, "user0", "ios/1").await.expect(200));
    let refresh = async |token: &str| {
        tenant.refresh_call(token).header("x-client-version", "ios/1").send(&tenant.http).await
    };
    let second = Session::from_reply(&refresh(&session.refresh).await.expect(200));
    let third = Session::from_reply(&refresh(&second.refresh).await.expect(200));
    refresh(&session.refresh).await.expect(400);
    refresh(&third.refresh).await.expect(400);
    proxy.inject(Rule::on("BatchGetItem", Action::Error("InternalServerError")).times(3));
    refresh(&third.refresh).await.expect(503);
    proxy.heal();
    let wrong = Call::post(tenant.url("/login"))
        .header("x-client-version", "ios/1")
        .json(&json!({"client_id": APP, "username": "user0", "password": "another"}));
    wrong.send(&tenant.http).await.expect(401);
    restart(&stack, &["refresh", "login"]).await;
    let rows = show(&tenant.admin().await, "?hours=2").await;
    let row = &rows["ios/1"];
    assert_eq!((&row["validations"], &row["failures"]), (&json!(4), &json!(2)), "{row}");
    assert_eq!((&row["logins"], &row["login_failures"]), (&json!(5), &json!(1)), "{row}");
    let reasons: Vec<&str> =
        row["reasons"].as_array().expect("reasons").iter().filter_map(|one| one["reason"].as_str()).collect();
    assert!(reasons.contains(&"refresh.reuse") && reasons.contains(&"refresh.revoked"), "{row}");
    // The same numbers, as CloudWatch gets them.
    let mut told = (0, 0);
    for line in stack.logs().lines().filter(|line| line.contains("\"_aws\"")) {
        let start = line.find('{').expect("a line of JSON");
        let line: Value = serde_json::from_str(&line[start..]).expect("a line of JSON");
        let directive = &line["_aws"]["CloudWatchMetrics"][0];
        assert!(line["_aws"]["Timestamp"].is_u64() && directive["Namespace"] == "Leasehold", "{line}");
        if line["tenant"] == tenant.name.as_str() && line["client_version"] == "ios/1" {
            told.0 += line["Validations"].as_u64().expect("a count");
            told.1 += line["ValidationFailures"].as_u64().expect("a count");
        }
    }
    assert_eq!(told, (4, 2));
}

#[tokio::test]
async fn a_killed_instance_loses_at_most_an_interval() {
    let stack = Setup::default().function_env("HEALTH_FLUSH_SECONDS", "1").start();
    let tenant = Tenant::create(&stack).await;
    for _ in 0..5 {
        tenant.refresh("lhr_nonsense").await.expect(400);
    }
    tokio::time::sleep(Duration::from_millis(1100)).await;
    tenant.refresh("lhr_nonsense").await.expect(400);
    let admin = tenant.admin().await;
    eventually("what was flushed is there", seconds(10), || async {
        show(&admin, "").await.get("none").is_some_and(|row| row["validations"] == 5)
    })
    .await;
    for pid in stack.instances_of("refresh") {
        process::signal("KILL", i64::from(pid));
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(show(&admin, "").await["none"]["validations"], 5, "the last one is lost, the others are not");
}

#[tokio::test]
async fn a_version_that_the_tenant_blocks_is_told_to_update_and_loses_nothing() {
    let tenant = Tenant::create(leasehold_tests::stack::shared()).await;
    let admin = tenant.admin().await;
    let session = tenant.login().await;
    let rules = json!({"blocked_versions": ["ios/<2.0", "android/3.1"]});
    admin.patch("/policy", "*", &rules).await.expect(200);
    let refresh = async |version: &str| {
        tenant.refresh_call(&session.refresh).header("x-client-version", version).send(&tenant.http).await
    };
    for version in ["ios/1.9", "android/3.1"] {
        let refused = refresh(version).await.expect_error(403, "access_denied");
        assert_eq!(refused.json()["client_action"], "update_app");
    }
    let body = json!({"client_id": APP, "username": leasehold_tests::tenant::USER, "password": leasehold_tests::tenant::PASSWORD});
    let login = Call::post(tenant.url("/login")).header("x-client-version", "ios/1.0").json(&body);
    let refused = login.send(&tenant.http).await.expect_error(403, "access_denied");
    assert_eq!(refused.json()["client_action"], "update_app");
    refresh("ios/2.0").await.expect(200);
    for odd in [json!(["ios"]), json!(["ios/<"]), json!([7])] {
        admin
            .patch("/policy", "*", &json!({"blocked_versions": odd}))
            .await
            .expect_problem(400, "invalid_request");
    }
}

#[tokio::test]
async fn hours_and_days_are_told_apart_and_queries_are_bounded() {
    let timed = timed().await;
    let tenant = Tenant::create(&timed.stack).await;
    for _ in 0..3 {
        tenant.refresh("lhr_nonsense").await.expect(400);
        timed.clock.advance(days(1));
    }
    // The clock has moved on by more than the interval, so each request flushed those before it.
    tenant.refresh("lhr_nonsense").await.expect(400);
    let admin = tenant.admin().await;
    eventually("what was flushed is there", seconds(10), || async {
        show(&admin, "?days=5").await.get("none").is_some_and(|row| row["validations"] == 3)
    })
    .await;
    let by_day = show(&admin, "?days=5").await;
    let series = by_day["none"]["series"].as_array().expect("a series").clone();
    assert_eq!(series.len(), 3, "{series:?}");
    assert!(series.iter().all(|point| point["at"].as_u64().is_some_and(|at| at % 86_400 == 0)), "{series:?}");
    assert!(show(&admin, "?hours=1").await.is_empty());
    for query in ["?hours=0", "?hours=73", "?days=32", "?days=x", "?hours=1&days=1", "?hours=-1"] {
        admin.get(&format!("/health{query}")).await.expect_problem(400, "invalid_request");
    }
}
