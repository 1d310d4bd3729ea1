//! Who did what: every change of an admin has an entry, and none holds a secret.

use std::collections::BTreeSet;

use leasehold_admin::{Route, TABLE};
use leasehold_tests::http::{Call, Reply};
use leasehold_tests::stack::shared;
use leasehold_tests::tenant::{ADMIN, APP, Admin, BACKEND, Tenant, USER};
use serde_json::{Value, json};

use crate::support::{days, timed};

/// An admin who notes which routes were gone through, and looks for the entry that each must leave.
struct Audited {
    admin: Admin,
    me: Value,
    gone: BTreeSet<&'static str>,
}

impl Audited {
    /// Sends a call, which must succeed, to the route of this key; its entry names the admin, the action and the outcome.
    async fn go(&mut self, key: &str, call: Call) -> Reply {
        let route = route(key);
        let action = json!(route.action.expect("a route that changes something"));
        let own = |entry: &&Value| {
            entry["action"] == action && entry["actor"]["id"] == self.me && entry["outcome"] == "ok"
        };
        let before = self.admin.audit().await.iter().filter(own).count();
        let reply = self.admin.send(call).await;
        assert!((200..300).contains(&reply.status), "{key}: {reply}");
        if key == "DELETE /t/{tenant}/admin/sessions" {
            // It ends the token that it came with; the caller looks for its entry.
            self.gone.insert(route.key);
            return reply;
        }
        let audit = self.admin.audit().await;
        let entries: Vec<&Value> = audit.iter().filter(own).collect();
        assert_eq!(entries.len(), before + 1, "{key}: {audit:?}");
        let entry = entries[0];
        assert_eq!(entry["actor"]["kind"], "user", "{entry}");
        assert!(
            entry["source"] == "127.0.0.1" && entry["at"].is_number() && entry["id"].is_string(),
            "{entry}"
        );
        self.gone.insert(route.key);
        reply
    }

    /// The same, by method and path of the route with its parameters filled in.
    async fn act(&mut self, key: &str, path: &str, body: &Value) -> Reply {
        let (method, _) = key.split_once(' ').expect("a method");
        let call = self.admin.call(method, path).header("if-match", "*").json(body);
        self.go(key, call).await
    }
}

fn route(key: &str) -> &'static Route {
    TABLE.iter().find(|route| route.key == key).expect("a route of the table")
}

/// The routes that change something, from the function's own table: one without a row here fails.
fn writes() -> BTreeSet<&'static str> {
    TABLE.iter().filter(|route| route.action.is_some()).map(|route| route.key).collect()
}

#[tokio::test]
async fn every_change_has_an_entry_with_actor_and_outcome_and_no_secret() {
    let tenant = Tenant::create(shared()).await;
    let admin = tenant.admin().await;
    let me = admin.user(ADMIN).await["user_id"].clone();
    let ada = admin.user(USER).await["user_id"].as_str().expect("an id").to_owned();
    let session = tenant.login().await;
    let sid = session.sid;
    let first = admin.get("/keys").await.json()["signing"].as_str().expect("a kid").to_owned();
    let mut audited = Audited { admin, me, gone: BTreeSet::new() };
    let mut secrets = vec![tenant.secret.clone()];
    let none = json!({});
    let kid_of = |reply: &Reply| reply.json()["key"]["kid"].as_str().expect("a kid").to_owned();

    let key = |rest: &str| -> String {
        let (method, path) = rest.split_once(' ').expect("a method");
        format!("{method} /t/{{tenant}}/admin{path}")
    };
    for token in [session.access, session.refresh] {
        audited.act(&key("POST /explain"), "/explain", &json!({"token": token})).await;
        secrets.push(token);
    }
    let made = audited.act(&key("POST /users"), "/users", &json!({"username": "bob"})).await;
    secrets.push(made.string("code"));
    let bob = made.json()["user"]["user_id"].as_str().expect("an id").to_owned();
    let made = audited.act(&key("POST /users/{id}/reset"), &format!("/users/{ada}/reset"), &none).await;
    secrets.push(made.string("code"));
    let body = json!({"client_id": "till", "type": "confidential"});
    secrets.push(audited.act(&key("POST /clients"), "/clients", &body).await.string("client_secret"));
    let made = audited.act(&key("POST /clients/{id}/secret"), "/clients/till/secret", &none).await;
    secrets.push(made.string("client_secret"));
    let claims = json!({"claims": {"a": 1}});
    audited.act(&key("PATCH /users/{id}"), &format!("/users/{ada}"), &claims).await;
    let one = format!("/users/{ada}/sessions/{sid}");
    audited.act(&key("DELETE /users/{id}/sessions/{sid}"), &one, &none).await;
    audited.act(&key("DELETE /users/{id}/sessions"), &format!("/users/{ada}/sessions"), &none).await;
    audited.act(&key("DELETE /users/{id}"), &format!("/users/{bob}"), &none).await;
    audited.act(&key("PATCH /clients/{id}"), "/clients/till", &json!({"scopes": ["x"]})).await;
    audited.act(&key("DELETE /clients/{id}"), "/clients/till", &none).await;
    audited.act(&key("PATCH /policy"), "/policy", &json!({"idle_seconds": 1000})).await;
    let second = kid_of(&audited.act(&key("POST /keys/rotate"), "/keys/rotate", &none).await);
    let forced = json!({"force": true});
    audited.act(&key("POST /keys/{kid}/promote"), &format!("/keys/{second}/promote"), &forced).await;
    for (step, kid) in [("rollback", &first), ("retain", &second), ("compromise", &second)] {
        audited.act(&key(&format!("POST /keys/{{kid}}/{step}")), &format!("/keys/{kid}/{step}"), &none).await;
    }
    let import =
        audited.admin.call("POST", "/users/import").body("application/x-ndjson", r#"{"username":"kim"}"#);
    audited.go(&key("POST /users/import"), import).await;
    let export = audited.admin.call("GET", "/export");
    audited.go(&key("GET /export"), export).await;
    audited.act(&key("DELETE /sessions"), "/sessions", &none).await;
    assert_eq!(audited.gone, writes(), "every route that changes something was gone through");

    let audit = tenant.admin().await.audit().await;
    let ended = audit.iter().filter(|entry| entry["action"] == "tenant.sign_out").collect::<Vec<_>>();
    assert_eq!((ended.len(), &ended[0]["actor"]["id"]), (1, &audited.me), "{audit:?}");
    assert!(audit.iter().all(|entry| entry["outcome"] == "ok"), "{audit:?}");
    let text = Value::from(audit).to_string();
    for secret in secrets {
        assert!(!text.contains(&secret) && !text.contains(&secret[4..]), "a secret is in the log");
    }
}

#[tokio::test]
async fn every_change_that_an_admin_may_not_make_has_an_entry_too() {
    let tenant = Tenant::create(shared()).await;
    let admin = tenant.admin().await;
    let me = admin.user(ADMIN).await["user_id"].clone();
    let password = leasehold_tests::tenant::ADMIN_PASSWORD;
    let (keys, users) = (
        tenant.admin_as(ADMIN, password, Some("admin:keys")).await,
        tenant.admin_as(ADMIN, password, Some("admin:users")).await,
    );
    for key in writes() {
        let (method, path) = key.split_once(' ').expect("a method");
        let path = path.trim_start_matches("/t/{tenant}/admin");
        let path = path.replace("{kid}", &"A".repeat(43)).replace("{id}", "x").replace("{sid}", "x");
        let narrow = if route(key).scope == "admin:keys" { &users } else { &keys };
        let call = narrow.call(method, &path).header("if-match", "*").json(&json!({}));
        narrow.send(call).await.expect_problem(403, "insufficient_scope");
        let newest = admin.get("/audit?limit=1").await.expect(200).json()["items"][0].clone();
        let expected = json!([route(key).action, me, "refused", "insufficient_scope"]);
        let found = json!([newest["action"], newest["actor"]["id"], newest["outcome"], newest["reason"]]);
        assert_eq!(found, expected, "{key}");
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
    for query in [
        "since=x",
        "since=200&until=100",
        "until=-1",
        "since=99999999999999",
        "limit=0",
        "limit=101",
        "limit=x",
        "cursor=x",
    ] {
        admin.get(&format!("/audit?{query}")).await.expect_problem(400, "invalid_request");
    }
}
