//! What this release writes, held against what the release before wrote in the same scene.
//!
//! A reader of that release takes an item if every member that it requires is there with the type it had. What it
//! requires is not known here, but is at most what it wrote into *every* item of a kind; a member that it wrote into
//! some is optional, and must have the same type where it is.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{items, kind, recorded, scene, text};
use leasehold_tests::stack::Setup;
use leasehold_tests::tenant::fresh_name;

/// Paths to members with their types: whether every item of the kind had them. A list's elements are taken together.
#[derive(Debug, Default)]
struct Shape {
    seen: usize,
    members: BTreeMap<String, (usize, BTreeSet<String>)>,
}

impl Shape {
    fn add(&mut self, item: &Value) {
        self.seen += 1;
        let mut found = BTreeMap::new();
        members(item, "", &mut found);
        for (path, types) in found {
            let (count, known) = self.members.entry(path).or_default();
            *count += 1;
            known.extend(types);
        }
    }

    /// What an item of this kind lacks, or has in another type.
    fn refuses(&self, item: &Value) -> Vec<String> {
        let mut found = BTreeMap::new();
        members(item, "", &mut found);
        let mut wrong = Vec::new();
        for (path, (count, types)) in &self.members {
            match found.get(path) {
                None if *count == self.seen => wrong.push(format!("without {path}")),
                None => {}
                Some(now) if now.is_subset(types) => {}
                Some(now) => wrong.push(format!("{path} is {now:?}, was {types:?}")),
            }
        }
        wrong
    }
}

/// Every member of an item in DynamoDB JSON, with its types. Members of a map whose names are data (a user's claims) would
/// be taken for a shape; the scene has none.
fn members(map: &Value, at: &str, found: &mut BTreeMap<String, BTreeSet<String>>) {
    for (name, value) in map.as_object().into_iter().flatten() {
        value_at(value, &format!("{at}/{name}"), found);
    }
}

fn value_at(value: &Value, at: &str, found: &mut BTreeMap<String, BTreeSet<String>>) {
    let Some((name, inner)) = value.as_object().and_then(|value| value.iter().next()) else { return };
    found.entry(at.to_owned()).or_default().insert(name.clone());
    match name.as_str() {
        "M" => members(inner, at, found),
        "L" => {
            for element in inner.as_array().into_iter().flatten() {
                value_at(element, &format!("{at}[]"), found);
            }
        }
        _ => {}
    }
}

fn shapes(items: &[Value]) -> BTreeMap<&'static str, Shape> {
    let mut shapes: BTreeMap<&'static str, Shape> = BTreeMap::new();
    for item in items {
        shapes.entry(kind(item)).or_default().add(item);
    }
    shapes
}

#[tokio::test]
async fn what_this_release_writes_has_what_the_one_before_reads() {
    let recorded = recorded();
    let before = shapes(recorded["items"].as_array().expect("items"));
    let stack = Setup::default().start();
    let name = fresh_name();
    scene(&stack, &name).await;
    let now = items(&stack, &name).await;
    let mut wrong = Vec::new();
    let mut compared = BTreeSet::new();
    for item in &now {
        let kind = kind(item);
        let Some(shape) = before.get(kind) else { continue };
        compared.insert(kind);
        wrong
            .extend(shape.refuses(item).into_iter().map(|why| format!("{kind} {}: {why}", text(item, "SK"))));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let kinds: BTreeSet<&str> = before.keys().copied().collect();
    assert_eq!(compared, kinds, "the scene writes every kind that it wrote then");
    assert!(!kinds.contains("new in this release"), "{kinds:?}");
}

#[test]
fn a_member_left_out_or_of_another_type_is_found() {
    let old = [
        json!({"a": {"S": "x"}, "b": {"M": {"c": {"N": "1"}}}, "d": {"L": [{"M": {"e": {"S": ""}}}]}}),
        json!({"a": {"S": "y"}, "b": {"M": {"c": {"N": "2"}}}, "d": {"L": [{"M": {"e": {"S": ""}}}]}, "f": {"BOOL": true}}),
    ];
    let mut shape = Shape::default();
    for item in &old {
        shape.add(item);
    }
    let mut newer = old[0].clone();
    newer["new"] = json!({"S": "of no matter"});
    assert!(shape.refuses(&newer).is_empty());
    for (pointer, value) in [
        ("/a", json!({"N": "1"})),
        ("/b/M/c", json!({"S": "1"})),
        ("/d/L/0/M/e", json!({"NULL": true})),
        ("/b/M", json!({})),
        ("/d/L/0/M", json!({})),
    ] {
        let mut other = old[1].clone();
        *other.pointer_mut(pointer).expect("a member") = value;
        assert!(!shape.refuses(&other).is_empty(), "{pointer}");
    }
    let mut other = old[1].clone();
    other["f"] = json!({"S": "true"});
    assert_eq!(shape.refuses(&other).len(), 1, "optional, and of another type");
}
