//! A creation whose reply was lost is asked for again and answers the same, secrets included.

use leasehold_tests::proxy::{Action, Proxy, Rule};
use leasehold_tests::stack::{Setup, shared};
use leasehold_tests::tenant::{Admin, BACKEND, Tenant, USER};
use serde_json::{Value, json};

use crate::support::{days, timed, together};

const KEY: &str = "7f6b3c1e-09aa-4c55-8d2e-ffeeddccbbaa";

async fn creations(admin: &Admin) -> Vec<(String, Value)> {
    let ada = admin.user(USER).await["user_id"].as_str().expect("an id").to_owned();
    vec![
        ("/users".to_owned(), json!({"username": "bob"})),
        ("/clients".to_owned(), json!({"client_id": "till", "type": "confidential"})),
        (format!("/clients/{BACKEND}/secret"), json!({})),
        (format!("/users/{ada}/reset"), json!({})),
        ("/keys/rotate".to_owned(), json!({})),
    ]
}

#[tokio::test]
async fn the_same_request_with_the_same_key_gets_the_same_bytes() {
    let tenant = Tenant::create(shared()).await;
    let admin = tenant.admin().await;
    for (path, body) in creations(&admin).await {
        let call = || admin.call("POST", &path).header("idempotency-key", KEY).json(&body);
        let first = admin.send(call()).await;
        assert!(matches!(first.status, 200 | 201), "{path}: {first}");
        assert_eq!(first.header("idempotency-replayed"), "", "{path}");
        let again = admin.send(call()).await;
        assert_eq!((again.status, again.text()), (first.status, first.text()), "{path}");
        assert_eq!(again.header("idempotency-replayed"), "true", "{path}");
        let other = admin.call("POST", &path).header("idempotency-key", KEY).json(&json!({"x": 1}));
        admin.send(other).await.expect_problem(422, "idempotency_mismatch");
    }
    let clients = admin.get("/clients").await.json();
    assert_eq!(clients["items"].as_array().map(Vec::len), Some(4), "one was made: {clients}");
    assert_eq!(admin.get("/keys").await.json()["items"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn of_many_at_once_one_creates_and_all_that_are_answered_get_its_answer() {
    let tenant = Tenant::create(shared()).await;
    let admin = tenant.admin().await;
    let replies = together(10, |_| {
        let admin = admin.clone();
        async move {
            let body = json!({"client_id": "till", "type": "confidential"});
            admin.send(admin.call("POST", "/clients").header("idempotency-key", KEY).json(&body)).await
        }
    })
    .await;
    let texts: std::collections::BTreeSet<String> =
        replies.iter().filter(|reply| reply.status == 201).map(leasehold_tests::http::Reply::text).collect();
    assert_eq!(texts.len(), 1, "{replies:?}");
    assert!(replies.iter().all(|reply| matches!(reply.status, 201 | 503)), "{replies:?}");
}

#[tokio::test]
async fn a_key_is_of_one_admin_of_one_tenant_and_of_a_day() {
    let timed = timed().await;
    let (here, there) = (Tenant::create(&timed.stack).await, Tenant::create(&timed.stack).await);
    let (mine, theirs) = (here.admin().await, there.admin().await);
    let body = json!({"username": "bob"});
    let send = async |admin: &Admin| {
        admin.send(admin.call("POST", "/users").header("idempotency-key", KEY).json(&body)).await
    };
    let first = send(&mine).await.expect(201);
    let elsewhere = send(&theirs).await.expect(201);
    assert_ne!(first.text(), elsewhere.text());
    mine.add_user(&here, &json!({"username": "second", "roles": ["admin"]}), "velvet-Harbour 9 tulip").await;
    let second = here.admin_as("second", "velvet-Harbour 9 tulip", None).await;
    send(&second).await.expect_problem(409, "already_exists");
    let bob = mine.user("bob").await["user_id"].as_str().expect("an id").to_owned();
    let reset = async |admin: &Admin| {
        let call = admin.call("POST", &format!("/users/{bob}/reset")).header("idempotency-key", KEY);
        admin.send(call.json(&json!({}))).await.expect(200).string("code")
    };
    let code = reset(&mine).await;
    assert_eq!(reset(&mine).await, code);
    timed.clock.advance(days(1));
    let mine = here.admin().await;
    send(&mine).await.expect_problem(409, "already_exists");
    // The answer of yesterday is still in the table, and in nobody's way.
    assert_ne!(reset(&mine).await, code);
}

#[tokio::test]
async fn odd_keys_are_refused() {
    let tenant = Tenant::create(shared()).await;
    let admin = tenant.admin().await;
    for key in ["", "short", "has a space in between", &"x".repeat(129)] {
        let call =
            admin.call("POST", "/users").header("idempotency-key", key).json(&json!({"username": "bob"}));
        admin.send(call).await.expect_problem(400, "invalid_request");
    }
    assert_eq!(admin.user("bob").await, Value::Null);
}

#[tokio::test]
async fn a_function_killed_anywhere_in_a_creation_loses_no_secret() {
    let proxy = Proxy::start();
    let stack = Setup::default().through(&proxy).start();
    let tenant = Tenant::create(&stack).await;
    let admin = tenant.admin().await;
    let body = |n: usize| json!({"client_id": format!("till{n}"), "type": "confidential"});
    let mark = proxy.mark();
    admin
        .send(admin.call("POST", "/clients").header("idempotency-key", KEY).json(&body(0)))
        .await
        .expect(201);
    let calls = proxy.operations_since(mark).len();
    for n in 1..=calls {
        for action in [Action::KillBefore, Action::KillAfter] {
            let number = 2 * n + usize::from(action == Action::KillAfter);
            let key = format!("{KEY}-{number}");
            let call = admin.call("POST", "/clients").header("idempotency-key", &key).json(&body(number));
            proxy.inject(Rule::any(action).nth(n));
            let mut reply = admin.send(call.clone()).await;
            while reply.status >= 500 {
                reply = admin.send(call.clone()).await;
            }
            proxy.heal();
            let secret = reply.expect(201).string("client_secret");
            let shown = leasehold_tests::http::Call::post(tenant.url("/revoke"))
                .basic(&format!("till{number}"), &secret)
                .form(&[("token", "x")]);
            shown.send(&tenant.http).await.expect(200);
        }
    }
}
