//! What those who manage users may say of one, and its bounds: with a client's part and our own claims, the signing
//! input of a token stays within 4096 bytes.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::REGISTERED_CLAIMS;

/// What roles, permissions, scopes and claims of a user may take together, in bytes.
const MAX_BYTES: usize = 1200;

/// A profile says something that it may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{member}: {why}")]
pub struct InvalidProfile {
    /// The member.
    pub member: &'static str,
    /// What it must be.
    pub why: &'static str,
}

/// Roles, permissions, scopes and custom claims of a user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Profile {
    /// Roles, carried in tokens.
    pub roles: BTreeSet<String>,
    /// Permissions, carried in tokens.
    pub permissions: BTreeSet<String>,
    /// If present, the only scopes the user may be granted beside those of a role.
    pub scopes: Option<BTreeSet<String>>,
    /// Custom claims, carried in tokens.
    pub claims: Map<String, Value>,
}

impl Profile {
    /// Checks every member against its bounds.
    ///
    /// # Errors
    /// The first member that is not as it may be.
    pub fn check(&self) -> Result<(), InvalidProfile> {
        let Self { roles, permissions, scopes, claims } = self;
        let lists = [("roles", Some(roles)), ("permissions", Some(permissions)), ("scopes", scopes.as_ref())];
        for (member, names) in lists {
            if !names.into_iter().flatten().all(|name| is_name(name)) {
                return Err(InvalidProfile { member, why: "1 to 64 of A-Z a-z 0-9 : . _ - / each" });
            }
        }
        if claims.keys().any(|name| REGISTERED_CLAIMS.contains(&name.as_str())) {
            return Err(InvalidProfile { member: "claims", why: "a registered claim is not yours to set" });
        }
        if !claims.iter().all(|(name, value)| is_claim(name, value, 0)) {
            let why = "names of 1 to 64 characters, 5 levels, numbers below 1e100";
            return Err(InvalidProfile { member: "claims", why });
        }
        let names = roles.iter().chain(permissions).chain(scopes.iter().flatten());
        let bytes = names.map(|name| name.len() + 3).sum::<usize>()
            + serde_json::to_string(claims).map_or(usize::MAX, |text| text.len());
        if bytes > MAX_BYTES {
            let why = "with permissions, scopes and claims, 1200 bytes in all";
            return Err(InvalidProfile { member: "roles", why });
        }
        Ok(())
    }
}

fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":._-/".contains(&byte))
}

/// Whether a claim is one that the table can hold and a token should.
fn is_claim(name: &str, value: &Value, depth: usize) -> bool {
    (1..=64).contains(&name.len())
        && depth < 5
        && match value {
            Value::Null | Value::Bool(_) | Value::String(_) => true,
            Value::Number(number) => {
                number.as_f64().is_some_and(|number| number == 0.0 || (1e-100..1e100).contains(&number.abs()))
            }
            Value::Array(items) => items.iter().all(|item| is_claim(name, item, depth + 1)),
            Value::Object(members) => members.iter().all(|(name, value)| is_claim(name, value, depth + 1)),
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(profile: Value) -> Result<(), &'static str> {
        let profile: Profile = serde_json::from_value(profile).unwrap();
        profile.check().map_err(|invalid| invalid.member)
    }

    #[test]
    fn what_fits_a_token_is_taken() {
        for profile in [
            json!({}),
            json!({"roles": ["admin", "team/a"], "permissions": ["orders:read"], "scopes": []}),
            json!({"claims": {"plan": "gold", "limits": {"a": [1, 2.5, null, true]}}}),
        ] {
            assert_eq!(check(profile.clone()), Ok(()), "{profile}");
        }
    }

    #[test]
    fn what_does_not_is_refused_by_name() {
        let deep = json!({"a": {"a": {"a": {"a": {"a": {"a": 1}}}}}});
        for (profile, member) in [
            (json!({"roles": [""]}), "roles"),
            (json!({"roles": ["a b"]}), "roles"),
            (json!({"permissions": ["x".repeat(65)]}), "permissions"),
            (json!({"scopes": ["a\"b"]}), "scopes"),
            (json!({"claims": {"sub": "x"}}), "claims"),
            (json!({"claims": {"": 1}}), "claims"),
            (json!({"claims": deep}), "claims"),
            (json!({"claims": {"n": 1e120}}), "claims"),
            (json!({"claims": {"text": "x".repeat(1300)}}), "roles"),
        ] {
            assert_eq!(check(profile.clone()), Err(member), "{profile}");
        }
        assert!(serde_json::from_value::<Profile>(json!({"epoch": 7})).is_err(), "no other member");
    }
}
