//! The directory of tenants, for the operator only: how schedules and lists reach every tenant without a scan.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::schema::{self, SHARDS};
use super::{Store, StoreError};
use crate::clock::Timestamp;
use crate::id::{InvalidId, TenantId};

/// How many tenants a page holds at most.
const PAGE: i32 = 500;

/// A directory entry.
#[derive(Serialize, Deserialize)]
pub(super) struct Entry {
    pub created_at: Timestamp,
}

/// A place in the directory: where a page begins.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Place {
    shard: u8,
    after: Option<TenantId>,
}

impl Place {
    /// Over how many parts the directory is spread.
    pub const SHARDS: u8 = SHARDS;

    /// The beginning of one of the parts.
    pub const fn at_shard(number: u8) -> Self {
        Self { shard: number % SHARDS, after: None }
    }

    /// Whether this is the beginning of a part.
    pub const fn begins_shard(&self) -> bool {
        self.after.is_none()
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let after = self.after.as_ref().map_or("", TenantId::as_str);
        write!(formatter, "{}.{after}", self.shard)
    }
}

impl FromStr for Place {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = || InvalidId("cursor");
        let (shard, after) = text.split_once('.').ok_or_else(invalid)?;
        let shard = shard.parse().ok().filter(|shard| *shard < SHARDS).ok_or_else(invalid)?;
        let after = if after.is_empty() { None } else { Some(after.parse().map_err(|_| invalid())?) };
        Ok(Self { shard, after })
    }
}

impl TryFrom<String> for Place {
    type Error = InvalidId;
    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<Place> for String {
    fn from(place: Place) -> Self {
        place.to_string()
    }
}

/// A page of the directory.
#[derive(Clone, Debug)]
pub struct Directory {
    /// The tenants of the page.
    pub tenants: Vec<TenantId>,
    /// Where the next page begins; absent on the last.
    pub next: Option<Place>,
}

impl Store {
    /// A page of the directory. A page can be empty and not the last.
    ///
    /// # Errors
    /// When the table can't be read, or an entry is not a tenant's.
    pub async fn list_tenants(&self, from: Place) -> Result<Directory, StoreError> {
        let pk = schema::shard(from.shard);
        let start = from.after.as_ref().map(|tenant| schema::directory_at(from.shard, tenant).attributes());
        let answer = self
            .client
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .key_condition_expression("#pk = :pk")
            .expression_attribute_names("#pk", schema::PK)
            .expression_attribute_values(":pk", schema::text(pk))
            .set_exclusive_start_key(start)
            .limit(PAGE)
            .send()
            .await
            .map_err(StoreError::unavailable("Query"))?;
        let corrupt = || StoreError::Corrupt { kind: "directory", cause: "not a tenant".to_owned() };
        let name = |item: &schema::Item| item.get(schema::SK)?.as_s().ok()?.parse().ok();
        let tenants: Vec<TenantId> =
            answer.items().iter().map(|item| name(item).ok_or_else(corrupt)).collect::<Result<_, _>>()?;
        let more = answer.last_evaluated_key.is_some_and(|key| !key.is_empty());
        let next = if more {
            Some(Place { shard: from.shard, after: tenants.last().cloned() })
        } else {
            from.shard
                .checked_add(1)
                .filter(|shard| *shard < SHARDS)
                .map(|shard| Place { shard, after: None })
        };
        Ok(Directory { tenants, next })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_has_one_spelling_and_lies_within_the_directory() {
        for text in ["0.", "15.acme"] {
            assert_eq!(text.parse::<Place>().unwrap().to_string(), text);
        }
        for text in ["", "0", "16.", "-1.", "0.A", "0.a#b", "x.acme"] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
    }
}
