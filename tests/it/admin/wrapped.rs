//! Custody `wrapped`: the same keys to everybody outside, signed without KMS once a function is warm.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use leasehold_tests::clock::Clock;
use leasehold_tests::proxy::{Action, Proxy, Rule};
use leasehold_tests::stack::{Setup, shared};
use leasehold_tests::tenant::{PASSWORD, Session, Tenant};
use serde_json::json;

use crate::support::seconds;

#[tokio::test]
async fn tokens_of_every_algorithm_verify_by_the_published_keys() {
    for algorithm in ["RS256", "ES256", "EdDSA"] {
        let tenant = Tenant::create_with(shared(), algorithm, json!({"custody": "wrapped"})).await;
        let session = tenant.login().await;
        assert_eq!(session.jwt().header["alg"], algorithm);
        tenant.verify(&session.access).await.expect("verifies");
        let next = tenant.rotate(&session.refresh).await;
        tenant.sessions(&next.access).await.expect(200);
        let keys = tenant.admin().await.get("/keys").await.json();
        assert_eq!(keys["items"][0]["custody"], "wrapped");
    }
}

#[tokio::test]
async fn a_warm_function_signs_without_kms_and_without_a_further_read() {
    let proxy = Proxy::start();
    let stack = Setup::default().through(&proxy).start();
    let tenant = Tenant::create_with(&stack, "RS256", json!({"custody": "wrapped"})).await;
    let mut session = tenant.rotate(&tenant.login().await.refresh).await;
    let mark = proxy.mark();
    for _ in 0..5 {
        session = tenant.rotate(&session.refresh).await;
    }
    let operations = proxy.operations_since(mark);
    assert_eq!(operations, ["BatchGetItem", "PutItem"].repeat(5), "{operations:?}");
}

/// What phones do all the while: sign in, refresh, show the access token to the service and to an API that verifies it
/// with the published keys. How often it was accepted; any refusal fails the test.
async fn phone(tenant: Tenant, user: String, stop: Arc<AtomicBool>) -> usize {
    let mut accepted = 0;
    let mut earlier: Vec<String> = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        let mut session = Session::from_reply(&tenant.login_as(&user, PASSWORD).await.expect(200));
        for _ in 0..4 {
            tenant.sessions(&session.access).await.expect(200);
            tenant.verify(&session.access).await.expect("verifies");
            earlier.push(session.access.clone());
            session = tenant.rotate(&session.refresh).await;
            // One from before, perhaps of the other custody.
            tenant.verify(&earlier[earlier.len() / 2]).await.expect("it still verifies");
            accepted += 3;
        }
    }
    accepted
}

#[tokio::test]
async fn custody_changes_and_changes_back_under_load() {
    let (proxy, clock) = (Proxy::start(), Clock::start());
    let stack = Setup::default().instances(2).clock(&clock).through(&proxy).start();
    let policy = json!({"key_propagation_seconds": 60, "access_token_seconds": 3600});
    let tenant = Tenant::with_policy(&stack, policy).await;
    let admin = tenant.admin().await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut phones = Vec::new();
    for n in 0..4 {
        let user = format!("user-{n}");
        tenant.add_user(&stack, &user, PASSWORD).await;
        phones.push(tokio::spawn(phone(tenant.clone(), user, Arc::clone(&stop))));
    }
    let count = |mark, wanted: &str| {
        proxy.operations_since(mark).iter().filter(|operation| *operation == wanted).count()
    };
    let refreshes = async |mark| {
        while count(mark, "PutItem") < 40 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    for custody in ["wrapped", "kms"] {
        let rotated = admin.post("/keys/rotate", &json!({"custody": custody})).await.expect(200).json();
        tokio::time::sleep(Duration::from_millis(500)).await;
        clock.advance(seconds(75));
        let mark = proxy.mark();
        // Until every process of login and of refresh has signed with it: they are warm from then on.
        for _ in 0..40 {
            assert_eq!(tenant.login().await.jwt().header["kid"], rotated["key"]["kid"]);
        }
        refreshes(mark).await;
        let warm = proxy.mark();
        refreshes(warm).await;
        if custody == "wrapped" {
            assert_eq!((count(warm, "Sign"), count(warm, "Decrypt")), (0, 0), "no call per token");
            let decrypted = count(mark, "Decrypt");
            assert!(
                (1..=4).contains(&decrypted),
                "once for each of two processes of login and of refresh: {decrypted}"
            );
        } else {
            assert!(count(warm, "Sign") >= 20, "KMS signs again");
        }
    }
    stop.store(true, Ordering::SeqCst);
    let mut accepted = Vec::new();
    for phone in phones {
        accepted.push(phone.await.expect("a phone that was refused nothing"));
    }
    assert!(accepted.iter().all(|accepted| *accepted >= 12), "{accepted:?}");
}

#[tokio::test]
async fn what_is_wrapped_can_be_opened_for_its_own_tenant_and_key_alone() {
    let stack = Setup::default().start();
    let (here, there) = (
        Tenant::create_with(&stack, "ES256", json!({"custody": "wrapped"})).await,
        Tenant::create_with(&stack, "ES256", json!({"custody": "wrapped"})).await,
    );
    let table = leasehold_tests::table::Table::open(&stack.endpoint("dynamodb"), &here.http).await;
    let wrapped = async |tenant: &Tenant| {
        let items = table.dump_tenant(&tenant.name).await;
        let is_wrapped =
            |item: &&serde_json::Value| item["SK"]["S"].as_str().is_some_and(|sk| sk.starts_with("WRAPPED#"));
        items.iter().find(is_wrapped).cloned().expect("a wrapped key")
    };
    let (own, foreign) = (wrapped(&here).await, wrapped(&there).await);
    // Somebody who can write the table puts another tenant's private half in this one's place.
    let mut planted = own.clone();
    planted["private"] = foreign["private"].clone();
    table.put(&planted).await;
    let refused = here.login_as(leasehold_tests::tenant::USER, PASSWORD).await;
    assert_eq!(refused.status, 503, "KMS does not decrypt it for this tenant: {refused}");
    table.put(&own).await;
    here.login().await;
    there.login().await;
}

#[tokio::test]
async fn an_outage_of_kms_stops_cold_functions_and_no_warm_one() {
    let proxy = Proxy::start();
    let stack = Setup::default().through(&proxy).start();
    let tenant = Tenant::create_with(&stack, "EdDSA", json!({"custody": "wrapped"})).await;
    proxy.inject(Rule::on("Decrypt", Action::Error("KMSInternalException")).times(1000));
    let cold = tenant.login_as(leasehold_tests::tenant::USER, PASSWORD).await;
    assert_eq!((cold.status, cold.error().as_str()), (503, "temporarily_unavailable"), "{cold}");
    proxy.heal();
    let session = tenant.rotate(&tenant.login().await.refresh).await;
    proxy.inject(Rule::on("Decrypt", Action::Error("KMSInternalException")).times(1000));
    tenant.rotate(&session.refresh).await;
    proxy.heal();
}

#[tokio::test]
async fn a_tenant_is_held_to_its_signatures_and_the_others_go_on() {
    let stack = Setup::default().function_env("SIGNATURES_PER_TENANT", "20").start();
    let (busy, quiet) = (Tenant::create(&stack).await, Tenant::create(&stack).await);
    let wrapped = Tenant::create_with(&stack, "ES256", json!({"custody": "wrapped"})).await;
    let mut session = busy.login().await;
    let (mut refused, mut others_went_on) = (0, false);
    for _ in 0..400 {
        let reply = busy.refresh(&session.refresh).await;
        match reply.status {
            200 => session = Session::from_reply(&reply),
            429 => {
                assert_eq!((reply.error().as_str(), reply.header("retry-after")), ("too_many_requests", "1"));
                refused += 1;
            }
            other => panic!("{other}: {reply}"),
        }
        // Once: the other has its own bound too.
        if refused == 3 && !others_went_on {
            quiet.login().await;
            others_went_on = true;
        }
    }
    assert!(refused > 3, "400 refreshes were not held to 20 a second");
    let mut free = wrapped.login().await;
    for _ in 0..60 {
        free = wrapped.rotate(&free.refresh).await;
    }
    leasehold_tests::tenant::Tenant::rotate(&busy, &{
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        session.refresh
    })
    .await;
}
