//! `kill -9` of the function before and after every AWS call, by index; then the client comes again. No session may be
//! lost, none forked, no tenant half made. The table of results is printed.

mod sweep;

use std::time::Duration;

use leasehold_tests::http::{Call, Http, Reply, fail};
use leasehold_tests::proxy::{Action, Proxy, Rule};
use leasehold_tests::stack::{Setup, Stack};
use leasehold_tests::tenant::{
    ADMIN, ADMIN_PASSWORD, APP, PASSWORD, Session, Tenant, USER, create_command, fresh_name,
};
use serde_json::{Value, json};

use crate::support::report;

struct World {
    proxy: Proxy,
    stack: Stack,
}

fn world() -> World {
    let proxy = Proxy::start();
    let stack = Setup::default().through(&proxy).start();
    World { proxy, stack }
}

/// The table of results, printed when its test has passed.
struct Results {
    what: &'static str,
    rows: Vec<String>,
}

impl Results {
    fn of(what: &'static str) -> Self {
        Self { what, rows: vec![format!("{what}: kill -9 of the function, then the client comes again")] }
    }

    fn row(&mut self, index: usize, operation: &str, action: &Action, first: &str, then: &str) {
        let when = if *action == Action::KillBefore { "before" } else { "after" };
        let row = format!("{} | {when:<6} call {index:>2} {operation:<18} | {first:<4} | {then}", self.what);
        self.rows.push(row);
    }

    fn print(&self) {
        report(&self.rows);
    }
}

/// Sends a call until it gets something else than our own trouble. What a killed function leaves behind must look like
/// our own trouble: a 4xx would sign users out.
async fn persist(http: &Http, call: &Call) -> (String, Reply) {
    let mut first = None;
    for _ in 0..200 {
        let answer = call.clone().try_send(http).await;
        let seen = answer.as_ref().map_or_else(|_| "none".to_owned(), |reply| reply.status.to_string());
        first.get_or_insert(seen);
        match answer {
            Ok(reply) if reply.status < 500 => return (first.unwrap_or_default(), reply),
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
    fail("the function does not come back")
}

/// The AWS calls of one undisturbed run.
async fn operations<F: Future<Output = ()>>(world: &World, run: F) -> Vec<String> {
    let mark = world.proxy.mark();
    run.await;
    world.proxy.operations_since(mark)
}

fn matrix(operations: &[String]) -> Vec<(usize, String, Action)> {
    let rows = operations.iter().enumerate();
    rows.flat_map(|(i, operation)| {
        [Action::KillBefore, Action::KillAfter].map(|action| (i + 1, operation.clone(), action))
    })
    .collect()
}

#[tokio::test]
async fn a_refresh_killed_anywhere_loses_no_session_and_forks_none() {
    let world = world();
    let tenant = Tenant::create(&world.stack).await;
    let session = tenant.login().await;
    let calls = operations(&world, async {
        tenant.rotate(&session.refresh).await;
    })
    .await;
    assert_eq!(calls.len(), 3, "{calls:?}");
    let mut results = Results::of("refresh");
    for (index, operation, action) in matrix(&calls) {
        let session = tenant.login().await;
        world.proxy.inject(Rule::any(action.clone()).nth(index));
        let (first, reply) = persist(&tenant.http, &tenant.refresh_call(&session.refresh)).await;
        world.proxy.heal();
        results.row(index, &operation, &action, &first, &reply.status.to_string());
        let next = Session::from_reply(&reply.expect(200));
        assert_eq!(next.token().generation, session.token().generation + 1);
        assert_eq!(tenant.rotate(&session.refresh).await.refresh, next.refresh, "one lineage");
        let third = tenant.rotate(&next.refresh).await;
        assert_eq!(third.token().generation, session.token().generation + 2);
    }
    results.print();
}

#[tokio::test]
async fn a_replay_killed_anywhere_loses_no_session() {
    let world = world();
    let tenant = Tenant::create(&world.stack).await;
    let held = tenant.login().await;
    tenant.rotate(&held.refresh).await;
    let calls = operations(&world, async {
        tenant.rotate(&held.refresh).await;
    })
    .await;
    let mut results = Results::of("replay");
    for (index, operation, action) in matrix(&calls) {
        let held = tenant.login().await;
        let lost = tenant.rotate(&held.refresh).await;
        world.proxy.inject(Rule::any(action.clone()).nth(index));
        let (first, reply) = persist(&tenant.http, &tenant.refresh_call(&held.refresh)).await;
        world.proxy.heal();
        results.row(index, &operation, &action, &first, &reply.status.to_string());
        assert_eq!(Session::from_reply(&reply.expect(200)).refresh, lost.refresh);
        tenant.rotate(&lost.refresh).await;
    }
    results.print();
}

#[tokio::test]
async fn a_login_killed_anywhere_works_the_next_time() {
    let world = world();
    let tenant = Tenant::create(&world.stack).await;
    tenant.login().await;
    let calls = operations(&world, async {
        tenant.login().await;
    })
    .await;
    let login = Call::post(tenant.url("/login"))
        .json(&json!({"client_id": APP, "username": USER, "password": PASSWORD}));
    let mut results = Results::of("login");
    for (index, operation, action) in matrix(&calls) {
        let other = tenant.login().await;
        world.proxy.inject(Rule::any(action.clone()).nth(index));
        let (first, reply) = persist(&tenant.http, &login).await;
        world.proxy.heal();
        results.row(index, &operation, &action, &first, &reply.status.to_string());
        let session = Session::from_reply(&reply.expect(200));
        let session = tenant.rotate(&session.refresh).await;
        tenant.sessions(&session.access).await.expect(200);
        tenant.rotate(&other.refresh).await;
        // Families that nobody holds may remain; they are kept few by the limit and end idle.
        let listed = tenant.sessions(&session.access).await.json();
        assert!(listed["sessions"].as_array().is_some_and(|list| list.len() <= 20), "{listed}");
    }
    results.print();
}

#[tokio::test]
async fn a_revocation_killed_anywhere_holds_once_it_is_answered() {
    let world = world();
    let tenant = Tenant::create(&world.stack).await;
    let session = tenant.login().await;
    let calls = operations(&world, async {
        tenant.revoke(&session.refresh).await.expect(200);
    })
    .await;
    let mut results = Results::of("revoke");
    for (index, operation, action) in matrix(&calls) {
        let (session, other) = (tenant.login().await, tenant.login().await);
        let revoke =
            Call::post(tenant.url("/revoke")).form(&[("client_id", APP), ("token", &session.refresh)]);
        world.proxy.inject(Rule::any(action.clone()).nth(index));
        let (first, reply) = persist(&tenant.http, &revoke).await;
        world.proxy.heal();
        results.row(index, &operation, &action, &first, &reply.status.to_string());
        reply.expect(200);
        tenant.refuses(&session.refresh).await;
        tenant.rotate(&other.refresh).await;
    }
    results.print();
}

#[tokio::test]
async fn a_change_of_password_killed_anywhere_leaves_exactly_one_password() {
    let world = world();
    let tenant = Tenant::create(&world.stack).await;
    let mut passwords = ["garnet-Island 4 puzzle", PASSWORD];
    let calls = operations(&world, async {
        tenant.change_password(USER, passwords[1], passwords[0]).await.expect(204);
    })
    .await;
    let mut results = Results::of("password");
    for (index, operation, action) in matrix(&calls) {
        let [current, new] = passwords;
        let session = Session::from_reply(&tenant.login_as(USER, current).await.expect(200));
        let body = json!({"client_id": APP, "username": USER, "password": current, "new_password": new});
        let change = Call::post(tenant.url("/password")).json(&body);
        world.proxy.inject(Rule::any(action.clone()).nth(index));
        let (first, reply) = persist(&tenant.http, &change).await;
        world.proxy.heal();
        results.row(index, &operation, &action, &first, &reply.status.to_string());
        // 401: the change had landed, and the old password is no longer the current one.
        assert!(matches!(reply.status, 204 | 401), "{reply}");
        tenant.login_as(USER, new).await.expect(200);
        tenant.login_as(USER, current).await.expect(401);
        tenant.refuses(&session.refresh).await;
        passwords = [new, current];
    }
    results.print();
}

#[tokio::test]
async fn a_tenants_creation_killed_anywhere_leaves_a_whole_tenant_or_none() {
    let world = world();
    let http = Http::new();
    let calls = operations(&world, async {
        world.stack.operator(&http, &create_command(&fresh_name(), "ES256", &json!({}))).await;
    })
    .await;
    let mut results = Results::of("tenant.create");
    for (index, operation, action) in matrix(&calls) {
        let name = fresh_name();
        let command = create_command(&name, "ES256", &json!({}));
        let url = format!("{}/t/{name}", world.stack.base_url());
        world.proxy.inject(Rule::any(action.clone()).nth(index));
        let killed = world.stack.invoke(&http, &command).await;
        let first = killed.map_or_else(|_| "none".to_owned(), |reply| reply.status.to_string());
        world.proxy.heal();
        // Whole or not there, before anybody tries again.
        let keys = Call::get(format!("{url}/.well-known/jwks.json")).send(&http).await;
        let login = Call::post(format!("{url}/login"))
            .json(&json!({"client_id": APP, "username": ADMIN, "password": ADMIN_PASSWORD}))
            .send(&http)
            .await;
        assert!(matches!((keys.status, login.status), (200, 200) | (404, 401)), "half made: {keys} {login}");
        let answer = created(&world, &http, &command).await;
        results.row(index, &operation, &action, &first, &answer);
        let keys = Call::get(format!("{url}/.well-known/jwks.json")).send(&http).await.expect(200).json();
        assert_eq!(keys["keys"].as_array().map(Vec::len), Some(1), "{keys}");
        let admin = json!({"client_id": APP, "username": ADMIN, "password": ADMIN_PASSWORD});
        let admin = Call::post(format!("{url}/login")).json(&admin).send(&http).await.expect(200);
        let refresh = json!({"client_id": APP, "refresh_token": admin.string("refresh_token")});
        Call::post(format!("{url}/refresh")).json(&refresh).send(&http).await.expect(200);
    }
    results.print();
}

/// Runs a command until the operator function answers; `ok` or the code of its refusal.
async fn created(world: &World, http: &Http, command: &Value) -> String {
    for _ in 0..200 {
        if let Ok(reply) = world.stack.invoke(http, command).await {
            let answer = reply.json();
            if answer.get("ok").is_some() {
                return "ok".to_owned();
            }
            if let Some(code) = answer["error"]["code"].as_str() {
                return code.to_owned();
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    fail("the operator function does not come back")
}
