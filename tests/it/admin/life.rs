//! The end of a tenant.

use leasehold_tests::http::Call;
use leasehold_tests::stack::Setup;
use leasehold_tests::table::Table;
use leasehold_tests::tenant::{APP, PASSWORD, Tenant, USER, create_command};
use serde_json::{Value, json};

use crate::support::{days, eventually, minutes, timed};

#[tokio::test]
async fn a_deleted_tenant_ends_at_once_and_its_data_goes_in_the_background() {
    let stack = Setup::default().start();
    let (tenant, other) = (Tenant::create(&stack).await, Tenant::create(&stack).await);
    let admin = tenant.admin().await;
    let lines: Vec<String> = (0..130).map(|n| format!(r#"{{"username":"u{n}"}}"#)).collect();
    let call = admin.call("POST", "/users/import").body("application/x-ndjson", lines.join("\n"));
    admin.send(call).await.expect(200);
    let (session, bystander) = (tenant.login().await, other.login().await);
    let delete = json!({"op": "tenant.delete", "tenant": tenant.name});
    assert_eq!(stack.operator(&tenant.http, &delete).await["status"], "deleted");
    tenant.refuses(&session.refresh).await;
    tenant.sessions(&session.access).await.expect(401);
    admin.get("/users").await.expect_problem(401, "invalid_token");
    tenant.login_as(USER, PASSWORD).await.expect_error(401, "invalid_credentials");
    Call::get(tenant.url("/.well-known/jwks.json")).send(&tenant.http).await.expect(404);
    assert_eq!(stack.operator_refuses(&tenant.http, &delete).await, "not_found");
    for op in ["tenant.suspend", "tenant.resume"] {
        let command = json!({"op": op, "tenant": tenant.name});
        assert_eq!(stack.operator_refuses(&tenant.http, &command).await, "not_found");
    }
    let show = json!({"op": "tenant.show", "tenant": tenant.name});
    assert_eq!(stack.operator(&tenant.http, &show).await["deletion"]["done_at"], Value::Null);
    eventually("the data is gone", minutes(1), || async {
        stack.operator(&tenant.http, &json!({"op": "schedule.run"})).await;
        stack.operator(&tenant.http, &show).await["deletion"]["done_at"].is_number()
    })
    .await;
    let deletion = stack.operator(&tenant.http, &show).await["deletion"].clone();
    assert_eq!((&deletion["users"], &deletion["clients"]), (&json!(132), &json!(3)));
    let table = Table::open(&stack.endpoint("dynamodb"), &tenant.http).await;
    let left = table.dump_tenant(&tenant.name).await;
    for item in &left {
        let (pk, sk) =
            (item["PK"]["S"].as_str().unwrap_or_default(), item["SK"]["S"].as_str().unwrap_or_default());
        let kept = sk == "TENANT"
            || ["#A#", "#R#", "#X#", "#H#"].iter().any(|part| pk.contains(part))
            || pk.starts_with("TENANTS#");
        assert!(kept, "left over: {pk} {sk}");
    }
    assert!(!Value::from(left).to_string().contains("password"), "no hash is left");
    // The id is never used again, and nobody else was touched.
    let again = create_command(&tenant.name, "ES256", &json!({}));
    assert_eq!(stack.operator_refuses(&tenant.http, &again).await, "already_exists");
    other.rotate(&bystander.refresh).await;
}

#[tokio::test]
async fn the_keys_of_a_deleted_tenant_end_and_it_leaves_the_directory() {
    let timed = timed().await;
    let tenant = Tenant::create(&timed.stack).await;
    let wrapped = Tenant::create_with(&timed.stack, "EdDSA", json!({"custody": "wrapped"})).await;
    let run = async || timed.stack.operator(&tenant.http, &json!({"op": "schedule.run"})).await;
    for gone in [&tenant, &wrapped] {
        timed.stack.operator(&gone.http, &json!({"op": "tenant.delete", "tenant": gone.name})).await;
    }
    run().await;
    let keys = async |tenant: &Tenant| {
        let show = json!({"op": "tenant.show", "tenant": tenant.name});
        timed.stack.operator(&tenant.http, &show).await["keys"].clone()
    };
    assert!(keys(&tenant).await[0]["disabled_at"].is_number(), "unable to sign at once");
    timed.clock.advance(days(8));
    run().await;
    assert_eq!((keys(&tenant).await, keys(&wrapped).await), (json!([]), json!([])));
    run().await;
    let mut listed = Vec::new();
    let mut cursor = Value::Null;
    loop {
        let mut list = json!({"op": "tenant.list"});
        if !cursor.is_null() {
            list["cursor"] = cursor;
        }
        let page = timed.stack.operator(&tenant.http, &list).await;
        listed.extend(page["tenants"].as_array().expect("tenants").clone());
        cursor = page["next_cursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    assert!(!listed.contains(&json!(tenant.name)) && !listed.contains(&json!(wrapped.name)), "{listed:?}");
    let table = Table::open(&timed.stack.endpoint("dynamodb"), &tenant.http).await;
    let left = table.dump_tenant(&wrapped.name).await;
    assert!(!Value::from(left).to_string().contains("WRAPPED#"), "the wrapped private half is gone");
}

#[tokio::test]
async fn a_removal_that_is_cut_short_goes_on() {
    use leasehold_tests::proxy::{Action, Proxy, Rule};
    let proxy = Proxy::start();
    let stack = Setup::default().through(&proxy).start();
    let tenant = Tenant::create(&stack).await;
    let admin = tenant.admin().await;
    let lines: Vec<String> = (0..40).map(|n| format!(r#"{{"username":"u{n}"}}"#)).collect();
    let call = admin.call("POST", "/users/import").body("application/x-ndjson", lines.join("\n"));
    admin.send(call).await.expect(200);
    tenant.login().await;
    stack.operator(&tenant.http, &json!({"op": "tenant.delete", "tenant": tenant.name})).await;
    for n in [3, 9, 20, 50] {
        proxy.inject(Rule::any(Action::KillAfter).nth(n));
        drop(stack.invoke(&tenant.http, &json!({"op": "schedule.run"})).await);
        proxy.heal();
    }
    let show = json!({"op": "tenant.show", "tenant": tenant.name});
    eventually("the data is gone", minutes(1), || async {
        drop(stack.invoke(&tenant.http, &json!({"op": "schedule.run"})).await);
        let shown = stack.invoke(&tenant.http, &show).await;
        shown.is_ok_and(|reply| reply.json()["ok"]["deletion"]["done_at"].is_number())
    })
    .await;
    let table = Table::open(&stack.endpoint("dynamodb"), &tenant.http).await;
    let left = Value::from(table.dump_tenant(&tenant.name).await).to_string();
    assert!(!left.contains("#U#") && !left.contains("#N#") && !left.contains(APP), "{left}");
}
