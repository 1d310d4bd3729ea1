//! A tenant's policy: every lifetime, window and limit that a tenant may choose, with its default and its bounds.
//! Anything outside its bounds is refused with the bounds named; nothing is ever clamped in silence.

use serde::{Deserialize, Serialize};

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
                    rest: crate::rest::Rest::default(),
                }
            }
        }

        impl Policy {
            /// The members there are, for whoever must refuse others.
            pub const MEMBERS: &'static [&'static str] = &[$(stringify!($name),)* "spare_key", "algorithm", "custody"];

            /// Checks every member against its bounds.
            ///
            /// # Errors
            /// The first member that lies outside.
            pub fn check(&self) -> Result<(), OutOfBounds> {
                $(if !($low..=$high).contains(&self.$name) {
                    return Err(OutOfBounds { name: stringify!($name), low: $low, high: $high });
                })*
                Ok(())
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
