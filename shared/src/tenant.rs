//! A tenant: its whole control state, read and written as one item, so that one consistent read serves signing, the
//! key set and the policy.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::id::TenantId;
use crate::keys::KeyRing;
use crate::policy::Policy;
use crate::rest::Rest;

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
    /// When it was created.
    pub created_at: Timestamp,
    /// Raised by every change; every change is conditional on it.
    pub version: u64,
    /// What a newer release keeps here.
    #[serde(flatten)]
    pub rest: Rest,
}

impl Tenant {
    /// Whether the tenant is served.
    pub fn is_active(&self) -> bool {
        self.status == TenantStatus::Active
    }
}

/// The issuer of a tenant's tokens: `{public_url}/t/{tenant}`, exactly, without a trailing slash (RFC 8414 §2).
pub fn issuer(public_url: &str, tenant: &TenantId) -> String {
    format!("{public_url}/t/{tenant}")
}

/// The one audience of admin tokens.
pub fn admin_audience(issuer: &str) -> String {
    format!("{issuer}/admin")
}
