//! Two tenants, and for every route a call that works: the control of the tenancy matrix and of the outage matrix.

use leasehold_tests::http::{Call, fail};
use leasehold_tests::stack::Stack;
use leasehold_tests::tenant::{APP, Admin, BACKEND, PASSWORD, Session, Tenant, USER};
use serde_json::json;

/// One attempt with a credential of the other tenant.
pub struct Attempt {
    pub what: &'static str,
    pub call: Call,
    pub allowed: &'static [u16],
}

/// A route's attempts, and the call of the tenant's own that has to work.
pub struct Row {
    pub attempts: Vec<Attempt>,
    pub control: Call,
    pub status: u16,
}

/// Here is where the calls go; there is the tenant whose credentials are tried.
pub struct World {
    base: String,
    pub here: Tenant,
    pub there: Tenant,
    pub mine: Session,
    pub theirs: Session,
    pub backend_there: Session,
    pub end_here: Session,
    admin: Administered,
    theirs_administered: Administered,
}

/// A tenant's administration: an admin who has signed in, and ids and tags of what there is.
struct Administered {
    admin: Admin,
    user: String,
    sid: String,
    signing: String,
    earlier: String,
    pending: String,
    cursor: String,
    tags: [String; 3],
}

impl Administered {
    async fn new(tenant: &Tenant, sid: &str) -> Self {
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
    /// Two fresh tenants on a stack.
    pub async fn new(stack: &Stack) -> Self {
        let (here, there) = (Tenant::create(stack).await, Tenant::create(stack).await);
        // The other tenant's user has a name that is taken here too, with another password.
        there.add_user(stack, "theo", "lagoon-Hammer 8 violet").await;
        here.add_user(stack, "theo", "meadow-Anchor 1 copper").await;
        let (end_here, theirs) = (here.login().await, there.login().await);
        Self {
            mine: here.login().await,
            backend_there: there.login_backend().await,
            base: stack.base_url(),
            admin: Administered::new(&here, &end_here.sid).await,
            theirs_administered: Administered::new(&there, &theirs.sid).await,
            end_here,
            theirs,
            here,
            there,
        }
    }

    fn bearer(&self, method: &str, path: &str, ok: u16) -> Row {
        let call = |token: &str| Call::new(method, self.here.url(path)).bearer(token);
        let own = if method == "DELETE" { &self.end_here } else { &self.mine };
        Row {
            attempts: vec![
                Attempt { what: "their access token", call: call(&self.theirs.access), allowed: &[401] },
                Attempt { what: "their refresh token", call: call(&self.theirs.refresh), allowed: &[401] },
                Attempt {
                    what: "their confidential client's",
                    call: call(&self.backend_there.access),
                    allowed: &[401],
                },
            ],
            control: call(&own.access),
            status: ok,
        }
    }

    /// A route of the administration: their admin's token, ids, cursors and tags here, each with a control of our own.
    fn administration(&self, method: &str, path: &str) -> Row {
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

    fn public(&self, url: String) -> Row {
        let with = Call::get(&url).bearer(&self.theirs.access);
        // A public document: a foreign token changes nothing about it, and the answer speaks of this tenant.
        Row {
            attempts: vec![Attempt { what: "their access token", call: with, allowed: &[200] }],
            control: Call::get(url),
            status: 200,
        }
    }

    /// The row of a route; fails for a route that has none.
    pub fn row(&self, method: &str, path: &str) -> Row {
        let own = path.replacen("/t/{tenant}", "", 1);
        if let Some(administered) = own.strip_prefix("/admin") {
            return self.administration(method, administered);
        }
        let url = self.here.url(&own);
        let json = |body: serde_json::Value| Call::post(&url).json(&body);
        let attempt = |what, call, allowed| Attempt { what, call, allowed };
        match (method, own.as_str()) {
            ("OPTIONS", _) => Row { attempts: Vec::new(), control: Call::new("OPTIONS", &url), status: 204 },
            ("POST", "/login") => {
                let body =
                    |password: &str| json!({"client_id": APP, "username": "theo", "password": password});
                let secret = json!({"client_id": BACKEND, "client_secret": self.there.secret, "username": USER, "password": PASSWORD});
                Row {
                    attempts: vec![
                        attempt("their user's password", json(body("lagoon-Hammer 8 violet")), &[401]),
                        attempt("their client's secret", json(secret), &[401]),
                    ],
                    control: json(body("meadow-Anchor 1 copper")),
                    status: 200,
                }
            }
            ("POST", "/password") => {
                let body = |old: &str| json!({"client_id": APP, "username": "theo", "password": old, "new_password": "meadow-Anchor 2 copper"});
                Row {
                    attempts: vec![attempt(
                        "their user's password",
                        json(body("lagoon-Hammer 8 violet")),
                        &[401],
                    )],
                    control: json(body("meadow-Anchor 1 copper")),
                    status: 204,
                }
            }
            ("POST", "/token") => {
                let form = |token: &str| self.here.refresh_call(token);
                let secret = Call::post(&url).basic(BACKEND, &self.there.secret).form(&[
                    ("grant_type", "refresh_token"),
                    ("client_id", BACKEND),
                    ("refresh_token", &self.backend_there.refresh),
                ]);
                Row {
                    attempts: vec![
                        attempt("their refresh token", form(&self.theirs.refresh), &[400]),
                        attempt("their access token", form(&self.theirs.access), &[400]),
                        attempt("their client's secret", secret, &[401]),
                    ],
                    control: form(&self.mine.refresh),
                    status: 200,
                }
            }
            ("POST", "/refresh") => {
                let body = |token: &str| json(json!({"client_id": APP, "refresh_token": token}));
                let mut secret = json!({"client_id": BACKEND, "client_secret": self.there.secret});
                secret["refresh_token"] = json!(self.backend_there.refresh);
                Row {
                    attempts: vec![
                        attempt("their refresh token", body(&self.theirs.refresh), &[400]),
                        attempt("their client's secret", json(secret), &[401]),
                    ],
                    control: body(&self.mine.refresh),
                    status: 200,
                }
            }
            ("POST", "/confirm") => {
                let body = |token: &str| json(json!({"client_id": APP, "refresh_token": token}));
                Row {
                    attempts: vec![attempt("their refresh token", body(&self.theirs.refresh), &[204])],
                    control: body(&self.mine.refresh),
                    status: 204,
                }
            }
            ("POST", "/revoke") => {
                let form = |token: &str| Call::post(&url).form(&[("client_id", APP), ("token", token)]);
                let secret = Call::post(&url)
                    .basic(BACKEND, &self.there.secret)
                    .form(&[("client_id", BACKEND), ("token", &self.backend_there.refresh)]);
                Row {
                    attempts: vec![
                        // Answered as any unknown token is; that the session lives is checked below.
                        attempt("their refresh token", form(&self.theirs.refresh), &[200]),
                        attempt("their client's secret", secret, &[401]),
                    ],
                    control: form(&self.end_here.refresh),
                    status: 200,
                }
            }
            ("GET", "/sessions") => self.bearer(method, "/sessions", 200),
            ("DELETE", "/sessions") => self.bearer(method, "/sessions?except=current", 204),
            ("DELETE", "/sessions/{sid}") => {
                let mut row = self.bearer(method, &format!("/sessions/{}", self.end_here.sid), 204);
                let theirs = Call::delete(self.here.url(&format!("/sessions/{}", self.theirs.sid)));
                row.attempts.push(attempt("their session's id", theirs.bearer(&self.mine.access), &[404]));
                row
            }
            ("GET", "/.well-known/jwks.json" | "/.well-known/openid-configuration") => self.public(url),
            ("GET", "/.well-known/oauth-authorization-server") => {
                let path = "/.well-known/oauth-authorization-server/t/";
                self.public(format!("{}{path}{}", self.base, self.here.name))
            }
            _ => fail(&format!("{method} {path} has no row in the tenancy matrix")),
        }
    }
}
