//! ID tokens: who signed in, for the client alone (OpenID Connect Core 1.0 §2). And which claims a scope opens (§5.4).
//!
//! An ID token has a `typ` and an audience of its own. It must never pass for an access token, nor the other way round.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::id::{ClientId, FamilyId, UserId};
use crate::user::User;

pub use crate::user::OPENID;

/// The `typ` of an ID token: a JWT and nothing more particular.
pub const ID_TOKEN_TYPE: &str = "JWT";

/// The claims that each scope opens (§5.4). All but `sub` are custom claims of the user, set by who manages users.
pub const STANDARD: [(&str, &[&str]); 4] = [
    (
        "profile",
        &[
            "name",
            "family_name",
            "given_name",
            "middle_name",
            "nickname",
            "preferred_username",
            "profile",
            "picture",
            "website",
            "gender",
            "birthdate",
            "zoneinfo",
            "locale",
            "updated_at",
        ],
    ),
    ("email", &["email", "email_verified"]),
    ("address", &["address"]),
    ("phone", &["phone_number", "phone_number_verified"]),
];

/// The claims of an ID token. Times are whole seconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct IdentityClaims {
    /// The tenant's issuer, exactly.
    pub iss: String,
    /// The user.
    pub sub: UserId,
    /// The client that it is for, and nobody else.
    pub aud: ClientId,
    /// When it ends.
    pub exp: u64,
    /// When it was issued.
    pub iat: u64,
    /// When the user proved who they are.
    pub auth_time: u64,
    /// How (RFC 8176).
    pub amr: Vec<String>,
    /// The session.
    pub sid: FamilyId,
    /// What the client sent with the login, against replays of the answer. Not at a refresh (§12.2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
    /// The claims that the scope opens.
    #[serde(flatten)]
    pub standard: Map<String, Value>,
}

/// The claims of a user that the scope opens. A user without another `preferred_username` has the login name.
pub fn standard_claims(user: &User, has_scope: impl Fn(&str) -> bool) -> Map<String, Value> {
    let opened = STANDARD.iter().filter(|(scope, _)| has_scope(scope)).flat_map(|(_, names)| *names);
    opened
        .filter_map(|name| {
            let own = user.claims.get(*name).cloned();
            let value = own.or_else(|| (*name == "preferred_username").then(|| user.login.as_str().into()));
            Some(((*name).to_owned(), value?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::user::Profile;
    use serde_json::json;

    #[test]
    fn a_scope_opens_its_claims_and_no_others() {
        let claims =
            json!({"name": "Ada", "email": "ada@acme.example", "email_verified": true, "plan": "gold"});
        let profile = Profile { claims: claims.as_object().unwrap().clone(), ..Profile::default() };
        let user = User::new("ada".parse().unwrap(), profile, Timestamp::from_seconds(1));
        for (scopes, told) in [
            (&[][..], json!({})),
            (&["openid", "orders:read"], json!({})),
            (&["profile"], json!({"name": "Ada", "preferred_username": "ada"})),
            (&["email"], json!({"email": "ada@acme.example", "email_verified": true})),
            (&["phone", "address"], json!({})),
        ] {
            let found = standard_claims(&user, |scope| scopes.contains(&scope));
            assert_eq!(Value::Object(found), told, "{scopes:?}");
        }
    }
}
