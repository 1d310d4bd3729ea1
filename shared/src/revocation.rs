//! What must stop being accepted before its time: the entry that a change of a session, a user, a key or a tenant
//! writes in one transaction with itself, for verifiers to find.

use serde::{Deserialize, Serialize};

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
