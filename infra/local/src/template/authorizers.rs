//! Lambda authorizers of the template, and which routes they stand before. What the gateway cannot run is an error here:
//! a route must never be served without the authorizer that it has on AWS.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{Reader, Resource, resolve, short_name, text};

/// What API Gateway takes when the template does not say (HTTP API, "Create a Lambda authorizer").
const DEFAULT_TTL_SECONDS: u64 = 300;
/// The longest that a result may be kept.
const MAX_TTL_SECONDS: u64 = 3600;

/// One Lambda authorizer.
#[derive(Debug, Clone)]
pub struct AuthorizerSpec {
    /// Short name of the function that decides.
    pub function: String,
    /// What a request must have, and by what a result is kept.
    pub identity_sources: Vec<IdentitySource>,
    /// For how long; zero keeps none.
    pub ttl: Duration,
}

/// A part of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdentitySource {
    /// `$request.header.<name>`, in lower case.
    Header(String),
    /// `$request.querystring.<name>`.
    Query(String),
    /// `$context.path`.
    Path,
    /// `$context.routeKey`.
    RouteKey,
    /// `$context.httpMethod`.
    Method,
    /// `$context.identity.sourceIp`.
    SourceIp,
}

impl IdentitySource {
    fn parse(expression: &str) -> Result<Self, String> {
        if let Some(name) = expression.strip_prefix("$request.header.") {
            return Ok(Self::Header(name.to_ascii_lowercase()));
        }
        if let Some(name) = expression.strip_prefix("$request.querystring.") {
            return Ok(Self::Query(name.to_owned()));
        }
        match expression {
            "$context.path" => Ok(Self::Path),
            "$context.routeKey" => Ok(Self::RouteKey),
            "$context.httpMethod" => Ok(Self::Method),
            "$context.identity.sourceIp" => Ok(Self::SourceIp),
            _ => Err(format!("the local stack does not know the identity source {expression:?}")),
        }
    }
}

impl Reader<'_> {
    pub(super) fn authorizer(&self, resource: &Resource) -> Result<AuthorizerSpec, String> {
        let properties = &resource.properties;
        if text(properties, "AuthorizerType")? != "REQUEST" {
            return Err("the local stack runs authorizers of type REQUEST only".to_owned());
        }
        if properties.get("AuthorizerPayloadFormatVersion").and_then(Value::as_str) != Some("2.0") {
            return Err("it must have AuthorizerPayloadFormatVersion \"2.0\"".to_owned());
        }
        if properties.get("EnableSimpleResponses") != Some(&Value::Bool(true)) {
            return Err("it must have EnableSimpleResponses: true".to_owned());
        }
        let function = self.referenced(resource, "AuthorizerUri", "AWS::Serverless::Function")?;
        let identity_sources = identity_sources(properties)?;
        let seconds = match properties.get("AuthorizerResultTtlInSeconds") {
            None => DEFAULT_TTL_SECONDS,
            Some(seconds) => seconds.as_u64().ok_or("AuthorizerResultTtlInSeconds is not a number")?,
        };
        if seconds > MAX_TTL_SECONDS {
            return Err(format!("AuthorizerResultTtlInSeconds is at most {MAX_TTL_SECONDS}"));
        }
        if seconds > 0 && identity_sources.is_empty() {
            return Err("without an IdentitySource, AuthorizerResultTtlInSeconds must be 0".to_owned());
        }
        Ok(AuthorizerSpec {
            function: short_name(function)?,
            identity_sources,
            ttl: Duration::from_secs(seconds),
        })
    }

    /// The authorizer that stands before a route.
    pub(super) fn authorizer_of(&self, route: &Resource) -> Result<Option<String>, String> {
        match route.properties.get("AuthorizationType").and_then(Value::as_str) {
            None | Some("NONE") => Ok(None),
            Some("CUSTOM") => {
                let id = route.properties.get("AuthorizerId").map(resolve::references).unwrap_or_default();
                let is_one = |id: &String| {
                    let found = self.document.resources.get(id);
                    found.is_some_and(|resource| resource.kind == "AWS::ApiGatewayV2::Authorizer")
                };
                let id = id.into_iter().find(is_one);
                id.map(Some)
                    .ok_or_else(|| "AuthorizerId does not refer to an authorizer of this template".to_owned())
            }
            Some(other) => Err(format!("the local stack has no authorization of type {other}")),
        }
    }
}

fn identity_sources(properties: &Map<String, Value>) -> Result<Vec<IdentitySource>, String> {
    let sources = properties.get("IdentitySource").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    sources
        .iter()
        .map(|source| IdentitySource::parse(source.as_str().ok_or("an identity source is not a text")?))
        .collect()
}

#[cfg(test)]
mod tests {
    use crate::template::{Givens, Template};

    const FUNCTION: &str = "{ Type: AWS::Serverless::Function, Properties: { CodeUri: x/guard } }";

    fn parse(authorizer: &str, route: &str) -> Result<Template, String> {
        let text = format!(
            r#"
Resources:
  Table: {{ Type: AWS::DynamoDB::Table, Properties: {{ TableName: t, KeySchema: [
    {{ AttributeName: PK, KeyType: HASH }}, {{ AttributeName: SK, KeyType: RANGE }}] }} }}
  Guard: {FUNCTION}
  Integration: {{ Type: AWS::ApiGatewayV2::Integration, Properties: {{
    IntegrationUri: !GetAtt Guard.Arn, PayloadFormatVersion: "2.0" }} }}
  Authorizer: {{ Type: AWS::ApiGatewayV2::Authorizer, Properties: {{ {authorizer} }} }}
  Route: {{ Type: AWS::ApiGatewayV2::Route, Properties: {{
    RouteKey: GET /x, Target: !Sub "integrations/${{Integration}}", {route} }} }}
"#
        );
        Template::parse(&text, &Givens::default()).map_err(|error| error.to_string())
    }

    const GOOD: &str = r#"AuthorizerType: REQUEST, AuthorizerPayloadFormatVersion: "2.0", EnableSimpleResponses: true,
        AuthorizerUri: !Sub "arn:x:functions/${Guard.Arn}/invocations", AuthorizerResultTtlInSeconds: 1,
        IdentitySource: [$request.header.Authorization, $context.path, $context.routeKey]"#;
    const GUARDED: &str = "AuthorizationType: CUSTOM, AuthorizerId: !Ref Authorizer";

    #[test]
    fn an_authorizer_and_its_routes_are_read() {
        let template = parse(GOOD, GUARDED).unwrap();
        let spec = &template.authorizers["Authorizer"];
        assert_eq!((spec.function.as_str(), spec.ttl.as_secs()), ("guard", 1));
        assert_eq!(spec.identity_sources.len(), 3);
        assert_eq!(template.routes[0].authorizer.as_deref(), Some("Authorizer"));
        assert_eq!(parse(GOOD, "AuthorizationType: NONE").unwrap().routes[0].authorizer, None);
        let unsaid = GOOD.replace("AuthorizerResultTtlInSeconds: 1,", "");
        assert_eq!(parse(&unsaid, GUARDED).unwrap().authorizers["Authorizer"].ttl.as_secs(), 300);
    }

    #[test]
    fn what_the_gateway_cannot_run_is_refused() {
        for (from, to) in [
            ("AuthorizerType: REQUEST", "AuthorizerType: JWT"),
            (r#""2.0""#, r#""1.0""#),
            ("EnableSimpleResponses: true", "EnableSimpleResponses: false"),
            ("Seconds: 1", "Seconds: 3601"),
            ("[$request.header.Authorization, $context.path, $context.routeKey]", "[]"),
            ("$context.path", "$stageVariables.x"),
            ("${Guard.Arn}", "${Elsewhere.Arn}"),
        ] {
            assert!(parse(&GOOD.replace(from, to), GUARDED).is_err(), "{to}");
        }
        for route in [
            "AuthorizationType: AWS_IAM",
            "AuthorizationType: JWT, AuthorizerId: !Ref Authorizer",
            "AuthorizationType: CUSTOM",
            "AuthorizationType: CUSTOM, AuthorizerId: !Ref Guard",
        ] {
            assert!(parse(GOOD, route).is_err(), "{route}");
        }
    }
}
