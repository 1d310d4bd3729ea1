//! `infra/template.yaml` and `infra/openapi.yaml` as far as the tests need them: which routes there are.
//!
//! A line-based reading, no YAML parser: route keys stand on lines of their own in both files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use leasehold_tests::settings::repository;

/// Method and path of a route, `("POST", "/t/{tenant}/token")`.
pub type Route = (String, String);

/// The routes of the template.
pub fn routes() -> BTreeSet<Route> {
    let text = fs::read_to_string(repository().join("infra/template.yaml")).expect("infra/template.yaml");
    let keys = text.lines().filter_map(|line| line.trim().trim_start_matches("- ").strip_prefix("RouteKey:"));
    keys.map(|key| {
        let key = key.split(" #").next().unwrap_or_default().trim().trim_matches(['"', '\'']);
        let (method, path) = key.split_once(' ').expect("a method and a path");
        (method.to_owned(), path.to_owned())
    })
    .collect()
}

/// The routes that an authorizer stands before, with its logical id.
pub fn guarded() -> BTreeMap<String, String> {
    let text = fs::read_to_string(repository().join("infra/template.yaml")).expect("infra/template.yaml");
    let mut route = String::new();
    let mut guarded = BTreeMap::new();
    for line in text.lines().map(str::trim) {
        if let Some(key) = line.strip_prefix("RouteKey: ") {
            key.clone_into(&mut route);
        } else if let Some(id) = line.strip_prefix("AuthorizerId: !Ref ") {
            guarded.insert(route.clone(), id.to_owned());
        }
    }
    guarded
}

/// What the template declares that these routes ask of a token.
pub fn authorizer_routes() -> String {
    let text = fs::read_to_string(repository().join("infra/template.yaml")).expect("infra/template.yaml");
    let block = text.lines().skip_while(|line| line.trim() != "AUTHORIZER_ROUTES: |").skip(1);
    let indented = |line: &&str| line.starts_with("            ");
    block.take_while(indented).collect::<Vec<_>>().join("\n")
}

/// The routes of the OpenAPI document.
pub fn openapi() -> BTreeSet<Route> {
    let text = fs::read_to_string(repository().join("infra/openapi.yaml")).expect("infra/openapi.yaml");
    let mut routes = BTreeSet::new();
    let mut path = String::new();
    for line in text.lines().skip_while(|line| !line.starts_with("paths:")).skip(1) {
        if !line.starts_with([' ', '#']) && !line.is_empty() {
            break;
        }
        let indent = line.len() - line.trim_start().len();
        let key = line.trim().trim_end_matches(':').trim_matches(['"', '\'']);
        if indent == 2 && key.starts_with('/') {
            key.clone_into(&mut path);
        } else if indent == 4 && ["get", "post", "put", "patch", "delete", "options", "head"].contains(&key) {
            routes.insert((key.to_uppercase(), path.clone()));
        }
    }
    routes
}
