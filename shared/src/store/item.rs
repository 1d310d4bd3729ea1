//! Domain values to items and back. An item that does not read as its kind is `Corrupt`, with kind and cause, and never
//! anything a caller could take for absence.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::StoreError;
use super::schema::{self, Item, Key};
use crate::clock::Timestamp;

/// The item of a value under its key.
pub fn write<T: Serialize>(key: &Key, value: &T, expires_at: Option<Timestamp>) -> Item {
    let mut item: Item =
        serde_dynamo::to_item(value).expect("domain values are maps with string keys, which items can hold");
    item.extend(key.attributes());
    item.insert(schema::SCHEMA.to_owned(), schema::number(schema::SCHEMA_VERSION.into()));
    if let Some(moment) = expires_at {
        item.insert(schema::EXPIRES_AT.to_owned(), schema::number(moment.seconds()));
    }
    item
}

/// The value of an item. Attributes that this release does not know end in the value's `rest` and are written back.
pub fn read<T: DeserializeOwned>(kind: &'static str, mut item: Item) -> Result<T, StoreError> {
    for own in [schema::PK, schema::SK, schema::SCHEMA, schema::EXPIRES_AT] {
        item.remove(own);
    }
    serde_dynamo::from_item(item)
        .map_err(|cause| StoreError::Corrupt { kind, cause: shape(&cause.to_string()) })
}

/// What of a message about a value can be told: which member is missing. Anything else may repeat the value.
fn shape(message: &str) -> String {
    let missing = message.split("missing field `").nth(1).and_then(|rest| rest.split('`').next());
    missing.map_or_else(|| "a member of another form".to_owned(), |name| format!("without {name}"))
}
