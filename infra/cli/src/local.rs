//! The local stack, found by the `seed.json` in its data folder.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::failure::Failure;
use crate::files;

/// What is read of `seed.json`.
pub struct Local {
    /// Where issuers begin.
    pub base_url: String,
    /// Lambda's Invoke API.
    pub lambda: String,
    tenants: BTreeMap<String, Tenant>,
}

#[derive(Deserialize)]
struct Seed {
    base_url: String,
    endpoints: Endpoints,
    #[serde(default)]
    tenants: BTreeMap<String, Tenant>,
}

#[derive(Deserialize)]
struct Endpoints {
    lambda: String,
}

#[derive(Deserialize)]
struct Tenant {
    users: Vec<User>,
}

#[derive(Clone, Deserialize)]
struct User {
    username: String,
    password: String,
    roles: Vec<String>,
}

impl Local {
    /// Reads the seed of a data folder.
    pub fn read(data: &Path) -> Result<Self, Failure> {
        let path = data.join("seed.json");
        let unready =
            |why: String| Failure::Usage(format!("{}: {why}; is `make run` running?", path.display()));
        let text = files::read(&path)?.ok_or_else(|| unready("it is not there".to_owned()))?;
        let seed: Seed = serde_json::from_slice(&text).map_err(|error| unready(error.to_string()))?;
        let base_url = seed.base_url.trim_end_matches('/').to_owned();
        Ok(Self { base_url, lambda: seed.endpoints.lambda, tenants: seed.tenants })
    }

    /// Name and password of a seeded user: this one, or the tenant's admin.
    pub fn user(&self, tenant: &str, username: Option<&str>) -> Option<(String, String)> {
        let wanted = |user: &&User| match username {
            Some(username) => user.username == username,
            None => user.roles.iter().any(|role| role == "admin"),
        };
        let user = self.tenants.get(tenant)?.users.iter().find(wanted)?.clone();
        Some((user.username, user.password))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_tells_addresses_and_the_admin() {
        let folder = std::env::temp_dir().join(format!("leasehold-cli-seed-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        assert!(matches!(Local::read(&folder), Err(Failure::Usage(_))), "nothing there");
        let seed = r#"{"base_url": "http://localhost:9000/", "endpoints": {"lambda": "http://127.0.0.1:9003", "kms": "x"},
            "tenants": {"acme": {"issuer": "…", "users": [
                {"username": "ada", "password": "p1", "roles": ["member"]},
                {"username": "admin", "password": "p2", "roles": ["admin"]}]}}}"#;
        std::fs::write(folder.join("seed.json"), seed).unwrap();
        let local = Local::read(&folder).unwrap();
        assert_eq!(
            (local.base_url.as_str(), local.lambda.as_str()),
            ("http://localhost:9000", "http://127.0.0.1:9003")
        );
        assert_eq!(local.user("acme", None), Some(("admin".into(), "p2".into())));
        assert_eq!(local.user("acme", Some("ada")), Some(("ada".into(), "p1".into())));
        assert_eq!(local.user("globex", None), None);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
