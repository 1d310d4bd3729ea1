//! Honest retries, and theft told from them.

use leasehold_tests::http::Call;
use leasehold_tests::proxy::{Action, Proxy, Rule};
use leasehold_tests::stack::{Setup, shared};
use leasehold_tests::tenant::{APP, BACKEND, Tenant};
use leasehold_tests::token::RefreshToken;
use serde_json::json;

/// A change that no client makes.
type Tamper = fn(&mut RefreshToken);

#[tokio::test]
async fn a_retry_after_a_lost_reply_gets_the_same_successor() {
    let tenant = Tenant::create(shared()).await;
    let first = tenant.login().await;
    let lost = tenant.rotate(&first.refresh).await;
    for _ in 0..3 {
        let again = tenant.rotate(&first.refresh).await;
        assert_eq!(again.refresh, lost.refresh, "byte-identical");
        assert_eq!(again.generation(), lost.generation());
        assert!(again.replayed());
        tenant.verify(&again.access).await.expect("a retry's access token is as good as any");
    }
    let next = tenant.rotate(&lost.refresh).await;
    assert_eq!(next.generation(), lost.generation() + 1);
}

#[tokio::test]
async fn a_grandparent_ends_the_family_at_once() {
    let tenant = Tenant::create(shared()).await;
    let first = tenant.login().await;
    let second = tenant.rotate(&first.refresh).await;
    let third = tenant.rotate(&second.refresh).await;
    tenant.refuses(&first.refresh).await;
    tenant.refuses(&third.refresh).await;
    tenant.refuses(&second.refresh).await;
}

#[tokio::test]
async fn an_ancestor_of_any_age_ends_the_family() {
    let tenant = Tenant::create(shared()).await;
    let first = tenant.login().await;
    let mut session = first.clone();
    for _ in 0..25 {
        session = tenant.rotate(&session.refresh).await;
    }
    tenant.refuses(&first.refresh).await;
    tenant.refuses(&session.refresh).await;
}

#[tokio::test]
async fn theft_in_one_family_leaves_the_users_other_families_alone() {
    let tenant = Tenant::create(shared()).await;
    let (stolen, other) = (tenant.login().await, tenant.login().await);
    let second = tenant.rotate(&stolen.refresh).await;
    tenant.rotate(&second.refresh).await;
    tenant.refuses(&stolen.refresh).await;
    tenant.rotate(&other.refresh).await;
}

#[tokio::test]
async fn a_confirmed_successor_makes_its_predecessor_theft() {
    let tenant = Tenant::create(shared()).await;
    let first = tenant.login().await;
    let second = tenant.rotate(&first.refresh).await;
    let reply = tenant.confirm(&second.refresh).await.expect(204);
    assert!(reply.body.is_empty());
    tenant.refuses(&first.refresh).await;
    tenant.refuses(&second.refresh).await;
}

#[tokio::test]
async fn a_confirmed_successor_rotates_and_its_own_retries_work_again() {
    let tenant = Tenant::create(shared()).await;
    let second = tenant.rotate(&tenant.login().await.refresh).await;
    for _ in 0..2 {
        tenant.confirm(&second.refresh).await.expect(204);
    }
    let third = tenant.rotate(&second.refresh).await;
    assert_eq!(
        tenant.rotate(&second.refresh).await.refresh,
        third.refresh,
        "confirmed holds for one generation"
    );
}

#[tokio::test]
async fn confirm_answers_204_to_every_token_and_only_the_newest_has_an_effect() {
    let tenant = Tenant::create(shared()).await;
    let first = tenant.login().await;
    let second = tenant.rotate(&first.refresh).await;
    let mut forged = second.token();
    forged.secret = [9; 32];
    let mut ahead = second.token();
    ahead.generation += 1;
    for token in [first.refresh.clone(), forged.encode(), ahead.encode(), "lhr_rubbish".into(), "x".into()] {
        tenant.confirm(&token).await.expect(204);
    }
    assert_eq!(tenant.rotate(&first.refresh).await.refresh, second.refresh, "nothing was confirmed");
    tenant.confirm(&second.refresh).await.expect(204);
    tenant.refuses(&first.refresh).await;
}

#[tokio::test]
async fn confirm_wants_a_client_that_may() {
    let tenant = Tenant::create(shared()).await;
    let first = tenant.login_backend().await;
    let refresh = |token: &str| {
        Call::post(tenant.url("/token")).basic(BACKEND, &tenant.secret).form(&[
            ("grant_type", "refresh_token"),
            ("client_id", BACKEND),
            ("refresh_token", token),
        ])
    };
    let second = refresh(&first.refresh).send(&tenant.http).await.expect(200).string("refresh_token");
    let confirm = |client: &str, secret: Option<&str>| {
        let mut body = json!({"client_id": client, "refresh_token": second});
        if let Some(secret) = secret {
            body["client_secret"] = json!(secret);
        }
        Call::post(tenant.url("/confirm")).json(&body).send(&tenant.http)
    };
    confirm(BACKEND, None).await.expect_error(401, "invalid_client");
    confirm(BACKEND, Some("wrong")).await.expect_error(401, "invalid_client");
    confirm("nobody", None).await.expect_error(401, "invalid_client");
    confirm(APP, None).await.expect(204);
    let again = refresh(&first.refresh).send(&tenant.http).await.expect(200).string("refresh_token");
    assert_eq!(again, second, "another client's confirmation has no effect");
}

#[tokio::test]
async fn a_tampered_token_of_the_right_family_changes_nothing() {
    let tenant = Tenant::create(shared()).await;
    let first = tenant.login().await;
    let second = tenant.rotate(&first.refresh).await;
    let good = second.token();
    let table: [(&str, Tamper); 9] = [
        ("a wrong secret", |t| t.secret[31] ^= 1),
        ("a generation above the current one", |t| t.generation += 1),
        ("the highest generation there is", |t| t.generation = u32::MAX),
        ("an earlier generation with today's proof", |t| t.generation = t.generation.wrapping_sub(1)),
        ("generation zero with today's proof", |t| t.generation = 0),
        ("a proof that does not chain", |t| t.proof[0] ^= 1),
        ("a proof of zeros", |t| t.proof = [0; 16]),
        ("another family", |t| t.family[0] ^= 1),
        ("another user", |t| t.user[0] ^= 1),
    ];
    for (why, tamper) in table {
        for original in [first.token(), good.clone()] {
            let mut token = original.clone();
            tamper(&mut token);
            if token != original {
                tenant.refuses(&token.encode()).await;
            }
        }
        assert_eq!(tenant.rotate(&first.refresh).await.refresh, second.refresh, "after {why}");
    }
    // The newest secret in the name of the generation before, and the other way round.
    let mut crossed = first.token();
    crossed.secret = good.secret;
    tenant.refuses(&crossed.encode()).await;
    let mut crossed = good.clone();
    crossed.secret = first.token().secret;
    tenant.refuses(&crossed.encode()).await;
    tenant.rotate(&second.refresh).await;
}

#[tokio::test]
async fn with_late_retries_and_window_switched_off_a_predecessor_is_theft() {
    let policy = json!({"retry_window_seconds": 0, "late_retry_window_seconds": 0});
    let tenant = Tenant::with_policy(shared(), policy).await;
    let first = tenant.login().await;
    let second = tenant.rotate(&first.refresh).await;
    tenant.refuses(&first.refresh).await;
    tenant.refuses(&second.refresh).await;
}

#[tokio::test]
async fn a_slow_duplicate_is_told_to_come_again_and_the_session_lives() {
    let proxy = Proxy::start();
    let stack = Setup::default().instances(3).through(&proxy).start();
    let tenant = Tenant::create(&stack).await;
    let first = tenant.login().await;
    // The duplicate has read the family and asks for its signature; there it is held up.
    proxy.inject(Rule::on("Sign", Action::Hold).times(1));
    let slow = tokio::spawn({
        let (tenant, token) = (tenant.clone(), first.refresh.clone());
        async move { tenant.refresh(&token).await }
    });
    proxy.until_held(1).await;
    let second = tenant.rotate(&first.refresh).await;
    let third = tenant.rotate(&second.refresh).await;
    proxy.release();
    let reply = slow.await.expect("the slow call ends");
    reply.expect_error(503, "temporarily_unavailable");
    let fourth = tenant.rotate(&third.refresh).await;
    assert_eq!(fourth.token().family, first.token().family);
}
