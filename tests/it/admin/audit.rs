//! Who did what: every change of an admin has an entry, and none holds a secret.

use std::collections::BTreeSet;

use leasehold_tests::stack::shared;
use leasehold_tests::tenant::{ADMIN, APP, BACKEND, Tenant, USER};
use serde_json::{Value, json};

use crate::support::{days, timed};

#[tokio::test]
async fn every_change_has_an_entry_with_actor_and_outcome_and_no_secret() {
    let tenant = Tenant::create(shared()).await;
    let admin = tenant.admin().await;
    let me = admin.user(ADMIN).await["user_id"].clone();
    let ada = admin.user(USER).await["user_id"].as_str().expect("an id").to_owned();
    let sid = tenant.login().await.sid;
    let first = admin.get("/keys").await.json()["signing"].as_str().expect("a kid").to_owned();
    let mut secrets = vec![tenant.secret.clone()];
    let made = admin.post("/users", &json!({"username": "bob"})).await.expect(201);
    secrets.push(made.string("code"));
    let bob = made.json()["user"]["user_id"].as_str().expect("an id").to_owned();
    secrets.push(admin.post(&format!("/users/{ada}/reset"), &json!({})).await.expect(200).string("code"));
    let body = json!({"client_id": "till", "type": "confidential"});
    secrets.push(admin.post("/clients", &body).await.expect(201).string("client_secret"));
    secrets.push(admin.post("/clients/till/secret", &json!({})).await.expect(200).string("client_secret"));
    admin.patch(&format!("/users/{ada}"), "*", &json!({"claims": {"a": 1}})).await.expect(200);
    admin.delete(&format!("/users/{ada}/sessions/{sid}")).await.expect(204);
    admin.delete(&format!("/users/{ada}/sessions")).await.expect(204);
    admin.delete(&format!("/users/{bob}")).await.expect(204);
    admin.patch("/clients/till", "*", &json!({"scopes": ["x"]})).await.expect(200);
    admin.delete("/clients/till").await.expect(204);
    admin.patch("/policy", "*", &json!({"idle_seconds": 1000})).await.expect(200);
    let second = admin.post("/keys/rotate", &json!({})).await.expect(200).json();
    let second = second["key"]["kid"].as_str().expect("a kid").to_owned();
    admin.post(&format!("/keys/{second}/promote"), &json!({"force": true})).await.expect(200);
    admin.post(&format!("/keys/{first}/rollback"), &json!({})).await.expect(200);
    admin.post(&format!("/keys/{second}/retain"), &json!({})).await.expect(200);
    admin.post(&format!("/keys/{second}/compromise"), &json!({})).await.expect(200);
    let import = admin.call("POST", "/users/import").body("application/x-ndjson", r#"{"username":"kim"}"#);
    admin.send(import).await.expect(200);
    admin.get("/export").await.expect(200);
    admin.delete("/sessions").await.expect(204);
    let admin = tenant.admin().await;
    let audit = admin.audit().await;
    let own: Vec<&Value> = audit.iter().filter(|entry| entry["actor"]["id"] == me).collect();
    let actions: BTreeSet<&str> = own.iter().filter_map(|entry| entry["action"].as_str()).collect();
    let wanted = [
        "client.create",
        "client.delete",
        "client.secret",
        "client.update",
        "key.compromise",
        "key.promote",
        "key.retain",
        "key.roll_back",
        "key.rotate",
        "policy.update",
        "session.end",
        "tenant.sign_out",
        "user.create",
        "user.delete",
        "user.export",
        "user.import",
        "user.reset",
        "user.sign_out",
        "user.update",
    ];
    for action in wanted {
        assert!(actions.contains(action), "{action} is missing in {actions:?}");
    }
    for entry in &own {
        assert_eq!((&entry["outcome"], &entry["actor"]["kind"]), (&json!("ok"), &json!("user")), "{entry}");
        assert!(
            entry["source"] == "127.0.0.1" && entry["at"].is_number() && entry["id"].is_string(),
            "{entry}"
        );
    }
    let text = Value::from(audit).to_string();
    for secret in secrets {
        assert!(!text.contains(&secret) && !text.contains(&secret[4..]), "a secret is in the log");
    }
}

#[tokio::test]
async fn what_is_refused_has_an_entry_too_and_strangers_leave_none() {
    let tenant = Tenant::create(shared()).await;
    let admin = tenant.admin().await;
    let narrow = tenant.admin_as(ADMIN, leasehold_tests::tenant::ADMIN_PASSWORD, Some("admin:users")).await;
    narrow.post("/keys/rotate", &json!({})).await.expect_problem(403, "insufficient_scope");
    admin.post("/users", &json!({"username": USER})).await.expect_problem(409, "already_exists");
    admin.delete(&format!("/clients/{BACKEND}x")).await.expect_problem(404, "not_found");
    let session = tenant.login().await;
    let mut stranger = admin.clone();
    stranger.token = session.access;
    stranger.delete(&format!("/clients/{APP}")).await.expect_problem(401, "invalid_token");
    let audit = admin.audit().await;
    let refused: Vec<(&str, &str)> = audit
        .iter()
        .filter(|entry| entry["outcome"] == "refused")
        .filter_map(|entry| Some((entry["action"].as_str()?, entry["reason"].as_str()?)))
        .collect();
    let expected = [
        ("client.delete", "not_found"),
        ("user.create", "already_exists"),
        ("key.rotate", "insufficient_scope"),
    ];
    assert_eq!(refused, expected);
}

#[tokio::test]
async fn the_log_is_read_backwards_over_days_and_within_bounds() {
    let timed = timed().await;
    let tenant = Tenant::create(&timed.stack).await;
    let mut moments = Vec::new();
    for n in 0..4 {
        let admin = tenant.admin().await;
        moments.push(timed.clock.now());
        admin.patch("/policy", "*", &json!({"idle_seconds": 1000 + n})).await.expect(200);
        timed.clock.advance(days(3));
    }
    let admin = tenant.admin().await;
    let audit = admin.audit().await;
    let changes: Vec<i64> = audit
        .iter()
        .filter(|entry| entry["action"] == "policy.update")
        .filter_map(|entry| entry["at"].as_i64())
        .collect();
    assert_eq!(changes.len(), 4);
    assert!(changes.windows(2).all(|pair| pair[0] > pair[1]), "the newest first: {changes:?}");
    let path = format!("/audit?since={}&until={}", moments[1] - 5, moments[2] + 5);
    let some = admin.get(&path).await.expect(200).json();
    assert_eq!(some["items"].as_array().map(Vec::len), Some(2), "{some}");
    let mut cursor = String::new();
    let mut paged = Vec::new();
    loop {
        let page = admin.get(&format!("/audit?limit=1{cursor}")).await.expect(200).json();
        paged.extend(page["items"].as_array().expect("items").clone());
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(paged, audit, "page by page it is the same");
    for query in
        ["since=x", "until=-1", "since=99999999999999", "limit=0", "limit=101", "limit=x", "cursor=x"]
    {
        admin.get(&format!("/audit?{query}")).await.expect_problem(400, "invalid_request");
    }
}
