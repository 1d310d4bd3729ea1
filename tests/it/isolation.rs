//! A stage that isolates tenants: requests reach AWS with credentials that were asked for their own tenant, and nothing
//! else. What IAM makes of such a session is tested where IAM is evaluated, by `make deploy-local`.

use std::collections::BTreeSet;
use std::time::Duration;

use leasehold_tests::proxy::Proxy;
use leasehold_tests::stack::{Setup, Stack};
use leasehold_tests::sts::{ROLE, Sts};
use leasehold_tests::tenant::Tenant;
use serde_json::json;

/// How long before their end the functions renew credentials, in seconds.
const RENEW_BEFORE: u64 = 240;

/// A stack whose functions hold requests to their tenant.
fn isolated(sts: &Sts, proxy: &Proxy) -> Stack {
    setup(sts, proxy).start()
}

fn setup(sts: &Sts, proxy: &Proxy) -> Setup {
    Setup::default()
        .through(proxy)
        .function_env("AWS_ENDPOINT_URL_STS", sts.url())
        .function_env("TENANT_ROLE", ROLE)
}

/// Everything that the tenant's user does in a day.
async fn day(tenant: &Tenant) {
    let session = tenant.login().await;
    let next = tenant.rotate(&session.refresh).await;
    tenant.sessions(&next.access).await.expect(200);
    tenant.jwks().await;
    tenant.revoke(&next.refresh).await.expect(200);
}

#[tokio::test]
async fn every_call_for_a_tenant_is_signed_by_a_session_of_that_tenant() {
    let (sts, proxy) = (Sts::start(3600), Proxy::start());
    let stack = isolated(&sts, &proxy);
    let (acme, globex) = (Tenant::create(&stack).await, Tenant::create(&stack).await);
    let (mark, asked) = (proxy.mark(), sts.asked().len());
    for tenant in [&acme, &globex, &acme] {
        day(tenant).await;
    }
    let mut calls = 0;
    for seen in proxy.since(mark) {
        let whose = seen.access_key.split('.').next().unwrap_or_default().to_owned();
        if seen.operation == "Sign" {
            assert!([&acme.name, &globex.name].contains(&&whose), "{seen:?}");
        }
        for partition in &seen.partitions {
            let of = partition.split('#').nth(1).unwrap_or_default();
            assert_eq!(of, whose, "{} reaches {partition} as {}", seen.operation, seen.access_key);
            calls += 1;
        }
    }
    assert!(calls > 20, "calls were seen: {calls}");
    // Four functions, two tenants, one session each, however many requests there are.
    let asked = sts.asked().split_off(asked);
    assert_eq!(asked.len(), 8, "{asked:?}");
    for request in asked {
        let tenant = request["Tags.member.1.Value"].clone();
        assert_eq!(request["RoleArn"], ROLE);
        assert_eq!(request["Tags.member.1.Key"], "tenant");
        assert_eq!(request["RoleSessionName"], format!("tenant.{tenant}"));
        assert_eq!(request["DurationSeconds"], "3600");
        assert!(!request.contains_key("Tags.member.2.Key"), "no other tag");
    }
}

#[tokio::test]
async fn sessions_are_renewed_before_they_end_and_an_outage_meanwhile_harms_nobody() {
    let (sts, proxy) = (Sts::start(RENEW_BEFORE + 3), Proxy::start());
    let stack = isolated(&sts, &proxy);
    let tenant = Tenant::create(&stack).await;
    let session = tenant.login().await;
    let first = tenant.rotate(&session.refresh).await;
    let before = sts.asked().len();
    let second = tenant.rotate(&first.refresh).await;
    assert_eq!(sts.asked().len(), before, "kept while it is good for long");
    // Into the time of renewal, well before the end.
    tokio::time::sleep(Duration::from_secs(4)).await;
    sts.refuse(true);
    let third = tenant.rotate(&second.refresh).await;
    assert!(sts.asked().len() > before, "a renewal was tried");
    sts.refuse(false);
    let mark = proxy.mark();
    tenant.rotate(&third.refresh).await;
    let keys: BTreeSet<_> = proxy.since(mark).into_iter().map(|seen| seen.access_key).collect();
    assert_eq!(keys.len(), 1, "table and keys by one session: {keys:?}");
    let serial = keys.first().and_then(|key| key.rsplit('.').next()?.parse::<usize>().ok());
    assert!(serial > Some(before), "the new one: {keys:?}");
}

#[tokio::test]
async fn without_sts_nobody_is_signed_out_and_the_answer_is_503() {
    let (sts, proxy) = (Sts::start(3600), Proxy::start());
    let stack = isolated(&sts, &proxy);
    let (acme, globex) = (Tenant::create(&stack).await, Tenant::create(&stack).await);
    let session = acme.login().await;
    let session = acme.rotate(&session.refresh).await;
    sts.refuse(true);
    // Whose session is there goes on; whose is not gets our own trouble, and never what the function may do itself.
    let session = acme.rotate(&session.refresh).await;
    let mark = proxy.mark();
    globex.refresh(&session.refresh).await.expect_error(503, "temporarily_unavailable");
    globex.login_as("ada", "tidal-Lantern 7 quartz").await.expect_error(503, "temporarily_unavailable");
    assert_eq!(proxy.operations_since(mark), Vec::<String>::new(), "no call without a session");
    sts.refuse(false);
    globex.login().await;
    acme.rotate(&session.refresh).await;
}

#[tokio::test]
async fn tenants_that_do_not_exist_push_nobody_out() {
    let (sts, proxy) = (Sts::start(3600), Proxy::start());
    let stack = setup(&sts, &proxy).function_env("TENANT_SESSIONS", "2").start();
    let tenant = Tenant::create(&stack).await;
    tenant.jwks().await;
    for n in 0..5 {
        let url = format!("{}/t/nobody-{n}/.well-known/jwks.json", stack.base_url());
        leasehold_tests::http::Call::get(url).send(&tenant.http).await.expect(404);
    }
    let before = sts.asked().len();
    tenant.jwks().await;
    assert_eq!(sts.asked().len(), before, "its session is still there");
}

#[tokio::test]
async fn more_tenants_than_are_kept_take_turns() {
    let (sts, proxy) = (Sts::start(3600), Proxy::start());
    let stack = setup(&sts, &proxy).function_env("TENANT_SESSIONS", "1").start();
    let tenants = [Tenant::create(&stack).await, Tenant::create_with(&stack, "RS256", json!({})).await];
    let before = sts.asked().len();
    for tenant in tenants.iter().cycle().take(4) {
        assert!(tenant.jwks().await["keys"][0]["kid"].is_string());
    }
    assert_eq!(sts.asked().len() - before, 4, "one session for each turn");
}
