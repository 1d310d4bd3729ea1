//! A fresh tenant per test, and what its users and clients do all day.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::clock::now;
use crate::http::{Call, Http, Reply};
use crate::stack::Stack;
use crate::token::{self, Jwt, RefreshToken};

/// The public client of every test tenant.
pub const APP: &str = "shop-app";
/// The confidential client of every test tenant.
pub const BACKEND: &str = "shop-backend";
/// The API for which the clients' tokens are.
pub const API: &str = "https://api.shop.example";
/// The ordinary user of every test tenant.
pub const USER: &str = "ada";
/// Her password.
pub const PASSWORD: &str = "tidal-Lantern 7 quartz";
/// The admin of every test tenant.
pub const ADMIN: &str = "root-admin";
/// The admin's password.
pub const ADMIN_PASSWORD: &str = "basalt-Umbrella 3 violin";

/// A tenant of one test.
#[derive(Clone)]
pub struct Tenant {
    /// Its id.
    pub name: String,
    /// Its issuer as the operator function answered it.
    pub issuer: String,
    /// The confidential client's secret.
    pub secret: String,
    /// The client for HTTP.
    pub http: Http,
    /// The URL under which its routes lie.
    pub base: String,
}

/// The audience of a tenant's tokens at the sample API.
pub fn sample_api(tenant: &str) -> String {
    format!("https://api.{tenant}.example")
}

/// A tenant id that no other test has.
pub fn fresh_name() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("t{}-{:x}-{n}", now() % 100_000, std::process::id())
}

/// The command that creates a test tenant.
pub fn create_command(name: &str, algorithm: &str, policy: &Value) -> Value {
    let apis = [API.to_owned(), sample_api(name)];
    let scopes = ["openid", "read", "write", "orders:read", "orders:write"];
    json!({
        "op": "tenant.create", "tenant": name, "algorithm": algorithm, "policy": policy,
        "clients": [
            {"client_id": APP, "type": "public", "audiences": apis, "scopes": scopes, "origins": []},
            {"client_id": BACKEND, "type": "confidential", "audiences": [API], "scopes": ["read"], "origins": []},
        ],
        "admin": {"username": ADMIN, "password": ADMIN_PASSWORD},
    })
}

impl Tenant {
    /// A tenant with the default policy that signs with ES256.
    pub async fn create(stack: &Stack) -> Self {
        Self::create_with(stack, "ES256", json!({})).await
    }

    /// A tenant with some policy.
    pub async fn with_policy(stack: &Stack, policy: Value) -> Self {
        Self::create_with(stack, "ES256", policy).await
    }

    /// A tenant with algorithm and policy, its two clients, its user and its admin.
    pub async fn create_with(stack: &Stack, algorithm: &str, policy: Value) -> Self {
        Self::create_named(stack, &fresh_name(), algorithm, policy).await
    }

    /// The same, under a name that a test has in mind.
    pub async fn create_named(stack: &Stack, name: &str, algorithm: &str, policy: Value) -> Self {
        let http = Http::new();
        let made = stack.operator(&http, &create_command(name, algorithm, &policy)).await;
        let secret = made["clients"]
            .as_array()
            .and_then(|clients| clients.iter().find(|client| client["client_id"] == BACKEND))
            .and_then(|client| client["client_secret"].as_str())
            .unwrap_or_default();
        let tenant = Self {
            issuer: made["issuer"].as_str().expect("an issuer").to_owned(),
            secret: secret.to_owned(),
            base: format!("{}/t/{name}", stack.base_url()),
            name: name.to_owned(),
            http,
        };
        tenant.add_user(stack, USER, PASSWORD).await;
        tenant
    }

    /// Another user.
    pub async fn add_user(&self, stack: &Stack, username: &str, password: &str) -> String {
        let made = stack
            .operator(
                &self.http,
                &json!({"op": "user.create", "tenant": self.name, "username": username, "password": password, "roles": ["user"]}),
            )
            .await;
        made["user_id"].as_str().expect("a user id").to_owned()
    }

    /// The URL of one of the tenant's routes: `url("/token")`.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Signs a user in at the public client.
    pub async fn login_as(&self, username: &str, password: &str) -> Reply {
        Call::post(self.url("/login"))
            .json(&json!({"client_id": APP, "username": username, "password": password}))
            .send(&self.http)
            .await
    }

    /// Signs the tenant's user in; must succeed.
    pub async fn login(&self) -> Session {
        Session::from_reply(&self.login_as(USER, PASSWORD).await.expect(200))
    }

    /// Signs the tenant's user in at the confidential client; must succeed.
    pub async fn login_backend(&self) -> Session {
        let reply = Call::post(self.url("/login"))
            .basic(BACKEND, &self.secret)
            .json(&json!({"client_id": BACKEND, "username": USER, "password": PASSWORD}))
            .send(&self.http)
            .await;
        Session::from_reply(&reply.expect(200))
    }

    /// A call to the token endpoint, ready to be sent.
    pub fn refresh_call(&self, refresh_token: &str) -> Call {
        Call::post(self.url("/token")).form(&[
            ("grant_type", "refresh_token"),
            ("client_id", APP),
            ("refresh_token", refresh_token),
        ])
    }

    /// Presents a refresh token.
    pub async fn refresh(&self, refresh_token: &str) -> Reply {
        self.refresh_call(refresh_token).send(&self.http).await
    }

    /// Presents a refresh token that must be good.
    #[track_caller]
    pub fn rotate(&self, refresh_token: &str) -> impl Future<Output = Session> {
        let (sent, caller) = (self.refresh(refresh_token), std::panic::Location::caller());
        async move {
            let reply = sent.await;
            assert_eq!(reply.status, 200, "at {caller}: {reply}");
            Session::from_reply(&reply)
        }
    }

    /// Presents a refresh token that must be refused as such.
    #[track_caller]
    pub fn refuses(&self, refresh_token: &str) -> impl Future<Output = Reply> {
        let (sent, caller) = (self.refresh(refresh_token), std::panic::Location::caller());
        async move {
            let reply = sent.await;
            let seen = (reply.status, reply.error());
            assert_eq!(seen, (400, "invalid_grant".to_owned()), "at {caller}: {reply}");
            reply.expect_error_shape()
        }
    }

    /// Says that a token has been saved.
    pub async fn confirm(&self, refresh_token: &str) -> Reply {
        Call::post(self.url("/confirm"))
            .json(&json!({"client_id": APP, "refresh_token": refresh_token}))
            .send(&self.http)
            .await
    }

    /// Revokes a token as its public client.
    pub async fn revoke(&self, token: &str) -> Reply {
        Call::post(self.url("/revoke")).form(&[("client_id", APP), ("token", token)]).send(&self.http).await
    }

    /// Lists the user's sessions.
    pub async fn sessions(&self, access_token: &str) -> Reply {
        Call::get(self.url("/sessions")).bearer(access_token).send(&self.http).await
    }

    /// Asks the sample API for orders: the authorizer decides.
    pub async fn orders(&self, access_token: &str) -> Reply {
        Call::get(self.url("/sample/orders")).bearer(access_token).send(&self.http).await
    }

    /// Asks the sample API who is calling: the authorizer annotates.
    pub async fn me(&self, access_token: &str) -> Reply {
        Call::get(self.url("/sample/me")).bearer(access_token).send(&self.http).await
    }

    /// Signs the user in for this scope alone.
    pub async fn login_for(&self, scope: &str) -> Session {
        let body = json!({"client_id": APP, "username": USER, "password": PASSWORD, "scope": scope});
        Session::from_reply(&Call::post(self.url("/login")).json(&body).send(&self.http).await.expect(200))
    }

    /// Signs the user out everywhere.
    pub async fn sign_out_everywhere(&self, access_token: &str) -> Reply {
        Call::delete(self.url("/sessions")).bearer(access_token).send(&self.http).await
    }

    /// Changes the password of a user who knows the old one.
    pub async fn change_password(&self, username: &str, old: &str, new: &str) -> Reply {
        Call::post(self.url("/password"))
            .json(&json!({"client_id": APP, "username": username, "password": old, "new_password": new}))
            .send(&self.http)
            .await
    }

    /// The published keys.
    pub async fn jwks(&self) -> Value {
        Call::get(self.url("/.well-known/jwks.json")).send(&self.http).await.expect(200).json()
    }

    /// Verifies an access token with a JWT library and the published keys, and hands its claims back.
    pub async fn verify(&self, access_token: &str) -> Result<Value, String> {
        token::verify(access_token, &self.jwks().await, &self.issuer, API)
    }
}

/// What a client holds after login or refresh.
#[derive(Clone, Debug)]
pub struct Session {
    /// The access token.
    pub access: String,
    /// The refresh token.
    pub refresh: String,
    /// The session id.
    pub sid: String,
    /// The whole answer.
    pub body: Value,
}

impl Session {
    /// Takes a token response apart.
    #[track_caller]
    pub fn from_reply(reply: &Reply) -> Self {
        Self {
            access: reply.string("access_token"),
            refresh: reply.string("refresh_token"),
            sid: reply.string("sid"),
            body: reply.json(),
        }
    }

    /// The refresh token, taken apart.
    pub fn token(&self) -> RefreshToken {
        RefreshToken::parse(&self.refresh)
    }

    /// The access token, taken apart.
    pub fn jwt(&self) -> Jwt {
        Jwt::parse(&self.access)
    }

    /// `rotation.generation` of a refresh.
    pub fn generation(&self) -> i64 {
        self.body["rotation"]["generation"].as_i64().expect("rotation.generation")
    }

    /// `rotation.replayed` of a refresh.
    pub fn replayed(&self) -> bool {
        self.body["rotation"]["replayed"].as_bool().expect("rotation.replayed")
    }
}

/// The client through which admins sign in.
pub const ADMIN_CLIENT: &str = "leasehold-admin";

/// An admin of a tenant who has signed in.
#[derive(Clone)]
pub struct Admin {
    /// Where the routes lie.
    pub base: String,
    /// The access token.
    pub token: String,
    /// The session.
    pub session: Session,
    http: Http,
}

impl Tenant {
    /// Signs the tenant's admin in.
    pub async fn admin(&self) -> Admin {
        self.admin_as(ADMIN, ADMIN_PASSWORD, None).await
    }

    /// Signs an admin in, for a part of what they may if a scope is given.
    pub async fn admin_as(&self, username: &str, password: &str, scope: Option<&str>) -> Admin {
        let mut body = json!({"client_id": ADMIN_CLIENT, "username": username, "password": password});
        if let Some(scope) = scope {
            body["scope"] = json!(scope);
        }
        let reply = Call::post(self.url("/login")).json(&body).send(&self.http).await.expect(200);
        let session = Session::from_reply(&reply);
        Admin {
            base: format!("{}/admin", self.base),
            token: session.access.clone(),
            session,
            http: self.http.clone(),
        }
    }

    /// Sets a password with a one-time code.
    pub async fn set_password(&self, username: &str, code: &str, new_password: &str) -> Reply {
        Call::post(self.url("/password"))
            .json(
                &json!({"client_id": APP, "username": username, "code": code, "new_password": new_password}),
            )
            .send(&self.http)
            .await
    }
}

impl Admin {
    /// A call to a route of the administration, ready to be sent.
    pub fn call(&self, method: &str, path: &str) -> Call {
        Call::new(method, format!("{}{path}", self.base)).bearer(&self.token)
    }

    /// Sends a call.
    pub async fn send(&self, call: Call) -> Reply {
        call.send(&self.http).await
    }

    /// `GET`.
    pub async fn get(&self, path: &str) -> Reply {
        self.send(self.call("GET", path)).await
    }

    /// `POST` with a JSON body.
    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        self.send(self.call("POST", path).json(body)).await
    }

    /// `PATCH` of what has this tag.
    pub async fn patch(&self, path: &str, tag: &str, body: &Value) -> Reply {
        self.send(self.call("PATCH", path).header("if-match", tag).json(body)).await
    }

    /// `DELETE`.
    pub async fn delete(&self, path: &str) -> Reply {
        self.send(self.call("DELETE", path)).await
    }

    /// The user of a name.
    pub async fn user(&self, username: &str) -> Value {
        let found = self.get(&format!("/users?username={username}")).await.expect(200).json();
        found["items"][0].clone()
    }

    /// Adds a user who has set a password; the id.
    pub async fn add_user(&self, tenant: &Tenant, body: &Value, password: &str) -> String {
        let made = self.post("/users", body).await.expect(201);
        let username = made.json()["user"]["username"].as_str().expect("a name").to_owned();
        tenant.set_password(&username, &made.string("code"), password).await.expect(204);
        made.json()["user"]["user_id"].as_str().expect("an id").to_owned()
    }

    /// Every entry of the audit log.
    pub async fn audit(&self) -> Vec<Value> {
        let mut items = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = self.get(&format!("/audit?limit=100{cursor}")).await.expect(200).json();
            items.extend(page["items"].as_array().expect("items").clone());
            let Some(next) = page["next_cursor"].as_str() else { return items };
            cursor = format!("&cursor={next}");
        }
    }
}
