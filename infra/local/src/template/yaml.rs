//! YAML with CloudFormation's short tags to the JSON that CloudFormation itself sees: `!Ref X` becomes `{"Ref": "X"}`,
//! `!Sub x` becomes `{"Fn::Sub": "x"}`. Must never guess: what it does not understand is an error with a line number.

use serde_json::{Map, Value};
use yaml_rust2::parser::{Event, MarkedEventReceiver, Parser, Tag};
use yaml_rust2::scanner::{Marker, TScalarStyle};

/// Reads one YAML document.
pub fn to_json(text: &str) -> Result<Value, String> {
    let mut builder = Builder::default();
    Parser::new_from_str(text).load(&mut builder, false).map_err(|error| error.to_string())?;
    match builder {
        Builder { problem: Some(problem), .. } => Err(problem),
        Builder { root: Some(root), .. } => Ok(root),
        _ => Err("the document is empty".to_owned()),
    }
}

#[derive(Default)]
struct Builder {
    open: Vec<Node>,
    root: Option<Value>,
    problem: Option<String>,
}

enum Node {
    Sequence(Vec<Value>, Option<Tag>),
    Mapping(Map<String, Value>, Option<String>, Option<Tag>),
}

impl MarkedEventReceiver for Builder {
    fn on_event(&mut self, event: Event, at: Marker) {
        if self.problem.is_some() {
            return;
        }
        if let Err(problem) = self.take(event) {
            self.problem = Some(format!("line {}: {problem}", at.line()));
        }
    }
}

impl Builder {
    fn take(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Scalar(text, style, _, tag) => {
                let plain = matches!(style, TScalarStyle::Plain) && tag.is_none();
                let value = if plain { scalar(text) } else { Value::String(text) };
                self.put(tagged(value, tag)?)
            }
            Event::SequenceStart(_, tag) => {
                self.open.push(Node::Sequence(Vec::new(), tag));
                Ok(())
            }
            Event::MappingStart(_, tag) => {
                self.open.push(Node::Mapping(Map::new(), None, tag));
                Ok(())
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Node::Sequence(items, tag)) => self.put(tagged(Value::Array(items), tag)?),
                Some(Node::Mapping(map, _, tag)) => self.put(tagged(Value::Object(map), tag)?),
                None => Err("unbalanced document".to_owned()),
            },
            Event::Alias(_) => Err("CloudFormation does not support aliases".to_owned()),
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart
            | Event::DocumentEnd => Ok(()),
        }
    }

    fn put(&mut self, value: Value) -> Result<(), String> {
        match self.open.last_mut() {
            None => self.root = Some(value),
            Some(Node::Sequence(items, _)) => items.push(value),
            Some(Node::Mapping(map, key, _)) => match (key.take(), value) {
                (None, Value::String(name)) => *key = Some(name),
                (None, other) => *key = Some(other.to_string()),
                (Some(name), value) => {
                    if map.contains_key(&name) {
                        return Err(format!("`{name}` appears twice"));
                    }
                    map.insert(name, value);
                }
            },
        }
        Ok(())
    }
}

fn tagged(value: Value, tag: Option<Tag>) -> Result<Value, String> {
    let Some(Tag { handle, suffix }) = tag else { return Ok(value) };
    if handle != "!" {
        return Err(format!("unknown tag {handle}{suffix}"));
    }
    let (name, value) = match (suffix.as_str(), value) {
        ("Ref" | "Condition", value) => (suffix, value),
        ("GetAtt", Value::String(path)) => {
            let (resource, attribute) = path.split_once('.').ok_or("!GetAtt needs Resource.Attribute")?;
            ("Fn::GetAtt".to_owned(), Value::from(vec![resource, attribute]))
        }
        (_, value) => (format!("Fn::{suffix}"), value),
    };
    Ok(Value::Object(Map::from_iter([(name, value)])))
}

fn scalar(text: String) -> Value {
    match text.as_str() {
        "" | "~" | "null" => Value::Null,
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => text.parse::<i64>().map(Value::from).unwrap_or(Value::String(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn short_tags_become_their_long_form() {
        let rows = [
            ("!Ref Table", json!({"Ref": "Table"})),
            ("!Sub 'integrations/${X}'", json!({"Fn::Sub": "integrations/${X}"})),
            ("!GetAtt Table.Arn", json!({"Fn::GetAtt": ["Table", "Arn"]})),
            ("!If [C, !Ref A, !Ref B]", json!({"Fn::If": ["C", {"Ref": "A"}, {"Ref": "B"}]})),
            (
                "{a: 1, b: '1', c: true, d: 2010-09-09}",
                json!({"a": 1, "b": "1", "c": true, "d": "2010-09-09"}),
            ),
        ];
        for (text, expected) in rows {
            assert_eq!(to_json(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn odd_documents_are_refused_with_a_line() {
        for text in ["a: 1\na: 2\n", "a: &x 1\nb: *x\n", "a: !!str 1\n", ""] {
            assert!(to_json(text).is_err(), "{text}");
        }
        assert!(to_json("a: 1\nb: 2\na: 3\n").unwrap_err().contains("line 3"));
    }
}
