//! The directory of tenants, for the operator only: how schedules and lists reach every tenant without a scan.

use serde::{Deserialize, Serialize};

use super::schema;
use super::{Store, StoreError};
use crate::clock::Timestamp;
use crate::id::TenantId;

/// A directory entry.
#[derive(Serialize, Deserialize)]
pub(super) struct Entry {
    pub created_at: Timestamp,
}

/// A page of the directory.
#[derive(Clone, Debug)]
pub struct Directory {
    /// The tenants of the page.
    pub tenants: Vec<TenantId>,
    /// Where the next page begins; absent on the last.
    pub next: Option<u8>,
}

impl Store {
    /// The tenants of one shard of the directory, beginning with shard 0.
    ///
    /// # Errors
    /// When the table can't be read, or an entry is not a tenant's.
    pub async fn list_tenants(&self, shard: u8) -> Result<Directory, StoreError> {
        let found = self.query(&schema::shard(shard), "", usize::MAX).await?;
        let corrupt = || StoreError::Corrupt { kind: "directory", cause: "not a tenant".to_owned() };
        let tenants = found
            .iter()
            .map(|item| item.get(schema::SK).and_then(|sk| sk.as_s().ok()).and_then(|sk| sk.parse().ok()).ok_or_else(corrupt))
            .collect::<Result<_, _>>()?;
        let next = shard.checked_add(1).filter(|next| *next < schema::SHARDS);
        Ok(Directory { tenants, next })
    }
}
