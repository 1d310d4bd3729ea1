//! What those who manage clients may set of one, and its bounds.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::{ADMIN_SCOPES, is_origin, is_scope_token};

/// What audiences and scopes of a client may take of a token, in bytes.
const MAX_BYTES: usize = 960;
/// How many origins a client may have.
const MAX_ORIGINS: usize = 20;
/// What the origins of all clients may take of a tenant's item, in bytes: the item stays under 4 KB.
pub const MAX_ORIGINS_BYTES: usize = 1024;

/// Settings say something that they may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{member}: {why}")]
pub struct InvalidSettings {
    /// The member.
    pub member: &'static str,
    /// What it must be.
    pub why: &'static str,
}

/// Audiences, scopes and origins of a client.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The APIs its access tokens are for.
    pub audiences: BTreeSet<String>,
    /// The scopes it may ask for.
    pub scopes: BTreeSet<String>,
    /// The browser origins it may be called from.
    pub origins: BTreeSet<String>,
}

impl Settings {
    /// Checks every member against its bounds. `public_url` is where the service itself lies: its audiences are its own.
    ///
    /// # Errors
    /// The first member that is not as it may be.
    pub fn check(&self, public_url: &str) -> Result<(), InvalidSettings> {
        let refuse = |member, why| Err(InvalidSettings { member, why });
        let is_scope = |scope: &String| is_scope_token(scope) && !ADMIN_SCOPES.contains(&scope.as_str());
        if !self.scopes.iter().all(is_scope) {
            return refuse("scopes", "scope tokens of at most 64 characters, none of an admin's");
        }
        if !self.origins.iter().all(|origin| is_origin(origin)) {
            return refuse("origins", "https://host[:port] each, or this machine by http");
        }
        let is_text = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
        let is_audience = |text: &String| (1..=200).contains(&text.len()) && text.bytes().all(is_text);
        if !self.audiences.iter().all(is_audience) {
            return refuse("audiences", "1 to 200 printable characters each, no quotes or backslashes");
        }
        // Our own audiences mean a user's own routes, or the administration of a tenant.
        if self.audiences.iter().any(|audience| audience.starts_with(public_url)) {
            return refuse("audiences", "those under the service's own URL are not yours to use");
        }
        let bytes: usize = self.audiences.iter().chain(&self.scopes).map(|text| text.len() + 3).sum();
        if bytes > MAX_BYTES {
            return refuse("audiences", "with scopes, 960 bytes in all");
        }
        if self.origins.len() > MAX_ORIGINS {
            return refuse("origins", "at most 20");
        }
        Ok(())
    }
}

/// Checks the origins of all clients of a tenant together.
///
/// # Errors
/// When they are too many for the tenant's item.
pub fn check_origins<'a>(all: impl Iterator<Item = &'a String>) -> Result<(), InvalidSettings> {
    if all.collect::<BTreeSet<_>>().iter().map(|origin| origin.len()).sum::<usize>() > MAX_ORIGINS_BYTES {
        return Err(InvalidSettings { member: "origins", why: "1024 bytes in all of a tenant's clients" });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn settings_keep_to_their_bounds() {
        let long: Vec<String> = (0..20).map(|n| format!("{n:060}")).collect();
        let many: Vec<String> = (0..21).map(|n| format!("https://a{n}.example")).collect();
        for (settings, refused) in [
            (json!({"audiences": ["https://api.example"], "scopes": ["a:b"]}), None),
            (json!({"scopes": ["a b"]}), Some("scopes")),
            (json!({"scopes": ["admin:keys"]}), Some("scopes")),
            (json!({"origins": ["http://a.example"]}), Some("origins")),
            (json!({"origins": many}), Some("origins")),
            (json!({"audiences": [""]}), Some("audiences")),
            (json!({"audiences": ["a\"b"]}), Some("audiences")),
            (json!({"audiences": ["https://auth.example/t/acme/admin"]}), Some("audiences")),
            (json!({"scopes": long}), Some("audiences")),
        ] {
            let parsed: Settings = serde_json::from_value(settings.clone()).unwrap();
            let outcome = parsed.check("https://auth.example").err().map(|invalid| invalid.member);
            assert_eq!(outcome, refused, "{settings}");
        }
        assert!(serde_json::from_value::<Settings>(json!({"status": "active"})).is_err(), "no other member");
    }

    #[test]
    fn origins_are_bounded_over_all_clients_and_counted_once() {
        let origin = |n: usize| format!("https://{n:050}.example");
        let many: Vec<String> = (0..20).map(origin).collect();
        assert!(check_origins(many.iter()).is_err());
        let same: Vec<String> = (0..20).map(|_| origin(1)).collect();
        assert!(check_origins(same.iter()).is_ok());
    }
}
