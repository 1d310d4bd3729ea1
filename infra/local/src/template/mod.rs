//! What the local stack needs from `infra/template.yaml`: functions, routes, table, schedules. The template is the only
//! description of them, so the gateway cannot drift from what is deployed. Must never invent a value that the template
//! leaves open: a setting it cannot resolve is an error that names it.

mod authorizers;
mod resolve;
mod yaml;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::digest;
use serde::Deserialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::dynamodb::Table;
use crate::lambda::ACCOUNT;
pub use authorizers::{AuthorizerSpec, IdentitySource};
pub use resolve::Givens;
use resolve::Scope;

/// The parts of the template that the local stack acts on.
#[derive(Debug, Clone)]
pub struct Template {
    /// Lambda functions, by their local (short) name.
    pub functions: BTreeMap<String, FunctionSpec>,
    /// Routes of the HTTP API.
    pub routes: Vec<RouteSpec>,
    /// Lambda authorizers, by logical id.
    pub authorizers: BTreeMap<String, AuthorizerSpec>,
    /// The table.
    pub table: Table,
    /// Schedules.
    pub schedules: Vec<ScheduleSpec>,
    /// Symmetric KMS keys.
    pub keys: Vec<KeySpec>,
}

/// A symmetric KMS key of the template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySpec {
    /// Its logical id.
    pub name: String,
    /// The id it has in the embedded KMS: always the same for a name, so that data survives a restart.
    pub id: Uuid,
}

impl KeySpec {
    fn named(name: &str) -> Self {
        let hash = digest::digest(&digest::SHA256, name.as_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash.as_ref()[..16]);
        Self { name: name.to_owned(), id: uuid::Builder::from_random_bytes(bytes).into_uuid() }
    }

    fn arn(&self, region: &str) -> String {
        format!("arn:aws:kms:{region}:{ACCOUNT}:key/{}", self.id)
    }
}

/// One Lambda function.
#[derive(Debug, Clone)]
pub struct FunctionSpec {
    /// Short name: the last segment of `CodeUri`, which is also the cargo binary.
    pub name: String,
    /// `MemorySize` in MB.
    pub memory_mb: u64,
    /// `Timeout`.
    pub timeout: Duration,
    /// Environment from the template.
    pub environment: BTreeMap<String, String>,
}

/// One route and its integration.
#[derive(Debug, Clone)]
pub struct RouteSpec {
    /// `POST /t/{tenant}/login` or `$default`.
    pub key: String,
    /// Short name of the function that answers.
    pub function: String,
    /// `TimeoutInMillis` of the integration.
    pub timeout: Duration,
    /// Logical id of the authorizer that stands before it.
    pub authorizer: Option<String>,
}

/// A schedule that invokes a function.
#[derive(Debug, Clone)]
pub struct ScheduleSpec {
    /// Short name of the function.
    pub function: String,
    /// From the rate expression.
    pub period: Duration,
    /// The event.
    pub input: String,
}

/// Why the template cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// The file cannot be read.
    #[error("cannot read the template {path}: {cause}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// It is not YAML that CloudFormation would accept.
    #[error("the template is not readable: {0}")]
    Syntax(String),
    /// A resource says something that the local stack cannot follow.
    #[error("template resource {resource}: {problem}")]
    Resource {
        /// Logical id.
        resource: String,
        /// What is wrong.
        problem: String,
    },
}

#[derive(Deserialize)]
struct Document {
    #[serde(rename = "Parameters", default)]
    parameters: BTreeMap<String, Value>,
    #[serde(rename = "Conditions", default)]
    conditions: BTreeMap<String, Value>,
    #[serde(rename = "Globals", default)]
    globals: Value,
    #[serde(rename = "Resources")]
    resources: BTreeMap<String, Resource>,
}

#[derive(Deserialize)]
struct Resource {
    #[serde(rename = "Type")]
    kind: String,
    #[serde(rename = "Condition", default)]
    condition: Option<String>,
    #[serde(rename = "Properties", default)]
    properties: Map<String, Value>,
}

impl Template {
    /// Reads the file.
    pub fn load(path: &Path, givens: &Givens) -> Result<Self, TemplateError> {
        let text =
            fs::read_to_string(path).map_err(|cause| TemplateError::Read { path: path.to_owned(), cause })?;
        Self::parse(&text, givens)
    }

    /// Reads the text of a template.
    pub fn parse(text: &str, givens: &Givens) -> Result<Self, TemplateError> {
        let json = yaml::to_json(text).map_err(TemplateError::Syntax)?;
        let document: Document =
            serde_json::from_value(json).map_err(|error| TemplateError::Syntax(error.to_string()))?;
        Reader { document: &document, givens }.read()
    }
}

struct Reader<'a> {
    document: &'a Document,
    givens: &'a Givens,
}

impl Reader<'_> {
    fn read(&self) -> Result<Template, TemplateError> {
        let mut functions = BTreeMap::new();
        let mut schedules = Vec::new();
        let mut routes = Vec::new();
        let mut authorizers = BTreeMap::new();
        let mut table = None;
        let mut keys = Vec::new();
        for (id, resource) in &self.document.resources {
            let fault = |problem| TemplateError::Resource { resource: id.clone(), problem };
            if !self.is_made(resource).map_err(fault)? {
                continue;
            }
            let read = match resource.kind.as_str() {
                "AWS::Serverless::Function" => self.function(resource).map(|spec| {
                    functions.insert(spec.name.clone(), spec);
                }),
                "AWS::ApiGatewayV2::Route" => self.route(resource).map(|spec| routes.push(spec)),
                "AWS::ApiGatewayV2::Authorizer" => self.authorizer(resource).map(|spec| {
                    authorizers.insert(id.clone(), spec);
                }),
                "AWS::Events::Rule" => self.schedule(resource).map(|spec| schedules.extend(spec)),
                "AWS::DynamoDB::Table" => self.table(resource).map(|spec| table = Some(spec)),
                "AWS::KMS::Key" => symmetric(resource).map(|()| keys.push(KeySpec::named(id))),
                "AWS::Serverless::HttpApi" => {
                    Err("use explicit AWS::ApiGatewayV2 resources: their routes are what is deployed"
                        .to_owned())
                }
                _ => Ok(()),
            };
            read.map_err(fault)?;
        }
        let table =
            table.ok_or_else(|| TemplateError::Syntax("there is no AWS::DynamoDB::Table".to_owned()))?;
        Ok(Template { functions, routes, authorizers, table, schedules, keys })
    }

    /// Whether the resource is made here: one whose condition does not hold is not.
    fn is_made(&self, resource: &Resource) -> Result<bool, String> {
        let Some(name) = &resource.condition else { return Ok(true) };
        let holds = self.scope().condition(name);
        holds.ok_or_else(|| format!("the local stack cannot decide its condition {name}"))
    }

    fn function(&self, resource: &Resource) -> Result<FunctionSpec, String> {
        let globals = &self.document.globals["Function"];
        let property = |name: &str| resource.properties.get(name).unwrap_or(&globals[name]);
        let mut environment = BTreeMap::new();
        let own = resource.properties.get("Environment").unwrap_or(&Value::Null);
        for variables in [&globals["Environment"]["Variables"], &own["Variables"]] {
            for (key, value) in variables.as_object().into_iter().flatten() {
                if !self.scope().leaves_out(value) {
                    environment.insert(key.clone(), self.environment(key, value)?);
                }
            }
        }
        Ok(FunctionSpec {
            name: short_name(resource)?,
            memory_mb: property("MemorySize").as_u64().unwrap_or(128),
            timeout: Duration::from_secs(property("Timeout").as_u64().unwrap_or(3)),
            environment,
        })
    }

    fn environment(&self, key: &str, value: &Value) -> Result<String, String> {
        self.givens
            .variables
            .get(key)
            .cloned()
            .or_else(|| self.resolve(value))
            .or_else(|| {
                let table = self.reference_in(self.scope().chosen(value)?, "AWS::DynamoDB::Table")?;
                self.resolve(table.properties.get("TableName")?)
            })
            .or_else(|| {
                let key = self.referenced_id(value, "AWS::KMS::Key")?;
                Some(KeySpec::named(&key).arn(&self.givens.region))
            })
            .ok_or_else(|| format!("the local stack does not know the value of environment variable {key}"))
    }

    fn route(&self, resource: &Resource) -> Result<RouteSpec, String> {
        let key = text(&resource.properties, "RouteKey")?.to_owned();
        let integration = self.referenced(resource, "Target", "AWS::ApiGatewayV2::Integration")?;
        let function = self.referenced(integration, "IntegrationUri", "AWS::Serverless::Function")?;
        if integration.properties.get("PayloadFormatVersion").and_then(Value::as_str) != Some("2.0") {
            return Err("its integration must have PayloadFormatVersion \"2.0\"".to_owned());
        }
        let millis = integration.properties.get("TimeoutInMillis").and_then(Value::as_u64).unwrap_or(30_000);
        Ok(RouteSpec {
            key,
            function: short_name(function)?,
            timeout: Duration::from_millis(millis),
            authorizer: self.authorizer_of(resource)?,
        })
    }

    fn schedule(&self, resource: &Resource) -> Result<Vec<ScheduleSpec>, String> {
        let period = rate(text(&resource.properties, "ScheduleExpression")?)?;
        let targets =
            resource.properties.get("Targets").and_then(Value::as_array).ok_or("it has no Targets")?;
        targets
            .iter()
            .map(|target| {
                let function = self
                    .reference_in(&target["Arn"], "AWS::Serverless::Function")
                    .ok_or("its target is not a function of this template")?;
                let input = target["Input"].as_str().unwrap_or("{}").to_owned();
                Ok(ScheduleSpec { function: short_name(function)?, period, input })
            })
            .collect()
    }

    fn table(&self, resource: &Resource) -> Result<Table, String> {
        let properties = &resource.properties;
        let name = properties
            .get("TableName")
            .and_then(|value| self.resolve(value))
            .ok_or("the local stack cannot resolve its TableName")?;
        let keys = properties.get("KeySchema").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let key = |role: &str| {
            let key =
                keys.iter().find(|key| key["KeyType"] == role).and_then(|key| key["AttributeName"].as_str());
            key.map(str::to_owned).ok_or_else(|| format!("its KeySchema has no {role} key"))
        };
        let ttl = properties.get("TimeToLiveSpecification").unwrap_or(&Value::Null);
        Ok(Table {
            name,
            partition_key: key("HASH")?,
            sort_key: key("RANGE")?,
            ttl_attribute: ttl["AttributeName"]
                .as_str()
                .filter(|_| ttl["Enabled"] == true)
                .map(str::to_owned),
        })
    }

    fn referenced(&self, resource: &Resource, property: &str, kind: &str) -> Result<&Resource, String> {
        resource
            .properties
            .get(property)
            .and_then(|value| self.reference_in(value, kind))
            .ok_or_else(|| format!("{property} does not refer to an {kind} of this template"))
    }

    fn reference_in(&self, value: &Value, kind: &str) -> Option<&Resource> {
        self.document.resources.get(&self.referenced_id(value, kind)?)
    }

    fn referenced_id(&self, value: &Value, kind: &str) -> Option<String> {
        let is_kind =
            |id: &String| self.document.resources.get(id).is_some_and(|resource| resource.kind == kind);
        resolve::references(value).into_iter().find(is_kind)
    }

    fn scope(&self) -> Scope<'_> {
        let Document { parameters, conditions, .. } = self.document;
        Scope { givens: self.givens, parameters, conditions }
    }

    fn resolve(&self, value: &Value) -> Option<String> {
        self.scope().text(value)
    }
}

fn symmetric(key: &Resource) -> Result<(), String> {
    match key.properties.get("KeySpec").and_then(Value::as_str) {
        None | Some("SYMMETRIC_DEFAULT") => Ok(()),
        Some(_) => {
            Err("the local stack makes symmetric keys only: signing keys are made by functions".to_owned())
        }
    }
}

fn text<'a>(properties: &'a Map<String, Value>, name: &str) -> Result<&'a str, String> {
    properties.get(name).and_then(Value::as_str).ok_or_else(|| format!("it has no {name}"))
}

fn short_name(function: &Resource) -> Result<String, String> {
    let uri = text(&function.properties, "CodeUri")?;
    Ok(uri.trim_end_matches('/').rsplit('/').next().unwrap_or(uri).to_owned())
}

fn rate(expression: &str) -> Result<Duration, String> {
    let parse = || {
        let (count, unit) = expression.strip_prefix("rate(")?.strip_suffix(')')?.split_once(' ')?;
        let unit = match unit.trim_end_matches('s') {
            "minute" => 60,
            "hour" => 3_600,
            "day" => 86_400,
            _ => return None,
        };
        Some(Duration::from_secs(count.parse::<u64>().ok()?.checked_mul(unit)?))
    };
    parse().ok_or_else(|| format!("the local stack reads rate(...) only, not {expression:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours() -> Template {
        let text = include_str!("../../../template.yaml");
        Template::parse(text, &Givens::new("local", "eu-central-1", "http://localhost:9000")).unwrap()
    }

    #[test]
    fn our_template_has_every_function_route_and_the_schedule() {
        let template = ours();
        let names: Vec<&str> = template.functions.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            ["admin", "authorizer", "introspect", "jwks", "login", "operator", "refresh", "revoke", "sample"]
        );
        assert_eq!(template.functions["login"].memory_mb, 1769);
        assert_eq!(template.functions["refresh"].memory_mb, 512);
        assert_eq!(template.functions["operator"].timeout, Duration::from_mins(5));
        let login = template.routes.iter().find(|route| route.key == "POST /t/{tenant}/login").unwrap();
        assert_eq!((login.function.as_str(), login.timeout), ("login", Duration::from_secs(30)));
        assert!(template.routes.iter().all(|route| route.function != "operator"));
        assert_eq!(template.schedules[0].period, Duration::from_hours(1));
        assert_eq!(template.schedules[0].input, r#"{"op":"schedule.run"}"#);
    }

    #[test]
    fn environment_is_resolved_for_the_local_stack() {
        let environment = &ours().functions["jwks"].environment;
        assert_eq!(environment["STAGE"], "local");
        assert_eq!(environment["TABLE_NAME"], "leasehold-local");
        assert_eq!(environment["PUBLIC_URL"], "http://localhost:9000");
        assert!(!environment.contains_key("OPERATOR_PASSWORDS"), "for the operator alone");
        let key = &ours().keys[0];
        assert_eq!((key.name.as_str(), ours().keys.len()), ("WrapKey", 1));
        let arn = format!("arn:aws:kms:eu-central-1:000000000000:key/{}", key.id);
        assert_eq!(ours().functions["login"].environment["WRAP_KEY"], arn);
        assert_eq!(ours().functions["operator"].environment["OPERATOR_PASSWORDS"], "allow");
    }

    #[test]
    fn conditions_choose_and_what_cannot_be_decided_is_an_error() {
        let template = |value: &str| {
            let text = format!(
                "Parameters: {{ Colour: {{ Default: red }} }}\n\
                 Conditions:\n  \
                   Red: !Equals [!Ref Colour, red]\n  \
                   Both: !And [!Condition Red, !Not [!Equals [!Ref Colour, blue]]]\n  \
                   Unknown: !Equals [!Ref AWS::Region, moon]\n\
                 Resources:\n  \
                   Table: {{ Type: AWS::DynamoDB::Table, Properties: {{ TableName: t, KeySchema: \
                     [{{ AttributeName: PK, KeyType: HASH }}, {{ AttributeName: SK, KeyType: RANGE }}] }} }}\n  \
                   F: {{ Type: AWS::Serverless::Function, Properties: {{ CodeUri: x/f, \
                     Environment: {{ Variables: {{ V: {value} }} }} }} }}\n"
            );
            let read = Template::parse(&text, &Givens::default());
            read.map(|read| read.functions["f"].environment.get("V").cloned())
        };
        assert_eq!(template("!If [Red, a, b]").unwrap().as_deref(), Some("a"));
        assert_eq!(template("!If [Both, !Sub '${Colour}s', b]").unwrap().as_deref(), Some("reds"));
        assert_eq!(template("!If [Both, !Ref AWS::NoValue, b]").unwrap(), None);
        assert_eq!(template("!If [Red, !Ref Table, b]").unwrap().as_deref(), Some("t"));
        for undecided in ["!If [Unknown, a, b]", "!If [Missing, a, b]", "!GetAtt F.Arn"] {
            assert!(template(undecided).is_err(), "{undecided}");
        }
    }

    #[test]
    fn table_is_made_of_the_templates_own_words() {
        let table = ours().table;
        assert_eq!(table.name, "leasehold-local");
        assert_eq!((table.partition_key.as_str(), table.sort_key.as_str()), ("PK", "SK"));
        assert_eq!(table.ttl_attribute.as_deref(), Some("expires_at"));
    }

    #[test]
    fn rates_are_read() {
        assert_eq!(rate("rate(1 minute)").unwrap(), Duration::from_mins(1));
        assert_eq!(rate("rate(2 hours)").unwrap(), Duration::from_hours(2));
        assert!(rate("cron(0 12 * * ? *)").is_err());
    }
}
