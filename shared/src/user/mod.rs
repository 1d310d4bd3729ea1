//! Users of a tenant, and which scopes they may be granted.

mod code;
mod profile;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::client::{ADMIN_SCOPES, Client};
use crate::clock::Timestamp;
use crate::id::{LoginId, UserId};
use crate::policy::Policy;
use crate::rest::Rest;

pub use code::OneTimeCode;
pub use profile::{InvalidProfile, Profile};

/// The scope that asks for an ID token (OpenID Connect Core §3.1.2.1).
pub const OPENID: &str = "openid";

/// The role that grants every admin scope.
pub const ADMIN_ROLE: &str = "admin";

/// Claims that are ours to set: no user carries a custom claim of such a name (RFC 7519 §4.1, RFC 9068 §2.2, OIDC).
pub const REGISTERED_CLAIMS: [&str; 32] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "nbf",
    "iat",
    "jti",
    "client_id",
    "scope",
    "sid",
    "tid",
    "ep",
    "auth_time",
    "amr",
    "acr",
    "azp",
    "nonce",
    "roles",
    "permissions",
    "groups",
    "entitlements",
    "cnf",
    "act",
    "may_act",
    "at_hash",
    "c_hash",
    "events",
    "txn",
    "typ",
    "kid",
    "alg",
    "authorization_details",
];

/// Whether a user may sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UserStatus {
    /// May.
    Active,
    /// May not, until enabled.
    Disabled,
}

/// A user of a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The subject of the user's tokens.
    pub id: UserId,
    /// What the user signs in with.
    pub login: LoginId,
    /// The password's hash (PHC string); absent for a user who has set none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// Roles, carried in tokens.
    #[serde(default)]
    pub roles: BTreeSet<String>,
    /// Permissions, carried in tokens.
    #[serde(default)]
    pub permissions: BTreeSet<String>,
    /// If present, the only scopes the user may be granted beside those of a role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<BTreeSet<String>>,
    /// Custom claims, carried in tokens.
    #[serde(default)]
    pub claims: serde_json::Map<String, serde_json::Value>,
    /// Whether the user may sign in.
    pub status: UserStatus,
    /// The one-time code with which the user may set a password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<OneTimeCode>,
    /// Raised to end every session and token of the user at once.
    pub epoch: u32,
    /// When the user was created.
    pub created_at: Timestamp,
    /// Raised by every change; every change is conditional on it.
    pub version: u64,
    /// What a newer release keeps here.
    #[serde(flatten)]
    pub rest: Rest,
}

impl User {
    /// A new user, who may sign in.
    pub fn new(login: LoginId, profile: Profile, now: Timestamp) -> Self {
        let Profile { roles, permissions, scopes, claims } = profile;
        Self {
            id: UserId::generate(),
            login,
            password: None,
            roles,
            permissions,
            scopes,
            claims,
            status: UserStatus::Active,
            code: None,
            epoch: 0,
            created_at: now,
            version: 1,
            rest: Rest::default(),
        }
    }

    /// What those who manage users may say of this one.
    pub fn profile(&self) -> Profile {
        Profile {
            roles: self.roles.clone(),
            permissions: self.permissions.clone(),
            scopes: self.scopes.clone(),
            claims: self.claims.clone(),
        }
    }

    /// The user with another profile.
    #[must_use]
    pub fn with_profile(&self, profile: Profile) -> Self {
        let Profile { roles, permissions, scopes, claims } = profile;
        Self { roles, permissions, scopes, claims, version: self.version + 1, ..self.clone() }
    }

    /// The admin scopes that the user's roles grant: role `admin` all of them, a role of a scope's name that one.
    pub fn admin_rights(&self) -> BTreeSet<&'static str> {
        ADMIN_SCOPES.into_iter().filter(|scope| self.may(scope)).collect()
    }

    /// Whether the user administers the tenant without limits.
    pub fn is_full_admin(&self) -> bool {
        self.roles.contains(ADMIN_ROLE)
    }

    /// Whether the user may sign in.
    pub fn is_active(&self) -> bool {
        self.status == UserStatus::Active
    }

    /// Whether the user may be granted this scope: the scopes of admins by role alone.
    pub fn may(&self, scope: &str) -> bool {
        if ADMIN_SCOPES.contains(&scope) {
            self.roles.contains(ADMIN_ROLE) || self.roles.contains(scope)
        } else {
            self.scopes.as_ref().is_none_or(|scopes| scopes.contains(scope))
        }
    }

    /// What is granted: requested ∩ the client's ∩ the tenant's ∩ the user's; without a request, all of the others but
    /// `openid`, which asks for a second signature and so is asked for by name.
    pub fn grant(
        &self,
        client: &Client,
        policy: &Policy,
        requested: Option<&BTreeSet<String>>,
    ) -> BTreeSet<String> {
        let asked = |scope: &str| {
            requested.map_or(scope != OPENID, |requested: &BTreeSet<String>| requested.contains(scope))
        };
        let scopes = client.scopes.iter();
        scopes.filter(|scope| asked(scope) && policy.allows(scope) && self.may(scope)).cloned().collect()
    }
}

/// The texts of a space-separated scope (RFC 6749 §3.3).
pub fn split_scope(text: &str) -> BTreeSet<String> {
    text.split(' ').filter(|token| !token.is_empty()).map(str::to_owned).collect()
}

/// The wire form of a scope.
pub fn join_scope(scope: &BTreeSet<String>) -> String {
    scope.iter().map(String::as_str).collect::<Vec<_>>().join(" ")
}
