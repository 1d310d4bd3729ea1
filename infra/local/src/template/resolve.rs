//! CloudFormation's references, as far as a laptop can follow them: parameters, `Ref`, `Fn::Sub`. What only AWS knows
//! (ARNs, account ids) stays unresolved rather than made up.

use std::collections::BTreeMap;

use serde_json::Value;

/// What the local stack gives where AWS would have its own answer.
#[derive(Debug, Clone, Default)]
pub struct Givens {
    /// The region in which ARNs lie.
    pub region: String,
    /// Values of parameters.
    pub parameters: BTreeMap<String, String>,
    /// Environment variables that the stack sets whatever the template computes for them.
    pub variables: BTreeMap<String, String>,
}

impl Givens {
    /// Those of Leasehold's template.
    pub fn new(stage: &str, region: &str, public_url: &str) -> Self {
        let given = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        Self {
            region: region.to_owned(),
            parameters: given(&[
                ("Stage", stage),
                ("PublicUrl", public_url),
                // The seeded users have passwords from the start.
                ("OperatorPasswords", "allow"),
                // The embedded KMS has no quota that a tenant could use up.
                ("SignaturesPerTenant", "0"),
            ]),
            variables: given(&[("PUBLIC_URL", public_url)]),
        }
    }

    pub(super) fn resolve(&self, value: &Value, parameters: &BTreeMap<String, Value>) -> Option<String> {
        let parameter = |name: &str| {
            self.parameters
                .get(name)
                .cloned()
                .or_else(|| parameters.get(name).and_then(|parameter| plain(&parameter["Default"])))
        };
        if let Some(text) = plain(value) {
            return Some(text);
        }
        if let Some(name) = value["Ref"].as_str() {
            return parameter(name);
        }
        let mut text = value["Fn::Sub"].as_str()?.to_owned();
        for name in references(value) {
            text = text.replace(&format!("${{{name}}}"), &parameter(&name)?);
        }
        Some(text)
    }
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

/// Every logical id that a value refers to.
pub(super) fn references(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().flat_map(references).collect(),
        Value::Object(map) => map
            .iter()
            .flat_map(|(key, inner)| match (key.as_str(), inner) {
                ("Ref", Value::String(id)) => vec![id.clone()],
                ("Fn::GetAtt", Value::Array(path)) => {
                    path.first().and_then(Value::as_str).map(str::to_owned).into_iter().collect()
                }
                ("Fn::Sub", Value::String(text)) => in_sub(text),
                (_, inner) => references(inner),
            })
            .collect(),
        _ => Vec::new(),
    }
}

fn in_sub(text: &str) -> Vec<String> {
    text.split("${")
        .skip(1)
        .filter_map(|rest| rest.split_once('}'))
        .map(|(name, _)| name.split('.').next().unwrap_or(name).to_owned())
        .collect()
}
