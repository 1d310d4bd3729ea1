//! The operator function: direct invocation, no route.

use leasehold_tests::http::Call;
use leasehold_tests::stack::shared;
use leasehold_tests::tenant::{
    ADMIN, ADMIN_PASSWORD, API, APP, BACKEND, PASSWORD, Session, Tenant, USER, create_command, fresh_name,
};
use serde_json::{Value, json};

#[tokio::test]
async fn a_new_tenant_is_whole() {
    let http = leasehold_tests::http::Http::new();
    for algorithm in ["RS256", "ES256", "EdDSA"] {
        let name = fresh_name();
        let made = shared().operator(&http, &create_command(&name, algorithm, &json!({}))).await;
        assert_eq!(made["tenant"], name.as_str());
        assert_eq!(made["issuer"], format!("{}/t/{name}", shared().base_url()));
        let clients = made["clients"].as_array().expect("clients");
        let named = |id: &str| clients.iter().any(|client| client["client_id"] == id);
        assert!(named(APP) && named(BACKEND), "{made}");
        let secrets: Vec<&Value> = clients.iter().filter_map(|client| client.get("client_secret")).collect();
        assert_eq!(secrets.len(), 1, "only the confidential client has a secret");
        assert!(secrets[0].as_str().is_some_and(|secret| secret.len() >= 32), "a strong one");
        let keys = Call::get(format!("{}/t/{name}/.well-known/jwks.json", shared().base_url()));
        let keys = keys.send(&http).await.expect(200).json();
        assert_eq!(keys["keys"][0]["kid"], made["kid"]);
        let admin = json!({"client_id": APP, "username": ADMIN, "password": ADMIN_PASSWORD});
        let admin =
            Call::post(format!("{}/t/{name}/login", shared().base_url())).json(&admin).send(&http).await;
        let admin = Session::from_reply(&admin.expect(200));
        assert_eq!(admin.jwt().claims["roles"], json!(["admin"]));
    }
}

#[tokio::test]
async fn the_default_algorithm_is_rs256() {
    let http = leasehold_tests::http::Http::new();
    let mut command = create_command(&fresh_name(), "RS256", &json!({}));
    command.as_object_mut().expect("an object").remove("algorithm");
    command.as_object_mut().expect("an object").remove("policy");
    let made = shared().operator(&http, &command).await;
    let url = format!("{}/.well-known/jwks.json", made["issuer"].as_str().expect("an issuer"));
    assert_eq!(Call::get(url).send(&http).await.expect(200).json()["keys"][0]["alg"], "RS256");
}

#[tokio::test]
async fn a_tenant_is_created_once_and_a_second_try_changes_nothing() {
    let tenant = Tenant::create(shared()).await;
    let session = tenant.login().await;
    let keys = tenant.jwks().await;
    let mut again = create_command(&tenant.name, "RS256", &json!({}));
    again["admin"]["password"] = json!("another-Password 1 for admin");
    shared().operator_refuses(&tenant.http, &again).await;
    assert_eq!(tenant.jwks().await, keys);
    tenant.login_as(ADMIN, ADMIN_PASSWORD).await.expect(200);
    tenant.login_as(ADMIN, "another-Password 1 for admin").await.expect_error(401, "invalid_credentials");
    tenant.rotate(&session.refresh).await;
}

#[tokio::test]
async fn a_tenant_that_must_not_be_is_refused_and_nothing_of_it_is_made() {
    let http = leasehold_tests::http::Http::new();
    let change = |path: &str, value: Value| {
        let mut command = create_command(&fresh_name(), "ES256", &json!({}));
        *command.pointer_mut(path).expect("a member") = value;
        command
    };
    let policy = |member: &str, value: Value| create_command(&fresh_name(), "ES256", &json!({member: value}));
    let client = |member: &str, value: Value| change(&format!("/clients/0/{member}"), value);
    let table = [
        ("no name", change("/tenant", json!(""))),
        ("a name with a delimiter", change("/tenant", json!("a#b"))),
        ("a name in capitals", change("/tenant", json!("Acme"))),
        ("a name with a slash", change("/tenant", json!("a/b"))),
        ("a name with dots", change("/tenant", json!(".."))),
        ("a name with a NUL", change("/tenant", json!("a\u{0}b"))),
        ("a name that looks like another", change("/tenant", json!("аcme"))),
        ("a very long name", change("/tenant", json!("a".repeat(200)))),
        ("a name that is a number", change("/tenant", json!(7))),
        ("an unknown algorithm", change("/algorithm", json!("HS256"))),
        ("no algorithm at all", change("/algorithm", json!("none"))),
        ("an access token too short", policy("access_token_seconds", json!(9))),
        ("an access token too long", policy("access_token_seconds", json!(3601))),
        ("a retry window too long", policy("retry_window_seconds", json!(601))),
        ("a late window too long", policy("late_retry_window_seconds", json!(2_592_001))),
        ("a late limit too high", policy("late_retry_limit", json!(21))),
        ("an idle time too short", policy("idle_seconds", json!(29))),
        ("an absolute time too long", policy("absolute_seconds", json!(34_560_001))),
        ("no sessions at all", policy("max_sessions_per_user", json!(0))),
        ("a negative number", policy("idle_seconds", json!(-1))),
        ("a fraction", policy("idle_seconds", json!(60.5))),
        ("a number as text", policy("idle_seconds", json!("60"))),
        ("a policy that does not exist", policy("no_such_policy", json!(1))),
        ("a client with a delimiter", client("client_id", json!("a#b"))),
        ("a client that could be a user", client("client_id", json!(format!("usr_{}", "0".repeat(32))))),
        ("a client of no type", client("type", json!("secret"))),
        ("a client's scope with a blank", client("scopes", json!(["a b"]))),
        ("a client's scope with a quote", client("scopes", json!(["a\"b"]))),
        ("two clients of one name", client("client_id", json!("shop-backend"))),
        ("an admin with a delimiter", change("/admin/username", json!("a#b"))),
        ("an admin without a name", change("/admin/username", json!(""))),
        ("a password that anybody would guess", change("/admin/password", json!("password"))),
        ("a member that does not exist", {
            let mut command = create_command(&fresh_name(), "ES256", &json!({}));
            command["surprise"] = json!(true);
            command
        }),
    ];
    for (why, command) in table {
        let reply = shared().invoke(&http, &command).await.expect("an answer");
        let answer = reply.json();
        assert!(answer["error"]["code"].is_string(), "{why}: {reply}");
        if let Some(name) = command["tenant"].as_str().filter(|name| name.starts_with('t')) {
            let url = format!("{}/t/{name}/.well-known/jwks.json", shared().base_url());
            assert_eq!(Call::get(url).send(&http).await.status, 404, "{why}");
        }
    }
}

#[tokio::test]
async fn a_policy_out_of_bounds_is_refused_with_the_bounds_named() {
    let http = leasehold_tests::http::Http::new();
    for (member, value, bounds) in [
        ("access_token_seconds", 3601, ["10", "3600"]),
        ("retry_window_seconds", 601, ["0", "600"]),
        ("max_sessions_per_user", 101, ["1", "100"]),
    ] {
        let command = create_command(&fresh_name(), "ES256", &json!({member: value}));
        let answer = shared().invoke(&http, &command).await.expect("an answer").json();
        let message = answer["error"]["message"].as_str().expect("a message");
        assert!(message.contains(member) && bounds.iter().all(|bound| message.contains(bound)), "{message}");
    }
}

#[tokio::test]
async fn users_are_created_with_roles_permissions_and_claims() {
    let tenant = Tenant::create(shared()).await;
    let command = json!({
        "op": "user.create", "tenant": tenant.name, "username": "cleo", "password": PASSWORD,
        "roles": ["buyer", "seller"], "permissions": ["orders:read"], "claims": {"plan": "gold", "level": 3},
    });
    let made = shared().operator(&tenant.http, &command).await;
    let session = Session::from_reply(&tenant.login_as("cleo", PASSWORD).await.expect(200));
    let claims = session.jwt().claims;
    assert_eq!(claims["sub"], made["user_id"]);
    assert_eq!(claims["roles"], json!(["buyer", "seller"]));
    assert_eq!(claims["permissions"], json!(["orders:read"]));
    assert_eq!((&claims["plan"], &claims["level"]), (&json!("gold"), &json!(3)));
}

#[tokio::test]
async fn a_user_that_must_not_be_is_refused() {
    let tenant = Tenant::create(shared()).await;
    let good = json!({
        "op": "user.create", "tenant": tenant.name, "username": "cleo", "password": PASSWORD, "roles": ["user"],
    });
    let change = |member: &str, value: Value| {
        let mut command = good.clone();
        command[member] = value;
        command
    };
    let mut table = vec![
        ("a name that is taken", change("username", json!(USER))),
        ("a name that is taken, in capitals", change("username", json!(USER.to_uppercase()))),
        ("a name with a delimiter", change("username", json!("a#b"))),
        ("a name with a blank", change("username", json!("a b"))),
        ("no name", change("username", json!(""))),
        ("a very long name", change("username", json!("a".repeat(500)))),
        ("a password that anybody would guess", change("password", json!("password1"))),
        ("a short password", change("password", json!("x1y2"))),
        ("an endless password", change("password", json!("x1 ".repeat(1000)))),
        ("an unknown tenant", change("tenant", json!(fresh_name()))),
        ("roles that are no list", change("roles", json!("admin"))),
        ("claims that are no object", change("claims", json!([1]))),
        ("claims too large for a token", change("claims", json!({"note": "x".repeat(6000)}))),
    ];
    for claim in [
        "iss",
        "sub",
        "aud",
        "exp",
        "nbf",
        "iat",
        "jti",
        "client_id",
        "scope",
        "sid",
        "tid",
        "ep",
        "roles",
        "cnf",
    ] {
        table.push(("a registered claim", change("claims", json!({claim: "x"}))));
    }
    for (why, command) in table {
        let reply = shared().invoke(&tenant.http, &command).await.expect("an answer");
        assert!(reply.json()["error"]["code"].is_string(), "{why}: {command:.200}: {reply}");
    }
    tenant.login_as("cleo", PASSWORD).await.expect_error(401, "invalid_credentials");
    tenant.login().await;
}

#[tokio::test]
async fn one_name_is_given_once_when_many_ask_for_it() {
    let tenant = Tenant::create(shared()).await;
    let made = crate::support::together(8, |i| {
        let tenant = tenant.clone();
        async move {
            let command = json!({
                "op": "user.create", "tenant": tenant.name, "username": "cleo",
                "password": format!("{PASSWORD} {i}"), "roles": ["user"],
            });
            shared().invoke(&tenant.http, &command).await.expect("an answer").json()
        }
    })
    .await;
    assert_eq!(made.iter().filter(|answer| answer.get("ok").is_some()).count(), 1, "{made:?}");
    let mut working = 0;
    for i in 0..8 {
        working += usize::from(tenant.login_as("cleo", &format!("{PASSWORD} {i}")).await.status == 200);
    }
    assert_eq!(working, 1);
}

#[tokio::test]
async fn one_tenant_is_made_when_many_ask_for_it() {
    let http = leasehold_tests::http::Http::new();
    let name = fresh_name();
    let made = crate::support::together(6, |_| {
        let (http, command) = (http.clone(), create_command(&name, "ES256", &json!({})));
        async move { shared().invoke(&http, &command).await.expect("an answer").json() }
    })
    .await;
    let winners: Vec<&Value> = made.iter().filter_map(|answer| answer.get("ok")).collect();
    assert_eq!(winners.len(), 1, "{made:?}");
    let url = format!("{}/t/{name}/.well-known/jwks.json", shared().base_url());
    let keys = Call::get(url).send(&http).await.expect(200).json();
    assert_eq!(keys["keys"].as_array().map(Vec::len), Some(1));
    assert_eq!(keys["keys"][0]["kid"], winners[0]["kid"]);
}

#[tokio::test]
async fn clients_are_added_later_and_a_secret_is_told_once() {
    let tenant = Tenant::create(shared()).await;
    let command = json!({
        "op": "client.create", "tenant": tenant.name, "client_id": "late-backend", "type": "confidential",
        "audiences": [API], "scopes": ["read"], "origins": [],
    });
    let made = shared().operator(&tenant.http, &command).await;
    let secret = made["client_secret"].as_str().expect("a secret");
    let login = |secret: &str| {
        Call::post(tenant.url("/login"))
            .basic("late-backend", secret)
            .json(&json!({"client_id": "late-backend", "username": USER, "password": PASSWORD}))
            .send(&tenant.http)
    };
    login(secret).await.expect(200);
    login("wrong").await.expect_error(401, "invalid_client");
    shared().operator_refuses(&tenant.http, &command).await;
    login(secret).await.expect(200);
}

#[tokio::test]
async fn suspension_is_total_at_once_and_resuming_brings_no_old_token_back() {
    let tenant = Tenant::create(shared()).await;
    let session = tenant.login().await;
    let command = |op: &str| json!({"op": op, "tenant": tenant.name});
    shared().operator(&tenant.http, &command("tenant.suspend")).await;
    tenant.refuses(&session.refresh).await;
    tenant.login_as(USER, PASSWORD).await.expect_error(401, "invalid_credentials");
    tenant.sessions(&session.access).await.expect(401);
    Call::get(tenant.url("/.well-known/jwks.json")).send(&tenant.http).await.expect(404);
    shared().operator(&tenant.http, &command("tenant.resume")).await;
    tenant.refuses(&session.refresh).await;
    tenant.sessions(&session.access).await.expect(401);
    let anew = tenant.login().await;
    tenant.rotate(&anew.refresh).await;
    tenant.sessions(&anew.access).await.expect(200);
}

#[tokio::test]
async fn what_is_no_command_is_refused() {
    let http = leasehold_tests::http::Http::new();
    for command in [
        json!({}),
        json!([]),
        json!("tenant.create"),
        json!({"op": "tenant.explode"}),
        json!({"op": 7}),
        json!({"op": "tenant.create"}),
        json!({"op": "tenant.suspend", "tenant": fresh_name()}),
        json!({"op": "tenant.resume", "tenant": "no#such"}),
        json!({"op": "user.disable", "tenant": fresh_name(), "username": "x"}),
    ] {
        let reply = shared().invoke(&http, &command).await.expect("an answer");
        assert!(reply.json()["error"]["code"].is_string(), "{command}: {reply}");
    }
}

#[tokio::test]
async fn the_schedule_may_be_run_at_any_time() {
    let http = leasehold_tests::http::Http::new();
    shared().operator(&http, &json!({"op": "schedule.run"})).await;
    shared().operator(&http, &json!({"op": "schedule.run"})).await;
}

#[tokio::test]
async fn no_route_leads_to_the_operator() {
    let tenant = Tenant::create(shared()).await;
    let command = json!({"op": "tenant.suspend", "tenant": tenant.name});
    for path in
        ["/operator", "/t/operator", "/functions/operator", "/2015-03-31/functions/operator/invocations"]
    {
        let reply =
            Call::post(format!("{}{path}", shared().base_url())).json(&command).send(&tenant.http).await;
        assert_eq!(reply.status, 404, "{path}: {reply}");
    }
    tenant.login().await;
}
