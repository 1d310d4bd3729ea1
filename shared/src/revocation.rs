//! What must stop being accepted before its time, and who did what: the two kinds of entry that a change of a session,
//! a user or a tenant writes in one transaction with itself.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::id::{FamilyId, Kid, UserId};

/// One thing that verifiers must no longer accept, though its signature is good and its time not over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Revocation {
    /// A session: every access token of this `sid`.
    Session {
        /// The family.
        sid: FamilyId,
    },
    /// All tokens of a user that carry an older epoch.
    User {
        /// The user.
        sub: UserId,
        /// The epoch now in force.
        epoch: u32,
    },
    /// All tokens of the tenant that carry an older epoch.
    Tenant {
        /// The epoch now in force.
        epoch: u32,
    },
    /// All tokens signed by this key.
    Key {
        /// The key.
        kid: Kid,
    },
}

/// Who acts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Actor {
    /// A user of the tenant, an admin included.
    User(UserId),
    /// An operator, named by IAM alone.
    Operator,
    /// The service itself, by its rules.
    Service,
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// A tenant came to be.
    #[serde(rename = "tenant.create")]
    TenantCreate,
    /// A tenant is no longer served.
    #[serde(rename = "tenant.suspend")]
    TenantSuspend,
    /// A tenant is served again.
    #[serde(rename = "tenant.resume")]
    TenantResume,
    /// A client was registered.
    #[serde(rename = "client.create")]
    ClientCreate,
    /// A user was added.
    #[serde(rename = "user.create")]
    UserCreate,
    /// A user may no longer sign in.
    #[serde(rename = "user.disable")]
    UserDisable,
    /// A user may sign in again.
    #[serde(rename = "user.enable")]
    UserEnable,
    /// A user changed the password.
    #[serde(rename = "user.password")]
    UserPassword,
    /// A user ended all sessions.
    #[serde(rename = "user.sign_out")]
    UserSignOut,
    /// A session was ended by its client.
    #[serde(rename = "session.revoke")]
    SessionRevoke,
    /// A session was ended by its user from another one.
    #[serde(rename = "session.end")]
    SessionEnd,
    /// A session was ended because a spent refresh token returned.
    #[serde(rename = "session.reuse")]
    SessionReuse,
    /// A session left to make room for a newer one.
    #[serde(rename = "session.evict")]
    SessionEvict,
}

/// One line of the audit log. Holds ids, never a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEvent {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: Actor,
    /// What.
    pub action: Action,
    /// To which user, session or client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// From which address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}
