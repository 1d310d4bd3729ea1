//! Clocks that disagree, jump and pass the years at which 32-bit times end.

use leasehold_tests::clock::Clock;
use leasehold_tests::stack::Setup;
use leasehold_tests::tenant::{Session, Tenant};

use crate::support::{minutes, seconds};

/// The last second of signed and of unsigned 32-bit times.
const ENDS_OF_TIME: [i64; 2] = [i32::MAX as i64, u32::MAX as i64];

#[tokio::test]
async fn sessions_live_through_2038_and_2106() {
    let clock = Clock::start();
    let stack = Setup::default().clock(&clock).start();
    for end in ENDS_OF_TIME {
        clock.set(end - 5);
        let tenant = Tenant::create(&stack).await;
        let before = tenant.login().await;
        let lost = tenant.rotate(&before.refresh).await;
        let other = tenant.login().await;
        clock.set(end + 1);
        let again = tenant.rotate(&before.refresh).await;
        assert_eq!(again.refresh, lost.refresh, "a retry across {end}");
        let after = tenant.rotate(&lost.refresh).await;
        tenant.sessions(&after.access).await.expect(200);
        tenant.sessions(&before.access).await.expect(200);
        let claims = tenant.verify(&after.access).await.expect("it verifies");
        let (issued, expires) = (claims["iat"].as_i64().unwrap_or(0), claims["exp"].as_i64().unwrap_or(0));
        assert!(issued > end && expires == issued + 900, "{claims}");
        assert!(after.body["session_expires_at"].as_i64() > Some(end), "{}", after.body);
        tenant.revoke(&other.refresh).await.expect(200);
        tenant.refuses(&other.refresh).await;
        clock.advance(seconds(901));
        tenant.sessions(&after.access).await.expect(401);
        tenant.rotate(&after.refresh).await;
    }
}

#[tokio::test]
async fn a_clock_that_jumps_five_minutes_either_way_costs_no_session() {
    let clock = Clock::start();
    let stack = Setup::default().clock(&clock).start();
    let tenant = Tenant::create(&stack).await;
    clock.advance(minutes(10));
    let mut session = tenant.login().await;
    for _ in 0..4 {
        for back in [true, false] {
            let lost = tenant.rotate(&session.refresh).await;
            if back {
                clock.set_back(minutes(5));
            } else {
                clock.advance(minutes(5));
            }
            let again = tenant.rotate(&session.refresh).await;
            assert_eq!(again.refresh, lost.refresh);
            // A generation that nobody retries: what is rare and single stays so.
            session = tenant.rotate(&again.refresh).await;
            session = tenant.rotate(&session.refresh).await;
            tenant.sessions(&session.access).await.expect(200);
        }
    }
}

#[tokio::test]
async fn a_tenant_made_by_a_clock_that_was_ahead_is_served_at_once() {
    let clock = Clock::start();
    let stack = Setup::default().clock(&clock).start();
    let tenant = Tenant::create(&stack).await;
    clock.set_back(seconds(118));
    let session = tenant.login().await;
    tenant.sessions(&tenant.rotate(&session.refresh).await.access).await.expect(200);
}

#[tokio::test]
async fn functions_whose_clocks_are_two_minutes_apart_cost_no_session() {
    let (exact, fast) = (Clock::start(), Clock::start());
    let here = Setup::default().clock(&exact).start();
    fast.advance(seconds(120));
    let there = Setup::default()
        .clock(&fast)
        .endpoints(&here.endpoint("dynamodb"), &here.endpoint("kms"))
        .public_url(&here.base_url())
        .start();
    let at_home = Tenant::create(&here).await;
    let away = Tenant { base: format!("{}/t/{}", there.base_url(), at_home.name), ..at_home.clone() };
    let places = [&at_home, &away];
    let mut session = at_home.login().await;
    for turn in 0..40 {
        let (first, second) = (places[turn % 2], places[(turn / 2) % 2]);
        let next = first.rotate(&session.refresh).await;
        // Every third reply is lost, and the retry meets whichever function.
        if turn % 3 == 0 {
            let again = second.rotate(&session.refresh).await;
            assert_eq!(again.refresh, next.refresh, "turn {turn}");
        }
        session = next;
    }
    for place in places {
        place.revoke(&session.refresh).await.expect(200);
        place.refuses(&session.refresh).await;
    }
}

#[tokio::test]
async fn rotations_within_one_second_keep_their_order() {
    let clock = Clock::start();
    let stack = Setup::default().clock(&clock).start();
    let tenant = Tenant::create(&stack).await;
    for _ in 0..3 {
        clock.set(2_000_000_000);
        let mut held: Vec<Session> = vec![tenant.login().await];
        for generation in 1..=8 {
            // The same second throughout, whatever the machine does meanwhile.
            clock.set(2_000_000_000);
            let next = tenant.rotate(&held[generation - 1].refresh).await;
            assert_eq!(next.token().generation as usize, generation);
            held.push(next);
        }
        let again = tenant.rotate(&held[7].refresh).await;
        assert_eq!(again.refresh, held[8].refresh, "the previous token, in the same second");
        tenant.refuses(&held[6].refresh).await;
        tenant.refuses(&held[8].refresh).await;
    }
}
