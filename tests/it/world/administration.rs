//! The rows of the administration.

use leasehold_tests::http::Call;
use leasehold_tests::tenant::{Admin, BACKEND, Tenant, USER};
use serde_json::json;

use super::{Attempt, Row, World};

/// A tenant's administration: an admin who has signed in, and ids and tags of what there is.
#[derive(Clone)]
pub struct Administered {
    pub(super) admin: Admin,
    user: String,
    sid: String,
    signing: String,
    earlier: String,
    pending: String,
    pub(super) cursor: String,
    tags: [String; 3],
}

impl Administered {
    pub async fn new(tenant: &Tenant, sid: &str) -> Self {
        let admin = tenant.admin().await;
        let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
        let user = text(&admin.user(USER).await["user_id"]);
        // A key that signed before, one that signs, and a spare.
        let rotated = admin.post("/keys/rotate", &json!({"force": true})).await.expect(200).json();
        let (signing, earlier) = (text(&rotated["key"]["kid"]), text(&rotated["previous"]));
        let spare = admin.post("/keys/rotate", &json!({})).await.expect(200).json();
        admin.post(&format!("/keys/{signing}/rollback"), &json!({})).await.expect(200);
        let cursor = admin.get("/users?limit=1").await.expect(200).string("next_cursor");
        let tag = async |path: &str| admin.get(path).await.expect(200).header("etag").to_owned();
        let tags = [
            tag(&format!("/users/{user}")).await,
            tag(&format!("/clients/{BACKEND}")).await,
            tag("/policy").await,
        ];
        let pending = text(&spare["key"]["kid"]);
        Self { user, sid: sid.to_owned(), signing, earlier, pending, cursor, tags, admin }
    }

    /// The key on which a step can be taken.
    fn key_for(&self, path: &str) -> &str {
        match path.rsplit('/').next() {
            Some("promote") => &self.pending,
            Some("rollback") => &self.earlier,
            _ => &self.signing,
        }
    }
}

impl World {
    /// A route of the administration: their admin's token, ids, cursors and tags here, each with a control of our own.
    pub fn administration(&self, method: &str, path: &str) -> Row {
        let (own, foreign) = (&self.admin, &self.theirs_administered);
        let [user_tag, client_tag, policy_tag] = [0, 1, 2].map(|at| (&own.tags[at], &foreign.tags[at]));
        let named = |from: &Administered, path: &str, key: &str| {
            let id = if path.starts_with("/users") { from.user.as_str() } else { BACKEND };
            path.replace("{kid}", key).replace("{id}", id).replace("{sid}", &from.sid)
        };
        let call = |admin: &Admin, path: &str| admin.call(method, path);
        let here = |path: &str| call(&own.admin, path);
        let mut attempts = Vec::new();
        let mut attempt = |what, call, allowed| attempts.push(Attempt { what, call, allowed });
        let json = |call: Call, body: serde_json::Value| call.json(&body);
        let target = named(own, path, own.key_for(path));
        let body = |call: Call| match (method, path) {
            ("POST", "/keys/rotate") => json(call, json!({"force": true, "algorithm": "EdDSA"})),
            ("POST", "/keys/{kid}/promote") => json(call, json!({"force": true})),
            ("POST", "/users") => json(call, json!({"username": "newcomer"})),
            ("POST", "/users/import") => call.body("application/x-ndjson", r#"{"username":"kim"}"#),
            ("POST", "/clients") => json(call, json!({"client_id": "till", "type": "confidential"})),
            ("PATCH", "/users/{id}") => json(call, json!({"claims": {"a": 1}})),
            ("PATCH", "/clients/{id}") => json(call, json!({"scopes": ["read"]})),
            ("PATCH", "/policy") => json(call, json!({"idle_seconds": 1000})),
            ("POST", "/explain") => json(call, json!({"token": self.mine.access})),
            ("POST", _) => json(call, json!({})),
            _ => call,
        };
        let tagged =
            |call: Call, tag: &str| if method == "PATCH" { call.header("if-match", tag) } else { call };
        let tag = if path.starts_with("/users") {
            user_tag
        } else if path.starts_with("/clients") {
            client_tag
        } else {
            policy_tag
        };
        let url = format!("{}{target}", own.admin.base);
        let with = |token: &str| tagged(body(Call::new(method, &url).bearer(token)), "*");
        attempt("their admin's token", with(&foreign.admin.token), &[401]);
        attempt("their admin's refresh token", with(&foreign.admin.session.refresh), &[401]);
        attempt("their user's token", with(&self.theirs.access), &[401]);
        attempt("our own user's token", with(&self.mine.access), &[401]);
        if path.contains("{kid}") {
            attempt("their key's id", body(here(&named(own, path, foreign.key_for(path)))), &[404]);
        }
        if path.starts_with("/users/{id}") {
            let theirs = path.replace("{id}", &foreign.user).replace("{sid}", &foreign.sid);
            attempt("their user's id", tagged(body(here(&theirs)), "*"), &[404]);
        }
        if path.contains("{sid}") {
            let theirs = path.replace("{id}", &own.user).replace("{sid}", &foreign.sid);
            attempt("their session's id", here(&theirs), &[404]);
        }
        if path == "/explain" {
            // Answered as any token is that nobody issued; that it is told exactly that is checked by its own tests.
            let about = |token: &str| json(here(path), json!({"token": token}));
            attempt("their access token", about(&self.theirs.access), &[200]);
            attempt("their refresh token", about(&self.theirs.refresh), &[200]);
        }
        if method == "PATCH" {
            attempt("their tag", tagged(body(here(&target)), tag.1), &[412]);
        }
        if method == "GET" && matches!(path, "/users" | "/clients" | "/export" | "/audit") {
            attempt("their cursor", here(&format!("{path}?cursor={}", foreign.cursor)), &[400]);
        }
        let status = match (method, path) {
            ("DELETE", _) => 204,
            ("POST", "/users" | "/clients") => 201,
            _ => 200,
        };
        Row { attempts, control: tagged(body(here(&target)), "*"), status }
    }
}
