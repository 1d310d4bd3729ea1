//! What an access token says.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::id::{ClientId, FamilyId, TenantId, UserId};

/// The epochs of tenant and user under which a session was opened: `"<tenant>.<user>"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Epochs {
    /// The tenant's.
    pub tenant: u32,
    /// The user's.
    pub user: u32,
}

impl fmt::Display for Epochs {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.tenant, self.user)
    }
}

impl From<Epochs> for String {
    fn from(epochs: Epochs) -> Self {
        epochs.to_string()
    }
}

impl FromStr for Epochs {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (tenant, user) = text.split_once('.').ok_or("not a pair of epochs")?;
        let number = |digits: &str| digits.parse().map_err(|_| "not an epoch");
        let epochs = Self { tenant: number(tenant)?, user: number(user)? };
        if epochs.to_string() == text { Ok(epochs) } else { Err("not the canonical form") }
    }
}

impl TryFrom<String> for Epochs {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// The claims of an access token (RFC 9068 §2.2). Times are whole seconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccessClaims {
    /// The tenant's issuer, exactly.
    pub iss: String,
    /// The user.
    pub sub: UserId,
    /// The APIs it is for.
    pub aud: BTreeSet<String>,
    /// The client it was issued to.
    pub client_id: ClientId,
    /// When it ends.
    pub exp: u64,
    /// When it was issued.
    pub iat: u64,
    /// Before when it is not good. We set none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<u64>,
    /// Unique.
    pub jti: String,
    /// Granted scope, space-separated.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub scope: String,
    /// The session, that is the refresh family.
    pub sid: FamilyId,
    /// The tenant.
    pub tid: TenantId,
    /// The session's epochs.
    pub ep: Epochs,
    /// When the user proved who they are.
    pub auth_time: u64,
    /// How (RFC 8176).
    pub amr: Vec<String>,
    /// Roles.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub roles: BTreeSet<String>,
    /// Permissions.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub permissions: BTreeSet<String>,
    /// The user's custom claims.
    #[serde(flatten)]
    pub custom: serde_json::Map<String, serde_json::Value>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_have_one_spelling() {
        assert_eq!("3.14".parse(), Ok(Epochs { tenant: 3, user: 14 }));
        for text in ["", "1", "1.", ".1", "01.1", "1.1.1", "+1.1", "1.-1", "4294967296.0"] {
            assert!(text.parse::<Epochs>().is_err(), "{text:?}");
        }
    }
}
