//! CloudFormation's references, as far as a laptop can follow them: parameters, conditions, `Ref`, `Fn::Sub`, `Fn::If`.
//! What only AWS knows (ARNs, account ids) stays unresolved rather than made up.

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
                // What a newcomer tries first.
                ("SampleApi", "on"),
                // There is no IAM here that could narrow credentials to a tenant.
                ("TenantIsolation", "share"),
            ]),
            variables: given(&[("PUBLIC_URL", public_url)]),
        }
    }
}

/// What a value is resolved against.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope<'a> {
    pub givens: &'a Givens,
    pub parameters: &'a BTreeMap<String, Value>,
    pub conditions: &'a BTreeMap<String, Value>,
}

impl<'a> Scope<'a> {
    /// The text of a value; none when only AWS knows it.
    pub fn text(self, value: &Value) -> Option<String> {
        let value = self.chosen(value)?;
        if let Some(text) = plain(value) {
            return Some(text);
        }
        if let Some(name) = value["Ref"].as_str() {
            return self.parameter(name);
        }
        let mut text = value["Fn::Sub"].as_str()?.to_owned();
        for name in references(value) {
            text = text.replace(&format!("${{{name}}}"), &self.parameter(&name)?);
        }
        Some(text)
    }

    /// Whether the template leaves a value out here: `AWS::NoValue`.
    pub fn leaves_out(self, value: &Value) -> bool {
        self.chosen(value).is_some_and(|value| value["Ref"] == "AWS::NoValue")
    }

    /// The branch of `Fn::If` that counts; any other value as it is. None when a condition can't be decided.
    pub fn chosen(self, value: &'a Value) -> Option<&'a Value> {
        let Some(branches) = value.get("Fn::If") else { return Some(value) };
        let holds = self.holds(self.conditions.get(branches[0].as_str()?)?)?;
        self.chosen(&branches[if holds { 1 } else { 2 }])
    }

    /// Whether a condition of the template holds. None when it can't be decided.
    pub fn condition(self, name: &str) -> Option<bool> {
        self.holds(self.conditions.get(name)?)
    }

    fn parameter(self, name: &str) -> Option<String> {
        let default = || plain(&self.parameters.get(name)?["Default"]);
        self.givens.parameters.get(name).cloned().or_else(default)
    }

    fn holds(self, condition: &Value) -> Option<bool> {
        let (kind, given) = condition.as_object()?.iter().next()?;
        match kind.as_str() {
            "Condition" => self.holds(self.conditions.get(given.as_str()?)?),
            "Fn::Not" => self.holds(&given[0]).map(|holds| !holds),
            "Fn::And" => given.as_array()?.iter().try_fold(true, |all, one| Some(all & self.holds(one)?)),
            "Fn::Or" => given.as_array()?.iter().try_fold(false, |any, one| Some(any | self.holds(one)?)),
            "Fn::Equals" => Some(self.text(&given[0])? == self.text(&given[1])?),
            _ => None,
        }
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
