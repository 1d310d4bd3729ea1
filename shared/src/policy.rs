//! A tenant's policy: every lifetime, window and limit that a tenant may choose, with its default and its bounds.
//! Anything outside its bounds is refused with the bounds named; nothing is ever clamped in silence.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::client::{ADMIN_SCOPES, is_scope_token, is_version, is_version_rule};
use crate::keys::Margins;

/// A value of a policy lies outside its bounds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} must be between {low} and {high}")]
pub struct OutOfBounds {
    /// The member of the policy.
    pub name: &'static str,
    /// The least value allowed.
    pub low: u32,
    /// The greatest value allowed.
    pub high: u32,
}

/// A numeric member of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Bounds {
    /// Its name.
    pub name: &'static str,
    /// What it is where nobody set it.
    pub default: u32,
    /// The least value allowed.
    pub low: u32,
    /// The greatest value allowed.
    pub high: u32,
}

/// Declares the numeric members with defaults and bounds in one table.
macro_rules! policy {
    ($($(#[$doc:meta])* $name:ident = $default:literal in $low:literal..=$high:literal;)*) => {
        /// The policy of a tenant. All durations are in seconds.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct Policy {
            $($(#[$doc])* pub $name: u32,)*
            /// Whether a pending key is kept ready for promotion (always, for wrapped custody).
            pub spare_key: bool,
            /// The algorithm of the next key.
            pub algorithm: crate::keys::Algorithm,
            /// The custody of the next key.
            pub custody: crate::keys::Custody,
            /// If present, the only scopes that clients of the tenant may be granted.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub allowed_scopes: Option<BTreeSet<String>>,
            /// Client versions that always have a row of their own in the health report.
            #[serde(skip_serializing_if = "BTreeSet::is_empty")]
            pub pinned_versions: BTreeSet<String>,
            /// Client versions that are refused: `<app>/<version>`, or `<app>/<<version>` for all before one.
            #[serde(skip_serializing_if = "BTreeSet::is_empty")]
            pub blocked_versions: BTreeSet<String>,
            /// What a newer release keeps here.
            #[serde(flatten)]
            pub rest: crate::rest::Rest,
        }

        impl Default for Policy {
            fn default() -> Self {
                Self {
                    $($name: $default,)*
                    spare_key: false,
                    algorithm: crate::keys::Algorithm::RS256,
                    custody: crate::keys::Custody::Kms,
                    allowed_scopes: None,
                    pinned_versions: BTreeSet::new(),
                    blocked_versions: BTreeSet::new(),
                    rest: crate::rest::Rest::default(),
                }
            }
        }

        impl Policy {
            /// The members there are, for whoever must refuse others.
            pub const MEMBERS: &'static [&'static str] =
                &[$(stringify!($name),)* "spare_key", "algorithm", "custody", "allowed_scopes", "pinned_versions", "blocked_versions"];

            /// The numeric members with their defaults and bounds.
            pub const BOUNDS: &'static [Bounds] =
                &[$(Bounds { name: stringify!($name), default: $default, low: $low, high: $high },)*];

            /// Checks every member against its bounds.
            ///
            /// # Errors
            /// The first member that lies outside.
            pub fn check(&self) -> Result<(), OutOfBounds> {
                $(if !($low..=$high).contains(&self.$name) {
                    return Err(OutOfBounds { name: stringify!($name), low: $low, high: $high });
                })*
                let scopes = self.allowed_scopes.iter().flatten();
                if scopes.clone().count() > 50 || !scopes.clone().all(|scope| is_scope_token(scope)) {
                    return Err(OutOfBounds { name: "allowed_scopes", low: 0, high: 50 });
                }
                let pinned = &self.pinned_versions;
                if pinned.len() > 20 || !pinned.iter().all(|version| is_version(version)) {
                    return Err(OutOfBounds { name: "pinned_versions", low: 0, high: 20 });
                }
                let blocked = &self.blocked_versions;
                if blocked.len() > 20 || !blocked.iter().all(|rule| is_version_rule(rule)) {
                    return Err(OutOfBounds { name: "blocked_versions", low: 0, high: 20 });
                }
                Ok(())
            }

            /// Whether the tenant lets its clients be granted this scope. Those of admins are no client's to begin with.
            pub fn allows(&self, scope: &str) -> bool {
                let allowed = self.allowed_scopes.as_ref();
                ADMIN_SCOPES.contains(&scope) || allowed.is_none_or(|allowed| allowed.contains(scope))
            }
        }
    };
}

policy! {
    /// Life of an access token.
    access_token_seconds = 900 in 10..=3600;
    /// How long after a rotation the previous token gets the same successor again.
    retry_window_seconds = 60 in 0..=600;
    /// How long after a rotation a late retry still gets it, counted; 0 switches late retries off.
    late_retry_window_seconds = 604_800 in 0..=2_592_000;
    /// How many generations in a row may be retried late.
    late_retry_limit = 3 in 0..=20;
    /// How long a family may lie unused.
    idle_seconds = 2_592_000 in 30..=15_552_000;
    /// How long a family may live at all.
    absolute_seconds = 15_552_000 in 60..=34_560_000;
    /// How many families a user may have; the least recently used leaves.
    max_sessions_per_user = 20 in 1..=100;
    /// How long a key is published before it signs.
    key_propagation_seconds = 7200 in 0..=604_800;
    /// How long the key set may be cached.
    jwks_max_age_seconds = 300 in 0..=3600;
    /// How long a one-time code is good.
    code_seconds = 86_400 in 60..=604_800;
    /// Memory of argon2id, in KiB, where it is more than the deployment's.
    argon2_memory_kib = 0 in 0..=65_536;
    /// Passes of argon2id, where they are more than the deployment's.
    argon2_iterations = 0 in 0..=10;
}

impl Policy {
    /// Checks what the deployment bounds more narrowly than the product.
    ///
    /// # Errors
    /// The first member that lies outside.
    pub fn check_within(&self, margins: &Margins) -> Result<(), OutOfBounds> {
        if u64::from(self.access_token_seconds) > margins.max_access_token_seconds {
            let high = u32::try_from(margins.max_access_token_seconds).unwrap_or(u32::MAX);
            return Err(OutOfBounds { name: "access_token_seconds", low: 10, high });
        }
        Ok(())
    }
}

/// The longest life an access token can be given by any policy, in seconds: how long a key that stopped signing must
/// stay published, and how long a revocation matters.
pub const MAX_ACCESS_TOKEN_SECONDS: u64 = 3600;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_lies_within_its_bounds() {
        assert_eq!(Policy::default().check(), Ok(()));
    }

    #[test]
    fn a_value_outside_is_refused_with_its_bounds() {
        let policy = Policy { access_token_seconds: 9, ..Policy::default() };
        assert_eq!(
            policy.check().unwrap_err().to_string(),
            "access_token_seconds must be between 10 and 3600"
        );
        let policy = Policy { absolute_seconds: 34_560_001, ..Policy::default() };
        assert_eq!(policy.check().unwrap_err().name, "absolute_seconds");
    }

    #[test]
    fn ill_typed_members_are_refused() {
        for text in [r#"{"idle_seconds": -1}"#, r#"{"idle_seconds": 1.5}"#, r#"{"algorithm": "none"}"#] {
            assert!(serde_json::from_str::<Policy>(text).is_err(), "{text}");
        }
    }
}
