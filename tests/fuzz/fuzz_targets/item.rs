//! Items of the table, as DynamoDB sends them, the kind on a line before: they read as their kind or do not, and what reads can be written again.
#![no_main]

use leasehold::client::Client;
use leasehold::refresh::Family;
use leasehold::tenant::Tenant;
use leasehold::user::User;
use libfuzzer_sys::fuzz_target;
use serde::{Serialize, de::DeserializeOwned};

fn reads_and_writes<T: DeserializeOwned + Serialize>(item: serde_dynamo::Item) {
    if let Ok(value) = serde_dynamo::from_item::<_, T>(item) {
        serde_dynamo::to_item::<_, serde_dynamo::Item>(value).expect("what was read can be written");
    }
}

fuzz_target!(|input: &str| {
    let Some((kind, text)) = input.split_once('\n') else { return };
    let Ok(item) = serde_json::from_str::<serde_dynamo::Item>(text) else { return };
    match kind {
        "family" => reads_and_writes::<Family>(item),
        "tenant" => reads_and_writes::<Tenant>(item),
        "user" => reads_and_writes::<User>(item),
        _ => reads_and_writes::<Client>(item),
    }
});
