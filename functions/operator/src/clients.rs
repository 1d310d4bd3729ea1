//! Clients at creation.

use std::collections::BTreeSet;

use leasehold::client::{
    ADMIN_CLIENT, ADMIN_SCOPES, Client, ClientStatus, ClientType, is_origin, is_scope_token, new_secret,
};
use leasehold::clock::Timestamp;
use leasehold::id::{ClientId, TenantId};
use leasehold::rest::Rest;
use leasehold::revocation::Action;
use leasehold::secret::Secret;
use leasehold::store::{Commit, Wanted};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{ATTEMPTS, Operator, OperatorError, audit};

/// What audiences and scopes of a client may take of a token, in bytes.
const MAX_BYTES: usize = 960;
/// What the origins of all clients may take of a tenant's item, in bytes: the item stays under 4 KB.
pub const MAX_ORIGINS_BYTES: usize = 1024;
/// How many origins a client may have.
const MAX_ORIGINS: usize = 20;

/// A client to be registered.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewClient {
    client_id: ClientId,
    #[serde(rename = "type")]
    kind: ClientType,
    #[serde(default)]
    audiences: BTreeSet<String>,
    #[serde(default)]
    scopes: BTreeSet<String>,
    #[serde(default)]
    origins: BTreeSet<String>,
}

impl NewClient {
    /// The client, with its secret if it has one.
    pub fn check(
        self,
        public_url: &str,
        now: Timestamp,
    ) -> Result<(Client, Option<Secret<String>>), OperatorError> {
        if self.client_id.as_str() == ADMIN_CLIENT {
            return Err(OperatorError::invalid("client_id: this one belongs to the tenant's admins"));
        }
        if let Some(scope) =
            self.scopes.iter().find(|scope| !is_scope_token(scope) || ADMIN_SCOPES.contains(&scope.as_str()))
        {
            return Err(OperatorError::Invalid(format!(
                "scopes: {scope:?} is not a scope a client can have"
            )));
        }
        if let Some(origin) = self.origins.iter().find(|origin| !is_origin(origin)) {
            return Err(OperatorError::Invalid(format!("origins: {origin:?} is not https://host[:port]")));
        }
        let is_text = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
        let is_audience = |text: &String| (1..=200).contains(&text.len()) && text.bytes().all(is_text);
        if !self.audiences.iter().all(is_audience) {
            return Err(OperatorError::invalid(
                "audiences: 1 to 200 printable characters each, no quotes or backslashes",
            ));
        }
        // Our own audiences mean a user's own routes, or the administration of a tenant.
        if self.audiences.iter().any(|audience| audience.starts_with(public_url)) {
            return Err(OperatorError::invalid(
                "audiences: those under the service's own URL are not yours to use",
            ));
        }
        let bytes: usize = self.audiences.iter().chain(&self.scopes).map(|text| text.len() + 3).sum();
        if bytes > MAX_BYTES || self.origins.len() > MAX_ORIGINS {
            return Err(OperatorError::invalid(
                "audiences and scopes: 960 bytes in all; origins: at most 20",
            ));
        }
        let (secret, secret_hashes) = match self.kind {
            ClientType::Public => (None, Vec::new()),
            ClientType::Confidential => {
                let (secret, hash) = new_secret();
                (Some(secret), vec![hash])
            }
        };
        let client = Client {
            id: self.client_id,
            kind: self.kind,
            secret_hashes,
            audiences: self.audiences,
            scopes: self.scopes,
            origins: self.origins,
            status: ClientStatus::Active,
            created_at: now,
            version: 1,
            rest: Rest::default(),
        };
        Ok((client, secret))
    }

    /// What is shown of a new client: the secret, this once.
    pub fn answer(client: &Client, secret: Option<&Secret<String>>) -> Value {
        let mut shown = json!({ "client_id": client.id, "type": client.kind });
        if let Some(secret) = secret {
            shown["client_secret"] = json!(secret.expose());
        }
        shown
    }
}

/// Registers a client.
pub async fn create(
    operator: &Operator,
    tenant: &TenantId,
    new: NewClient,
    now: Timestamp,
) -> Result<Value, OperatorError> {
    let (client, secret) = new.check(&operator.app.config.public_url, now)?;
    let event = audit(now, Action::ClientCreate, Some(client.id.to_string()));
    for _ in 0..ATTEMPTS {
        let entered = operator.load(tenant, Wanted { client: Some(&client.id), ..Wanted::default() }).await?;
        if entered.client.is_some() {
            return Err(OperatorError::AlreadyExists("the client exists"));
        }
        let origins = entered.tenant.origins.union(&client.origins).map(String::len).sum::<usize>();
        if origins > MAX_ORIGINS_BYTES {
            return Err(OperatorError::invalid("origins: 1024 bytes in all of a tenant's clients"));
        }
        if entered.store.create_client(&entered.tenant, &client, &event).await? == Commit::Done {
            return Ok(NewClient::answer(&client, secret.as_ref()));
        }
    }
    Err(OperatorError::Unavailable("other writers kept coming first".into()))
}
