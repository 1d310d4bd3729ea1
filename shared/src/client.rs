//! OAuth clients of a tenant and how they prove who they are (RFC 6749 §2).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::bytes::Bytes;
use crate::clock::Timestamp;
use crate::id::ClientId;
use crate::rest::Rest;
use crate::secret::{Secret, same_bytes, sha256};

/// The client through which tenant admins sign in. Every tenant has it; nobody can register another of this name.
pub const ADMIN_CLIENT: &str = "leasehold-admin";

/// What every admin right is called. Role `admin` grants them.
pub const ADMIN_SCOPES: [&str; 6] =
    ["admin:keys", "admin:users", "admin:clients", "admin:sessions", "admin:policy", "admin:audit"];

/// What every client secret begins with, so that secret scanners find one that leaked.
pub const SECRET_PREFIX: &str = "lhs_";

/// Whether a client can keep a secret (RFC 6749 §2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientType {
    /// It cannot: a mobile app. Its refresh tokens rotate on every use (RFC 9700 §2.2.2).
    Public,
    /// It can: a server. It authenticates on every request.
    Confidential,
}

/// Whether a client may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientStatus {
    /// It may.
    Active,
    /// It may not, until enabled.
    Disabled,
}

/// A client of a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// Its id.
    pub id: ClientId,
    /// Whether it can keep a secret.
    #[serde(rename = "type")]
    pub kind: ClientType,
    /// SHA-256 of each secret that is good now; more than one while a secret is being replaced.
    #[serde(default)]
    pub secret_hashes: Vec<Bytes<32>>,
    /// The APIs its access tokens are for.
    pub audiences: BTreeSet<String>,
    /// The scopes it may ask for.
    pub scopes: BTreeSet<String>,
    /// The browser origins it may be called from.
    #[serde(default)]
    pub origins: BTreeSet<String>,
    /// Whether it may be used.
    pub status: ClientStatus,
    /// When it was registered.
    pub created_at: Timestamp,
    /// Raised by every change; every change is conditional on it.
    pub version: u64,
    /// What a newer release keeps here.
    #[serde(flatten)]
    pub rest: Rest,
}

impl Client {
    /// Whether this is the client of the tenant's admins.
    pub fn is_admin(&self) -> bool {
        self.id.as_str() == ADMIN_CLIENT
    }

    /// Whether what the client presented proves who it is: a public client presents no secret, a confidential one a
    /// good one (RFC 6749 §2.3). The comparison takes the same time for every wrong secret.
    pub fn accepts(&self, presented: Option<&Secret<String>>) -> bool {
        match (self.kind, presented) {
            (ClientType::Public, None) => true,
            (ClientType::Public, Some(_)) | (ClientType::Confidential, None) => false,
            (ClientType::Confidential, Some(secret)) => {
                let hash = sha256(secret.expose().as_bytes());
                self.secret_hashes
                    .iter()
                    .fold(false, |found, known| found | same_bytes(known.as_ref(), &hash))
            }
        }
    }

    /// Whether a browser page of this origin may read our answers to this client.
    pub fn allows_origin(&self, origin: &str) -> bool {
        self.origins.contains(origin)
    }
}

/// A new client secret: the text to show once, and the hash to keep.
pub fn new_secret() -> (Secret<String>, Bytes<32>) {
    use base64::Engine as _;
    let random: [u8; 32] = crate::secret::random();
    let text = format!("{SECRET_PREFIX}{}", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(random));
    let hash = sha256(text.as_bytes());
    (Secret::new(text), Bytes::from(hash))
}

/// Whether a text is a scope token (RFC 6749 §3.3) of at most 64 characters.
pub fn is_scope_token(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte == 0x21 || (0x23..=0x5b).contains(&byte) || (0x5d..=0x7e).contains(&byte))
}

/// Whether a text is a web origin (RFC 6454 §6.2) as a browser sends it: `https://host[:port]`, or `http://` for this
/// machine's own names.
pub fn is_origin(text: &str) -> bool {
    let (secure, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
        (Some(rest), _) => (true, rest),
        (None, Some(rest)) => (false, rest),
        (None, None) => return false,
    };
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !rest.ends_with(']') => (host, Some(port)),
        _ => (rest, None),
    };
    let number = |port: &str| port.parse::<u16>().is_ok_and(|number| number.to_string() == port);
    let named = (1..=200).contains(&host.len())
        && host.split('.').all(|label| {
            !label.is_empty()
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        });
    let local = is_local_host(host);
    port.is_none_or(number) && (local || (secure && named))
}

/// Whether a host is this machine by a name that no other can have.
pub fn is_local_host(host: &str) -> bool {
    matches!(host, "localhost" | "127.0.0.1" | "[::1]")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(kind: ClientType, secret_hashes: Vec<Bytes<32>>) -> Client {
        Client {
            id: "shop".parse().unwrap(),
            kind,
            secret_hashes,
            audiences: BTreeSet::new(),
            scopes: BTreeSet::new(),
            origins: BTreeSet::from(["https://shop.example".to_owned()]),
            status: ClientStatus::Active,
            created_at: Timestamp::from_seconds(0),
            version: 1,
            rest: Rest::default(),
        }
    }

    #[test]
    fn only_a_confidential_client_has_a_secret_and_only_a_good_one_counts() {
        let (old, old_hash) = new_secret();
        let (new, new_hash) = new_secret();
        let (other, _) = new_secret();
        let confidential = client(ClientType::Confidential, vec![old_hash, new_hash]);
        assert!(confidential.accepts(Some(&old)) && confidential.accepts(Some(&new)), "both while replaced");
        assert!(!confidential.accepts(Some(&other)));
        assert!(!confidential.accepts(None));
        assert!(!confidential.accepts(Some(&Secret::new(String::new()))));
        let public = client(ClientType::Public, vec![]);
        assert!(public.accepts(None));
        assert!(!public.accepts(Some(&other)));
    }

    #[test]
    fn origins_match_exactly() {
        let client = client(ClientType::Public, vec![]);
        assert!(client.allows_origin("https://shop.example"));
        for origin in
            ["https://shop.example.evil", "http://shop.example", "https://SHOP.example", "null", "*", ""]
        {
            assert!(!client.allows_origin(origin), "{origin}");
        }
    }

    #[test]
    fn origins_and_scopes_have_a_form() {
        for origin in [
            "https://shop.example",
            "https://shop.example:8443",
            "https://192.0.2.1",
            "http://localhost:5173",
            "http://127.0.0.1",
            "http://[::1]:3000",
        ] {
            assert!(is_origin(origin), "{origin}");
        }
        for origin in [
            "*",
            "null",
            "http://shop.example",
            "https://",
            "https://a/b",
            "https://a b",
            "ftp://a",
            "http://localhost.evil.example",
            "http://127.0.0.1.evil.example",
            "https://a:",
            "https://a:99999",
            "https://a:080",
            "https://:::",
            "https://A.example",
        ] {
            assert!(!is_origin(origin), "{origin}");
        }
        for scope in ["", "a b", "a\"b", "a\\b", "\u{e9}", &"a".repeat(65)] {
            assert!(!is_scope_token(scope), "{scope:?}");
        }
        assert!(is_scope_token("orders:read"));
    }
}
