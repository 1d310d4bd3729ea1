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

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;
    use crate::refresh::proof::Proof;
    use crate::token::testing::claims;

    #[test]
    fn what_is_presented_names_a_session_or_none() {
        let refresh = RefreshToken {
            user: UserId::generate(),
            family: FamilyId::generate(),
            generation: 7,
            proof: Proof::new([3; 16]),
            secret: Secret::new([9; 32]),
        };
        let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let claimed = serde_json::to_value(claims()).unwrap();
        let access = format!("{}.{}.c2ln", part(&serde_json::json!({"alg": "ES256"})), part(&claimed));
        let family = |text: &str| Presented::read(&Secret::new(text.to_owned())).family();
        assert_eq!(family(&refresh.encode()), Some((refresh.user, refresh.family)));
        assert_eq!(family(&access), Some((claims().sub, claims().sid)));
        for nothing in ["", "lhr_", "a.b.c", &access[..access.len() / 2]] {
            assert_eq!(family(nothing), None, "{nothing}");
        }
    }
}
