//! Items that the release before wrote, under the functions of this one.

use leasehold_tests::clock::Clock;
use leasehold_tests::http::{Call, Http};
use leasehold_tests::stack::{Setup, Stack};
use leasehold_tests::table::Table;
use leasehold_tests::tenant::{APP, BACKEND, PASSWORD, Session, Tenant, USER, create_command};
use serde_json::{Value, json};

use super::{DEVICE, NEW_PASSWORD, TENANT, items, kind, recorded, text};
use crate::support::days;

/// A stack on which the recorded tenant lives, ten minutes after it was recorded.
struct Kept {
    stack: Stack,
    clock: Clock,
    tenant: Tenant,
    tokens: Value,
    /// In milliseconds.
    recorded_at: i64,
}

impl Kept {
    async fn start() -> Self {
        let recorded = recorded();
        let clock = Clock::start();
        let recorded_at = recorded["recorded_at"].as_i64().expect("a time");
        clock.set(recorded_at + 600);
        // Tokens name the place where the service is, and so do families.
        let base_url = recorded["base_url"].as_str().expect("a URL");
        let stack = Setup::default().clock(&clock).public_url(base_url).start();
        let http = Http::new();
        // A tenant of that name for its key alone: the recorded one is in a KMS that is gone.
        let made = stack.operator(&http, &create_command(TENANT, "ES256", &json!({}))).await;
        let own = items(&stack, TENANT).await;
        let key =
            own.iter().find(|item| kind(item) == "tenant").expect("a tenant")["ring"]["L"][0]["M"].clone();
        let table = Table::open(&stack.endpoint("dynamodb"), &http).await;
        for item in &own {
            table.delete(&json!({"PK": item["PK"], "SK": item["SK"]})).await;
        }
        for mut item in recorded["items"].as_array().expect("items").clone() {
            if kind(&item) == "tenant" {
                for member in ["kid", "arn", "public"] {
                    item["ring"]["L"][0]["M"][member] = key[member].clone();
                }
            }
            table.put(&mark(item)).await;
        }
        let tenant = Tenant {
            name: TENANT.to_owned(),
            issuer: made["issuer"].as_str().expect("an issuer").to_owned(),
            secret: recorded["secret"].as_str().expect("a secret").to_owned(),
            base: format!("{}/t/{TENANT}", stack.base_url()),
            http,
        };
        Self { stack, clock, tenant, tokens: recorded["tokens"].clone(), recorded_at: recorded_at * 1000 }
    }

    fn token(&self, what: &str) -> &str {
        self.tokens[what].as_str().expect("a token")
    }

    /// Nothing was unreadable on the way.
    fn all_was_read(&self) {
        let logs = self.stack.logs();
        let unread: Vec<&str> =
            logs.lines().filter(|line| line.contains("corrupt") || line.contains("panic")).collect();
        assert!(unread.is_empty(), "{unread:?}");
    }
}

/// The item with a member that no release knows, as the one after this will add some.
fn mark(mut item: Value) -> Value {
    let of_the_next = json!({"M": {"a": {"L": [{"N": "1"}, {"S": "b"}, {"NULL": true}]}}});
    let kind = kind(&item);
    if ["tenant", "client", "user", "family"].contains(&kind) {
        item["of_the_next"] = of_the_next.clone();
    }
    if kind == "tenant" {
        item["policy"]["M"]["of_the_next"] = of_the_next.clone();
        item["ring"]["L"][0]["M"]["of_the_next"] = of_the_next;
    }
    item
}

#[tokio::test]
async fn sessions_go_on_as_they_were_left() {
    let kept = Kept::start().await;
    let tenant = &kept.tenant;
    let next = tenant.rotate(kept.token("fresh")).await;
    assert_eq!(next.generation(), 1);
    tenant.sessions(&next.access).await.expect(200);
    // A retry of ten minutes later: the successor that the other release sealed.
    let again = tenant.rotate(kept.token("previous")).await;
    assert!(again.replayed());
    assert_eq!(again.refresh, kept.token("current"));
    let next = tenant.rotate(kept.token("current")).await;
    assert_eq!((next.generation(), next.replayed()), (2, false));
    let confirmed = tenant.rotate(kept.token("confirmed")).await;
    assert_eq!(confirmed.generation(), 2);
    tenant.rotate(kept.token("at a device")).await;
    let reply = Call::post(tenant.url("/token"))
        .basic(BACKEND, &tenant.secret)
        .form(&[("grant_type", "refresh_token"), ("refresh_token", kept.token("backend"))])
        .send(&tenant.http)
        .await;
    Session::from_reply(&reply.expect(200));
    for dead in ["revoked", "ended by theft", "before a new password"] {
        tenant.refuses(kept.token(dead)).await;
    }
    tenant.rotate(kept.token("after it")).await;
    // A token that was spent for good, now in the wrong hands: the family ends.
    tenant.refuses(kept.token("spent")).await;
    tenant.refuses(&confirmed.refresh).await;
    kept.all_was_read();
}

#[tokio::test]
async fn users_and_admins_sign_in_and_find_what_was_theirs() {
    let kept = Kept::start().await;
    let tenant = &kept.tenant;
    let session = tenant.login().await;
    let listed = tenant.sessions(&session.access).await.expect(200).json();
    assert!(listed["sessions"].as_array().is_some_and(|all| all.len() >= 6), "{listed}");
    let at_device = json!({"client_id": APP, "username": USER, "password": PASSWORD, "device": DEVICE});
    Call::post(tenant.url("/login")).json(&at_device).send(&tenant.http).await.expect(200);
    tenant.login_as("bob", PASSWORD).await.expect(401);
    tenant.login_as("bob", NEW_PASSWORD).await.expect(200);
    let admin = tenant.admin().await;
    let bob = admin.user("bob").await["user_id"].as_str().expect("an id").to_owned();
    let path = format!("/users/{bob}");
    admin.patch(&path, "*", &json!({"claims": {"plan": "gold"}})).await.expect(200);
    admin.patch("/policy", "*", &json!({"idle_seconds": 100_000})).await.expect(200);
    admin.patch(&format!("/clients/{APP}"), "*", &json!({"scopes": ["read"]})).await.expect(200);
    let audit = admin.audit().await;
    let of_then = audit.iter().filter(|entry| entry["actor"]["kind"] == "operator").count();
    assert!(of_then >= 2, "what the other release wrote into the log is shown: {audit:?}");
    let rotated = admin.post("/keys/rotate", &json!({"force": true})).await.expect(200).json();
    let next = tenant.rotate(&session.refresh).await;
    assert_eq!(next.jwt().header["kid"], rotated["key"]["kid"]);
    admin
        .post(&format!("/keys/{}/rollback", rotated["previous"].as_str().expect("a kid")), &json!({}))
        .await
        .expect(200);
    admin.delete(&format!("{path}/sessions")).await.expect(204);
    tenant.refuses(kept.token("after it")).await;
    tenant.rotate(kept.token("fresh")).await;
    let code = admin.post(&format!("{path}/reset"), &json!({})).await.expect(200).string("code");
    tenant.set_password("bob", &code, PASSWORD).await.expect(204);
    tenant.login_as("bob", NEW_PASSWORD).await.expect(401);
    tenant.login_as("bob", PASSWORD).await.expect(200);

    // What no release knows yet is where it was, in everything that was written since.
    for item in items(&kept.stack, TENANT).await {
        let is_of_then = match kind(&item) {
            "tenant" => {
                let (policy, key) = (&item["policy"]["M"], &item["ring"]["L"][0]["M"]);
                assert!(policy["of_the_next"].is_object() && key["of_the_next"].is_object(), "{item}");
                true
            }
            "client" => true,
            "user" => ["ada", "bob", "root-admin"].contains(&text(&item, "login")),
            // Older than this stack: the other release opened it.
            "family" => moment(&item, "created_at") < kept.recorded_at + 1000,
            _ => false,
        };
        assert!(!is_of_then || item["of_the_next"]["M"]["a"]["L"][1]["S"] == "b", "{item}");
    }
    kept.all_was_read();
}

fn moment(item: &Value, attribute: &str) -> i64 {
    item[attribute]["N"].as_str().and_then(|number| number.parse().ok()).expect("a time")
}

#[tokio::test]
async fn a_tenant_of_then_is_suspended_resumed_swept_and_removed() {
    let kept = Kept::start().await;
    let tenant = &kept.tenant;
    let operator =
        async |op: &str| kept.stack.operator(&tenant.http, &json!({"op": op, "tenant": TENANT})).await;
    operator("tenant.suspend").await;
    tenant.refuses(kept.token("fresh")).await;
    operator("tenant.resume").await;
    tenant.refuses(kept.token("fresh")).await;
    tenant.login().await;
    let swept = kept.stack.operator(&tenant.http, &json!({"op": "schedule.run"})).await;
    assert_eq!(
        (&swept["failed"], &swept["tenants"]),
        (&json!(0), &json!(1)),
        "found in the directory: {swept}"
    );
    operator("tenant.delete").await;
    for _ in 0..3 {
        let swept = kept.stack.operator(&tenant.http, &json!({"op": "schedule.run"})).await;
        assert_eq!(swept["failed"], 0, "{swept}");
        kept.clock.advance(days(8));
    }
    kept.all_was_read();
}
