//! Identifiers. Each is its own type with a safe alphabet, so that no delimiter of a table key can be smuggled in and
//! none can be given where another is wanted.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A text is not an identifier of the wanted kind. Says nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {0}")]
pub struct InvalidId(pub &'static str);

/// Makes a newtype over a checked string.
macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The identifier as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let check: fn(&str) -> bool = $check;
                if check(text) { Ok(Self(text.to_owned())) } else { Err(InvalidId($what)) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// A tenant: 2 to 32 of `a-z 0-9 -`, beginning with a letter, not ending with `-`. Never reused.
    TenantId,
    "tenant",
    |text| {
        (2..=32).contains(&text.len())
            && text.starts_with(|first: char| first.is_ascii_lowercase())
            && !text.ends_with('-')
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    }
);

impl TenantId {
    /// Stands for all tenants that do not exist. No text parses as it, so no tenant has it.
    pub fn nobody() -> Self {
        Self("-".to_owned())
    }
}

text_id!(
    /// An OAuth client: 2 to 64 of `a-z 0-9 . _ -`, beginning with a letter, and never of the form of a subject
    /// (`usr_…`), so that no client can be taken for a user (RFC 9700 §4.15).
    ClientId,
    "client_id",
    |text| {
        (2..=64).contains(&text.len())
            && text.starts_with(|first: char| first.is_ascii_lowercase())
            && !text.starts_with("usr_")
            && text
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte))
    }
);

text_id!(
    /// The id of a signing key on the wire: an RFC 7638 thumbprint, 43 characters of base64url. Never an ARN.
    Kid,
    "kid",
    |text| {
        text.len() == 43 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    }
);

/// What a user signs in with, normalised: trimmed, ASCII lower case, 1 to 128 of `a-z 0-9 . _ % + @ -`.
///
/// Restricted on purpose: two spellings of one name can't exist, and no table delimiter gets through.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LoginId(String);

impl LoginId {
    /// The normalised name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for LoginId {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let name = text.trim().to_ascii_lowercase();
        let allowed =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._%+@-".contains(&byte);
        if (1..=128).contains(&name.len()) && name.bytes().all(allowed) {
            Ok(Self(name))
        } else {
            Err(InvalidId("username"))
        }
    }
}

impl TryFrom<String> for LoginId {
    type Error = InvalidId;
    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<LoginId> for String {
    fn from(id: LoginId) -> Self {
        id.0
    }
}

/// Makes a newtype over 16 random bytes, written as lower-case hex behind a prefix.
macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name([u8; 16]);

        impl $name {
            /// The identifier made of these bytes, which are random or came from a token.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// A new identifier.
            pub fn generate() -> Self {
                Self(crate::secret::random())
            }

            /// The bytes.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str($prefix)?;
                self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                text.strip_prefix($prefix).and_then(bytes_from_hex).map(Self).ok_or(InvalidId($what))
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }
    };
}

random_id!(
    /// A user: the `sub` of tokens, `usr_` and 32 hex digits. Random, never reused.
    UserId,
    "user",
    "usr_"
);
random_id!(
    /// A family of refresh tokens, that is one login on one device: the `sid` of tokens, 32 hex digits.
    FamilyId,
    "sid",
    ""
);

fn bytes_from_hex(text: &str) -> Option<[u8; 16]> {
    let digits = text.as_bytes();
    if digits.len() != 32 || digits.iter().any(u8::is_ascii_uppercase) {
        return None;
    }
    let mut bytes = [0_u8; 16];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |at: usize| pair.get(at).and_then(|d| char::from(*d).to_digit(16));
        *byte = u8::try_from(digit(0)? * 16 + digit(1)?).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delimiters_and_odd_shapes_are_refused() {
        for text in
            ["", "a", "Acme", "a#b", "a/b", "a b", "-acme", "acme-", "1acme", "ac\u{e9}", &"a".repeat(33)]
        {
            assert!(text.parse::<TenantId>().is_err(), "tenant {text:?}");
        }
        for text in ["", "x", "usr_0123", "App", "a#b", "a|b", "9a", &"a".repeat(65)] {
            assert!(text.parse::<ClientId>().is_err(), "client {text:?}");
        }
        for text in ["", " ", "a b", "a#b", "a\0b", "ä@b", "a/b", &"a".repeat(129)] {
            assert!(text.parse::<LoginId>().is_err(), "login {text:?}");
        }
        for text in
            ["", "usr_", "usr_00", "00112233445566778899AABBCCDDEEFF", "usr_0011223344556677889900112233445g"]
        {
            assert!(text.parse::<UserId>().is_err(), "user {text:?}");
        }
    }

    #[test]
    fn no_tenant_can_be_nobody() {
        assert!(TenantId::nobody().as_str().parse::<TenantId>().is_err());
    }

    #[test]
    fn names_are_normalised() {
        assert_eq!(" Ada@Example.COM ".parse::<LoginId>().unwrap().as_str(), "ada@example.com");
    }

    #[test]
    fn random_ids_survive_their_text_form() {
        let user = UserId::generate();
        assert_eq!(user.to_string().parse::<UserId>(), Ok(user));
        let family = FamilyId::generate();
        assert_eq!(family.to_string().parse::<FamilyId>(), Ok(family));
    }
}
