//! One token in many hands at once, and refresh against everything that ends sessions.

use std::time::Instant;

use leasehold_tests::settings;
use leasehold_tests::stack::{Stack, shared};
use leasehold_tests::tenant::{PASSWORD, Session, Tenant, USER};
use serde_json::json;

use crate::support::{report, together};

/// Rounds of the big race: 40 every day, `ROUNDS=500` for the record.
fn rounds() -> usize {
    settings::number("ROUNDS", 40)
}

/// Callers of each round: 100 every day, `CALLERS=200` for the record.
fn callers() -> usize {
    settings::number("CALLERS", 100)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_callers_of_one_token_get_one_successor() {
    let tenant = Tenant::create(shared()).await;
    let mut session = tenant.login().await;
    let begin = Instant::now();
    let mut busy = 0;
    for round in 0..rounds() {
        let before = session.token();
        let answers = together(callers(), |_| {
            let (tenant, token) = (tenant.clone(), session.refresh.clone());
            async move { tenant.refresh(&token).await }
        })
        .await;
        // 503: overtaken more often than one request decides again. A client tries once more.
        let (good, rest): (Vec<_>, Vec<_>) = answers.iter().partition(|reply| reply.status == 200);
        busy += rest.iter().filter(|reply| reply.status == 503).count();
        let refused: Vec<String> =
            rest.iter().filter(|reply| reply.status != 503).map(ToString::to_string).collect();
        assert!(refused.is_empty(), "round {round}: {} refused, first {:?}", refused.len(), refused.first());
        let mut successors: Vec<String> =
            good.iter().map(|reply| Session::from_reply(reply).refresh).collect();
        successors.sort();
        successors.dedup();
        assert_eq!(successors.len(), 1, "round {round}: one lineage");
        session = Session::from_reply(good[0]);
        assert_eq!(session.token().generation, before.generation + 1, "round {round}");
    }
    report(&[format!(
        "{} rounds of {} callers, one successor each, {busy} answers of 503: {:?}",
        rounds(),
        callers(),
        begin.elapsed()
    )]);
}

/// Presents a token five times while `end` ends the session; afterwards nothing that anybody holds may be good.
async fn nothing_outlives<F, E>(tenant: &Tenant, name: &str, rounds: usize, end: E)
where
    F: Future<Output = ()>,
    E: Fn(Session) -> F,
{
    for round in 0..rounds {
        let session = tenant.login().await;
        let other = tenant.login().await;
        let refreshing = together(5, |i| {
            let (tenant, token) = (tenant.clone(), session.refresh.clone());
            async move {
                for _ in 0..=(i + round) % 5 {
                    tokio::task::yield_now().await;
                }
                tenant.refresh(&token).await
            }
        });
        let (answers, ()) = tokio::join!(refreshing, end(other));
        let mut held = vec![session.refresh.clone()];
        for reply in answers {
            assert!(matches!(reply.status, 200 | 400), "{name}, round {round}: {reply}");
            if reply.status == 200 {
                held.push(reply.string("refresh_token"));
            }
        }
        for token in held {
            let reply = tenant.refresh(&token).await;
            assert_eq!(reply.status, 400, "{name}, round {round}: outlived: {reply}");
        }
    }
}

#[tokio::test]
async fn no_refresh_succeeds_that_begins_after_a_revocation_was_answered() {
    let tenant = Tenant::create(shared()).await;
    for round in 0..30 {
        let session = tenant.login().await;
        let refreshing = together(5, |_| {
            let (tenant, token) = (tenant.clone(), session.refresh.clone());
            async move { tenant.refresh(&token).await }
        });
        let revoking = tenant.revoke(&session.refresh);
        let (answers, revoked) = tokio::join!(refreshing, revoking);
        revoked.expect(200);
        let won = answers.iter().find(|reply| reply.status == 200).map(|reply| reply.string("refresh_token"));
        for token in [Some(session.refresh.clone()), won].into_iter().flatten() {
            let reply = tenant.refresh(&token).await;
            assert_eq!(reply.status, 400, "round {round}: outlived the revocation: {reply}");
        }
    }
}

#[tokio::test]
async fn no_refresh_outlives_signing_out_everywhere() {
    let tenant = Tenant::create(shared()).await;
    nothing_outlives(&tenant, "sign-out everywhere", 15, |other| {
        let tenant = tenant.clone();
        async move {
            tenant.sign_out_everywhere(&other.access).await.expect(204);
        }
    })
    .await;
}

#[tokio::test]
async fn no_refresh_outlives_a_change_of_password() {
    let tenant = Tenant::create(shared()).await;
    let passwords = [PASSWORD, "ember-Saddle 5 walrus"];
    for round in 0..10 {
        let (old, new) = (passwords[round % 2], passwords[(round + 1) % 2]);
        let session = Session::from_reply(&tenant.login_as(USER, old).await.expect(200));
        let refreshing = together(5, |_| {
            let (tenant, token) = (tenant.clone(), session.refresh.clone());
            async move { tenant.refresh(&token).await }
        });
        let changing = tenant.change_password(USER, old, new);
        let (answers, changed) = tokio::join!(refreshing, changing);
        changed.expect(204);
        let won = answers.iter().find(|reply| reply.status == 200).map(|reply| reply.string("refresh_token"));
        for token in [Some(session.refresh.clone()), won].into_iter().flatten() {
            let reply = tenant.refresh(&token).await;
            assert_eq!(reply.status, 400, "round {round}: outlived the change: {reply}");
        }
    }
}

#[tokio::test]
async fn no_refresh_outlives_disabling_the_user() {
    let tenant = Tenant::create(shared()).await;
    ends_and_returns(shared(), &tenant, "user.disable", "user.enable").await;
}

#[tokio::test]
async fn no_refresh_outlives_suspending_the_tenant() {
    let tenant = Tenant::create(shared()).await;
    ends_and_returns(shared(), &tenant, "tenant.suspend", "tenant.resume").await;
}

/// Ends everything with one operator command while a token is being presented, undoes that with another, and shows
/// that old tokens stay dead although the user may sign in again at once.
async fn ends_and_returns(stack: &Stack, tenant: &Tenant, end: &str, undo: &str) {
    let command = |op: &str| json!({"op": op, "tenant": tenant.name, "username": USER});
    let commands = (command(end), command(undo));
    let command = |op: &serde_json::Value| {
        let mut op = op.clone();
        if op["op"].as_str().is_some_and(|name| name.starts_with("tenant.")) {
            op.as_object_mut().expect("an object").remove("username");
        }
        op
    };
    for round in 0..8 {
        let session = tenant.login().await;
        let refreshing = together(5, |_| {
            let (tenant, token) = (tenant.clone(), session.refresh.clone());
            async move { tenant.refresh(&token).await }
        });
        let (end, undo) = (command(&commands.0), command(&commands.1));
        let (answers, _) = tokio::join!(refreshing, stack.operator(&tenant.http, &end));
        stack.operator(&tenant.http, &undo).await;
        let won = answers.iter().find(|reply| reply.status == 200).map(|reply| reply.string("refresh_token"));
        for token in [Some(session.refresh.clone()), won].into_iter().flatten() {
            let reply = tenant.refresh(&token).await;
            assert_eq!(reply.status, 400, "{end}, round {round}: outlived it: {reply}");
        }
        let anew = tenant.login().await;
        tenant.rotate(&anew.refresh).await;
    }
}
