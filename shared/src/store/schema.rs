//! The keys of the one table. Private to the store: outside it nobody can name an item, and inside it every key but the
//! directory's begins with the tenant.
//!
//! | PK | SK | Item |
//! | --- | --- | --- |
//! | `T#<t>` | `TENANT` | control state |
//! | `T#<t>` | `CLIENT#<id>` | client |
//! | `T#<t>` | `WRAPPED#<kid>` | wrapped private key |
//! | `T#<t>#L#<login>` | `LOGIN` | unique pointer to the user |
//! | `T#<t>#N#<shard>` | `<login>` | list of users |
//! | `T#<t>#U#<uid>` | `USER` | user |
//! | `T#<t>#U#<uid>` | `F#<family>` | family |
//! | `T#<t>#R#<bucket>` | `<ms>#<random>` | revocation |
//! | `T#<t>#A#<day>` | `<ms>#<random>` | audit event |
//! | `T#<t>` | `VERSIONS` | known client versions |
//! | `T#<t>#H#<day>` | `<hour>#<client version>` | validation counts |
//! | `T#<t>#X#L#<login>` | `A#<window>`, `D#<device>#<window>`, `K#<device>` | login counters, known device |
//! | `T#<t>#X#A#<address>` | `<window>` | login counter |
//! | `T#<t>#X#S` | `<second>` | signatures asked of KMS |
//! | `T#<t>#X#I` | `<hash>` | answer kept for a repeated request |
//! | `TENANTS#<shard>` | `<t>` | directory, for the operator only |

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::bytes::Bytes;
use crate::clock::Timestamp;
use crate::feed::Cursor;
use crate::id::{ClientId, FamilyId, Kid, LoginId, TenantId, UserId};
use crate::throttle::{Counter, CounterKey};

/// Partition key attribute.
pub const PK: &str = "PK";
/// Sort key attribute.
pub const SK: &str = "SK";
/// TTL attribute, epoch seconds. DynamoDB deletes late: no decision relies on it.
pub const EXPIRES_AT: &str = "expires_at";
/// Version of an item's shape.
pub const SCHEMA: &str = "schema";
/// The shape this release writes. Functions of two adjacent releases share the table.
pub const SCHEMA_VERSION: u32 = 1;
/// Over how many partitions the directory is spread.
pub const SHARDS: u8 = 16;
/// Length of a bucket of revocations, in seconds.
pub const REVOCATION_BUCKET_SECONDS: u64 = 600;

/// An attribute map.
pub type Item = HashMap<String, AttributeValue>;

/// The primary key of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    pub pk: String,
    pub sk: String,
}

impl Key {
    fn new(pk: String, sk: impl Into<String>) -> Self {
        Self { pk, sk: sk.into() }
    }

    pub fn attributes(&self) -> Item {
        HashMap::from([(PK.to_owned(), text(&self.pk)), (SK.to_owned(), text(&self.sk))])
    }

    /// The key of an item.
    pub fn of(item: &Item) -> Option<Self> {
        let text = |name: &str| item.get(name).and_then(|found| found.as_s().ok()).cloned();
        Some(Self { pk: text(PK)?, sk: text(SK)? })
    }

    pub fn is_of(&self, item: &Item) -> bool {
        let is = |name: &str, value: &str| {
            item.get(name).and_then(|found| found.as_s().ok()).is_some_and(|found| found == value)
        };
        is(PK, &self.pk) && is(SK, &self.sk)
    }
}

pub fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

pub fn number(value: u64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

pub fn tenant(tenant: &TenantId) -> Key {
    Key::new(format!("T#{tenant}"), "TENANT")
}

pub fn client(tenant: &TenantId, client: &ClientId) -> Key {
    Key::new(format!("T#{tenant}"), format!("{CLIENT_PREFIX}{client}"))
}

pub const CLIENT_PREFIX: &str = "CLIENT#";

pub fn wrapped(tenant: &TenantId, kid: &Kid) -> Key {
    Key::new(format!("T#{tenant}"), format!("WRAPPED#{kid}"))
}

/// Over how many partitions the list of a tenant's users is spread: an import writes to all of them at once.
pub const USER_SHARDS: u8 = 16;

pub fn listed(tenant: &TenantId, login: &LoginId) -> Key {
    let [first, ..] = crate::secret::sha256(login.as_str().as_bytes());
    listed_at(tenant, first % USER_SHARDS, login.as_str())
}

pub fn listed_at(tenant: &TenantId, shard: u8, login: &str) -> Key {
    Key::new(format!("T#{tenant}#N#{shard}"), login)
}

pub fn versions(tenant: &TenantId) -> Key {
    Key::new(format!("T#{tenant}"), "VERSIONS")
}

/// The partition of a day's validation counts.
pub fn health_day(tenant: &TenantId, day: u64) -> String {
    format!("T#{tenant}#H#{day}")
}

/// `hour` is in hours since the epoch.
pub fn health(tenant: &TenantId, hour: u64, version: &str) -> Key {
    Key::new(health_day(tenant, hour / 24), format!("{:02}#{version}", hour % 24))
}

pub fn signatures(tenant: &TenantId, at: Timestamp) -> Key {
    Key::new(format!("T#{tenant}#X#S"), at.seconds().to_string())
}

pub fn answer(tenant: &TenantId, request: &Bytes<32>) -> Key {
    Key::new(format!("T#{tenant}#X#I"), URL_SAFE_NO_PAD.encode(request))
}

pub fn login(tenant: &TenantId, login: &LoginId) -> Key {
    Key::new(format!("T#{tenant}#L#{}", login.as_str()), "LOGIN")
}

pub fn user(tenant: &TenantId, user: UserId) -> Key {
    Key::new(format!("T#{tenant}#U#{user}"), "USER")
}

pub const FAMILY_PREFIX: &str = "F#";

pub fn family(tenant: &TenantId, user: UserId, family: FamilyId) -> Key {
    Key::new(format!("T#{tenant}#U#{user}"), format!("{FAMILY_PREFIX}{family}"))
}

pub fn revocation(tenant: &TenantId, at: Timestamp) -> Key {
    let bucket = at.seconds() / REVOCATION_BUCKET_SECONDS;
    Key::new(format!("T#{tenant}#R#{bucket}"), unique_at(at))
}

/// The partitions that hold the revocations between two moments, in order.
pub fn revocation_buckets(
    tenant: &TenantId,
    from: Timestamp,
    to: Timestamp,
) -> impl Iterator<Item = String> + use<'_> {
    let bucket = |at: Timestamp| at.seconds() / REVOCATION_BUCKET_SECONDS;
    (bucket(from)..=bucket(to)).map(move |bucket| format!("T#{tenant}#R#{bucket}"))
}

/// The sort key after which the revocations from a place on lie.
pub fn revocation_place(from: &Cursor) -> String {
    let at = from.at.millis();
    from.after.as_ref().map_or_else(|| format!("{at:013}"), |after| format!("{at:013}#{after}"))
}

pub fn audit(tenant: &TenantId, at: Timestamp) -> Key {
    Key::new(audit_day(tenant, day(at)), unique_at(at))
}

/// The day since the epoch.
pub fn day(at: Timestamp) -> u64 {
    at.seconds() / 86_400
}

/// The partition of a day's audit events.
pub fn audit_day(tenant: &TenantId, day: u64) -> String {
    format!("T#{tenant}#A#{day}")
}

/// What the sort key of something written at a moment begins with.
pub fn moment(at: Timestamp) -> String {
    format!("{:013}", at.millis())
}

/// What no sort key of something written at a moment or before comes after.
pub fn moment_end(at: Timestamp) -> String {
    format!("{:013}$", at.millis())
}

pub fn counter(tenant: &TenantId, counter: &Counter) -> Key {
    let window = counter.window.start.seconds();
    match &counter.key {
        CounterKey::Account(login) => Key::new(throttle(tenant, login), format!("A#{window}")),
        CounterKey::Device(login, device) => {
            Key::new(throttle(tenant, login), format!("D#{}#{window}", URL_SAFE_NO_PAD.encode(device)))
        }
        CounterKey::Address(address) => Key::new(format!("T#{tenant}#X#A#{address}"), window.to_string()),
    }
}

pub fn known_device(tenant: &TenantId, login: &LoginId, device: &Bytes<32>) -> Key {
    Key::new(throttle(tenant, login), format!("K#{}", URL_SAFE_NO_PAD.encode(device)))
}

fn throttle(tenant: &TenantId, login: &LoginId) -> String {
    format!("T#{tenant}#X#L#{}", login.as_str())
}

pub fn shard(shard: u8) -> String {
    format!("TENANTS#{shard}")
}

pub fn directory(tenant: &TenantId) -> Key {
    let [first, ..] = crate::secret::sha256(tenant.as_str().as_bytes());
    directory_at(first % SHARDS, tenant)
}

pub fn directory_at(at: u8, tenant: &TenantId) -> Key {
    Key::new(shard(at), tenant.as_str())
}

fn unique_at(at: Timestamp) -> String {
    let random: [u8; 9] = crate::secret::random();
    format!("{}#{}", moment(at), URL_SAFE_NO_PAD.encode(random))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::throttle::{Limits, address_bucket};

    #[test]
    fn every_key_but_the_directory_begins_with_its_tenant_and_a_delimiter() {
        let acme: TenantId = "acme".parse().unwrap();
        let login_id: LoginId = "ada@acme.example".parse().unwrap();
        let now = Timestamp::from_seconds(1_800_000_000);
        let (uid, fid) = (UserId::generate(), FamilyId::generate());
        let device = Bytes::from([1; 32]);
        let counter_of = |key| counter(&acme, &Counter::at(key, &Limits::default(), now));
        for key in [
            tenant(&acme),
            client(&acme, &"app".parse().unwrap()),
            wrapped(&acme, &"A".repeat(43).parse().unwrap()),
            versions(&acme),
            health(&acme, 500_000, "shop/1"),
            listed(&acme, &login_id),
            signatures(&acme, now),
            answer(&acme, &device),
            login(&acme, &login_id),
            user(&acme, uid),
            family(&acme, uid, fid),
            revocation(&acme, now),
            audit(&acme, now),
            known_device(&acme, &login_id, &device),
            counter_of(CounterKey::Account(login_id.clone())),
            counter_of(CounterKey::Device(login_id.clone(), device)),
            counter_of(CounterKey::Address(address_bucket("2001:db8::1"))),
        ] {
            assert!(key.pk == "T#acme" || key.pk.starts_with("T#acme#"), "{key:?}");
        }
        assert!(directory(&acme).pk.starts_with("TENANTS#"));
    }

    /// Written out in full: functions of two adjacent releases share the table, and IAM pins tenants by these texts.
    #[test]
    fn keys_are_what_the_table_holds() {
        let acme: TenantId = "acme".parse().unwrap();
        let name: LoginId = "ada".parse().unwrap();
        let now = Timestamp::from_millis(1_800_000_123_456);
        let uid = UserId::from_bytes([1; 16]);
        let device = Bytes::from([0; 32]);
        let hex = "01".repeat(16);
        let zeros = "A".repeat(43);
        let window = |key| counter(&acme, &Counter::at(key, &Limits::default(), now));
        let rows: [(Key, &str, String); 15] = [
            (tenant(&acme), "T#acme", "TENANT".to_owned()),
            (client(&acme, &"app".parse().unwrap()), "T#acme", "CLIENT#app".to_owned()),
            (wrapped(&acme, &zeros.parse().unwrap()), "T#acme", format!("WRAPPED#{zeros}")),
            (listed_at(&acme, 7, "ada"), "T#acme#N#7", "ada".to_owned()),
            (signatures(&acme, now), "T#acme#X#S", "1800000123".to_owned()),
            (answer(&acme, &device), "T#acme#X#I", zeros.clone()),
            (login(&acme, &name), "T#acme#L#ada", "LOGIN".to_owned()),
            (user(&acme, uid), &format!("T#acme#U#usr_{hex}"), "USER".to_owned()),
            (
                family(&acme, uid, FamilyId::from_bytes([1; 16])),
                &format!("T#acme#U#usr_{hex}"),
                format!("F#{hex}"),
            ),
            (known_device(&acme, &name, &device), "T#acme#X#L#ada", format!("K#{zeros}")),
            (window(CounterKey::Account(name.clone())), "T#acme#X#L#ada", "A#1800000000".to_owned()),
            (directory_at(3, &acme), "TENANTS#3", "acme".to_owned()),
            // Shards by the first byte of SHA-256.
            (directory(&acme), "TENANTS#2", "acme".to_owned()),
            (listed(&acme, &name), "T#acme#N#13", "ada".to_owned()),
            (health(&acme, 24 * 20_833 + 8, "shop/1"), "T#acme#H#20833", "08#shop/1".to_owned()),
        ];
        for (key, pk, sk) in rows {
            assert_eq!((key.pk.as_str(), key.sk), (pk, sk));
        }
        let address = window(CounterKey::Address(address_bucket("192.0.2.1")));
        assert_eq!((address.pk.as_str(), address.sk.as_str()), ("T#acme#X#A#192.0.2.1", "1800000000"));
        assert_eq!(window(CounterKey::Device(name, device)).sk, format!("D#{zeros}#1800000000"));
    }

    #[test]
    fn what_is_written_at_a_moment_is_found_by_it() {
        let acme: TenantId = "acme".parse().unwrap();
        let now = Timestamp::from_millis(1_800_000_123_456);
        let (entry, event) = (revocation(&acme, now), audit(&acme, now));
        assert_eq!(entry.pk, format!("T#acme#R#{}", 1_800_000_123 / 600));
        assert_eq!(event.pk, audit_day(&acme, day(now)));
        assert_eq!(event.pk, format!("T#acme#A#{}", 1_800_000_123 / 86_400));
        for sk in [&entry.sk, &event.sk] {
            assert!(sk.starts_with("1800000123456#"), "{sk}");
            assert!(*sk >= moment(now) && *sk < moment_end(now), "{sk}");
        }
        assert_eq!(moment(Timestamp::from_millis(5)), "0000000000005", "sorted as text");
        assert_eq!(moment_end(Timestamp::from_millis(5)), "0000000000005$");
        assert_ne!(revocation(&acme, now).sk, entry.sk, "two of one moment");
    }

    #[test]
    fn revocations_of_a_span_lie_in_its_buckets_and_after_their_place() {
        let acme: TenantId = "acme".parse().unwrap();
        let at = Timestamp::from_seconds;
        let buckets: Vec<String> = revocation_buckets(&acme, at(1_799_999_999), at(1_800_000_600)).collect();
        assert_eq!(buckets, ["T#acme#R#2999999", "T#acme#R#3000000", "T#acme#R#3000001"]);
        assert_eq!(revocation(&acme, at(1_799_999_999)).pk, buckets[0]);
        let place = |after| revocation_place(&Cursor { at: Timestamp::from_millis(5), after });
        assert_eq!(place(None), "0000000000005");
        assert_eq!(place(Some("Zm9v".to_owned())), "0000000000005#Zm9v");
    }

    #[test]
    fn the_spread_of_lists_is_within_its_bounds_and_uses_them() {
        let acme: TenantId = "acme".parse().unwrap();
        let names: Vec<LoginId> = (0..200).map(|n| format!("user{n}").parse().unwrap()).collect();
        let listed: std::collections::BTreeSet<String> =
            names.iter().map(|name| listed(&acme, name).pk).collect();
        let all = (0..USER_SHARDS).map(|shard| format!("T#acme#N#{shard}")).collect();
        assert_eq!(listed, all);
        let tenants: Vec<TenantId> = (0..200).map(|n| format!("tenant{n}").parse().unwrap()).collect();
        let directories: std::collections::BTreeSet<String> =
            tenants.iter().map(|tenant| directory(tenant).pk).collect();
        assert_eq!(directories, (0..SHARDS).map(shard).collect());
    }

    #[test]
    fn an_item_is_known_by_its_whole_key() {
        let key = Key::new("T#acme".to_owned(), "TENANT");
        let item = key.attributes();
        assert!(key.is_of(&item));
        assert_eq!(Key::of(&item), Some(key.clone()));
        for (name, value) in [(PK, "T#globex"), (SK, "CLIENT#app")] {
            let mut other = item.clone();
            other.insert(name.to_owned(), text(value));
            assert!(!key.is_of(&other), "another {name}");
            other.remove(name);
            assert!(!key.is_of(&other) && Key::of(&other).is_none(), "without {name}");
        }
        assert_eq!(
            (text("a"), number(7)),
            (AttributeValue::S("a".to_owned()), AttributeValue::N("7".to_owned()))
        );
    }
}
