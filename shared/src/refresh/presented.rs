//! A token of either kind, as clients hand it in to be revoked or introspected: which session it names. It says where to
//! look and must never be believed for more.

use super::RefreshToken;
use crate::id::{FamilyId, UserId};
use crate::secret::Secret;
use crate::token::verify::UnverifiedSubject;

/// What was presented, taken apart but not believed.
#[derive(Debug)]
pub enum Presented {
    /// A refresh token by its form.
    Refresh(RefreshToken),
    /// An access token by its form.
    Access {
        /// As it was presented.
        text: Secret<String>,
        /// Whose it says it is.
        subject: UnverifiedSubject,
    },
    /// Neither.
    Nothing,
}

impl Presented {
    /// Takes a token apart. The hint of the client (RFC 7009 §2.1, RFC 7662 §2.1) is not needed: our tokens tell themselves
    /// apart.
    pub fn read(text: &Secret<String>) -> Self {
        if let Ok(token) = RefreshToken::parse(text.expose()) {
            return Self::Refresh(token);
        }
        match UnverifiedSubject::read(text.expose()) {
            Ok(subject) => Self::Access { text: text.clone(), subject },
            Err(_) => Self::Nothing,
        }
    }

    /// The user and the session that it names.
    pub fn family(&self) -> Option<(UserId, FamilyId)> {
        match self {
            Self::Refresh(token) => Some((token.user, token.family)),
            Self::Access { subject, .. } => Some((subject.sub, subject.sid)),
            Self::Nothing => None,
        }
    }
}
