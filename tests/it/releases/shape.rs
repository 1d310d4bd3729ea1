//! The shape of items in DynamoDB JSON: which members those of a kind have, and of which types.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::kinds::kind;

/// Maps whose member names are data, by kind and path: what they hold is taken for members of one name. A `!` at the end
/// says that the values are data too and have no shape.
const NAMED_BY_DATA: [(&str, &str); 4] = [
    ("user", "/claims!"),
    ("versions", "/known"),
    ("versions", "/candidates"),
    // What an admin did in detail is for people to read.
    ("audit event", "/detail!"),
];
/// Attributes whose names are data, by kind and beginning.
const DATA_ATTRIBUTES: [(&str, &str); 1] = [("health counts", "n.")];

/// What is known of a value from all examples of it.
#[derive(Debug, Default)]
pub struct Shape {
    /// `S`, `N`, `M`…
    types: BTreeSet<String>,
    /// How many maps were seen.
    maps: usize,
    /// Members of those maps, with how many had them.
    members: BTreeMap<String, (usize, Shape)>,
    /// Elements of lists, all together.
    elements: Option<Box<Shape>>,
}

impl Shape {
    /// Learns from an item of a kind.
    pub fn add(&mut self, kind: &str, item: &Value) {
        self.add_map(&Place { kind, path: String::new() }, item);
    }

    fn add_map(&mut self, place: &Place<'_>, map: &Value) {
        self.maps += 1;
        let mut seen = BTreeSet::new();
        for (name, value) in map.as_object().into_iter().flatten() {
            let name = place.name(name);
            let (count, shape) = self.members.entry(name.clone()).or_default();
            *count += usize::from(seen.insert(name.clone()));
            shape.add_value(&place.below(&name), value);
        }
    }

    fn add_value(&mut self, place: &Place<'_>, value: &Value) {
        let Some((name, inner)) = typed(value) else { return };
        self.types.insert(name.to_owned());
        match name {
            "M" if !place.holds_data() => self.add_map(place, inner),
            "L" => {
                let elements = self.elements.get_or_insert_default();
                let place = place.below("[]");
                inner.as_array().into_iter().flatten().for_each(|inner| elements.add_value(&place, inner));
            }
            _ => {}
        }
    }

    /// What an item of this kind lacks, or has in another type.
    pub fn refuses(&self, kind: &str, item: &Value) -> Vec<String> {
        let mut wrong = Vec::new();
        self.refuses_map(&Place { kind, path: String::new() }, item, &mut wrong);
        wrong
    }

    fn refuses_map(&self, place: &Place<'_>, map: &Value, wrong: &mut Vec<String>) {
        let found: BTreeSet<String> =
            map.as_object().into_iter().flatten().map(|(name, _)| place.name(name)).collect();
        for (name, (count, _)) in &self.members {
            // Of members that are named by data none is required.
            if *count == self.maps && !found.contains(name) && !name.ends_with('*') {
                wrong.push(format!("without {}", place.below(name).path));
            }
        }
        for (name, value) in map.as_object().into_iter().flatten() {
            let name = place.name(name);
            if let Some((_, shape)) = self.members.get(&name) {
                shape.refuses_value(&place.below(&name), value, wrong);
            }
        }
    }

    fn refuses_value(&self, place: &Place<'_>, value: &Value, wrong: &mut Vec<String>) {
        let Some((name, inner)) = typed(value) else { return };
        if !self.types.contains(name) {
            wrong.push(format!("{} is {name}, was {:?}", place.path, self.types));
            return;
        }
        match name {
            "M" if !place.holds_data() => self.refuses_map(place, inner, wrong),
            "L" => {
                let Some(elements) = self.elements.as_ref().filter(|known| !known.types.is_empty()) else {
                    return;
                };
                let place = place.below("[]");
                inner
                    .as_array()
                    .into_iter()
                    .flatten()
                    .for_each(|inner| elements.refuses_value(&place, inner, wrong));
            }
            _ => {}
        }
    }

    /// Members that are here and nowhere in another shape: a reader asks for no member that some items lack, but one that is
    /// in none any more was renamed or dropped.
    pub fn missing_from(&self, other: &Self) -> Vec<String> {
        let mut missing = Vec::new();
        self.collect_missing("", other, &mut missing);
        missing
    }

    fn collect_missing(&self, path: &str, other: &Self, missing: &mut Vec<String>) {
        for (name, (_, shape)) in &self.members {
            let path = format!("{path}/{name}");
            match other.members.get(name) {
                None => missing.push(path),
                Some((_, other)) => shape.collect_missing(&path, other, missing),
            }
        }
        if let (Some(elements), Some(other)) = (&self.elements, &other.elements) {
            elements.collect_missing(&format!("{path}/[]"), other, missing);
        }
    }
}

/// Where in an item of a kind.
struct Place<'a> {
    kind: &'a str,
    path: String,
}

impl Place<'_> {
    fn below(&self, name: &str) -> Self {
        Self { kind: self.kind, path: format!("{}/{name}", self.path) }
    }

    /// A member's name, or what stands for it where it is data.
    fn name(&self, name: &str) -> String {
        let is_data = NAMED_BY_DATA.contains(&(self.kind, self.path.as_str()));
        let of = DATA_ATTRIBUTES
            .iter()
            .find(|(kind, start)| *kind == self.kind && self.path.is_empty() && name.starts_with(start));
        match of {
            Some((_, start)) => format!("{start}*"),
            None if is_data => "*".to_owned(),
            None => name.to_owned(),
        }
    }

    fn holds_data(&self) -> bool {
        NAMED_BY_DATA.contains(&(self.kind, format!("{}!", self.path).as_str()))
    }
}

/// A value of DynamoDB JSON, taken apart.
fn typed(value: &Value) -> Option<(&str, &Value)> {
    value.as_object().and_then(|value| value.iter().next()).map(|(name, inner)| (name.as_str(), inner))
}

/// The shapes of items, by kind.
pub fn shapes(items: &[Value]) -> BTreeMap<&'static str, Shape> {
    let mut shapes: BTreeMap<&'static str, Shape> = BTreeMap::new();
    for item in items {
        shapes.entry(kind(item)).or_default().add(kind(item), item);
    }
    shapes
}
