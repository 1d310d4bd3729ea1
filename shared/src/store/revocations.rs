//! Revocations, as verifiers read them: from a place on, bucket by bucket.

use aws_sdk_dynamodb::operation::query::QueryOutput;
use futures_util::future::try_join_all;

use super::schema::{self, Item};
use super::{Entered, Store, StoreError, TenantStore, Wanted, item};
use crate::clock::{CLOCKS_APART_SECONDS, Timestamp};
use crate::feed::Cursor;
use crate::id::TenantId;
use crate::revoked::Entry;
use crate::tenant::Tenant;

/// The most pages that one poll reads: more than a verifier holds.
const POLL_PAGES: usize = 40;

/// The most entries that one query gives.
const QUERY: usize = 2500;

/// A page of revocations.
#[derive(Clone, Debug)]
pub struct Revocations {
    /// The oldest first.
    pub entries: Vec<Entry>,
    /// Where the next page begins; absent when there is none now.
    pub next: Option<Cursor>,
}

/// What one poll of a tenant gave.
#[derive(Clone, Debug)]
pub struct Polled {
    /// Its control state.
    pub tenant: Tenant,
    /// Its revocations from the place on.
    pub entries: Vec<Entry>,
    /// Whether there were more than one poll reads.
    pub more: bool,
}

impl Store {
    /// Reads a tenant and its revocations from a place on; both at once where it is `known` from before. `None` when there
    /// is no such tenant.
    ///
    /// # Errors
    /// When the table can't be read, or an item does not read as its kind.
    pub async fn poll(
        &self,
        tenant: &TenantId,
        known: Option<&TenantStore>,
        from: Cursor,
        now: Timestamp,
    ) -> Result<Option<(TenantStore, Polled)>, StoreError> {
        let (entered, first) = match known {
            None => (self.enter(tenant, Wanted::default()).await?, None),
            Some(known) => {
                let reading = self.enter(tenant, Wanted::default());
                let (entered, page) = tokio::try_join!(reading, known.list_revocations(&from, now, QUERY))?;
                (entered, Some(page))
            }
        };
        let Some(Entered { store, tenant, .. }) = entered else { return Ok(None) };
        let first = match first {
            Some(page) => page,
            None => store.list_revocations(&from, now, QUERY).await?,
        };
        let Revocations { mut entries, next: mut rest } = first;
        for _ in 1..POLL_PAGES {
            let Some(from) = rest else { break };
            let page = store.list_revocations(&from, now, QUERY).await?;
            entries.extend(page.entries);
            rest = page.next;
        }
        Ok(Some((store, Polled { tenant, entries, more: rest.is_some() })))
    }
}

impl TenantStore {
    /// A page of revocations from a place on, of about `limit` entries at most.
    ///
    /// # Errors
    /// When the table can't be read, or an item does not read as its kind.
    pub async fn list_revocations(
        &self,
        from: &Cursor,
        now: Timestamp,
        limit: usize,
    ) -> Result<Revocations, StoreError> {
        // A writer whose clock is ahead has put its entries into a bucket yet to come.
        let until = now.plus_seconds(CLOCKS_APART_SECONDS);
        let buckets = schema::revocation_buckets(&self.tenant, from.at, until);
        let pages = try_join_all(buckets.map(|bucket| self.query_revocations(bucket, from, limit))).await?;
        let mut entries = Vec::new();
        for page in pages {
            let cut = page.last_evaluated_key.as_ref().is_some_and(|key| !key.is_empty());
            let mut last = None;
            for found in page.items.unwrap_or_default() {
                last = place(&found);
                entries.push(item::read("revocation", found)?);
            }
            if cut || entries.len() >= limit {
                // Buckets after this one are read again by the next page: they were asked for in vain, which happens
                // only to who has much to catch up on.
                let unplaced =
                    StoreError::Corrupt { kind: "revocation", cause: "a key of another form".to_owned() };
                return Ok(Revocations { entries, next: Some(last.ok_or(unplaced)?) });
            }
        }
        Ok(Revocations { entries, next: None })
    }

    async fn query_revocations(
        &self,
        bucket: String,
        from: &Cursor,
        limit: usize,
    ) -> Result<QueryOutput, StoreError> {
        let query = self
            .store
            .client
            .query()
            .table_name(&self.store.table)
            .consistent_read(true)
            .key_condition_expression("#pk = :pk AND #sk > :from")
            .expression_attribute_names("#pk", schema::PK)
            .expression_attribute_names("#sk", schema::SK)
            .expression_attribute_values(":pk", schema::text(bucket))
            .expression_attribute_values(":from", schema::text(schema::revocation_place(from)))
            .limit(i32::try_from(limit).unwrap_or(i32::MAX));
        query.send().await.map_err(StoreError::unavailable("Query"))
    }
}

/// The place of an entry, by its sort key.
fn place(item: &Item) -> Option<Cursor> {
    item.get(schema::SK)?.as_s().ok()?.replacen('#', ".", 1).parse().ok()
}
