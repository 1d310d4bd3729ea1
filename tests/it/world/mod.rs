//! Two tenants, and for every route a call that works: the control of the tenancy matrix and of the outage matrix.

mod administration;
mod foreign;

use administration::Administered;
pub use foreign::Naming;
use leasehold_tests::http::{Call, fail};
use leasehold_tests::stack::Stack;
use leasehold_tests::tenant::{APP, BACKEND, PASSWORD, Session, Tenant, USER};
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
    openid: Session,
    admin: Administered,
    theirs_administered: Administered,
}

impl World {
    /// Two fresh tenants on a stack.
    pub async fn new(stack: &Stack) -> Self {
        let there = Tenant::create(stack).await;
        // The other tenant's user has a name that is taken here too, with another password.
        there.add_user(stack, "theo", "lagoon-Hammer 8 violet").await;
        let theirs = there.login().await;
        let backend = there.login_backend().await;
        let administered = Administered::new(&there, &theirs.sid).await;
        Self::of(stack, there, theirs, backend, administered).await
    }

    /// A fresh tenant here, beside the same other one.
    pub async fn beside(&self, stack: &Stack) -> Self {
        let (there, theirs) = (self.there.clone(), self.theirs.clone());
        Self::of(stack, there, theirs, self.backend_there.clone(), self.theirs_administered.clone()).await
    }

    async fn of(
        stack: &Stack,
        there: Tenant,
        theirs: Session,
        backend_there: Session,
        theirs_administered: Administered,
    ) -> Self {
        let here = Tenant::create(stack).await;
        here.add_user(stack, "theo", "meadow-Anchor 1 copper").await;
        let end_here = here.login().await;
        Self {
            mine: here.login().await,
            openid: here.login_for("openid").await,
            base: stack.base_url(),
            admin: Administered::new(&here, &end_here.sid).await,
            backend_there,
            theirs_administered,
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

    /// A route at which the authorizer decides, so that API Gateway says 403 for every refusal.
    fn guarded(&self, method: &str, path: &str, ok: u16) -> Row {
        let mut row = self.bearer(method, path, ok);
        row.attempts.iter_mut().for_each(|attempt| attempt.allowed = &[403]);
        row
    }

    /// Answered as any token is that is not good; that it is told nothing of theirs is checked by the tests of introspection.
    fn introspection(&self, own: &str) -> Row {
        let call = |secret: &str, token: &str| {
            Call::post(self.here.url(own)).basic(BACKEND, secret).form(&[("token", token)])
        };
        let (ours, theirs) = (&self.here.secret, &self.there.secret);
        let attempt = |what, call, allowed| Attempt { what, call, allowed };
        Row {
            attempts: vec![
                attempt("their client's secret", call(theirs, &self.mine.access), &[401]),
                attempt("their access token", call(ours, &self.theirs.access), &[200]),
                attempt("their refresh token", call(ours, &self.backend_there.refresh), &[200]),
            ],
            control: call(ours, &self.mine.access),
            status: 200,
        }
    }

    /// The row of a route that verifies tokens for others; fails for a route that has none.
    fn protected(&self, method: &str, own: &str) -> Row {
        match (method, own) {
            ("GET", "/sample/orders") => self.guarded(method, own, 200),
            ("POST", "/sample/orders") => self.guarded(method, own, 201),
            ("GET", "/sample/me") => self.bearer(method, own, 200),
            ("GET", "/userinfo") => Row {
                control: Call::get(self.here.url(own)).bearer(&self.openid.access),
                ..self.bearer(method, own, 200)
            },
            ("POST", "/introspect") => self.introspection(own),
            _ => fail(&format!("{method} {own} has no row in the tenancy matrix")),
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

    /// The row of a route; fails for a route that has none.
    pub fn row(&self, method: &str, path: &str) -> Row {
        let own = path.replacen("/t/{tenant}", "", 1);
        if let Some(administered) = own.strip_prefix("/admin") {
            return self.administration(method, administered);
        }
        let url = self.here.url(&own);
        let json = |body: serde_json::Value| Call::post(&url).json(&body);
        let attempt = |what, call, allowed| Attempt { what, call, allowed };
        if method == "OPTIONS" {
            return Row { attempts: Vec::new(), control: Call::new("OPTIONS", &url), status: 204 };
        }
        match (method, own.as_str()) {
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
            _ => self.rest_of_row(method, &own, url),
        }
    }

    fn rest_of_row(&self, method: &str, own: &str, url: String) -> Row {
        let attempt = |what, call, allowed| Attempt { what, call, allowed };
        match (method, own) {
            ("GET", "/sessions") => self.bearer(method, "/sessions", 200),
            ("DELETE", "/sessions") => self.bearer(method, "/sessions?except=current", 204),
            ("DELETE", "/sessions/{sid}") => {
                let mut row = self.bearer(method, &format!("/sessions/{}", self.end_here.sid), 204);
                let theirs = Call::delete(self.here.url(&format!("/sessions/{}", self.theirs.sid)));
                row.attempts.push(attempt("their session's id", theirs.bearer(&self.mine.access), &[404]));
                row
            }
            (
                "GET",
                "/.well-known/jwks.json" | "/.well-known/openid-configuration" | "/.well-known/revocations",
            ) => self.public(url),
            ("GET", "/.well-known/oauth-authorization-server") => {
                let path = "/.well-known/oauth-authorization-server/t/";
                self.public(format!("{}{path}{}", self.base, self.here.name))
            }
            _ => self.protected(method, own),
        }
    }
}
