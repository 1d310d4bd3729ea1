//! Nothing of one tenant is worth anything at another: every route of the template, every credential it takes, each
//! with a control of the tenant's own that succeeds. A route without a row fails.

use leasehold_tests::http::{Call, fail};
use leasehold_tests::stack::shared;
use leasehold_tests::tenant::{APP, BACKEND, PASSWORD, Session, Tenant, USER};
use serde_json::json;

use crate::template;

/// One attempt with a credential of the other tenant.
struct Attempt {
    what: &'static str,
    call: Call,
    allowed: &'static [u16],
}

/// A route's attempts, and the call of the tenant's own that has to work.
struct Row {
    attempts: Vec<Attempt>,
    control: Call,
    status: u16,
}

/// Here is where the calls go; there is the tenant whose credentials are tried.
struct World {
    here: Tenant,
    there: Tenant,
    mine: Session,
    theirs: Session,
    backend_there: Session,
    end_here: Session,
}

impl World {
    async fn new() -> Self {
        let (here, there) = (Tenant::create(shared()).await, Tenant::create(shared()).await);
        // The other tenant's user has a name that is taken here too, with another password.
        there.add_user(shared(), "theo", "lagoon-Hammer 8 violet").await;
        here.add_user(shared(), "theo", "meadow-Anchor 1 copper").await;
        Self {
            mine: here.login().await,
            end_here: here.login().await,
            theirs: there.login().await,
            backend_there: there.login_backend().await,
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

    fn public(&self, url: String) -> Row {
        let with = Call::get(&url).bearer(&self.theirs.access);
        // A public document: a foreign token changes nothing about it, and the answer speaks of this tenant.
        Row {
            attempts: vec![Attempt { what: "their access token", call: with, allowed: &[200] }],
            control: Call::get(url),
            status: 200,
        }
    }

    fn row(&self, method: &str, path: &str) -> Row {
        let own = path.replacen("/t/{tenant}", "", 1);
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
                self.public(format!("{}{path}{}", shared().base_url(), self.here.name))
            }
            _ => fail(&format!("{method} {path} has no row in the tenancy matrix")),
        }
    }
}

#[tokio::test]
async fn no_credential_of_one_tenant_is_worth_anything_at_another() {
    let routes = template::routes();
    assert!(routes.len() >= 12, "the template's routes were read: {routes:?}");
    let mut cells = 0;
    for (method, path) in routes {
        // A world per route, since controls use up what they use.
        let world = World::new().await;
        let row = world.row(&method, &path);
        for Attempt { what, call, allowed } in row.attempts {
            let reply = call.send(&world.here.http).await;
            assert!(allowed.contains(&reply.status), "{method} {path} with {what}: {reply}");
            assert!(
                !reply.text().contains(&world.there.name),
                "{method} {path} with {what} speaks of them: {reply}"
            );
            cells += 1;
        }
        let control = row.control.send(&world.here.http).await;
        assert_eq!(control.status, row.status, "{method} {path}, the control: {control}");
        // Whatever was tried with their things here, there they are as good as before.
        world.there.rotate(&world.theirs.refresh).await;
        world.there.sessions(&world.theirs.access).await.expect(200);
        world.there.login_as("theo", "lagoon-Hammer 8 violet").await.expect(200);
    }
    println!("{cells} foreign credentials refused");
}

#[tokio::test]
async fn a_token_with_a_foreign_family_under_ones_own_user_is_nobodys() {
    let (here, there) = (Tenant::create(shared()).await, Tenant::create(shared()).await);
    let (mine, theirs) = (here.login().await, there.login().await);
    let mut crossed = theirs.token();
    crossed.user = mine.token().user;
    here.refuses(&crossed.encode()).await;
    there.refuses(&crossed.encode()).await;
    let mut crossed = mine.token();
    crossed.family = theirs.token().family;
    here.refuses(&crossed.encode()).await;
    here.rotate(&mine.refresh).await;
    there.rotate(&theirs.refresh).await;
}

#[tokio::test]
async fn keys_of_one_tenant_verify_no_token_of_another() {
    let (here, there) = (Tenant::create(shared()).await, Tenant::create(shared()).await);
    let theirs = there.login().await;
    there.verify(&theirs.access).await.expect("their own keys do");
    here.verify(&theirs.access).await.expect_err("ours don't");
    let mut renamed = theirs.jwt();
    renamed.header["kid"] = here.jwks().await["keys"][0]["kid"].clone();
    here.sessions(&renamed.encode()).await.expect(401);
}

#[tokio::test]
async fn a_path_is_one_tenant_only() {
    let (here, there) = (Tenant::create(shared()).await, Tenant::create(shared()).await);
    let theirs = there.login().await;
    let base = shared().base_url();
    for path in [
        format!("{base}/t/{}/../{}/sessions", here.name, there.name),
        format!("{base}/t/{}%2f..%2f{}/sessions", here.name, there.name),
        format!("{base}/t/{}%23{}/sessions", here.name, there.name),
        format!("{base}/t/{}/t/{}/sessions", here.name, there.name),
        format!("{base}/t//{}/sessions", there.name),
        format!("{base}/T/{}/sessions", there.name),
    ] {
        let reply = Call::get(&path).bearer(&theirs.access).send(&here.http).await;
        assert!(matches!(reply.status, 400 | 401 | 403 | 404), "{path}: {reply}");
    }
    let spoofed = Call::get(here.url("/sessions"))
        .bearer(&theirs.access)
        .header("x-tenant", &there.name)
        .header("x-amzn-request-context", format!(r#"{{"tenant":"{}"}}"#, there.name))
        .header("x-original-url", format!("/t/{}/sessions", there.name));
    spoofed.send(&here.http).await.expect(401);
}
