//! The routes of the administration: which scope each needs, and what it changes.

use leasehold::audit::Action;
use leasehold::http::Reply;

use crate::caller::Caller;
use crate::problem::Problem;
use crate::{audit, clients, explain, health, import, keys, policy, sessions, users};

/// A route.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// Method and path, as in the template.
    pub key: &'static str,
    /// The scope without which it is refused.
    pub scope: &'static str,
    /// What it does to the tenant; `None` when it only reads.
    pub action: Option<Action>,
}

const fn reads(key: &'static str, scope: &'static str) -> Route {
    Route { key, scope, action: None }
}

const fn changes(key: &'static str, scope: &'static str, action: Action) -> Route {
    Route { key, scope, action: Some(action) }
}

const KEYS: &str = "admin:keys";
const USERS: &str = "admin:users";
const SESSIONS: &str = "admin:sessions";
const CLIENTS: &str = "admin:clients";
const POLICY: &str = "admin:policy";
const AUDIT: &str = "admin:audit";

/// Every route.
pub const TABLE: &[Route] = &[
    reads("GET /t/{tenant}/admin/keys", KEYS),
    changes("POST /t/{tenant}/admin/keys/rotate", KEYS, Action::KeyRotate),
    changes("POST /t/{tenant}/admin/keys/{kid}/promote", KEYS, Action::KeyPromote),
    changes("POST /t/{tenant}/admin/keys/{kid}/rollback", KEYS, Action::KeyRollBack),
    changes("POST /t/{tenant}/admin/keys/{kid}/retain", KEYS, Action::KeyRetain),
    changes("POST /t/{tenant}/admin/keys/{kid}/compromise", KEYS, Action::KeyCompromise),
    reads("GET /t/{tenant}/admin/users", USERS),
    changes("POST /t/{tenant}/admin/users", USERS, Action::UserCreate),
    reads("GET /t/{tenant}/admin/users/{id}", USERS),
    changes("PATCH /t/{tenant}/admin/users/{id}", USERS, Action::UserUpdate),
    changes("DELETE /t/{tenant}/admin/users/{id}", USERS, Action::UserDelete),
    changes("POST /t/{tenant}/admin/users/{id}/reset", USERS, Action::UserReset),
    reads("GET /t/{tenant}/admin/users/{id}/sessions", SESSIONS),
    changes("DELETE /t/{tenant}/admin/users/{id}/sessions", SESSIONS, Action::UserSignOut),
    changes("DELETE /t/{tenant}/admin/users/{id}/sessions/{sid}", SESSIONS, Action::SessionEnd),
    changes("POST /t/{tenant}/admin/users/import", USERS, Action::UserImport),
    changes("GET /t/{tenant}/admin/export", USERS, Action::UserExport),
    reads("GET /t/{tenant}/admin/clients", CLIENTS),
    changes("POST /t/{tenant}/admin/clients", CLIENTS, Action::ClientCreate),
    reads("GET /t/{tenant}/admin/clients/{id}", CLIENTS),
    changes("PATCH /t/{tenant}/admin/clients/{id}", CLIENTS, Action::ClientUpdate),
    changes("DELETE /t/{tenant}/admin/clients/{id}", CLIENTS, Action::ClientDelete),
    changes("POST /t/{tenant}/admin/clients/{id}/secret", CLIENTS, Action::ClientSecret),
    changes("DELETE /t/{tenant}/admin/sessions", SESSIONS, Action::TenantSignOut),
    changes("POST /t/{tenant}/admin/explain", SESSIONS, Action::TokenExplain),
    reads("GET /t/{tenant}/admin/policy", POLICY),
    changes("PATCH /t/{tenant}/admin/policy", POLICY, Action::PolicyUpdate),
    reads("GET /t/{tenant}/admin/audit", AUDIT),
    reads("GET /t/{tenant}/admin/health", AUDIT),
];

/// Method and path of every route, as other functions name theirs.
pub const ROUTES: &[(&str, &str)] = &pairs();

const fn pairs() -> [(&'static str, &'static str); TABLE.len()] {
    let mut pairs = [("", ""); TABLE.len()];
    let mut at = 0;
    while at < TABLE.len() {
        pairs[at] = split(TABLE[at].key);
        at += 1;
    }
    pairs
}

const fn split(key: &'static str) -> (&'static str, &'static str) {
    let bytes = key.as_bytes();
    let mut at = 0;
    while bytes[at] != b' ' {
        at += 1;
    }
    let (method, rest) = key.split_at(at);
    (method, rest.split_at(1).1)
}

/// The route of this key.
pub fn find(key: &str) -> Option<&'static Route> {
    TABLE.iter().find(|route| route.key == key)
}

/// Carries a route out for a caller who holds its scope.
pub async fn answer(caller: &Caller<'_>, route: &Route) -> Result<Reply, Problem> {
    let (method, path) = split(route.key);
    let own = path.trim_start_matches("/t/{tenant}/admin");
    match (method, own) {
        ("GET", "/keys") => Ok(keys::list(caller)),
        ("POST", "/keys/rotate") => Box::pin(keys::rotate(caller)).await,
        ("POST", "/keys/{kid}/promote") => Box::pin(keys::promote(caller)).await,
        ("POST", "/keys/{kid}/rollback") => Box::pin(keys::roll_back(caller)).await,
        ("POST", "/keys/{kid}/retain") => Box::pin(keys::retain(caller)).await,
        ("POST", "/keys/{kid}/compromise") => Box::pin(keys::compromise(caller)).await,
        ("GET", "/users") => users::list(caller).await,
        ("POST", "/users") => users::create(caller).await,
        ("GET", "/users/{id}") => users::show(caller).await,
        ("PATCH", "/users/{id}") => users::update(caller).await,
        ("DELETE", "/users/{id}") => users::delete(caller).await,
        ("POST", "/users/{id}/reset") => users::reset(caller).await,
        ("GET", "/users/{id}/sessions") => sessions::list(caller).await,
        ("DELETE", "/users/{id}/sessions") => sessions::end_all(caller).await,
        ("DELETE", "/users/{id}/sessions/{sid}") => sessions::end_one(caller).await,
        ("POST", "/users/import") => import::import(caller).await,
        ("GET", "/export") => users::export(caller).await,
        ("GET", "/clients") => clients::list(caller).await,
        ("POST", "/clients") => clients::create(caller).await,
        ("GET", "/clients/{id}") => clients::show(caller).await,
        ("PATCH", "/clients/{id}") => clients::update(caller).await,
        ("DELETE", "/clients/{id}") => clients::delete(caller).await,
        ("POST", "/clients/{id}/secret") => clients::renew_secret(caller).await,
        ("DELETE", "/sessions") => sessions::end_everyones(caller).await,
        ("POST", "/explain") => Box::pin(explain::explain(caller)).await,
        ("GET", "/policy") => Ok(policy::show(caller)),
        ("PATCH", "/policy") => policy::update(caller).await,
        ("GET", "/audit") => audit::list(caller).await,
        ("GET", "/health") => health::show(caller).await,
        _ => Err(Problem::not_found("route")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use leasehold::client::ADMIN_SCOPES;

    #[test]
    fn every_route_needs_a_scope_that_there_is() {
        for route in TABLE {
            assert!(ADMIN_SCOPES.contains(&route.scope), "{}", route.key);
            assert_eq!(find(route.key).unwrap().scope, route.scope);
        }
        assert_eq!(ROUTES[0], ("GET", "/t/{tenant}/admin/keys"));
        let distinct: std::collections::BTreeSet<_> = TABLE.iter().map(|route| route.key).collect();
        assert_eq!(distinct.len(), TABLE.len());
    }

    #[test]
    fn what_is_not_a_get_changes_something_and_is_audited() {
        for route in TABLE {
            assert!(route.key.starts_with("GET ") || route.action.is_some(), "{}", route.key);
        }
    }
}
