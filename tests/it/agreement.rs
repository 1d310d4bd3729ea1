//! Template, OpenAPI document and code name the same routes.

use std::collections::BTreeSet;

use crate::template::{self, Route};

/// Every route that a function's code serves.
fn code() -> BTreeSet<Route> {
    let tables = [
        leasehold_login::ROUTES,
        leasehold_refresh::ROUTES,
        leasehold_revoke::ROUTES,
        leasehold_jwks::ROUTES,
        leasehold_admin::ROUTES,
    ];
    let routes = tables.into_iter().flatten();
    routes.map(|(method, path)| ((*method).to_owned(), (*path).to_owned())).collect()
}

/// The routes of the design that exist so far: what is deployed can't shrink unnoticed.
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
