//! Items that the release before wrote, under the functions of this one.

mod keys;
mod people;
mod reports;
mod sessions;

use std::collections::BTreeMap;

use leasehold_tests::clock::Clock;
use leasehold_tests::stack::Stack;
use leasehold_tests::table::Table;
use leasehold_tests::tenant::Tenant;
use leasehold_tests::token;
use serde_json::{Value, json};

use super::kinds::kind;
use super::scene::lead_keys;
use super::{TENANT, items, recorded, setup, table, text};
use crate::support::restart;

/// Kinds of items in which a release carries through what it does not know.
const CARRIED: [&str; 5] = ["tenant", "client", "user", "family", "versions"];

/// A stack on which the recorded tenant lives, ten minutes after it was recorded.
struct Kept {
    stack: Stack,
    clock: Clock,
    tenant: Tenant,
    table: Table,
    record: Value,
    /// The ids of its keys, as they came to be: compromised, retiring, signing, spare.
    kids: Vec<String>,
    /// In milliseconds.
    recorded_at: i64,
}

impl Kept {
    async fn start() -> Self {
        let record = recorded();
        let clock = Clock::start();
        let recorded_at = record["recorded_at"].as_i64().expect("a time");
        clock.set(recorded_at + 600);
        // Tokens name the place where the service is, and so do families.
        let base_url = record["base_url"].as_str().expect("a URL");
        let stack = setup().clock(&clock).public_url(base_url).start();
        // A tenant of that name, for its keys alone: those of the recorded one are in a KMS that is gone.
        let mut tenant = Tenant::create_named(&stack, TENANT, "ES256", json!({})).await;
        lead_keys(&stack, &tenant).await;
        // What the functions know of that tenant goes with them, into the items that are removed.
        restart(&stack, &["login", "admin", "operator"]).await;
        let table = table(&stack).await;
        let own = items(&table, TENANT).await;
        for item in &own {
            table.delete(&json!({"PK": item["PK"], "SK": item["SK"]})).await;
        }
        let keys = Keys::of(&own, record["items"].as_array().expect("items"));
        for item in record["items"].as_array().expect("items") {
            table.put(&mark(keys.put_into(item.clone()))).await;
        }
        tenant.secret = record["shown"]["backend"].as_str().expect("a secret").to_owned();
        Self { stack, clock, tenant, table, record, kids: keys.kids, recorded_at: recorded_at * 1000 }
    }

    fn token(&self, what: &str) -> &str {
        self.record["tokens"][what].as_str().expect("a token")
    }

    fn shown(&self, what: &str) -> &str {
        self.record["shown"][what].as_str().expect("something shown")
    }

    /// Verifies a token with the published keys, at the time that it is on the stack.
    async fn verify(&self, token: &str, audience: &str) -> Value {
        let (jwks, now) = (self.tenant.jwks().await, Some(self.clock.now()));
        token::verify_at(token, &jwks, &self.tenant.issuer, audience, now)
            .expect("verifies with the published keys")
    }

    /// The recorded items of a kind.
    fn items_of(&self, wanted: &str) -> Vec<&Value> {
        let items = self.record["items"].as_array().expect("items");
        items.iter().filter(|item| kind(item) == wanted).collect()
    }

    /// Whether an item that stands in the table was there from the beginning.
    fn is_of_then(&self, item: &Value) -> bool {
        match kind(item) {
            // A session of a user of then may have been opened since.
            "family" | "user" | "client" => moment(item, "created_at") < self.recorded_at + 1000,
            kind => CARRIED.contains(&kind),
        }
    }

    /// What no release knows yet is where it was, in everything that was written since.
    async fn all_was_carried_through(&self) {
        for item in items(&self.table, TENANT).await {
            let has_mark = |value: &Value| value["of_the_next"]["M"]["a"]["L"][1]["S"] == "b";
            assert!(!self.is_of_then(&item) || has_mark(&item), "{item}");
            // A secret or a code of then, wherever it still is.
            let mut within = item.clone();
            for nested in hashed(&mut within) {
                let is_of_then = self.record["items"].to_string().contains(text(nested, "hash"));
                assert!(!is_of_then || has_mark(nested), "{item}");
            }
            if kind(&item) == "tenant" {
                assert!(has_mark(&item["policy"]["M"]), "{item}");
                let keys = item["ring"]["L"].as_array().expect("keys").iter().map(|key| &key["M"]);
                let of_then = keys.filter(|key| self.kids.iter().any(|kid| text(key, "kid") == kid));
                assert!(
                    of_then.clone().count() == self.kids.len() && of_then.clone().all(has_mark),
                    "{item}"
                );
            }
        }
    }

    /// Nothing was unreadable on the way.
    fn all_was_read(&self) {
        let logs = self.stack.logs();
        let unread: Vec<&str> =
            logs.lines().filter(|line| line.contains("corrupt") || line.contains("panic")).collect();
        assert!(unread.is_empty(), "{unread:?}");
    }
}

/// Keys of the tenant that stood in, to take the places of the recorded ones.
struct Keys {
    ring: Vec<Value>,
    /// Private halves, encrypted under the KMS that there is, by kid.
    wrapped: BTreeMap<String, Value>,
    kids: Vec<String>,
    /// By the recorded kid.
    renamed: BTreeMap<String, String>,
}

impl Keys {
    fn of(own: &[Value], recorded: &[Value]) -> Self {
        let ring = |items: &[Value]| -> Vec<Value> {
            let tenant = items.iter().find(|item| kind(item) == "tenant").expect("a tenant");
            tenant["ring"]["L"].as_array().expect("keys").clone()
        };
        let (ring, theirs) = (ring(own), ring(recorded));
        assert_eq!((ring.len(), theirs.len()), (4, 4), "one in each state");
        let kid = |key: &Value| text(&key["M"], "kid").to_owned();
        let kids: Vec<String> = ring.iter().map(kid).collect();
        let renamed = theirs.iter().map(kid).zip(kids.clone()).collect();
        let wrapped = own.iter().filter(|item| kind(item) == "wrapped key");
        let wrapped = wrapped.map(|item| (kid_of(item).to_owned(), item[half_of(item)].clone())).collect();
        Self { ring, wrapped, kids, renamed }
    }

    /// A recorded item with these keys: everything but what belongs to the KMS that is gone stays as it was written.
    fn put_into(&self, mut item: Value) -> Value {
        match kind(&item) {
            "tenant" => {
                for (at, key) in self.ring.iter().enumerate() {
                    for member in ["kid", "arn", "public"] {
                        item["ring"]["L"][at]["M"][member] = key["M"][member].clone();
                    }
                }
            }
            "wrapped key" => {
                let kid = &self.renamed[kid_of(&item)];
                let half = half_of(&item);
                item[half] = self.wrapped[kid].clone();
                item["SK"] = json!({"S": format!("WRAPPED#{kid}")});
            }
            _ => {}
        }
        item
    }
}

fn kid_of(wrapped: &Value) -> &str {
    text(wrapped, "SK").strip_prefix("WRAPPED#").expect("a wrapped key")
}

/// What the member that holds a private half is called.
fn half_of(wrapped: &Value) -> String {
    let members = wrapped.as_object().expect("an item").keys();
    let own: Vec<&String> = members.filter(|name| !["PK", "SK", "schema"].contains(&name.as_str())).collect();
    assert_eq!(own.len(), 1, "a private half and nothing else: {own:?}");
    own[0].clone()
}

/// What is kept of a client's secrets and of a user's code, inside their items.
fn hashed(item: &mut Value) -> Vec<&mut Value> {
    let (secrets, code) = match kind(item) {
        "client" => (item.pointer_mut("/secrets/L"), None),
        "user" => (None, item.pointer_mut("/code/M")),
        _ => (None, None),
    };
    let secrets = secrets.and_then(Value::as_array_mut).into_iter().flatten();
    secrets.filter_map(|secret| secret.get_mut("M")).chain(code).collect()
}

/// The item with a member that no release knows, as the one after this will add some.
fn mark(mut item: Value) -> Value {
    let of_the_next = json!({"M": {"a": {"L": [{"N": "1"}, {"S": "b"}, {"NULL": true}]}}});
    if CARRIED.contains(&kind(&item)) {
        item["of_the_next"] = of_the_next.clone();
    }
    if kind(&item) == "tenant" {
        item["policy"]["M"]["of_the_next"] = of_the_next.clone();
        for key in item["ring"]["L"].as_array_mut().expect("keys") {
            key["M"]["of_the_next"] = of_the_next.clone();
        }
    }
    for nested in hashed(&mut item) {
        nested["of_the_next"] = of_the_next.clone();
    }
    item
}

fn moment(item: &Value, attribute: &str) -> i64 {
    item[attribute]["N"].as_str().and_then(|number| number.parse().ok()).expect("a time")
}
