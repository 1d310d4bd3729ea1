//! What this release writes, held against what the release before wrote in the same scene.
//!
//! A reader of that release takes an item if every member that it requires is there with the type it had. What it
//! requires is not known here, but is at most what it wrote into *every* item of a kind; a member that it wrote into
//! some is optional, must have the same type where it is, and must still be in one of them.

use std::collections::BTreeSet;

use leasehold_tests::tenant::fresh_name;
use serde_json::{Value, json};

use super::kinds::{NEW, kind};
use super::scene::scene;
use super::shape::{Shape, shapes};
use super::{items, recorded_items, setup, table, text};

#[tokio::test]
async fn what_this_release_writes_has_what_the_one_before_reads() {
    let before = shapes(&recorded_items());
    let stack = setup().start();
    let (table, name) = (table(&stack).await, fresh_name());
    scene(&stack, &table, &name).await;
    let now = items(&table, &name).await;
    let mut wrong = Vec::new();
    for item in &now {
        let kind = kind(item);
        let Some(shape) = before.get(kind) else {
            assert_eq!(kind, NEW, "a kind that is known was recorded");
            continue;
        };
        wrong.extend(
            shape.refuses(kind, item).into_iter().map(|why| format!("{kind} {}: {why}", text(item, "SK"))),
        );
    }
    let after = shapes(&now);
    for (kind, shape) in &before {
        let missing = after.get(kind).map(|now| shape.missing_from(now));
        let missing = missing.unwrap_or_else(|| vec!["the kind itself".to_owned()]);
        wrong.extend(missing.into_iter().map(|what| format!("{kind}: {what} is nowhere any more")));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let kinds: BTreeSet<&str> = before.keys().copied().collect();
    assert!(!kinds.contains(NEW), "{kinds:?}");
}

fn learn(kind: &str, items: &[Value]) -> Shape {
    let mut shape = Shape::default();
    for item in items {
        shape.add(kind, item);
    }
    shape
}

#[test]
fn a_member_left_out_or_of_another_type_is_found() {
    let old = [
        json!({"a": {"S": "x"}, "b": {"M": {"c": {"N": "1"}}}, "d": {"L": [{"M": {"e": {"S": ""}}}]}}),
        json!({"a": {"S": "y"}, "b": {"M": {"c": {"N": "2"}}},
            "d": {"L": [{"M": {"e": {"S": ""}, "g": {"N": "1"}}}, {"M": {"e": {"S": ""}}}]}, "f": {"BOOL": true}}),
    ];
    let shape = learn("client", &old);
    let mut newer = old[0].clone();
    newer["new"] = json!({"S": "of no matter"});
    assert_eq!(shape.refuses("client", &newer), [] as [String; 0]);
    for (pointer, value) in [
        ("/a", json!({"N": "1"})),
        ("/b/M/c", json!({"S": "1"})),
        ("/d/L/0/M/e", json!({"NULL": true})),
        ("/d/L/0/M/g", json!({"S": "1"})),
        ("/b/M", json!({})),
        ("/d/L/1/M", json!({})),
    ] {
        let mut other = old[1].clone();
        *other.pointer_mut(pointer).expect("a member") = value;
        assert_eq!(shape.refuses("client", &other).len(), 1, "{pointer}");
    }
    let mut other = old[1].clone();
    other["f"] = json!({"S": "true"});
    assert_eq!(shape.refuses("client", &other).len(), 1, "optional, and of another type");
}

#[test]
fn an_optional_member_that_no_item_has_any_more_is_found() {
    let secret = |until: Option<&str>| {
        let mut secret = json!({"M": {"hash": {"S": "x"}}});
        if let Some(name) = until {
            secret["M"][name] = json!({"N": "1"});
        }
        secret
    };
    let client = |until: &str| {
        [json!({"secrets": {"L": [secret(Some(until)), secret(None)]}}), json!({"secrets": {"L": []}})]
    };
    let before = learn("client", &client("until"));
    assert_eq!(before.missing_from(&learn("client", &client("until"))), [] as [String; 0]);
    assert_eq!(before.missing_from(&learn("client", &client("good_until"))), ["/secrets/[]/until"]);
}

#[test]
fn names_that_are_data_are_no_shape_and_what_stands_there_is() {
    let rows = [
        (
            "user",
            json!({"claims": {"M": {"a": {"N": "1"}}}}),
            json!({"claims": {"M": {"b": {"S": "x"}}}}),
            json!({"claims": {"S": "{}"}}),
        ),
        (
            "versions",
            json!({"known": {"M": {"ios/1": {"N": "1"}}}, "candidates": {"M": {"ios/2": {"M": {"day": {"N": "1"}}}}}}),
            json!({"known": {"M": {}}, "candidates": {"M": {"web/1": {"M": {"day": {"N": "1"}}}}}}),
            json!({"known": {"M": {}}, "candidates": {"M": {"web/1": {"M": {"at": {"N": "1"}}}}}}),
        ),
        (
            "health counts",
            json!({"n.verify.ok": {"N": "1"}, "expires_at": {"N": "1"}}),
            json!({"n.refresh.reuse": {"N": "1"}, "expires_at": {"N": "1"}}),
            json!({"n.verify.ok": {"S": "1"}, "expires_at": {"N": "1"}}),
        ),
    ];
    for (kind, old, good, bad) in rows {
        let shape = learn(kind, &[old]);
        assert_eq!(shape.refuses(kind, &good), [] as [String; 0], "{kind}");
        assert_eq!(shape.refuses(kind, &bad).len(), 1, "{kind}");
    }
    let (old, renamed) = (json!({"n.verify.ok": {"N": "1"}}), json!({"c.verify.ok": {"N": "1"}}));
    let missing = learn("health counts", &[old]).missing_from(&learn("health counts", &[renamed]));
    assert_eq!(missing, ["/n.*"]);
}
