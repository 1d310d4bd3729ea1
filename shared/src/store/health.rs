//! Counters of validation health, and the client versions that have a row of their own.

use aws_sdk_dynamodb::types::AttributeValue;

use super::call::{Condition, Range, Written};
use super::schema::{self, Item};
use super::{StoreError, TenantStore, item};
use crate::clock::Timestamp;
use crate::health::Counts;
use crate::health::report::Hour;
use crate::health::versions::Versions;

/// What the attribute of a counter begins with.
const COUNTER: &str = "n.";

impl TenantStore {
    /// Adds to the counters of an hour and version, atomically.
    ///
    /// # Errors
    /// When the table can't be written.
    pub async fn add_counts(
        &self,
        hour: u64,
        version: &str,
        counts: &Counts,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        if counts.is_empty() {
            return Ok(());
        }
        let mut update = self
            .store
            .client
            .update_item()
            .table_name(&self.store.table)
            .set_key(Some(schema::health(&self.tenant, hour, version).attributes()))
            .expression_attribute_names("#expires", schema::EXPIRES_AT)
            .expression_attribute_values(":expires", schema::number(expires_at.seconds()));
        let mut adds = Vec::with_capacity(counts.len());
        for (at, (decision, count)) in counts.iter().enumerate() {
            update = update
                .expression_attribute_names(format!("#c{at}"), format!("{COUNTER}{}", decision.counter()))
                .expression_attribute_values(format!(":c{at}"), schema::number((*count).into()));
            adds.push(format!("#c{at} :c{at}"));
        }
        update
            .update_expression(format!("SET #expires = :expires ADD {}", adds.join(", ")))
            .send()
            .await
            .map_err(StoreError::unavailable("UpdateItem"))?;
        Ok(())
    }

    /// The counters of some hours, the last one included.
    ///
    /// # Errors
    /// When the table can't be read, or an item is none of counters.
    pub async fn list_counts(&self, first: u64, last: u64) -> Result<Vec<Hour>, StoreError> {
        let mut hours = Vec::new();
        for day in first / 24..=last / 24 {
            let pk = schema::health_day(&self.tenant, day);
            let mut after = None;
            loop {
                let found = self.store.query_page(&pk, Range::all().after(after).limit(1000)).await?;
                after = found.items.last().and_then(schema::Key::of).filter(|_| found.more);
                for counters in found.items {
                    hours.push(read_hour(day, &counters)?);
                }
                if after.is_none() {
                    break;
                }
            }
        }
        hours.retain(|row| (first..=last).contains(&row.hour));
        Ok(hours)
    }

    /// Writes the known versions, on condition that they are as they were read. Whether it did.
    ///
    /// # Errors
    /// When the table can't be written.
    pub async fn commit_versions(&self, before: &Versions, after: &Versions) -> Result<bool, StoreError> {
        let written = item::write(&schema::versions(&self.tenant), after, None);
        let condition =
            if before.version == 0 { Condition::absent() } else { Condition::version(before.version) };
        match self.store.put_if(written, condition).await? {
            Written::Yes => Ok(true),
            Written::No(_) => Ok(false),
        }
    }
}

fn read_hour(day: u64, counters: &Item) -> Result<Hour, StoreError> {
    let corrupt = |cause: &str| StoreError::Corrupt { kind: "health", cause: cause.to_owned() };
    let sk =
        counters.get(schema::SK).and_then(|sk| sk.as_s().ok()).ok_or_else(|| corrupt("without a key"))?;
    let (hour, version) = sk.split_once('#').ok_or_else(|| corrupt("a key of another form"))?;
    let hour: u64 = hour.parse().map_err(|_| corrupt("a key of another form"))?;
    let count = |value: &AttributeValue| value.as_n().ok()?.parse::<u64>().ok();
    let counts = counters
        .iter()
        .filter_map(|(name, value)| Some((name.strip_prefix(COUNTER)?.to_owned(), value)))
        .map(|(name, value)| Ok((name, count(value).ok_or_else(|| corrupt("a count that is no number"))?)))
        .collect::<Result<_, StoreError>>()?;
    Ok(Hour { hour: day * 24 + hour, version: version.to_owned(), counts })
}
