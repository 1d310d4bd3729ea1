//! The calls to DynamoDB that every kind of item shares, and what their failures mean.

use std::time::Duration;

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    Delete, DeleteRequest, KeysAndAttributes, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem,
    Update, WriteRequest,
};

use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::schema::{self, Item, Key};
use super::{Store, StoreError};
use crate::clock::Timestamp;
use crate::trouble::Trouble;

/// How often a transaction that collided with another is tried again before the caller is told.
const CONFLICT_RETRIES: u32 = 8;

/// What became of a conditional write.
pub enum Written {
    /// It was written.
    Yes,
    /// The condition did not hold; the item as it is, if there is one.
    No(Option<Item>),
}

impl StoreError {
    /// A call that failed.
    pub(super) fn unavailable<E: ProvideErrorMetadata, R>(
        operation: &'static str,
    ) -> impl FnOnce(SdkError<E, R>) -> Self {
        move |error| Self::Unavailable(Trouble::of(operation, &error))
    }

    /// A request that the SDK would not even build.
    fn unbuilt<E>(operation: &'static str) -> impl FnOnce(E) -> Self {
        move |_| Self::Unavailable(Trouble::with(operation, "not built"))
    }
}

impl Store {
    /// Reads several items in one consistent call; the order is not kept.
    pub(super) async fn read(&self, keys: &[Key]) -> Result<Vec<Item>, StoreError> {
        let mut found = Vec::with_capacity(keys.len());
        let mut wanted: Vec<Item> = keys.iter().map(Key::attributes).collect();
        for attempt in 0..4_u32 {
            let request = KeysAndAttributes::builder()
                .set_keys(Some(wanted))
                .consistent_read(true)
                .build()
                .map_err(StoreError::unbuilt("BatchGetItem"))?;
            let answer = self
                .client
                .batch_get_item()
                .request_items(&self.table, request)
                .send()
                .await
                .map_err(StoreError::unavailable("BatchGetItem"))?;
            let items = answer.responses.unwrap_or_default().remove(&self.table);
            found.extend(items.unwrap_or_default());
            match answer.unprocessed_keys.unwrap_or_default().remove(&self.table) {
                Some(rest) if !rest.keys.is_empty() => wanted = rest.keys,
                Some(_) | None => return Ok(found),
            }
            pause(attempt).await;
        }
        Err(StoreError::Contended)
    }

    /// Writes an item on a condition.
    pub(super) async fn put_if(&self, item: Item, condition: Condition) -> Result<Written, StoreError> {
        for attempt in 0..=CONFLICT_RETRIES {
            let answer = self
                .client
                .put_item()
                .table_name(&self.table)
                .set_item(Some(item.clone()))
                .condition_expression(condition.expression)
                .set_expression_attribute_names(condition.names())
                .set_expression_attribute_values(condition.values())
                .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
                .send()
                .await;
            let Err(error) = answer else { return Ok(Written::Yes) };
            match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(failed)) => {
                    return Ok(Written::No(failed.item.clone().filter(|item| !item.is_empty())));
                }
                Some(PutItemError::TransactionConflictException(_)) => pause(attempt).await,
                _ => return Err(StoreError::unavailable("PutItem")(error)),
            }
        }
        Err(StoreError::Contended)
    }

    /// Writes all parts or none. `Some` is the place of the first part whose condition did not hold. A collision with
    /// another transaction is tried again and is never evidence of anything.
    pub(super) async fn transact(&self, parts: Vec<TransactWriteItem>) -> Result<Option<usize>, StoreError> {
        // One token for all attempts: an attempt that landed though its answer was lost is told again as landed, and not
        // as a condition that fails against our own write.
        let token = crate::secret::random_hex::<16>();
        let mut under_way = false;
        for attempt in 0..=CONFLICT_RETRIES {
            let answer = self
                .client
                .transact_write_items()
                .client_request_token(&token)
                .set_transact_items(Some(parts.clone()))
                .send()
                .await;
            let Err(error) = answer else { return Ok(None) };
            match error.as_service_error() {
                Some(TransactWriteItemsError::TransactionInProgressException(_)) => under_way = true,
                Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
                    let codes = || cancelled.cancellation_reasons().iter().map(|reason| reason.code());
                    if let Some(failed) = codes().position(|code| code == Some("ConditionalCheckFailed")) {
                        return Ok(Some(failed));
                    }
                    if let Some(code) = codes().flatten().find(|code| !passes(code)) {
                        return Err(StoreError::Unavailable(Trouble::with("TransactWriteItems", code)));
                    }
                }
                _ => return Err(StoreError::unavailable("TransactWriteItems")(error)),
            }
            pause(attempt).await;
        }
        // An attempt that is still under way may land: that is not certain to be nothing.
        if under_way {
            return Err(StoreError::Unavailable(Trouble::with(
                "TransactWriteItems",
                "TransactionInProgress",
            )));
        }
        Err(StoreError::Contended)
    }

    /// A part of a transaction that writes an item on a condition.
    pub(super) fn part_put(
        &self,
        item: Item,
        condition: Option<Condition>,
    ) -> Result<TransactWriteItem, StoreError> {
        let mut put = Put::builder().table_name(&self.table).set_item(Some(item));
        if let Some(condition) = condition {
            put = put
                .condition_expression(condition.expression)
                .set_expression_attribute_names(condition.names())
                .set_expression_attribute_values(condition.values());
        }
        Ok(TransactWriteItem::builder().put(put.build().map_err(StoreError::unbuilt("Put"))?).build())
    }

    /// A part of a transaction that changes an item.
    pub(super) fn part_update(&self, key: &Key, change: &Change) -> Result<TransactWriteItem, StoreError> {
        let update = Update::builder()
            .table_name(&self.table)
            .set_key(Some(key.attributes()))
            .update_expression(change.expression)
            .condition_expression(change.condition.expression)
            .set_expression_attribute_names(change.condition.names())
            .set_expression_attribute_values(change.condition.values())
            .build()
            .map_err(StoreError::unbuilt("Update"))?;
        Ok(TransactWriteItem::builder().update(update).build())
    }

    /// A part of a transaction that removes an item.
    pub(super) fn part_delete(
        &self,
        key: &Key,
        condition: Option<Condition>,
    ) -> Result<TransactWriteItem, StoreError> {
        let mut delete = Delete::builder().table_name(&self.table).set_key(Some(key.attributes()));
        if let Some(condition) = condition {
            delete = delete
                .condition_expression(condition.expression)
                .set_expression_attribute_names(condition.names())
                .set_expression_attribute_values(condition.values());
        }
        Ok(TransactWriteItem::builder()
            .delete(delete.build().map_err(StoreError::unbuilt("Delete"))?)
            .build())
    }

    /// Deletes up to 25 items, in one call; what DynamoDB leaves undone stays.
    pub(super) async fn delete(&self, keys: &[Key]) -> Result<(), StoreError> {
        let mut requests = Vec::with_capacity(keys.len());
        for key in keys.iter().take(25) {
            let delete = DeleteRequest::builder().set_key(Some(key.attributes())).build();
            let delete = delete.map_err(StoreError::unbuilt("BatchWriteItem"))?;
            requests.push(WriteRequest::builder().delete_request(delete).build());
        }
        let call = self.client.batch_write_item().request_items(&self.table, requests);
        call.send().await.map_err(StoreError::unavailable("BatchWriteItem"))?;
        Ok(())
    }

    /// Deletes items, however many, until DynamoDB has left none undone.
    pub(super) async fn delete_all(&self, keys: &[Key]) -> Result<(), StoreError> {
        for part in keys.chunks(25) {
            let mut requests = Vec::with_capacity(part.len());
            for key in part {
                let delete = DeleteRequest::builder().set_key(Some(key.attributes())).build();
                let delete = delete.map_err(StoreError::unbuilt("BatchWriteItem"))?;
                requests.push(WriteRequest::builder().delete_request(delete).build());
            }
            for attempt in 0..=CONFLICT_RETRIES {
                let call = self.client.batch_write_item().request_items(&self.table, requests);
                let answer = call.send().await.map_err(StoreError::unavailable("BatchWriteItem"))?;
                requests =
                    answer.unprocessed_items.unwrap_or_default().remove(&self.table).unwrap_or_default();
                if requests.is_empty() {
                    break;
                }
                pause(attempt).await;
            }
            if !requests.is_empty() {
                return Err(StoreError::Contended);
            }
        }
        Ok(())
    }

    /// One page of a partition, by a consistent read.
    pub(super) async fn query_page(&self, pk: &str, range: Range) -> Result<Found, StoreError> {
        let query = self
            .client
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .expression_attribute_names("#pk", schema::PK)
            .expression_attribute_values(":pk", schema::text(pk))
            .set_exclusive_start_key(range.after.as_ref().map(Key::attributes))
            .scan_index_forward(!range.backwards)
            .limit(range.limit.into());
        let query = match range.keys {
            Keys::All => query.key_condition_expression("#pk = :pk"),
            Keys::BeginningWith(prefix) => query
                .key_condition_expression("#pk = :pk AND begins_with(#sk, :prefix)")
                .expression_attribute_names("#sk", schema::SK)
                .expression_attribute_values(":prefix", schema::text(prefix)),
            Keys::Between(low, high) => query
                .key_condition_expression("#pk = :pk AND #sk BETWEEN :low AND :high")
                .expression_attribute_names("#sk", schema::SK)
                .expression_attribute_values(":low", schema::text(low))
                .expression_attribute_values(":high", schema::text(high)),
        };
        let answer = query.send().await.map_err(StoreError::unavailable("Query"))?;
        let more = answer.last_evaluated_key.is_some_and(|key| !key.is_empty());
        Ok(Found { items: answer.items.unwrap_or_default(), more })
    }

    /// All items of a partition whose sort key begins with `prefix`, by consistent reads, up to `pages` megabytes.
    pub(super) async fn query(&self, pk: &str, prefix: &str, pages: usize) -> Result<Vec<Item>, StoreError> {
        let mut found = Vec::new();
        let mut from = None;
        for _ in 0..pages {
            let mut query = self
                .client
                .query()
                .table_name(&self.table)
                .consistent_read(true)
                .expression_attribute_names("#pk", schema::PK)
                .expression_attribute_values(":pk", schema::text(pk))
                .set_exclusive_start_key(from);
            query = if prefix.is_empty() {
                query.key_condition_expression("#pk = :pk")
            } else {
                query
                    .key_condition_expression("#pk = :pk AND begins_with(#sk, :prefix)")
                    .expression_attribute_names("#sk", schema::SK)
                    .expression_attribute_values(":prefix", schema::text(prefix))
            };
            let answer = query.send().await.map_err(StoreError::unavailable("Query"))?;
            found.extend(answer.items.unwrap_or_default());
            from = answer.last_evaluated_key.filter(|key| !key.is_empty());
            if from.is_none() {
                break;
            }
        }
        Ok(found)
    }
}

/// A page as it was found.
pub struct Found {
    pub items: Vec<Item>,
    /// Whether the page was not the last.
    pub more: bool,
}

/// Which part of a partition to read, and in which order.
#[derive(Clone, Debug)]
pub struct Range {
    keys: Keys,
    after: Option<Key>,
    backwards: bool,
    limit: u16,
}

#[derive(Clone, Debug)]
enum Keys {
    All,
    BeginningWith(&'static str),
    Between(String, String),
}

impl Range {
    const fn of(keys: Keys) -> Self {
        Self { keys, after: None, backwards: false, limit: 100 }
    }

    /// The whole partition.
    pub const fn all() -> Self {
        Self::of(Keys::All)
    }

    /// What a sort key begins with.
    pub const fn beginning_with(prefix: &'static str) -> Self {
        Self::of(Keys::BeginningWith(prefix))
    }

    /// Sort keys between two texts, these included.
    pub const fn between(low: String, high: String) -> Self {
        Self::of(Keys::Between(low, high))
    }

    /// From behind this item on.
    pub fn after(self, key: Option<Key>) -> Self {
        Self { after: key, ..self }
    }

    /// The last first.
    pub fn backwards(self) -> Self {
        Self { backwards: true, ..self }
    }

    /// So many at most.
    pub fn limit(self, limit: u16) -> Self {
        Self { limit: limit.max(1), ..self }
    }
}

/// A condition with its names and values.
#[derive(Clone, Debug)]
pub struct Condition {
    pub expression: &'static str,
    names: Vec<(&'static str, &'static str)>,
    values: Vec<(&'static str, aws_sdk_dynamodb::types::AttributeValue)>,
}

impl Condition {
    /// No item has this key.
    pub fn absent() -> Self {
        Self { expression: "attribute_not_exists(PK)", names: vec![], values: vec![] }
    }

    /// No item has this key, or its time, in an attribute, is over.
    pub fn absent_or_over(until: &'static str, now: Timestamp) -> Self {
        Self {
            expression: "attribute_not_exists(PK) OR #until <= :now",
            names: vec![("#until", until)],
            values: vec![(":now", schema::number(now.millis()))],
        }
    }

    /// The item is still at this version.
    pub fn version(version: u64) -> Self {
        Self {
            expression: "#version = :seen_version",
            names: vec![("#version", "version")],
            values: vec![(":seen_version", schema::number(version))],
        }
    }

    /// The family is active, at whatever version.
    pub fn active() -> Self {
        Self {
            expression: "#status = :active",
            names: vec![("#status", "status")],
            values: vec![(":active", schema::text("active"))],
        }
    }

    /// Names one more attribute, for the change that goes with the condition.
    pub fn name(mut self, name: &'static str, attribute: &'static str) -> Self {
        self.names.push((name, attribute));
        self
    }

    /// Gives one more value, for the change that goes with the condition.
    pub fn value(mut self, name: &'static str, value: aws_sdk_dynamodb::types::AttributeValue) -> Self {
        self.values.push((name, value));
        self
    }

    fn names(&self) -> Option<std::collections::HashMap<String, String>> {
        (!self.names.is_empty())
            .then(|| self.names.iter().map(|(name, to)| ((*name).to_owned(), (*to).to_owned())).collect())
    }

    fn values(&self) -> Option<Item> {
        (!self.values.is_empty())
            .then(|| self.values.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
    }
}

/// A change of an item on a condition.
#[derive(Clone, Debug)]
pub struct Change {
    pub expression: &'static str,
    pub condition: Condition,
}

/// Whether a transaction that was cancelled for this reason is worth another try at once.
fn passes(code: &str) -> bool {
    matches!(code, "None" | "TransactionConflict" | "ThrottlingError" | "ProvisionedThroughputExceeded")
}

/// Waits 5 ms, doubled each time, of which up to half is left to chance so that writers who collided part.
async fn pause(attempt: u32) {
    let [random] = crate::secret::random::<1>();
    let longest = 5_u64 << attempt.min(6);
    tokio::time::sleep(Duration::from_millis(longest / 2 + longest * u64::from(random) / 512)).await;
}
