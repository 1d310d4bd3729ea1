//! Clients at creation.

use std::collections::BTreeSet;

use leasehold::client::{
    ADMIN_CLIENT, ADMIN_SCOPES, Client, ClientStatus, ClientType, is_origin, is_scope_token, new_secret,
};
use leasehold::clock::Timestamp;
use leasehold::id::{ClientId, TenantId};
use leasehold::revocation::Action;
use leasehold::secret::Secret;
use leasehold::store::{Commit, Wanted};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{Operator, OperatorError, audit};

/// What audiences and scopes of a client may take of a token, in bytes.
const MAX_BYTES: usize = 1024;
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
    pub fn check(self, now: Timestamp) -> Result<(Client, Option<Secret<String>>), OperatorError> {
        if self.client_id.as_str() == ADMIN_CLIENT {
            return Err(OperatorError::invalid("client_id: this one belongs to the tenant's admins"));
        }
        if let Some(scope) = self.scopes.iter().find(|scope| !is_scope_token(scope) || ADMIN_SCOPES.contains(&scope.as_str())) {
            return Err(OperatorError::Invalid(format!("scopes: {scope:?} is not a scope a client can have")));
        }
        if let Some(origin) = self.origins.iter().find(|origin| !is_origin(origin)) {
            return Err(OperatorError::Invalid(format!("origins: {origin:?} is not https://host[:port]")));
        }
        let is_audience = |text: &String| (1..=200).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !self.audiences.iter().all(is_audience) {
            return Err(OperatorError::invalid("audiences: 1 to 200 printable characters each"));
        }
        let bytes: usize = self.audiences.iter().chain(&self.scopes).map(|text| text.len() + 3).sum();
        if bytes > MAX_BYTES || self.origins.len() > MAX_ORIGINS {
            return Err(OperatorError::invalid("audiences and scopes: 1024 bytes in all; origins: at most 20"));
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
    let entered = operator.load(tenant, Wanted::default()).await?;
    let (client, secret) = new.check(now)?;
    let event = audit(now, Action::ClientCreate, Some(client.id.to_string()));
    match entered.store.create_client(&client, &event).await? {
        Commit::Done => Ok(NewClient::answer(&client, secret.as_ref())),
        Commit::Lost => Err(OperatorError::AlreadyExists("the client exists")),
    }
}
