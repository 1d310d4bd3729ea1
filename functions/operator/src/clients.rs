//! Clients at creation.

use leasehold::audit::Action;
use leasehold::client::{ADMIN_CLIENT, Client, ClientType, Settings, check_origins};
use leasehold::clock::Timestamp;
use leasehold::id::{ClientId, TenantId};
use leasehold::secret::Secret;
use leasehold::store::{Commit, Part, Wanted};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{ATTEMPTS, Operator, OperatorError, audit};

/// A client to be registered.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewClient {
    client_id: ClientId,
    #[serde(rename = "type")]
    kind: ClientType,
    #[serde(default)]
    audiences: std::collections::BTreeSet<String>,
    #[serde(default)]
    scopes: std::collections::BTreeSet<String>,
    #[serde(default)]
    origins: std::collections::BTreeSet<String>,
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
        let settings = Settings { audiences: self.audiences, scopes: self.scopes, origins: self.origins };
        settings.check(public_url)?;
        Ok(Client::new(self.client_id, self.kind, settings, now))
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
    let event = audit(now, Action::ClientCreate).on(&client.id);
    for _ in 0..ATTEMPTS {
        let entered = operator.load(tenant, Wanted::default()).await?;
        let mut after = entered.tenant.next();
        after.origins.extend(client.origins.iter().cloned());
        check_origins(after.origins.iter())?;
        let writes = entered.store.writes().new_client(&client).tenant(&entered.tenant, &after);
        match writes.audit(&event).commit().await? {
            Commit::Done => return Ok(NewClient::answer(&client, secret.as_ref())),
            Commit::Lost(Part::Client) => return Err(OperatorError::AlreadyExists("the client exists")),
            Commit::Lost(_) => {}
        }
    }
    Err(OperatorError::Unavailable("other writers kept coming first".into()))
}
