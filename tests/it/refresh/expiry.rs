//! Windows and lifetimes, with the clock moved from outside. The product has no test mode: it reads the system's clock.

use leasehold_tests::http::Call;
use leasehold_tests::tenant::{Session, Tenant};
use serde_json::json;

use crate::support::{days, minutes, seconds, timed};

#[tokio::test]
async fn the_moved_clock_is_what_the_functions_see() {
    let timed = timed().await;
    let tenant = Tenant::create(&timed.stack).await;
    timed.clock.advance(days(3));
    let session = tenant.login().await;
    let server = session.body["server_time"].as_i64().expect("server_time");
    assert!((server - timed.clock.now()).abs() <= 5, "{server} is not {}", timed.clock.now());
}

#[tokio::test]
async fn a_retry_gets_the_same_successor_a_second_ten_minutes_and_six_days_after_the_lost_reply() {
    let timed = timed().await;
    let tenant = Tenant::create(&timed.stack).await;
    let mut session = tenant.login().await;
    for later in [seconds(1), minutes(10), days(6)] {
        let lost = tenant.rotate(&session.refresh).await;
        timed.clock.advance(later);
        let again = tenant.rotate(&session.refresh).await;
        assert_eq!(again.refresh, lost.refresh, "after {later:?}");
        assert!(again.replayed(), "after {later:?}");
        session = tenant.rotate(&again.refresh).await;
        session = tenant.rotate(&session.refresh).await;
    }
}

#[tokio::test]
async fn a_retry_after_the_late_window_ends_the_family() {
    let timed = timed().await;
    let tenant = Tenant::create(&timed.stack).await;
    let first = tenant.login().await;
    let second = tenant.rotate(&first.refresh).await;
    timed.clock.advance(days(7) + seconds(1));
    tenant.refuses(&first.refresh).await;
    tenant.refuses(&second.refresh).await;
}

#[tokio::test]
async fn replays_do_not_move_the_window() {
    let timed = timed().await;
    let tenant = Tenant::with_policy(&timed.stack, json!({"late_retry_window_seconds": 0})).await;
    let first = tenant.login().await;
    let second = tenant.rotate(&first.refresh).await;
    for _ in 0..3 {
        timed.clock.advance(seconds(15));
        assert_eq!(tenant.rotate(&first.refresh).await.refresh, second.refresh);
    }
    timed.clock.advance(seconds(16));
    tenant.refuses(&first.refresh).await;
    tenant.refuses(&second.refresh).await;
}

/// One generation whose reply is lost and which the client asks for again ten minutes later.
async fn late_generation(timed: &crate::support::Timed, tenant: &Tenant, token: &str) -> Session {
    let lost = tenant.rotate(token).await;
    timed.clock.advance(minutes(10));
    let again = tenant.rotate(token).await;
    assert_eq!(again.refresh, lost.refresh);
    again
}

#[tokio::test]
async fn one_late_generation_in_a_row_more_than_the_limit_ends_the_family() {
    let timed = timed().await;
    let tenant = Tenant::create(&timed.stack).await;
    let mut session = tenant.login().await;
    for _ in 0..3 {
        session = late_generation(&timed, &tenant, &session.refresh).await;
    }
    let lost = tenant.rotate(&session.refresh).await;
    timed.clock.advance(minutes(10));
    tenant.refuses(&session.refresh).await;
    tenant.refuses(&lost.refresh).await;
}

#[tokio::test]
async fn late_retries_within_a_counted_generation_are_not_counted_again() {
    let timed = timed().await;
    let tenant = Tenant::create(&timed.stack).await;
    let first = tenant.login().await;
    let lost = tenant.rotate(&first.refresh).await;
    for _ in 0..8 {
        timed.clock.advance(minutes(10));
        assert_eq!(tenant.rotate(&first.refresh).await.refresh, lost.refresh);
    }
    tenant.rotate(&lost.refresh).await;
}

#[tokio::test]
async fn a_generation_without_any_replay_lets_the_count_begin_anew() {
    let timed = timed().await;
    let tenant = Tenant::create(&timed.stack).await;
    let mut session = tenant.login().await;
    for _ in 0..2 {
        for _ in 0..3 {
            session = late_generation(&timed, &tenant, &session.refresh).await;
        }
        // Presented once, answered, and used: nothing was lost in this generation, nor in the next.
        session = tenant.rotate(&session.refresh).await;
        session = tenant.rotate(&session.refresh).await;
    }
    late_generation(&timed, &tenant, &session.refresh).await;
}

#[tokio::test]
async fn an_early_replay_does_not_wash_late_ones_away() {
    let timed = timed().await;
    let tenant = Tenant::create(&timed.stack).await;
    let mut session = tenant.login().await;
    for _ in 0..3 {
        session = late_generation(&timed, &tenant, &session.refresh).await;
        // A thief in lock step takes care to be quick now and then.
        let quick = tenant.rotate(&session.refresh).await;
        assert_eq!(tenant.rotate(&session.refresh).await.refresh, quick.refresh);
        session = quick;
    }
    let lost = tenant.rotate(&session.refresh).await;
    timed.clock.advance(minutes(10));
    tenant.refuses(&session.refresh).await;
    tenant.refuses(&lost.refresh).await;
}

#[tokio::test]
async fn an_unused_session_ends_after_the_idle_time_and_a_used_one_does_not() {
    let timed = timed().await;
    let tenant = Tenant::with_policy(&timed.stack, json!({"idle_seconds": 3600})).await;
    let (idle, mut used) = (tenant.login().await, tenant.login().await);
    for _ in 0..3 {
        timed.clock.advance(minutes(25));
        used = tenant.rotate(&used.refresh).await;
    }
    tenant.refuses(&idle.refresh).await;
    timed.clock.advance(minutes(61));
    tenant.refuses(&used.refresh).await;
}

#[tokio::test]
async fn no_use_carries_a_session_past_its_absolute_end() {
    let timed = timed().await;
    let policy = json!({"idle_seconds": 3600, "absolute_seconds": 7200});
    let tenant = Tenant::with_policy(&timed.stack, policy).await;
    let mut session = tenant.login().await;
    let end = session.body["session_expires_at"].clone();
    for _ in 0..4 {
        timed.clock.advance(minutes(28));
        session = tenant.rotate(&session.refresh).await;
        assert_eq!(session.body["session_expires_at"], end, "the end does not move");
        let left = session.body["refresh_token_expires_in"].as_i64().expect("refresh_token_expires_in");
        assert!(
            left <= end.as_i64().expect("a time") - timed.clock.now() + 5,
            "no token outlives the session"
        );
    }
    timed.clock.advance(minutes(10));
    tenant.refuses(&session.refresh).await;
}

#[tokio::test]
async fn no_access_token_outlives_its_session() {
    let timed = timed().await;
    let policy = json!({"idle_seconds": 120, "absolute_seconds": 120, "access_token_seconds": 900});
    let tenant = Tenant::with_policy(&timed.stack, policy).await;
    let session = tenant.login().await;
    let exp = session.jwt().claims["exp"].as_i64().expect("exp");
    assert!(exp <= session.body["session_expires_at"].as_i64().expect("a time"), "exp {exp}");
}

#[tokio::test]
async fn an_expired_access_token_is_refused_with_a_challenge_and_the_session_lives() {
    let timed = timed().await;
    let tenant = Tenant::create(&timed.stack).await;
    let session = tenant.login().await;
    tenant.sessions(&session.access).await.expect(200);
    timed.clock.advance(minutes(15) + seconds(61));
    let reply = tenant.sessions(&session.access).await.expect(401);
    assert!(reply.header("www-authenticate").contains("invalid_token"), "{reply}");
    let fresh = tenant.rotate(&session.refresh).await;
    tenant.sessions(&fresh.access).await.expect(200);
}

#[tokio::test]
async fn the_windows_are_those_of_the_policy_at_the_time_of_the_rotation() {
    let timed = timed().await;
    let policy = json!({"retry_window_seconds": 5, "late_retry_window_seconds": 3600, "late_retry_limit": 1});
    let tenant = Tenant::with_policy(&timed.stack, policy).await;
    let session = late_generation(&timed, &tenant, &tenant.login().await.refresh).await;
    let lost = tenant.rotate(&session.refresh).await;
    timed.clock.advance(seconds(4));
    assert_eq!(tenant.rotate(&session.refresh).await.refresh, lost.refresh);
    timed.clock.advance(seconds(2));
    tenant.refuses(&session.refresh).await;
    Call::get(tenant.url("/.well-known/jwks.json")).send(&tenant.http).await.expect(200);
}
