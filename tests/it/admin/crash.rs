//! `kill -9` of the function before and after every AWS call of every step of a key and of a tenant; then the schedule.
//! The ring must be whole, no session lost, and no key left over in KMS. The table of results is printed.

use std::time::Duration;

use leasehold_tests::clock::Clock;
use leasehold_tests::http::{Call, fail};
use leasehold_tests::proxy::{Action, Proxy, Rule};
use leasehold_tests::settings;
use leasehold_tests::stack::{Setup, Stack};
use leasehold_tests::tenant::{Admin, Session, Tenant};
use serde_json::{Value, json};

use crate::support::{kms_keys, minutes, report};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    Rotate,
    RotateAtOnce,
    RotateToWrapped,
    Promote,
    RollBack,
    Retain,
    Compromise,
    CompromiseWrapped,
    Spare,
    Suspend,
    Delete,
}

const CASES: [Case; 11] = [
    Case::Rotate,
    Case::RotateAtOnce,
    Case::RotateToWrapped,
    Case::Promote,
    Case::RollBack,
    Case::Retain,
    Case::Compromise,
    Case::CompromiseWrapped,
    Case::Spare,
    Case::Suspend,
    Case::Delete,
];

/// A tenant before the step, and the step.
struct Scene {
    tenant: Tenant,
    session: Session,
    call: Call,
}

impl Case {
    async fn scene(self, stack: &Stack) -> Scene {
        let policy = match self {
            Self::CompromiseWrapped => json!({"custody": "wrapped"}),
            Self::Spare => json!({"spare_key": true}),
            _ => json!({}),
        };
        let tenant = Tenant::with_policy(stack, policy).await;
        let admin = tenant.admin().await;
        let session = tenant.login().await;
        let signing = admin.get("/keys").await.expect(200).string("signing");
        let forced = json!({"force": true});
        let step = |path: String, body: &Value| admin.call("POST", &path).json(body);
        let operator = |command: Value| {
            let url = format!("{}/2015-03-31/functions/operator/invocations", stack.endpoint("lambda"));
            Call::post(url).json(&command)
        };
        let call = match self {
            Self::Rotate => step("/keys/rotate".to_owned(), &json!({})),
            Self::RotateAtOnce => step("/keys/rotate".to_owned(), &forced),
            Self::RotateToWrapped => {
                step("/keys/rotate".to_owned(), &json!({"force": true, "custody": "wrapped"}))
            }
            Self::Promote => {
                let rotated = admin.post("/keys/rotate", &json!({})).await.expect(200).json();
                step(format!("/keys/{}/promote", rotated["key"]["kid"].as_str().unwrap_or_default()), &forced)
            }
            Self::RollBack => {
                admin.post("/keys/rotate", &forced).await.expect(200);
                step(format!("/keys/{signing}/rollback"), &json!({}))
            }
            Self::Retain => step(format!("/keys/{signing}/retain"), &json!({})),
            Self::Compromise | Self::CompromiseWrapped => {
                step(format!("/keys/{signing}/compromise"), &json!({}))
            }
            Self::Spare => operator(json!({"op": "schedule.run"})),
            Self::Suspend => operator(json!({"op": "tenant.suspend", "tenant": tenant.name})),
            Self::Delete => operator(json!({"op": "tenant.delete", "tenant": tenant.name})),
        };
        Scene { tenant, session, call }
    }
}

/// Runs an operator command until the function, which may have to start again, answers.
async fn operator(stack: &Stack, tenant: &Tenant, command: Value) -> Value {
    for _ in 0..200 {
        if let Ok(reply) = stack.invoke(&tenant.http, &command).await {
            let answer = reply.json();
            if answer.get("ok").is_some() || answer["error"]["code"].is_string() {
                return answer;
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    fail("the operator function does not come back")
}

#[tokio::test]
async fn a_step_killed_anywhere_leaves_a_whole_ring_and_no_key_over() {
    let mut rows = vec!["step: kill -9 of the function, then the schedule".to_owned()];
    for case in CASES {
        // A stack for each, since the schedule visits every tenant there is.
        let (proxy, clock) = (Proxy::start(), Clock::start());
        let stack = Setup::default().clock(&clock).through(&proxy).start();
        let scene = case.scene(&stack).await;
        let mark = proxy.mark();
        scene.call.send(&scene.tenant.http).await.expect(200);
        let calls = proxy.operations_since(mark);
        assert!(!calls.is_empty(), "{case:?} asks AWS for nothing");
        // Between two calls that change nothing a crash changes nothing: every day the others, `CALLS=1` for the record.
        let all = settings::number("CALLS", 0) > 0;
        for (at, operation) in calls.iter().enumerate().filter(|(_, operation)| all || changes(operation)) {
            for action in [Action::KillBefore, Action::KillAfter] {
                let scene = case.scene(&stack).await;
                proxy.inject(Rule::any(action.clone()).nth(at + 1));
                let first = scene.call.clone().try_send(&scene.tenant.http).await;
                proxy.heal();
                let first = first.map_or_else(|_| "none".to_owned(), |reply| reply.status.to_string());
                let when = if action == Action::KillBefore { "before" } else { "after" };
                // Old enough for the janitor, who first disables what is in no ring, then has it deleted.
                clock.advance(minutes(61));
                let state = check(&stack, case, &scene).await;
                rows.push(format!(
                    "{case:?} | {when:<6} call {:>2} {operation:<36} | {first:<4} | {state}",
                    at + 1
                ));
            }
        }
    }
    report(&rows);
}

fn changes(operation: &str) -> bool {
    let reads = ["BatchGetItem", "Query", "GetPublicKey", "ListKeys", "ListResourceTags", "DescribeKey"];
    !reads.contains(&operation)
}

/// Runs the schedule until nothing is due, and checks what must be so whatever the crash cut off.
async fn check(stack: &Stack, case: Case, scene: &Scene) -> String {
    let Scene { tenant, session, .. } = scene;
    for _ in 0..2 {
        operator(stack, tenant, json!({"op": "schedule.run"})).await;
    }
    let shown =
        operator(stack, tenant, json!({"op": "tenant.show", "tenant": tenant.name})).await["ok"].clone();
    let keys = shown["keys"].as_array().expect("keys").clone();
    let states: Vec<&str> = keys.iter().filter_map(|key| key["state"].as_str()).collect();
    let in_kms = keys.iter().filter(|key| key["custody"] == "kms" && key["disabled_at"].is_null()).count();
    assert_eq!(kms_keys(stack, tenant).await[0], in_kms, "{case:?}: KMS has what the ring has: {shown}");
    match shown["status"].as_str() {
        Some("active") => {
            assert_eq!(states.iter().filter(|state| **state == "active").count(), 1, "{case:?}: {shown}");
            let next = tenant.rotate(&session.refresh).await;
            tenant.sessions(&next.access).await.expect(200);
            tenant.login().await;
        }
        Some("suspended" | "deleted") => {
            tenant.refuses(&session.refresh).await;
        }
        other => fail(&format!("{case:?}: {other:?}")),
    }
    if case == Case::Suspend {
        operator(stack, tenant, json!({"op": "tenant.resume", "tenant": tenant.name})).await;
        tenant.login().await;
    }
    let admin_works = shown["status"] == "active" && works(&tenant.admin().await).await;
    assert!(admin_works || shown["status"] != "active", "{case:?}: {shown}");
    format!("{} {states:?}", shown["status"].as_str().unwrap_or_default())
}

async fn works(admin: &Admin) -> bool {
    admin.get("/keys").await.status == 200
}
