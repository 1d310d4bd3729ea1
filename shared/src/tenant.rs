//! A tenant: its whole control state, read and written as one item, so that one consistent read serves signing, the
//! key set and the policy.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::bytes::Bytes;
use crate::client::is_local_host;
use crate::clock::Timestamp;
use crate::id::{TenantId, UserId};
use crate::keys::{Custody, KeyRing};
use crate::policy::Policy;
use crate::rest::Rest;
use crate::user::User;

/// Whether a tenant is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TenantStatus {
    /// Served.
    Active,
    /// Not served until resumed; answers like a tenant that does not exist.
    Suspended,
    /// Gone for good; the item stays so that the id is never used again.
    Deleted,
}

/// The control state of a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenant {
    /// Its id, the path segment.
    pub id: TenantId,
    /// Whether it is served.
    pub status: TenantStatus,
    /// Raised to end every session and token of the tenant at once.
    pub epoch: u32,
    /// Lifetimes, windows and limits.
    pub policy: Policy,
    /// Its signing keys.
    pub ring: KeyRing,
    /// The browser origins that its clients registered, all together: what a preflight request is answered from.
    #[serde(default)]
    pub origins: BTreeSet<String>,
    /// What custody of keys its admins may choose; the operator's to say.
    #[serde(default = "any_custody")]
    pub allowed_custody: BTreeSet<Custody>,
    /// The users of role `admin` who may sign in: whoever takes this right from one looks for another in here.
    #[serde(default)]
    pub admins: BTreeSet<UserId>,
    /// The key under which cursors of the tenant's lists are sealed. It opens nothing but places in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor_key: Option<Bytes<32>>,
    /// How far the removal of a deleted tenant's data is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removal: Option<Removal>,
    /// When it was created.
    pub created_at: Timestamp,
    /// Raised by every change; every change is conditional on it.
    pub version: u64,
    /// What a newer release keeps here.
    #[serde(flatten)]
    pub rest: Rest,
}

/// The removal of a deleted tenant's data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removal {
    /// How many users are gone.
    pub users: u32,
    /// How many clients are gone.
    pub clients: u32,
    /// When everything was gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done_at: Option<Timestamp>,
}

fn any_custody() -> BTreeSet<Custody> {
    BTreeSet::from([Custody::Kms, Custody::Wrapped])
}

/// How many users may have the role `admin`: they stand in the tenant's item, which stays small.
pub const MAX_ADMINS: usize = 20;

/// There are as many users of role `admin` as there may be: [`MAX_ADMINS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at most 20 users may have the role admin; give others roles such as admin:users")]
pub struct TooManyAdmins;

impl Tenant {
    /// A new tenant, served from now on.
    pub fn new(id: TenantId, policy: Policy, ring: KeyRing, now: Timestamp) -> Self {
        Self {
            id,
            status: TenantStatus::Active,
            epoch: 0,
            policy,
            ring,
            origins: BTreeSet::new(),
            allowed_custody: any_custody(),
            admins: BTreeSet::new(),
            cursor_key: None,
            removal: None,
            created_at: now,
            version: 1,
            rest: Rest::default(),
        }
    }

    /// The tenant as it is written next: one version on.
    #[must_use]
    pub fn next(&self) -> Self {
        Self { version: self.version + 1, ..self.clone() }
    }

    /// The tenant in which the list of admins says what is so of this user. `None` when it does already.
    ///
    /// # Errors
    /// When there are as many admins as there may be.
    pub fn with_admin(&self, user: &User) -> Result<Option<Self>, TooManyAdmins> {
        let is_admin = user.is_full_admin() && user.is_active();
        if is_admin == self.admins.contains(&user.id) {
            return Ok(None);
        }
        if is_admin && self.admins.len() >= MAX_ADMINS {
            return Err(TooManyAdmins);
        }
        let mut after = self.next();
        if is_admin {
            after.admins.insert(user.id);
        } else {
            after.admins.remove(&user.id);
        }
        Ok(Some(after))
    }

    /// The tenant without this user among its admins. `None` when the user is not among them.
    pub fn without_admin(&self, user: UserId) -> Option<Self> {
        self.admins.contains(&user).then(|| {
            let mut after = self.next();
            after.admins.remove(&user);
            after
        })
    }

    /// Whether the tenant is served.
    pub fn is_active(&self) -> bool {
        self.status == TenantStatus::Active
    }
}

/// A text is not the public URL of a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the public URL {0}")]
pub struct InvalidUrl(pub &'static str);

/// Whether a text can be the public URL of a deployment, with which its issuers begin.
///
/// # Errors
/// What is wrong with it.
pub fn check_public_url(url: &str) -> Result<(), InvalidUrl> {
    let host = |rest: &str| {
        rest.split('/').next().and_then(|authority| authority.rsplit(':').next_back()).map(is_local_host)
    };
    let local = url.strip_prefix("http://").and_then(host).unwrap_or(false);
    if url.len() > 100 {
        Err(InvalidUrl("is longer than 100 characters"))
    } else if !(url.starts_with("https://") || local) {
        Err(InvalidUrl("must be https, or http on this machine (RFC 8414 section 2)"))
    } else if url.ends_with('/') || url.contains(['?', '#', ' ', '@']) {
        Err(InvalidUrl("must have no trailing slash, user, query or fragment"))
    } else {
        Ok(())
    }
}

/// The issuer of a tenant's tokens: `{public_url}/t/{tenant}`, exactly, without a trailing slash (RFC 8414 §2).
pub fn issuer(public_url: &str, tenant: &TenantId) -> String {
    format!("{public_url}/t/{tenant}")
}

/// Takes an issuer apart: the public URL of the deployment, and the tenant.
pub fn split_issuer(issuer: &str) -> Option<(&str, TenantId)> {
    let (public_url, tenant) = issuer.rsplit_once("/t/")?;
    check_public_url(public_url).ok()?;
    Some((public_url, tenant.parse().ok()?))
}

/// The one audience of admin tokens.
pub fn admin_audience(issuer: &str) -> String {
    format!("{issuer}/admin")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_comes_apart_as_it_was_put_together() {
        let tenant: TenantId = "acme".parse().unwrap();
        for url in ["https://auth.example", "http://localhost:9000", "https://example.com/t/x"] {
            assert_eq!(split_issuer(&issuer(url, &tenant)), Some((url, tenant.clone())));
        }
        for text in [
            "",
            "https://auth.example",
            "https://auth.example/t/",
            "https://auth.example/t/acme/",
            "http://a.example/t/acme",
        ] {
            assert_eq!(split_issuer(text), None, "{text}");
        }
    }
}
