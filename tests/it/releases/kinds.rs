//! What an item is, by its key; and that nothing the schema has a key for is left out of the scene.

use std::collections::BTreeSet;
use std::fs;

use leasehold_tests::settings;
use serde_json::Value;

use super::{recorded_items, text};

/// An item of a kind that only this release writes. None that was recorded is.
pub const NEW: &str = "new in this release";

/// Rows of the schema's table that only this release has, as `<PK> <SK>`; none while it writes what was recorded. To be
/// emptied when it is.
const NEW_ROWS: [&str; 0] = [];

/// What an item is, by its key.
pub fn kind(item: &Value) -> &'static str {
    let (pk, sk) = (text(item, "PK"), text(item, "SK"));
    let place = pk.split('#').nth(2).unwrap_or_default();
    match (place, sk) {
        _ if pk.starts_with("TENANTS#") => "directory",
        ("", "TENANT") => "tenant",
        ("", "VERSIONS") => "versions",
        ("", sk) if sk.starts_with("CLIENT#") => "client",
        ("", sk) if sk.starts_with("WRAPPED#") => "wrapped key",
        ("L", "LOGIN") => "login name",
        ("N", _) => "listed user",
        ("U", "USER") => "user",
        ("U", sk) if sk.starts_with("F#") => "family",
        ("R", _) => "revocation",
        ("A", _) => "audit event",
        ("H", _) => "health counts",
        ("X", sk) if pk.contains("#X#L#") && sk.starts_with("K#") => "known device",
        ("X", sk) if pk.contains("#X#L#") && sk.starts_with("A#") => "login counter of a name",
        ("X", sk) if pk.contains("#X#L#") && sk.starts_with("D#") => "login counter of a device",
        ("X", _) if pk.contains("#X#A#") => "login counter of an address",
        ("X", _) if pk.ends_with("#X#S") => "signature counter",
        ("X", _) if pk.ends_with("#X#I") => "kept answer",
        _ => NEW,
    }
}

/// The rows of the table in `schema.rs`, a pair of key patterns each.
fn schema() -> Vec<(String, String)> {
    let file = settings::repository().join("shared/src/store/schema.rs");
    let text = fs::read_to_string(file).expect("the schema");
    let rows = text.lines().filter_map(|line| line.strip_prefix("//! | `"));
    let cells = rows.map(|row| row.split(" | ").map(str::to_owned).collect::<Vec<_>>());
    cells
        .flat_map(|cells| {
            let pk = cells[0].trim_matches('`').to_owned();
            let sks: Vec<String> = cells[1].split(", ").map(|sk| sk.trim_matches('`').to_owned()).collect();
            sks.into_iter().map(move |sk| (pk.clone(), sk))
        })
        .collect()
}

/// Whether a text is of a pattern such as `T#<t>#U#<uid>`. What stands for `<…>` has no `#`.
fn is_of(pattern: &str, text: &str) -> bool {
    let (wanted, found): (Vec<&str>, Vec<&str>) = (pattern.split('#').collect(), text.split('#').collect());
    wanted.len() == found.len()
        && wanted
            .iter()
            .zip(&found)
            .all(|(wanted, found)| if wanted.starts_with('<') { !found.is_empty() } else { wanted == found })
}

#[test]
fn every_kind_of_item_in_the_schema_was_recorded_and_no_other() {
    let (items, schema) = (recorded_items(), schema());
    assert!(schema.len() >= 18, "the table is found: {schema:?}");
    let mut kinds = BTreeSet::new();
    for (pk, sk) in &schema {
        let found: BTreeSet<&str> = items
            .iter()
            .filter(|item| is_of(pk, text(item, "PK")) && is_of(sk, text(item, "SK")))
            .map(kind)
            .collect();
        let is_new = NEW_ROWS.contains(&format!("{pk} {sk}").as_str());
        assert_eq!(found.len(), usize::from(!is_new), "{pk} {sk} is one kind that was recorded: {found:?}");
        kinds.extend(found);
    }
    for item in &items {
        let (pk, sk) = (text(item, "PK"), text(item, "SK"));
        let rows = schema.iter().filter(|(of_pk, of_sk)| is_of(of_pk, pk) && is_of(of_sk, sk)).count();
        assert_eq!(rows, 1, "{pk} {sk} is of one row of the table");
    }
    assert!(!kinds.contains(NEW), "{kinds:?}");
    assert_eq!(kinds.len(), schema.len() - NEW_ROWS.len(), "each has a name of its own: {kinds:?}");
}

#[test]
fn an_item_of_no_row_is_known_for_one() {
    assert!(is_of("T#<t>#H#<day>", "T#acme#H#20783") && is_of("<hour>#<client version>", "07#ios/1"));
    for (pattern, text) in [("T#<t>", "T#acme#Q#1"), ("T#<t>#H#<day>", "T#acme#H#"), ("LOGIN", "LOGOUT")] {
        assert!(!is_of(pattern, text), "{text}");
    }
    for (pk, sk) in
        [("T#acme", "TENANTS"), ("T#acme#Q#1", "x"), ("T#acme#X#L#ada", "Z#1"), ("T#acme#X#Z", "1")]
    {
        assert_eq!(kind(&serde_json::json!({"PK": {"S": pk}, "SK": {"S": sk}})), NEW, "{pk} {sk}");
    }
}
