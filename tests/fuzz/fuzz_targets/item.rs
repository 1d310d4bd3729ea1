//! Items of the table, as DynamoDB sends them: they read as their kind or do not, and what reads can be written again.
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

fuzz_target!(|input: (u8, &str)| {
    let (kind, text) = input;
    let Ok(item) = serde_json::from_str::<serde_dynamo::Item>(text) else { return };
    match kind % 4 {
        0 => reads_and_writes::<Family>(item),
        1 => reads_and_writes::<Tenant>(item),
        2 => reads_and_writes::<User>(item),
        _ => reads_and_writes::<Client>(item),
    }
});
