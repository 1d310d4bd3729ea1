//! A user's change of password.

use leasehold_tests::http::Call;
use leasehold_tests::stack::{Setup, shared};
use leasehold_tests::tenant::{APP, PASSWORD, Session, Tenant, USER};
use serde_json::json;

const NEW: &str = "copper-Nebula 9 ticket";

#[tokio::test]
async fn a_change_ends_every_session_and_the_old_password() {
    let tenant = Tenant::create(shared()).await;
    let sessions = [tenant.login().await, tenant.login().await];
    let reply = tenant.change_password(USER, PASSWORD, NEW).await.expect(204);
    assert!(reply.body.is_empty());
    for session in &sessions {
        tenant.refuses(&session.refresh).await;
        tenant.sessions(&session.access).await.expect(401);
    }
    tenant.login_as(USER, PASSWORD).await.expect_error(401, "invalid_credentials");
    let anew = Session::from_reply(&tenant.login_as(USER, NEW).await.expect(200));
    tenant.rotate(&anew.refresh).await;
}

#[tokio::test]
async fn a_change_needs_the_current_password_and_says_no_more_than_a_login() {
    let tenant = Tenant::create(shared()).await;
    let session = tenant.login().await;
    let wrong = tenant.change_password(USER, "not the right password", NEW).await;
    let wrong = wrong.expect_error(401, "invalid_credentials");
    let unknown = tenant.change_password("nobody", PASSWORD, NEW).await;
    assert_eq!(unknown.expect_error(401, "invalid_credentials").text(), wrong.text());
    Call::post(tenant.url("/password"))
        .json(&json!({"client_id": "nobody", "username": USER, "password": PASSWORD, "new_password": NEW}))
        .send(&tenant.http)
        .await
        .expect_error(401, "invalid_client");
    tenant.rotate(&session.refresh).await;
    tenant.login_as(USER, PASSWORD).await.expect(200);
}

#[tokio::test]
async fn a_password_that_anybody_would_guess_is_refused() {
    let tenant = Tenant::create(shared()).await;
    let session = tenant.login().await;
    for weak in ["", "short", "password", "12345678", "qwertyuiop", "iloveyou", "password123"] {
        let reply = tenant.change_password(USER, PASSWORD, weak).await;
        assert_eq!(reply.status, 400, "{weak:?}: {reply}");
        reply.expect_error_shape();
    }
    let endless = "x1 ".repeat(1000);
    tenant.change_password(USER, PASSWORD, &endless).await.expect(400);
    tenant.rotate(&session.refresh).await;
}

#[tokio::test]
async fn there_are_no_composition_rules_and_long_passwords_are_welcome() {
    let tenant = Tenant::create(shared()).await;
    let mut current = PASSWORD.to_owned();
    let long = "all lower case words and spaces ".repeat(4);
    for new in ["only lower case letters here", "сорок тысяч обезьян", &long] {
        tenant.change_password(USER, &current, new).await.expect(204);
        tenant.login_as(USER, new).await.expect(200);
        new.clone_into(&mut current);
    }
}

#[tokio::test]
async fn guessing_through_the_change_of_password_is_throttled_too() {
    let stack = Setup::default().function_env("LOGIN_ACCOUNT_LIMIT", "5").start();
    let tenant = Tenant::create(&stack).await;
    let mut statuses = Vec::new();
    for _ in 0..7 {
        statuses.push(tenant.change_password(USER, "a guess of some length", NEW).await.status);
    }
    assert!(statuses.iter().take_while(|status| **status == 401).count() <= 5, "{statuses:?}");
    assert_eq!(statuses.last(), Some(&429), "{statuses:?}");
    tenant.login_as(USER, "a guess of some length").await.expect(429);
}

#[tokio::test]
async fn a_code_that_was_never_given_opens_nothing() {
    let tenant = Tenant::create(shared()).await;
    for code in ["", "000000", "AAAAAAAAAAAAAAAAAAAAAA"] {
        let reply = Call::post(tenant.url("/password"))
            .json(&json!({"client_id": APP, "username": USER, "code": code, "new_password": NEW}))
            .send(&tenant.http)
            .await;
        assert!(matches!(reply.status, 400 | 401), "{reply}");
        reply.expect_error_shape();
    }
    tenant.login_as(USER, PASSWORD).await.expect(200);
}

#[tokio::test]
async fn two_changes_at_once_leave_one_password() {
    let tenant = Tenant::create(shared()).await;
    let (one, two) = ("garnet-Island 4 puzzle", "walnut-Comet 6 bridge");
    let (first, second) = tokio::join!(
        tenant.change_password(USER, PASSWORD, one),
        tenant.change_password(USER, PASSWORD, two)
    );
    let statuses = [first.status, second.status];
    assert!(statuses.contains(&204), "{first} {second}");
    let mut working = 0;
    for password in [PASSWORD, one, two] {
        working += usize::from(tenant.login_as(USER, password).await.status == 200);
    }
    assert_eq!(working, 1, "{first} {second}");
}
