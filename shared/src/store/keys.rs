//! Wrapped private halves, and how many signatures a tenant has asked of KMS.

use aws_sdk_dynamodb::types::ReturnValue;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::{StoreError, TenantStore, item, schema};
use crate::clock::Timestamp;
use crate::id::Kid;

/// A private half, encrypted by KMS.
#[derive(Serialize, Deserialize)]
pub(super) struct Wrapped {
    private: String,
}

impl Wrapped {
    pub(super) fn of(private: &[u8]) -> Self {
        Self { private: STANDARD.encode(private) }
    }
}

impl TenantStore {
    /// The wrapped private half of a key, as KMS gave it.
    ///
    /// # Errors
    /// When the table can't be read, or the item is none.
    pub async fn find_wrapped(&self, kid: &Kid) -> Result<Option<Vec<u8>>, StoreError> {
        let found = self.store.read(&[schema::wrapped(&self.tenant, kid)]).await?;
        let Some(found) = found.into_iter().next() else { return Ok(None) };
        let wrapped: Wrapped = item::read("wrapped", found)?;
        let corrupt =
            |_| StoreError::Corrupt { kind: "wrapped", cause: "the private half is not base64".to_owned() };
        STANDARD.decode(wrapped.private).map(Some).map_err(corrupt)
    }

    /// Counts `by` signatures in the second of `at`, atomically, and says how many have been counted in it.
    ///
    /// # Errors
    /// When the table can't be written.
    pub async fn reserve_signatures(&self, at: Timestamp, by: u32) -> Result<u32, StoreError> {
        let answer = self
            .store
            .client
            .update_item()
            .table_name(&self.store.table)
            .set_key(Some(schema::signatures(&self.tenant, at).attributes()))
            .update_expression("ADD #count :by SET #expires = :expires")
            .expression_attribute_names("#count", "count")
            .expression_attribute_names("#expires", schema::EXPIRES_AT)
            .expression_attribute_values(":by", schema::number(by.into()))
            .expression_attribute_values(":expires", schema::number(at.plus_seconds(3600).seconds()))
            .return_values(ReturnValue::UpdatedNew)
            .send()
            .await
            .map_err(StoreError::unavailable("UpdateItem"))?;
        let count = answer.attributes.and_then(|mut found| found.remove("count"));
        let count = count.as_ref().and_then(|count| count.as_n().ok()).and_then(|text| text.parse().ok());
        count.ok_or_else(|| StoreError::Corrupt {
            kind: "signatures",
            cause: "count is not a number".to_owned(),
        })
    }
}
