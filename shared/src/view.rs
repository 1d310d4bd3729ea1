//! What a verifying function knows of one tenant at a moment, and the decision by it. All in memory, no call.

use crate::clock::{CLOCKS_APART_SECONDS, Timestamp};
use crate::revoked::Revoked;
use crate::token::verify::Expected;
use crate::token::{KeySet, Refusal, Verified};

/// Keys and revocations of one tenant.
#[derive(Clone, Debug)]
pub struct View {
    /// Its keys.
    pub keys: KeySet,
    /// What it has revoked.
    pub revoked: Revoked,
}

impl View {
    /// Decides on a token.
    ///
    /// # Errors
    /// The first check that fails.
    pub fn decide(&self, expected: Expected<'_>, token: &str, now: Timestamp) -> Result<Verified, Refusal> {
        let verified = expected.verifier(&self.keys).verify(token, now)?;
        self.revoked.check(&verified)?;
        Ok(verified)
    }
}

/// How often a verifying function reads a tenant, and how much it keeps. All times are in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveSettings {
    /// How old what is known of a tenant may be before it is read again.
    pub poll_seconds: u64,
    /// How old it may be at most, when reading it again fails.
    pub delay_seconds: u64,
    /// How soon what was not there, a key or a tenant, is looked for again.
    pub cool_down_seconds: u64,
    /// How far before its last reading a reading of revocations begins: longer than a request may be under way, and the
    /// difference of two clocks.
    pub overlap_seconds: u64,
    /// How many tenants are kept in memory.
    pub tenants: usize,
    /// How many revocations of each.
    pub revocations: usize,
}

impl Default for LiveSettings {
    fn default() -> Self {
        Self {
            poll_seconds: 2,
            delay_seconds: 5,
            cool_down_seconds: 30,
            overlap_seconds: CLOCKS_APART_SECONDS + 30,
            tenants: 500,
            revocations: 20_000,
        }
    }
}

/// No `Verified` came of a token.
#[derive(Debug, thiserror::Error)]
pub enum Denied {
    /// The token is not good: 401, or 403 where nothing else can be said.
    #[error("refused: {0}")]
    Refused(#[from] Refusal),
    /// What is known of the tenant is too old to decide by, and reading it anew failed. The token may be good: 503.
    #[error("undecided: {reason}")]
    Undecided {
        /// What is missing, as logs and counters name it.
        reason: &'static str,
        /// Why.
        #[source]
        cause: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
}

impl Denied {
    /// The reason as logs and counters name it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.name(),
            Self::Undecided { reason, .. } => reason,
        }
    }
}
