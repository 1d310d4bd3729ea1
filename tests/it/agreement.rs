//! Template, OpenAPI document and code name the same routes; the operations page names every setting.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use leasehold_authorizer::Rules;
use leasehold_tests::settings::repository;

use crate::template::{self, Route};

/// Every route that a function's code serves.
pub fn code() -> BTreeSet<Route> {
    let tables = [
        leasehold_login::ROUTES,
        leasehold_refresh::ROUTES,
        leasehold_revoke::ROUTES,
        leasehold_jwks::ROUTES,
        leasehold_introspect::ROUTES,
        leasehold_admin::ROUTES,
        leasehold_sample::ROUTES,
    ];
    let routes = tables.into_iter().flatten();
    routes.map(|(method, path)| ((*method).to_owned(), (*path).to_owned())).collect()
}

/// Routes of the design, those of each function among them: what is deployed can't shrink unnoticed.
const WANTED: &[(&str, &str)] = &[
    ("POST", "/t/{tenant}/login"),
    ("POST", "/t/{tenant}/password"),
    ("POST", "/t/{tenant}/token"),
    ("POST", "/t/{tenant}/refresh"),
    ("POST", "/t/{tenant}/confirm"),
    ("POST", "/t/{tenant}/revoke"),
    ("GET", "/t/{tenant}/sessions"),
    ("DELETE", "/t/{tenant}/sessions"),
    ("DELETE", "/t/{tenant}/sessions/{sid}"),
    ("GET", "/t/{tenant}/.well-known/jwks.json"),
    ("GET", "/t/{tenant}/.well-known/openid-configuration"),
    ("GET", "/.well-known/oauth-authorization-server/t/{tenant}"),
    ("GET", "/t/{tenant}/.well-known/revocations"),
    ("POST", "/t/{tenant}/introspect"),
    ("GET", "/t/{tenant}/userinfo"),
    ("GET", "/t/{tenant}/admin/keys"),
    ("POST", "/t/{tenant}/admin/keys/rotate"),
    ("POST", "/t/{tenant}/admin/keys/{kid}/promote"),
    ("POST", "/t/{tenant}/admin/keys/{kid}/rollback"),
    ("POST", "/t/{tenant}/admin/keys/{kid}/retain"),
    ("POST", "/t/{tenant}/admin/keys/{kid}/compromise"),
    ("GET", "/t/{tenant}/admin/users"),
    ("POST", "/t/{tenant}/admin/users"),
    ("GET", "/t/{tenant}/admin/users/{id}"),
    ("PATCH", "/t/{tenant}/admin/users/{id}"),
    ("DELETE", "/t/{tenant}/admin/users/{id}"),
    ("POST", "/t/{tenant}/admin/users/{id}/reset"),
    ("GET", "/t/{tenant}/admin/users/{id}/sessions"),
    ("DELETE", "/t/{tenant}/admin/users/{id}/sessions"),
    ("DELETE", "/t/{tenant}/admin/users/{id}/sessions/{sid}"),
    ("POST", "/t/{tenant}/admin/users/import"),
    ("GET", "/t/{tenant}/admin/export"),
    ("GET", "/t/{tenant}/admin/clients"),
    ("POST", "/t/{tenant}/admin/clients"),
    ("GET", "/t/{tenant}/admin/clients/{id}"),
    ("PATCH", "/t/{tenant}/admin/clients/{id}"),
    ("DELETE", "/t/{tenant}/admin/clients/{id}"),
    ("POST", "/t/{tenant}/admin/clients/{id}/secret"),
    ("DELETE", "/t/{tenant}/admin/sessions"),
    ("GET", "/t/{tenant}/admin/policy"),
    ("PATCH", "/t/{tenant}/admin/policy"),
    ("GET", "/t/{tenant}/admin/audit"),
    ("GET", "/t/{tenant}/admin/health"),
    ("POST", "/t/{tenant}/admin/explain"),
];

#[test]
fn the_template_routes_what_the_code_serves_and_nothing_else() {
    assert_eq!(template::routes(), code());
}

#[test]
fn the_openapi_document_describes_what_the_template_routes_and_nothing_else() {
    assert_eq!(template::openapi(), template::routes());
}

#[test]
fn every_route_of_the_design_is_there() {
    let routes = template::routes();
    for (method, path) in WANTED {
        assert!(routes.contains(&((*method).to_owned(), (*path).to_owned())), "{method} {path}");
    }
}

#[test]
fn every_route_behind_an_authorizer_has_a_rule_and_every_rule_a_route() {
    let rules = Rules::read(&template::authorizer_routes()).expect("the rules read");
    let guarded: BTreeMap<String, String> = template::guarded();
    let ruled: BTreeMap<String, String> = rules
        .routes()
        .map(|route| {
            let annotates = rules.find(route).is_some_and(|rule| rule.annotate);
            let authorizer = if annotates { "AnnotatingAuthorizer" } else { "Authorizer" };
            (route.to_owned(), authorizer.to_owned())
        })
        .collect();
    assert!(ruled.len() >= 3, "the rules were found");
    assert_eq!(guarded, ruled);
}

/// Names of environment variables in quotes: what a module reads.
fn variables(path: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(repository().join(path)).expect(path);
    let is_name = |text: &&str| {
        text.len() > 4
            && text.contains('_')
            && text.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
    };
    text.split('"').filter(is_name).map(str::to_owned).collect()
}

#[test]
fn every_setting_is_explained_to_operators() {
    let page = fs::read_to_string(repository().join("shared/docs/operations.md")).expect("the page");
    // What Lambda itself gives to a function.
    let given = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION"];
    let read = variables("shared/src/config.rs");
    assert!(read.len() > 30, "{read:?}");
    let missing: Vec<_> = read
        .iter()
        .filter(|name| !given.contains(&name.as_str()) && !page.contains(&format!("`{name}`")))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}
