//! What an access token says.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

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
#[derive(Clone, Debug, PartialEq, Serialize)]
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
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nbf: Option<u64>,
    /// Unique.
    pub jti: String,
    /// Granted scope, space-separated.
    #[serde(skip_serializing_if = "String::is_empty")]
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
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub roles: BTreeSet<String>,
    /// Permissions.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub permissions: BTreeSet<String>,
    /// The user's custom claims.
    #[serde(flatten)]
    pub custom: serde_json::Map<String, serde_json::Value>,
}

impl AccessClaims {
    /// Whether this scope was granted.
    pub fn has_scope(&self, scope: &str) -> bool {
        !scope.is_empty() && self.scope.split(' ').any(|granted| granted == scope)
    }
}

/// By hand, for two reasons: a member that stands twice is refused whatever its name (RFC 7519 §4), and a derived reader
/// with a flattened map takes longer for the claims than Ed25519 leaves for the whole decision.
impl<'de> Deserialize<'de> for AccessClaims {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ClaimsVisitor)
    }
}

struct ClaimsVisitor;

impl<'de> Visitor<'de> for ClaimsVisitor {
    type Value = AccessClaims;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the claims of an access token")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<AccessClaims, M::Error> {
        let (mut iss, mut sub, mut aud, mut client_id) = (None, None, None, None);
        let (mut exp, mut iat, mut nbf, mut jti) = (None, None, None, None);
        let (mut scope, mut sid, mut tid, mut ep) = (None, None, None, None);
        let (mut auth_time, mut amr, mut roles, mut permissions) = (None, None, None, None);
        let mut custom = serde_json::Map::new();
        while let Some(Name(name)) = map.next_key()? {
            match &*name {
                "iss" => once(&mut iss, "iss", &mut map)?,
                "sub" => once(&mut sub, "sub", &mut map)?,
                "aud" => once(&mut aud, "aud", &mut map)?,
                "client_id" => once(&mut client_id, "client_id", &mut map)?,
                "exp" => once(&mut exp, "exp", &mut map)?,
                "iat" => once(&mut iat, "iat", &mut map)?,
                "nbf" => once(&mut nbf, "nbf", &mut map)?,
                "jti" => once(&mut jti, "jti", &mut map)?,
                "scope" => once(&mut scope, "scope", &mut map)?,
                "sid" => once(&mut sid, "sid", &mut map)?,
                "tid" => once(&mut tid, "tid", &mut map)?,
                "ep" => once(&mut ep, "ep", &mut map)?,
                "auth_time" => once(&mut auth_time, "auth_time", &mut map)?,
                "amr" => once(&mut amr, "amr", &mut map)?,
                "roles" => once(&mut roles, "roles", &mut map)?,
                "permissions" => once(&mut permissions, "permissions", &mut map)?,
                _ => {
                    if custom.insert(name.into_owned(), map.next_value()?).is_some() {
                        return Err(de::Error::custom("a custom claim stands twice"));
                    }
                }
            }
        }
        let missing = de::Error::missing_field;
        Ok(AccessClaims {
            iss: iss.ok_or_else(|| missing("iss"))?,
            sub: sub.ok_or_else(|| missing("sub"))?,
            aud: aud.ok_or_else(|| missing("aud"))?,
            client_id: client_id.ok_or_else(|| missing("client_id"))?,
            exp: exp.ok_or_else(|| missing("exp"))?,
            iat: iat.ok_or_else(|| missing("iat"))?,
            nbf,
            jti: jti.ok_or_else(|| missing("jti"))?,
            scope: scope.unwrap_or_default(),
            sid: sid.ok_or_else(|| missing("sid"))?,
            tid: tid.ok_or_else(|| missing("tid"))?,
            ep: ep.ok_or_else(|| missing("ep"))?,
            auth_time: auth_time.ok_or_else(|| missing("auth_time"))?,
            amr: amr.ok_or_else(|| missing("amr"))?,
            roles: roles.unwrap_or_default(),
            permissions: permissions.unwrap_or_default(),
            custom,
        })
    }
}

/// Reads a member that may stand once. `null` is a value of none of our types.
fn once<'de, T: Deserialize<'de>, M: MapAccess<'de>>(
    place: &mut Option<T>,
    name: &'static str,
    map: &mut M,
) -> Result<(), M::Error> {
    if place.is_some() {
        return Err(de::Error::duplicate_field(name));
    }
    *place = Some(map.next_value()?);
    Ok(())
}

/// The name of a member, borrowed where the text has no escapes.
struct Name<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl<'de> Visitor<'de> for NameVisitor {
            type Value = Name<'de>;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("the name of a member")
            }
            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(text)))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(NameVisitor)
    }
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
