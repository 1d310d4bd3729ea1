//! What each route behind the authorizer asks of a token. Declared in one place, the function's environment in
//! `infra/template.yaml`, beside the routes themselves:
//!
//! ```json
//! {
//!   "GET /t/{tenant}/orders":    {"audience": "https://api.example", "scopes": ["orders:read"]},
//!   "DELETE /t/{tenant}/orders": {"audience": "https://api.example", "scopes": ["orders:write"], "annotate": true},
//!   "GET /reports":              {"audience": "https://{tenant}.api.example", "scopes": [], "tenant": "acme"}
//! }
//! ```
//!
//! A route without a rule lets nothing through.

use std::collections::BTreeMap;

use leasehold::client::is_scope_token;
use leasehold::id::TenantId;
use serde::Deserialize;

/// The rules can't be used.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// They do not read as rules.
    #[error("AUTHORIZER_ROUTES is unusable: {0}")]
    Unreadable(#[from] serde_json::Error),
    /// One of them asks for what there can't be.
    #[error("AUTHORIZER_ROUTES: the rule of {route}: {why}")]
    Rule {
        /// Its route.
        route: String,
        /// What is wrong.
        why: &'static str,
    },
}

/// What one route asks.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The audience that a token must name; `{tenant}` stands for the request's tenant.
    audience: String,
    /// The scopes that must all be granted.
    pub scopes: Vec<String>,
    /// The tenant, where the path has no parameter of this name.
    pub tenant: Option<TenantId>,
    /// Whether every request passes, with the verdict in its context, and the API answers refusals itself.
    #[serde(default)]
    pub annotate: bool,
}

impl Rule {
    /// The audience for a tenant.
    pub fn audience(&self, tenant: &TenantId) -> String {
        self.audience.replace("{tenant}", tenant.as_str())
    }
}

/// The rules, by route key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules(BTreeMap<String, Rule>);

impl Rules {
    /// Reads them.
    ///
    /// # Errors
    /// What is wrong with them, by route.
    pub fn read(json: &str) -> Result<Self, RulesError> {
        if json.trim().is_empty() {
            return Ok(Self::default());
        }
        let rules: BTreeMap<String, Rule> = serde_json::from_str(json)?;
        for (route, rule) in &rules {
            let wrong = if rule.audience.is_empty() {
                Some("it names no audience")
            } else if !rule.scopes.iter().all(|scope| is_scope_token(scope)) {
                Some("a scope is none")
            } else if rule.tenant.is_none() && !route.contains("/{tenant}") {
                Some("the path has no {tenant}, and the rule names none")
            } else {
                None
            };
            if let Some(why) = wrong {
                return Err(RulesError::Rule { route: route.clone(), why });
            }
        }
        Ok(Self(rules))
    }

    /// The rule of a route, if it has one.
    pub fn find(&self, route: &str) -> Option<&Rule> {
        self.0.get(route)
    }

    /// The routes that have one.
    pub fn routes(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_documentation_reads() {
        let text = include_str!("rules.rs").lines().skip_while(|line| !line.contains("```json")).skip(1);
        let json: String = text
            .take_while(|line| !line.contains("```"))
            .map(|line| line.trim_start_matches("//!"))
            .collect();
        let rules = Rules::read(&json).unwrap();
        assert_eq!(rules.routes().count(), 3);
        let acme = "acme".parse().unwrap();
        assert_eq!(rules.find("GET /reports").unwrap().audience(&acme), "https://acme.api.example");
        assert!(rules.find("DELETE /t/{tenant}/orders").unwrap().annotate);
        assert!(rules.find("GET /t/acme/orders").is_none(), "a route key, not a path");
    }

    #[test]
    fn rules_that_ask_for_nothing_or_nonsense_are_refused() {
        for json in [
            "{",
            "[]",
            r#"{"GET /t/{tenant}/x": {}}"#,
            r#"{"GET /t/{tenant}/x": {"audience": "a"}}"#,
            r#"{"GET /t/{tenant}/x": {"audience": "", "scopes": []}}"#,
            r#"{"GET /t/{tenant}/x": {"audience": "a", "scopes": ["a b"]}}"#,
            r#"{"GET /t/{tenant}/x": {"audience": "a", "scopes": [""]}}"#,
            r#"{"GET /t/{tenant}/x": {"audience": "a", "scopes": [], "scope": "x"}}"#,
            r#"{"GET /x": {"audience": "a", "scopes": []}}"#,
            r#"{"GET /x": {"audience": "a", "scopes": [], "tenant": "A"}}"#,
        ] {
            assert!(Rules::read(json).is_err(), "{json}");
        }
        assert_eq!(Rules::read("").unwrap(), Rules::default());
    }
}
