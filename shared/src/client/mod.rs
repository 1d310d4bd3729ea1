//! OAuth clients of a tenant and how they prove who they are (RFC 6749 §2).

mod settings;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::bytes::Bytes;
use crate::clock::Timestamp;
use crate::id::ClientId;
use crate::rest::Rest;
use crate::secret::{Secret, same_bytes, sha256};

pub use settings::{InvalidSettings, Settings, check_origins};

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

/// What is kept of a client's secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientSecret {
    hash: Bytes<32>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Until when it is good, once another took its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// What a newer release keeps here.
    #[serde(flatten)]
    rest: Rest,
}

impl ClientSecret {
    /// A new secret of 256 random bits: the text to show once, and what to keep.
    pub fn draw(now: Timestamp) -> (Secret<String>, Self) {
        use base64::Engine as _;
        let random: [u8; 32] = crate::secret::random();
        let encoded = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(random);
        let text = format!("{SECRET_PREFIX}{encoded}");
        let hash = sha256(text.as_bytes()).into();
        (Secret::new(text), Self { hash, created_at: now, until: None, rest: Rest::default() })
    }

    /// Whether it is good at `now`.
    pub fn is_good(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// A client of a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// Its id.
    pub id: ClientId,
    /// Whether it can keep a secret.
    #[serde(rename = "type")]
    pub kind: ClientType,
    /// SHA-256 of each secret that is good now, as the release before this one keeps and reads them.
    #[serde(default)]
    pub secret_hashes: Vec<Bytes<32>>,
    /// The secrets; two while one is being replaced.
    #[serde(default)]
    pub secrets: Vec<ClientSecret>,
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

    /// A new client, which may be used; with its secret if it is one that keeps one.
    pub fn new(
        id: ClientId,
        kind: ClientType,
        settings: Settings,
        now: Timestamp,
    ) -> (Self, Option<Secret<String>>) {
        let Settings { audiences, scopes, origins } = settings;
        let client = Self {
            id,
            kind,
            secret_hashes: Vec::new(),
            secrets: Vec::new(),
            audiences,
            scopes,
            origins,
            status: ClientStatus::Active,
            created_at: now,
            version: 1,
            rest: Rest::default(),
        };
        match kind {
            ClientType::Public => (client, None),
            ClientType::Confidential => {
                let (client, secret) = client.with_new_secret(0, now);
                (Self { version: 1, ..client }, Some(secret))
            }
        }
    }

    /// The client through which a tenant's admins sign in.
    pub fn of_admins(now: Timestamp) -> Self {
        let id = ADMIN_CLIENT.parse().expect("the name is a client id");
        let scopes = ADMIN_SCOPES.into_iter().map(str::to_owned).collect();
        Self::new(id, ClientType::Public, Settings { scopes, ..Settings::default() }, now).0
    }

    /// The client with another secret. The one it had is good for so many seconds more, every earlier one no longer.
    #[must_use]
    pub fn with_new_secret(&self, overlap_seconds: u64, now: Timestamp) -> (Self, Secret<String>) {
        let (text, new) = ClientSecret::draw(now);
        let until = now.plus_seconds(overlap_seconds);
        let last = self.known_secrets().into_iter().rfind(|secret| secret.is_good(now));
        let last = last.filter(|_| overlap_seconds > 0).map(|secret| ClientSecret {
            until: Some(secret.until.map_or(until, |end| end.min(until))),
            ..secret
        });
        let secrets: Vec<ClientSecret> = last.into_iter().chain([new]).collect();
        let secret_hashes = secrets.iter().map(|secret| secret.hash).collect();
        (Self { secrets, secret_hashes, version: self.version + 1, ..self.clone() }, text)
    }

    /// What those who manage clients may set of this one.
    pub fn settings(&self) -> Settings {
        Settings {
            audiences: self.audiences.clone(),
            scopes: self.scopes.clone(),
            origins: self.origins.clone(),
        }
    }

    /// The secrets, also those that only the release before this one has seen.
    pub fn known_secrets(&self) -> Vec<ClientSecret> {
        let before =
            self.secret_hashes.iter().filter(|hash| !self.secrets.iter().any(|known| known.hash == **hash));
        let before = before.map(|hash| ClientSecret {
            hash: *hash,
            created_at: self.created_at,
            until: None,
            rest: Rest::default(),
        });
        before.chain(self.secrets.iter().cloned()).collect()
    }

    /// Whether what the client presented proves who it is: a public client presents no secret, a confidential one a
    /// good one (RFC 6749 §2.3). The comparison takes the same time for every wrong secret.
    pub fn accepts(&self, presented: Option<&Secret<String>>, now: Timestamp) -> bool {
        match (self.kind, presented) {
            (ClientType::Public, None) => true,
            (ClientType::Public, Some(_)) | (ClientType::Confidential, None) => false,
            (ClientType::Confidential, Some(secret)) => {
                let hash = sha256(secret.expose().as_bytes());
                let is = |known: &ClientSecret| known.is_good(now) & same_bytes(known.hash.as_ref(), &hash);
                self.known_secrets().iter().fold(false, |found, known| found | is(known))
            }
        }
    }

    /// Whether a browser page of this origin may read our answers to this client.
    pub fn allows_origin(&self, origin: &str) -> bool {
        self.origins.contains(origin)
    }
}

/// Whether a text is a scope token (RFC 6749 §3.3) of at most 64 characters.
pub fn is_scope_token(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte == 0x21 || (0x23..=0x5b).contains(&byte) || (0x5d..=0x7e).contains(&byte))
}

/// Whether a text is what a client says of its version: `<app>/<version>`, each part 1 to 32 of `A-Z a-z 0-9 . _ + -`.
pub fn is_version(text: &str) -> bool {
    let part = |text: &str| {
        (1..=32).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._+-".contains(&byte))
    };
    text.split_once('/').is_some_and(|(app, version)| part(app) && part(version))
}

/// Whether a text names versions: one, or as `<app>/<<version>` all of an app before one.
pub fn is_version_rule(text: &str) -> bool {
    is_version(text) || is_version(&text.replacen("/<", "/", 1))
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

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn client(kind: ClientType) -> (Client, Option<Secret<String>>) {
        let origins = BTreeSet::from(["https://shop.example".to_owned()]);
        Client::new("shop".parse().unwrap(), kind, Settings { origins, ..Settings::default() }, NOW)
    }

    #[test]
    fn a_secret_keeps_what_a_later_release_wrote_into_it() {
        let (_, kept) = ClientSecret::draw(NOW);
        let mut written = serde_json::to_value(&kept).unwrap();
        written["of_the_next"] = serde_json::json!({"a": null});
        let read: ClientSecret = serde_json::from_value(written.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), written);
    }

    #[test]
    fn only_a_confidential_client_has_a_secret_and_only_a_good_one_counts() {
        let (client_now, secret) = client(ClientType::Confidential);
        let (_, other) = client(ClientType::Confidential);
        assert!(client_now.accepts(secret.as_ref(), NOW));
        assert!(!client_now.accepts(other.as_ref(), NOW));
        assert!(!client_now.accepts(None, NOW));
        assert!(!client_now.accepts(Some(&Secret::new(String::new())), NOW));
        let (public, none) = client(ClientType::Public);
        assert!(none.is_none() && public.accepts(None, NOW));
        assert!(!public.accepts(other.as_ref(), NOW));
    }

    #[test]
    fn a_replaced_secret_is_good_for_its_overlap_and_an_earlier_one_no_longer() {
        let (before, first) = client(ClientType::Confidential);
        let (between, second) = before.with_new_secret(100, NOW);
        let (after, third) = between.with_new_secret(1000, NOW.plus_seconds(50));
        let accepts = |client: &Client, secret: &Secret<String>, seconds| {
            client.accepts(Some(secret), NOW.plus_seconds(seconds))
        };
        let first = first.unwrap();
        assert!(accepts(&between, &first, 99) && !accepts(&between, &first, 100));
        assert!(accepts(&between, &second, 9999));
        assert!(!accepts(&after, &first, 50), "two at once at most");
        assert!(accepts(&after, &second, 1049) && !accepts(&after, &second, 1050));
        assert!(accepts(&after, &third, 9999));
        let (at_once, fourth) = after.with_new_secret(0, NOW.plus_seconds(60));
        assert!(!accepts(&at_once, &third, 60) && accepts(&at_once, &fourth, 60));
    }

    #[test]
    fn secrets_that_the_release_before_wrote_are_good() {
        let (client, secret) = client(ClientType::Confidential);
        let before = Client { secrets: Vec::new(), ..client };
        assert!(before.accepts(secret.as_ref(), NOW));
        let (after, _) = before.with_new_secret(60, NOW);
        assert!(after.accepts(secret.as_ref(), NOW.plus_seconds(59)));
        assert!(!after.accepts(secret.as_ref(), NOW.plus_seconds(60)));
    }

    #[test]
    fn origins_match_exactly() {
        let (client, _) = client(ClientType::Public);
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
        for (text, version, rule) in [
            ("shop-ios/5.4.1", true, true),
            ("shop/<1", false, true),
            ("shop", false, false),
            ("shop/", false, false),
            ("shop/<", false, false),
            ("shop/1 2", false, false),
            ("shop/<<1", false, false),
        ] {
            assert_eq!((is_version(text), is_version_rule(text)), (version, rule), "{text}");
        }
    }
}
