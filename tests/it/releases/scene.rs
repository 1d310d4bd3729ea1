//! A tenant's life in small: something of everything that a release writes. Driven over HTTP alone, so that the release
//! before can play it too.

use std::collections::BTreeMap;

use leasehold_tests::http::{Call, Reply};
use leasehold_tests::stack::Stack;
use leasehold_tests::table::Table;
use leasehold_tests::tenant::{API, APP, Admin, BACKEND, PASSWORD, Session, Tenant, USER};
use serde_json::{Value, json};

use super::{items, kind};
use crate::support::restart;

pub const NEW_PASSWORD: &str = "copper-Nebula 9 ticket";
pub const DEVICE: &str = "adas-phone-4f1c9e0b72";
/// The version of the app that has a row of its own in the health report.
pub const VERSION: &str = "shop-ios/5.4.1";
/// A version that the tenant blocks.
pub const BLOCKED: &str = "shop-ios/4.9.2";
/// Under which creations were asked for that may come twice.
pub const ONCE: &str = "2c41b7a0-93de-4f7b-8a15-0e6d5c4b3a29";
/// What the scene asked for under [`ONCE`]: path and body.
pub const TILL: (&str, &str) =
    ("/clients", r#"{"client_id":"till","type":"confidential","audiences":[],"scopes":["read"]}"#);
/// As [`TILL`].
pub const CORA: (&str, &str) = ("/users", r#"{"username":"cora","roles":["clerk"]}"#);
/// What is no good any more after the scene.
pub const DEAD: [&str; 6] = [
    "revoked",
    "ended by theft",
    "before a new password",
    "of a disabled user",
    "of a removed user",
    "signed out",
];
/// How long a replaced secret stays good, in seconds.
pub const OVERLAP_SECONDS: u64 = 7200;

/// Users with hashes of other systems, as their makers published them: name, password, hash.
pub const BROUGHT: [(&str, &str, &str); 4] = [
    ("blowfish", "U*U", "$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
    (
        "firebase",
        "user1password",
        "$firebase-scrypt$ln=14,r=8,ss=Bw,sk=jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA$42xEC+ixf3L2lw$lSrfV15cpx95/sZS2W9c9Kp6i/LVgQNDNC/qzrCnh1SAyZvqmZqAjTdn3aoItz+VHjoZilo78198JAdRuid5lQ",
    ),
    (
        "passlib",
        "password",
        "$pbkdf2-sha256$1212$4vjV83LKPjQzk31VI4E0Vw$hsYF68OiOUPdDZ1Fg.fJPeq1h/gXXY7acBp9/6c.tmQ",
    ),
    (
        "argon",
        "password",
        "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
    ),
];

/// What clients and admins hold after the scene, by what became of it.
#[derive(Clone, Debug, Default)]
pub struct Held {
    /// Refresh tokens.
    pub tokens: BTreeMap<String, String>,
    /// What is shown once: secrets, one-time codes, answers that may be asked for again, a place in a list.
    pub shown: BTreeMap<String, String>,
}

impl Held {
    fn token(&mut self, what: &str, session: &Session) {
        self.tokens.insert(what.to_owned(), session.refresh.clone());
    }

    fn shown(&mut self, what: &str, text: impl Into<String>) {
        self.shown.insert(what.to_owned(), text.into());
    }
}

/// The profile of a user of the scene.
pub fn gwens() -> Value {
    json!({
        "roles": ["clerk", "auditor"], "permissions": ["orders:refund"], "scopes": ["openid", "orders:read", "read"],
        "claims": {"branch": 7, "plan": {"name": "gold", "seats": [1, 2]}, "vip": true, "manager": null},
    })
}

/// Plays it.
pub async fn scene(stack: &Stack, table: &Table, name: &str) -> Held {
    let mut held = Held::default();
    let tenant = Tenant::create_named(stack, name, "ES256", json!({})).await;
    tenant.add_user(stack, "bob", PASSWORD).await;
    sessions(&tenant, &mut held).await;
    sign_much(&tenant, table).await;
    lead_keys(stack, &tenant).await;
    let admin = tenant.admin().await;
    // From here on tokens are signed with the wrapped key.
    clients(&tenant, &admin, &mut held).await;
    users(&tenant, &admin, &mut held).await;
    let policy = json!({
        "access_token_seconds": 300, "retry_window_seconds": 30, "idle_seconds": 1_000_000, "code_seconds": 172_800,
        "jwks_max_age_seconds": 120, "argon2_iterations": 2, "blocked_versions": ["shop-ios/<5.0"],
        "pinned_versions": ["shop-ios/6.0.0"], "allowed_scopes": ["openid", "orders:read", "orders:write", "read", "write"],
    });
    admin.patch("/policy", "*", &policy).await.expect(200);
    counts(stack, &tenant, &mut held).await;
    held
}

/// Signs somebody in with more than name and password.
pub async fn login_with(
    tenant: &Tenant,
    username: &str,
    password: &str,
    version: &str,
    more: Value,
) -> Reply {
    let mut body = json!({"client_id": APP, "username": username, "password": password});
    if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
        body.extend(more);
    }
    let call = Call::post(tenant.url("/login")).header("x-client-version", version).json(&body);
    call.send(&tenant.http).await
}

/// Signs the user in at a confidential client.
pub async fn login_at(tenant: &Tenant, client: &str, secret: &str) -> Reply {
    let body = json!({"client_id": client, "username": USER, "password": PASSWORD});
    Call::post(tenant.url("/login")).basic(client, secret).json(&body).send(&tenant.http).await
}

async fn sessions(tenant: &Tenant, held: &mut Held) {
    held.token("fresh", &tenant.login().await);
    let first = tenant.login().await;
    let second = tenant.rotate(&first.refresh).await;
    held.token("previous", &first);
    held.token("current", &second);
    let first = tenant.login().await;
    let second = tenant.rotate(&first.refresh).await;
    tenant.rotate(&first.refresh).await;
    tenant.confirm(&second.refresh).await.expect(204);
    held.token("spent", &first);
    held.token("confirmed", &second);
    let revoked = tenant.login().await;
    tenant.revoke(&revoked.refresh).await.expect(200);
    held.token("revoked", &revoked);
    let stolen = tenant.login().await;
    let next = tenant.rotate(&stolen.refresh).await;
    let last = tenant.rotate(&next.refresh).await;
    tenant.refuses(&stolen.refresh).await;
    held.token("ended by theft", &last);
    held.token("backend", &tenant.login_backend().await);
    // The second time the device is known, and its attempts are counted apart.
    for _ in 0..2 {
        let reply = login_with(tenant, USER, PASSWORD, VERSION, json!({"device": DEVICE})).await;
        held.token("at a device", &Session::from_reply(&reply.expect(200)));
    }
    let asked = json!({"scope": "openid read", "nonce": "n-0S6_WzA2Mj"});
    let reply = login_with(tenant, USER, PASSWORD, VERSION, asked).await;
    held.token("openid", &Session::from_reply(&reply.expect(200)));
    tenant.login_as(USER, "a wrong password").await.expect(401);
    let before = Session::from_reply(&tenant.login_as("bob", PASSWORD).await.expect(200));
    tenant.change_password("bob", PASSWORD, NEW_PASSWORD).await.expect(204);
    let after = Session::from_reply(&tenant.login_as("bob", NEW_PASSWORD).await.expect(200));
    held.token("before a new password", &before);
    held.token("after it", &after);
}

/// Has so many tokens signed in a second that the tenant's signatures are counted in the table.
async fn sign_much(tenant: &Tenant, table: &Table) {
    let mut session = tenant.login().await;
    for _ in 0..20 {
        for _ in 0..12 {
            session = tenant.rotate(&session.refresh).await;
        }
        let items = items(table, &tenant.name).await;
        if items.iter().any(|item| kind(item) == "signature counter") {
            return;
        }
    }
    leasehold_tests::http::fail("six signatures never fell into one second");
}

/// Leads a tenant's keys from custody `kms` to `wrapped`. There is one in each state then: compromised and retiring, both
/// in KMS, the latter retained; the one that signs and a spare, both wrapped.
pub async fn lead_keys(stack: &Stack, tenant: &Tenant) {
    let admin = tenant.admin().await;
    let rotated = admin.post("/keys/rotate", &json!({"force": true})).await.expect(200).json();
    let kid = |member: &Value| member.as_str().expect("a kid").to_owned();
    let (first, second) = (kid(&rotated["previous"]), kid(&rotated["key"]["kid"]));
    // The token of before is signed with the key that is about to go.
    let admin = tenant.admin().await;
    admin.post(&format!("/keys/{first}/compromise"), &json!({})).await.expect(200);
    admin.post(&format!("/keys/{second}/retain"), &json!({})).await.expect(200);
    admin.post("/keys/rotate", &json!({"force": true, "custody": "wrapped"})).await.expect(200);
    stack.operator(&tenant.http, &json!({"op": "schedule.run"})).await;
}

/// Asks for a creation under [`ONCE`].
pub async fn once(admin: &Admin, (path, body): (&str, &str)) -> Reply {
    let call = admin.call("POST", path).header("idempotency-key", ONCE);
    admin.send(call.body("application/json", body.to_owned())).await
}

async fn clients(tenant: &Tenant, admin: &Admin, held: &mut Held) {
    let made = once(admin, TILL).await.expect(201);
    held.shown("till", made.string("client_secret"));
    held.shown("answer of till", made.text());
    let overlap = json!({ "overlap_seconds": OVERLAP_SECONDS });
    let renewed = admin.post(&format!("/clients/{BACKEND}/secret"), &overlap).await.expect(200);
    held.shown("backend before", &tenant.secret);
    held.shown("backend", renewed.string("client_secret"));
    let web = json!({"origins": ["https://shop.example"]});
    admin.patch(&format!("/clients/{APP}"), "*", &web).await.expect(200);
    let kiosk = json!({"client_id": "kiosk", "type": "public", "audiences": [API], "scopes": ["read"]});
    admin.post("/clients", &kiosk).await.expect(201);
    admin.patch("/clients/kiosk", "*", &json!({"status": "disabled"})).await.expect(200);
}

async fn users(tenant: &Tenant, admin: &Admin, held: &mut Held) {
    let add = async |name: &str, mut profile: Value| {
        profile["username"] = json!(name);
        let id = admin.add_user(tenant, &profile, PASSWORD).await;
        let reply = login_with(tenant, name, PASSWORD, VERSION, json!({})).await;
        (format!("/users/{id}"), Session::from_reply(&reply.expect(200)))
    };
    let made = once(admin, CORA).await.expect(201);
    held.shown("code of cora", made.string("code"));
    held.shown("answer of cora", made.text());
    let (dora, session) = add("dora", json!({})).await;
    held.token("before a reset", &session);
    let reset = admin.post(&format!("{dora}/reset"), &json!({})).await.expect(200);
    held.shown("code of dora", reset.string("code"));
    let (eve, session) = add("eve", json!({})).await;
    held.token("of a disabled user", &session);
    admin.patch(&eve, "*", &json!({"status": "disabled"})).await.expect(200);
    let (_, session) = add("gwen", gwens()).await;
    held.token("with claims", &session);
    let (gus, session) = add("gus", json!({})).await;
    held.token("of a removed user", &session);
    admin.delete(&gus).await.expect(204);
    let (signed_out, session) = add("hal", json!({})).await;
    held.token("signed out", &session);
    admin.delete(&format!("{signed_out}/sessions")).await.expect(204);
    add("second", json!({"roles": ["admin"]})).await;

    let mut lines: Vec<String> = BROUGHT
        .iter()
        .map(|(name, _, hash)| json!({"username": name, "password_hash": hash, "roles": ["old"], "created_at": 1_500_000_000}))
        .map(|line| line.to_string())
        .collect();
    lines.push(json!({"username": "six", "status": "disabled"}).to_string());
    let call = admin.call("POST", "/users/import").body("application/x-ndjson", lines.join("\n"));
    let answer = admin.send(call).await.expect(200).json();
    let results = answer["results"].as_array().expect("results");
    assert!(results.iter().all(|one| one["outcome"] == "created"), "{answer}");
    let page = admin.get("/users?limit=5").await.expect(200);
    held.shown("names of a page", names(&page.json()).join(" "));
    held.shown("the page after", page.string("next_cursor"));
}

/// The names on a page of users.
pub fn names(page: &Value) -> Vec<String> {
    let items = page["items"].as_array().expect("items");
    items.iter().map(|user| user["username"].as_str().expect("a name").to_owned()).collect()
}

/// Has decisions counted, good ones and bad ones, in every function that makes them.
async fn counts(stack: &Stack, tenant: &Tenant, held: &mut Held) {
    // Three users have signed in with this version, so that it has a row, once that is written.
    let session =
        Session::from_reply(&login_with(tenant, USER, PASSWORD, VERSION, json!({})).await.expect(200));
    login_with(tenant, USER, "a wrong password", VERSION, json!({})).await.expect(401);
    login_with(tenant, USER, PASSWORD, "shop-android/0.1", json!({})).await.expect(200);
    restart(stack, &["login"]).await;
    let refresh = async |token: &str, version: &str| {
        tenant.refresh_call(token).header("x-client-version", version).send(&tenant.http).await
    };
    let next = Session::from_reply(&refresh(&session.refresh, VERSION).await.expect(200));
    refresh("lhr_nonsense", VERSION).await.expect(400);
    refresh(&next.refresh, BLOCKED).await.expect(403);
    for path in ["/sessions", "/sample/orders"] {
        for version in [VERSION, "shop-ios/6.0.0"] {
            let call = Call::get(tenant.url(path)).bearer(&next.access).header("x-client-version", version);
            call.send(&tenant.http).await.expect(200);
        }
    }
    restart(stack, &["refresh", "revoke", "authorizer"]).await;
    held.token("wrapped", &next);
}
