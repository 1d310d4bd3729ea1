//! KMS down for an hour, in moved time: 503 while it lasts, and afterwards everybody goes on with the token they hold.

use leasehold_tests::clock::Clock;
use leasehold_tests::http::Call;
use leasehold_tests::proxy::{Action, Proxy, Rule};
use leasehold_tests::stack::Setup;
use leasehold_tests::tenant::{PASSWORD, Tenant, USER};

use crate::support::minutes;

#[tokio::test]
async fn an_hour_without_kms_costs_nobody_their_session() {
    let (proxy, clock) = (Proxy::start(), Clock::start());
    let stack = Setup::default().through(&proxy).clock(&clock).start();
    let tenant = Tenant::create(&stack).await;
    let mut saved = Vec::new();
    for _ in 0..5 {
        saved.push(tenant.login().await.refresh);
    }
    // These have lost the reply of their last refresh and hold the token before it.
    let mut behind = Vec::new();
    for _ in 0..5 {
        let held = tenant.login().await.refresh;
        let lost = tenant.rotate(&held).await.refresh;
        behind.push((held, lost));
    }
    let access = tenant.login().await.access;

    proxy.inject(Rule::on("Sign", Action::DropBefore));
    for _ in 0..4 {
        clock.advance(minutes(15));
        for token in &saved {
            tenant.refresh(token).await.expect_error(503, "temporarily_unavailable");
        }
        for (held, _) in &behind {
            tenant.refresh(held).await.expect_error(503, "temporarily_unavailable");
        }
        tenant.login_as(USER, PASSWORD).await.expect_error(503, "temporarily_unavailable");
        // Keys and documents need no KMS.
        Call::get(tenant.url("/.well-known/jwks.json")).send(&tenant.http).await.expect(200);
    }
    tenant.sessions(&access).await.expect(401);

    proxy.heal();
    for token in saved {
        let next = tenant.rotate(&token).await;
        assert!(!next.replayed(), "the outage spent nothing");
        tenant.rotate(&next.refresh).await;
    }
    for (held, lost) in behind {
        let again = tenant.rotate(&held).await;
        assert_eq!(again.refresh, lost, "the lost successor is still theirs");
        tenant.rotate(&again.refresh).await;
    }
    tenant.login().await;
}

#[tokio::test]
async fn verification_and_revocation_go_on_without_kms() {
    let proxy = Proxy::start();
    let stack = Setup::default().through(&proxy).start();
    let tenant = Tenant::create(&stack).await;
    let (keep, end) = (tenant.login().await, tenant.login().await);
    proxy.inject(Rule::on("Sign", Action::Error("KMSInternalException")));
    tenant.sessions(&keep.access).await.expect(200);
    tenant.revoke(&end.refresh).await.expect(200);
    tenant.verify(&keep.access).await.expect("the key set is there");
    proxy.heal();
    tenant.refuses(&end.refresh).await;
    tenant.rotate(&keep.refresh).await;
}
