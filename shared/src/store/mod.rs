//! The table. [`Store`] knows tenants and nothing else; everything of a tenant hangs off [`TenantStore`], which only the
//! look-up of a tenant makes. Forgetting the tenant does not compile.
//!
//! Reads that decide something are consistent. Every change is one conditional write or one transaction. There is no
//! scan and no index.

mod call;
mod directory;
mod answers;
mod families;
mod health;
mod item;
mod keys;
mod listing;
mod revocations;
mod schema;
mod tenants;
mod throttles;
mod users;
mod writes;

pub use answers::Answer;
pub use directory::{Directory, Place};
pub use families::Revoked;
pub use listing::{AuditPlace, Audited, Page, UserPlace};
pub use revocations::{Polled, Revocations};
pub use tenants::{Entered, KnownDevice, NewTenant, Wanted};
pub use throttles::DEVICE_SECONDS;
pub use writes::{Commit, Part, Writes};

use crate::audit::AuditEvent;
use crate::clock;
use crate::id::TenantId;
use crate::policy::MAX_ACCESS_TOKEN_SECONDS;
use crate::reach::{Reach, ask_for_nothing, was_answered};
use crate::revocation::Revocation;
use crate::trouble::Trouble;

/// The table could not do what was asked. Never turned into a refusal of what the client presented.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Trouble on the way to the table or in it; trying again later helps.
    #[error("the table is unavailable")]
    Unavailable(#[source] Trouble),
    /// Other writers kept coming first; trying again helps.
    #[error("the item is contended")]
    Contended,
    /// An item does not read as its kind; a person must look.
    #[error("corrupt item of kind {kind}: {cause}")]
    Corrupt {
        /// Which kind of item.
        kind: &'static str,
        /// What does not read, without values.
        cause: String,
    },
}

/// The table of a deployment.
#[derive(Clone, Debug)]
pub struct Store {
    reach: Reach,
    client: aws_sdk_dynamodb::Client,
    table: String,
    audit_retention_seconds: u64,
}

/// The table as one tenant's requests may use it. Only [`Store::enter`] makes one.
#[derive(Clone, Debug)]
pub struct TenantStore {
    store: Store,
    tenant: TenantId,
}

impl Store {
    /// The table of this name.
    pub fn new(reach: Reach, table: String, audit_retention_seconds: u64) -> Self {
        let client = reach.whole().dynamodb.clone();
        Self { reach, client, table, audit_retention_seconds }
    }

    /// The table as far as the credentials of a tenant reach.
    fn of_tenant(&self, tenant: &TenantId) -> Self {
        Self { client: self.reach.of_tenant(tenant).dynamodb, ..self.clone() }
    }

    /// Opens a connection, as best it can. Without this the first request pays for the handshakes.
    pub async fn connect(&self) {
        let retries = aws_sdk_dynamodb::config::retry::RetryConfig::disabled();
        let plain = self.client.describe_endpoints().customize().mutate_request(ask_for_nothing);
        let outcome = plain
            .config_override(aws_sdk_dynamodb::config::Builder::new().retry_config(retries))
            .send()
            .await;
        tracing::debug!(answered = was_answered(&outcome), "connected to the table");
    }
}

impl TenantStore {
    /// Whose it is.
    pub const fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// The entry that verifiers find, stamped with the time of writing: a reader that follows the entries by time must
    /// not be overtaken by one that was decided on long before it was written.
    fn revocation_item(&self, revocation: &Revocation) -> schema::Item {
        let at = clock::now();
        // As long as any token could live that this must keep out, and a margin for clocks.
        let expires_at = at.plus_seconds(MAX_ACCESS_TOKEN_SECONDS + 600);
        let mut item = item::write(&schema::revocation(&self.tenant, at), revocation, Some(expires_at));
        item.insert("at".to_owned(), schema::number(at.millis()));
        item
    }

    fn audit_item(&self, event: &AuditEvent) -> schema::Item {
        let expires_at = event.at.plus_seconds(self.store.audit_retention_seconds);
        item::write(&schema::audit(&self.tenant, event.at), event, Some(expires_at))
    }
}
