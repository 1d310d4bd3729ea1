//! Login counters and known devices.

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::ReturnValue;

use super::schema;
use super::tenants::KnownDevice;
use super::{Store, StoreError, TenantStore, item};
use crate::bytes::Bytes;
use crate::clock::Timestamp;
use crate::id::{LoginId, TenantId};
use crate::throttle::Counter;

/// How long a device stays known after its user last signed in from it, in seconds.
pub const DEVICE_SECONDS: u64 = 400 * 86_400;

impl Store {
    /// Where attempts to sign in to a tenant that does not exist are counted, all together: they make the same calls as
    /// any other attempt and are throttled as one tenant's. No tenant has this scope's id.
    pub fn nobody(&self) -> TenantStore {
        let nobody = TenantId::nobody();
        TenantStore { store: self.of_tenant(&nobody), tenant: nobody }
    }
}

impl TenantStore {
    /// Raises a counter by one, atomically, and says how far it is now.
    ///
    /// # Errors
    /// When the table can't be written.
    pub async fn raise(&self, counter: &Counter) -> Result<u32, StoreError> {
        let answer = self
            .store
            .client
            .update_item()
            .table_name(&self.store.table)
            .set_key(Some(schema::counter(&self.tenant, counter).attributes()))
            .update_expression("ADD #attempts :one SET #expires = :expires")
            .expression_attribute_names("#attempts", "attempts")
            .expression_attribute_names("#expires", schema::EXPIRES_AT)
            .expression_attribute_values(":one", schema::number(1))
            .expression_attribute_values(
                ":expires",
                schema::number(counter.window.end.plus_seconds(3600).seconds()),
            )
            .return_values(ReturnValue::UpdatedNew)
            .send()
            .await
            .map_err(StoreError::unavailable("UpdateItem"))?;
        let corrupt =
            || StoreError::Corrupt { kind: "counter", cause: "attempts is not a number".to_owned() };
        let attempts = answer.attributes.unwrap_or_default().remove("attempts").ok_or_else(corrupt)?;
        let attempts: i64 = attempts.as_n().ok().and_then(|text| text.parse().ok()).ok_or_else(corrupt)?;
        Ok(u32::try_from(attempts.max(0)).unwrap_or(u32::MAX))
    }

    /// Takes back a count of an attempt that succeeded.
    ///
    /// # Errors
    /// When the table can't be written.
    pub async fn lower(&self, counter: &Counter) -> Result<(), StoreError> {
        let answer = self
            .store
            .client
            .update_item()
            .table_name(&self.store.table)
            .set_key(Some(schema::counter(&self.tenant, counter).attributes()))
            .update_expression("ADD #attempts :less")
            .condition_expression("#attempts > :zero")
            .expression_attribute_names("#attempts", "attempts")
            .expression_attribute_values(":less", aws_sdk_dynamodb::types::AttributeValue::N("-1".to_owned()))
            .expression_attribute_values(":zero", schema::number(0))
            .send()
            .await;
        match answer {
            Ok(_) => Ok(()),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(_)) => Ok(()),
                _ => Err(StoreError::unavailable("UpdateItem")(error)),
            },
        }
    }

    /// Remembers that a user signed in from a device.
    ///
    /// # Errors
    /// When the table can't be written.
    pub async fn remember_device(
        &self,
        login: &LoginId,
        device: &Bytes<32>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let key = schema::known_device(&self.tenant, login, device);
        let written =
            item::write(&key, &KnownDevice { seen_at: now }, Some(now.plus_seconds(DEVICE_SECONDS)));
        self.store
            .client
            .put_item()
            .table_name(&self.store.table)
            .set_item(Some(written))
            .send()
            .await
            .map_err(StoreError::unavailable("PutItem"))?;
        Ok(())
    }
}
