//! Stops, power cuts and new settings: whatever was promised before holds after.

use std::process::Command;

use leasehold_tests::http::{Call, Http};
use leasehold_tests::process;
use leasehold_tests::settings::binaries;
use leasehold_tests::stack::{Setup, Stack, free_port, fresh_folder};
use leasehold_tests::table::Table;
use leasehold_tests::tenant::{PASSWORD, Tenant, USER};

use crate::support::{eventually, seconds};

#[tokio::test]
async fn sessions_lost_replies_and_revocations_survive_a_restart_of_everything() {
    let setup = Setup::default().data(&fresh_folder()).port(free_port());
    let mut stack = setup.clone().start();
    let tenant = Tenant::create(&stack).await;
    let held = tenant.login().await;
    let behind = tenant.login().await;
    let lost = tenant.rotate(&behind.refresh).await;
    let revoked = tenant.login().await;
    tenant.revoke(&revoked.refresh).await.expect(200);
    let keys = tenant.jwks().await;
    assert_eq!(stack.stop(), Some(0), "a clean end");
    drop(stack);

    let mut stack = setup.clone().start();
    // Connections to the old stack are worth nothing.
    let tenant = Tenant { http: Http::new(), ..tenant };
    assert_eq!(tenant.jwks().await, keys, "the same keys");
    tenant.refuses(&revoked.refresh).await;
    assert_eq!(tenant.rotate(&behind.refresh).await.refresh, lost.refresh, "the retry's answer was kept");
    let held = tenant.rotate(&held.refresh).await;

    // And once more, with the power cut while requests are under way.
    let under_way = tokio::spawn({
        let (tenant, token) = (tenant.clone(), held.refresh.clone());
        async move { tenant.refresh_call(&token).try_send(&tenant.http).await }
    });
    tokio::task::yield_now().await;
    stack.cut_power();
    let answered = under_way.await.expect("it ends").ok().filter(|reply| reply.status == 200);
    drop(stack);
    let _stack = setup.start();
    let tenant = Tenant { http: Http::new(), ..tenant };
    let next = tenant.rotate(&held.refresh).await;
    if let Some(reply) = answered {
        assert_eq!(next.refresh, reply.string("refresh_token"), "what was answered was durable");
    }
    tenant.rotate(&next.refresh).await;
    tenant.refuses(&revoked.refresh).await;
}

#[tokio::test]
async fn a_stack_has_a_process_per_instance_and_leaves_none_behind() {
    let mut stack = Setup::default().instances(2).start();
    let functions = ["login", "refresh", "revoke", "jwks", "introspect", "authorizer", "sample"];
    for function in functions {
        assert_eq!(stack.instances_of(function).len(), 2, "{function}");
    }
    assert!(!stack.instances_of("operator").is_empty());
    let pids: Vec<u32> = functions.iter().flat_map(|name| stack.instances_of(name)).collect();
    assert_eq!(stack.stop(), Some(0));
    for pid in pids {
        assert_eq!(process::program(pid), None, "process {pid} stays behind");
    }
}

#[tokio::test]
async fn a_function_that_dies_is_started_again() {
    let stack = Setup::default().start();
    let tenant = Tenant::create(&stack).await;
    let mut session = tenant.login().await;
    for _ in 0..3 {
        for pid in stack.instances_of("refresh") {
            process::kill_now(pid);
        }
        eventually("the refresh function is back", seconds(10), async || {
            !stack.instances_of("refresh").is_empty()
        })
        .await;
        eventually("the session goes on", seconds(10), async || {
            tenant.refresh(&session.refresh).await.status == 200
        })
        .await;
        session = tenant.rotate(&session.refresh).await;
    }
}

#[tokio::test]
async fn a_port_that_is_taken_gives_a_message_and_no_process() {
    let stack = Setup::default().start();
    let port = stack.gateway().port().to_string();
    let other = fresh_folder();
    std::fs::create_dir_all(&other).expect("a folder");
    let output = Command::new(binaries().join("leasehold-local"))
        .args([
            "--port",
            &port,
            "--dynamodb-port",
            "0",
            "--kms-port",
            "0",
            "--lambda-port",
            "0",
            "--no-seed",
            "--data",
        ])
        .arg(&other)
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(!output.status.success(), "{said}");
    assert!(said.contains(&port), "the message names the port: {said}");
    assert!(!said.contains("panicked"), "{said}");
}

#[tokio::test]
async fn a_hash_of_old_parameters_is_made_anew_at_the_next_login() {
    let setup = Setup::default().data(&fresh_folder()).port(free_port());
    let stack = setup.clone().start();
    let tenant = Tenant::create(&stack).await;
    let memory = async |stack: &Stack| {
        let table = Table::open(&stack.endpoint("dynamodb"), &tenant.http).await;
        let items = table.dump_tenant(&tenant.name).await;
        // The hash of the user, not of the admin: the one that changes.
        let dump: String = items.iter().map(ToString::to_string).collect();
        let mut found: Vec<String> =
            dump.split("$m=").skip(1).filter_map(|rest| rest.split(',').next().map(str::to_owned)).collect();
        found.sort();
        found
    };
    assert_eq!(memory(&stack).await, ["256", "256"]);
    let session = tenant.login().await;
    drop(stack);
    let stack = setup.function_env("ARGON2_MEMORY_KIB", "512").start();
    let tenant = Tenant { http: Http::new(), ..tenant.clone() };
    tenant.login_as(USER, "not the right password").await.expect(401);
    assert_eq!(memory(&stack).await, ["256", "256"], "a failed login changes no hash");
    tenant.login().await;
    assert_eq!(memory(&stack).await, ["256", "512"]);
    tenant.login_as(USER, PASSWORD).await.expect(200);
    tenant.rotate(&session.refresh).await;
}

#[tokio::test]
async fn a_seeded_stack_writes_down_what_scripts_need() {
    let setup = Setup::default().data(&fresh_folder()).port(free_port()).seed();
    let stack = setup.clone().start();
    let seed = stack.seed().clone();
    let http = Http::new();
    for (name, algorithm) in [("acme", "RS256"), ("globex", "ES256")] {
        let tenant = &seed["tenants"][name];
        assert_eq!(tenant["issuer"], format!("{}/t/{name}", stack.base_url()));
        let users = tenant["users"].as_array().expect("users");
        assert!(users.len() >= 2 && !users[0]["roles"].to_string().contains("admin"), "{tenant}");
        assert!(users[1]["roles"].to_string().contains("admin"), "{tenant}");
        for user in users {
            let login = serde_json::json!({
                "client_id": tenant["client_id"], "username": user["username"], "password": user["password"],
            });
            let url = format!("{}/t/{name}/login", stack.base_url());
            let reply = Call::post(url).json(&login).send(&http).await.expect(200);
            let header = leasehold_tests::token::Jwt::parse(&reply.string("access_token")).header;
            assert_eq!(header["alg"], algorithm);
        }
    }
    drop(stack);
    // A second start on the same data keeps what is there.
    let again = setup.start();
    assert_eq!(again.seed()["tenants"], seed["tenants"]);
}

#[tokio::test]
async fn the_example_tenants_take_another_policy_from_a_file() {
    let data = fresh_folder();
    std::fs::create_dir_all(&data).expect("a folder");
    let file = data.join("policy.json");
    std::fs::write(&file, r#"{"access_token_seconds": 33, "idle_seconds": 44}"#).expect("a file");
    let stack = Setup::default().data(&data).policy(&file).seed().start();
    let tenant = &stack.seed()["tenants"]["globex"];
    let user = &tenant["users"][0];
    let login = serde_json::json!({
        "client_id": tenant["client_id"], "username": user["username"], "password": user["password"],
    });
    let url = format!("{}/t/globex/login", stack.base_url());
    let reply = Call::post(url).json(&login).send(&Http::new()).await.expect(200);
    assert_eq!((reply.number("expires_in"), reply.number("refresh_token_expires_in")), (33, 44));
}
