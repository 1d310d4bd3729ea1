//! A tenant's mobile app: what it sends and what it keeps.

use bytes::Bytes;
use http::{Method, StatusCode};
use jsonwebtoken::jwk::JwkSet;
use leasehold_local::client::{Client, Reply};
use leasehold_local::seed::{Seed, Tenant, User};
use serde::Deserialize;
use serde_json::json;

use crate::show::{Failure, call, check};

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const VERSION: (&str, &str) = ("x-client-version", "demo/1.0.0");

/// One tenant's app with one of its users.
pub struct App {
    name: String,
    tenant: Tenant,
    user: User,
    client: Client,
}

/// What the app keeps of a token response.
#[derive(Debug, Clone)]
pub struct Session {
    /// For APIs.
    pub access_token: String,
    /// For the next refresh.
    pub refresh_token: String,
    /// Life of the access token.
    pub expires_in: u64,
    /// The session.
    pub sid: String,
    /// Step of the family; 0 at login.
    pub generation: u64,
    /// Whether this repeats an earlier answer.
    pub replayed: bool,
}

#[derive(Deserialize)]
struct Tokens {
    access_token: String,
    token_type: String,
    expires_in: u64,
    refresh_token: String,
    sid: String,
    rotation: Option<Rotation>,
}

#[derive(Deserialize, Default)]
struct Rotation {
    generation: u64,
    replayed: bool,
}

impl App {
    /// The app of a seeded tenant, with its ordinary user.
    pub fn of(seed: &Seed, name: &str, client: Client) -> Result<Self, Failure> {
        let tenant = seed.tenants.get(name).ok_or_else(|| format!("seed.json has no tenant {name}"))?.clone();
        let user = tenant.users.first().ok_or_else(|| format!("tenant {name} has no user"))?.clone();
        Ok(Self { name: name.to_owned(), tenant, user, client })
    }

    /// Its tenant.
    pub fn tenant(&self) -> &str {
        &self.name
    }

    /// Its user.
    pub fn username(&self) -> &str {
        &self.user.username
    }

    /// Its issuer.
    pub fn issuer(&self) -> &str {
        &self.tenant.issuer
    }

    /// The API that its tokens are for.
    pub fn audience(&self) -> String {
        format!("https://api.{}.example", self.name)
    }

    /// Signs the user in.
    pub async fn login(&self, device: &str) -> Result<Session, Failure> {
        let body = json!({
            "client_id": self.tenant.client_id,
            "username": self.user.username,
            "password": self.user.password,
            "device": device,
        });
        session(&self.post_json("/login", &body).await?)
    }

    /// Signs in with another password.
    pub async fn login_with(&self, password: &str) -> Result<Reply, Failure> {
        let body = json!({
            "client_id": self.tenant.client_id,
            "username": self.user.username,
            "password": password,
        });
        self.post_json("/login", &body).await
    }

    /// Presents a refresh token.
    pub async fn refresh(&self, refresh_token: &str) -> Result<Session, Failure> {
        session(&self.present(refresh_token).await?)
    }

    /// Presents a refresh token that must be refused.
    pub async fn refused(&self, refresh_token: &str, what: &str) -> Result<(), Failure> {
        let reply = self.present(refresh_token).await?;
        let as_documented =
            reply.status == StatusCode::BAD_REQUEST && reply.json()["error"] == "invalid_grant";
        check(as_documented, what)
    }

    /// Hands a refresh token back.
    pub async fn revoke(&self, refresh_token: &str) -> Result<Reply, Failure> {
        self.post_form("/revoke", &[("client_id", &self.tenant.client_id), ("token", refresh_token)]).await
    }

    /// The published keys, found as a library finds them: by discovery.
    pub async fn keys(&self) -> Result<JwkSet, Failure> {
        let document = self.get("/.well-known/openid-configuration").await?.json();
        check(document["issuer"] == *self.tenant.issuer, "discovery names the issuer")?;
        let url = document["jwks_uri"].as_str().ok_or("discovery names no jwks_uri")?;
        let reply = self.client.get(url).await?;
        call("GET", url, reply.status);
        Ok(serde_json::from_slice(&reply.body)?)
    }

    /// The key document and a line about each key.
    pub async fn published_keys(&self) -> Result<(Reply, Vec<String>), Failure> {
        let reply = self.get("/.well-known/jwks.json").await?;
        let document = reply.json();
        let keys = document["keys"].as_array().ok_or("the key document has no keys")?;
        let kids = keys.iter().map(|key| format!("{} {}", key["alg"], key["kid"]).replace('"', "")).collect();
        Ok((reply, kids))
    }

    /// The key document for somebody who has it.
    pub async fn published_if_changed(&self, tag: &str) -> Result<Reply, Failure> {
        let url = format!("{}/.well-known/jwks.json", self.tenant.issuer);
        let reply = self.client.send(Method::GET, &url, &[("if-none-match", tag)], Bytes::new()).await?;
        call("GET", &url, reply.status);
        Ok(reply)
    }

    async fn present(&self, refresh_token: &str) -> Result<Reply, Failure> {
        let fields = [
            ("grant_type", "refresh_token"),
            ("client_id", self.tenant.client_id.as_str()),
            ("refresh_token", refresh_token),
        ];
        self.post_form("/token", &fields).await
    }

    async fn post_json(&self, path: &str, body: &serde_json::Value) -> Result<Reply, Failure> {
        let headers = [("content-type", "application/json"), VERSION];
        self.post(path, &headers, body.to_string()).await
    }

    async fn post_form(&self, path: &str, fields: &[(&str, &str)]) -> Result<Reply, Failure> {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.post(path, &[FORM, VERSION], body).await
    }

    async fn post(&self, path: &str, headers: &[(&str, &str)], body: String) -> Result<Reply, Failure> {
        let url = format!("{}{path}", self.tenant.issuer);
        let reply = self.client.send(Method::POST, &url, headers, body).await?;
        call("POST", &url, reply.status);
        Ok(reply)
    }

    async fn get(&self, path: &str) -> Result<Reply, Failure> {
        let url = format!("{}{path}", self.tenant.issuer);
        let reply = self.client.get(&url).await?;
        call("GET", &url, reply.status);
        Ok(reply)
    }
}

fn session(reply: &Reply) -> Result<Session, Failure> {
    if reply.status != StatusCode::OK {
        return Err(format!("expected 200 and tokens, got {} {}", reply.status, reply.json()).into());
    }
    let tokens: Tokens = serde_json::from_slice(&reply.body)?;
    if tokens.token_type != "Bearer" {
        return Err(format!("token_type is {}", tokens.token_type).into());
    }
    let Rotation { generation, replayed } = tokens.rotation.unwrap_or_default();
    Ok(Session {
        access_token: tokens.access_token,
        refresh_token: tokens.refresh_token,
        expires_in: tokens.expires_in,
        sid: tokens.sid,
        generation,
        replayed,
    })
}
