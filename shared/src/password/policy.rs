//! Which passwords may be set (NIST SP 800-63B-4 §3.1.1.2, ASVS 6.2): long enough, not a common one, not the user's own
//! name. No rules of composition, no expiry; everything that can be typed may be used.
//!
//! A password is taken as it was sent, code point by code point: not trimmed, not cut, not normalised. A client whose
//! keyboards can write one character in two ways sends NFC; we can't know what the user saw and so change nothing.
//!
//! Only the setting of a password is judged here, never a login: a password that became common must still open the
//! door behind which it can be changed.

use std::sync::LazyLock;

use crate::id::{LoginId, TenantId};

/// The longest password in bytes, checked before any work is done with one. NIST asks for at least 64 characters.
pub const MAX_PASSWORD_BYTES: usize = 1024;

/// Lower-case, sorted by bytes, behind a line of dashes; source and licence stand before it.
static COMMON: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let text = include_str!("common-passwords.txt");
    text.split_once("\n----\n").map_or(text, |(_, list)| list).lines().collect()
});

/// Why a password may not be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.text())]
pub enum WeakPassword {
    /// Fewer code points than the deployment asks for.
    TooShort,
    /// More bytes than [`MAX_PASSWORD_BYTES`].
    TooLong,
    /// Among the first that an attacker tries.
    Common,
    /// The user's name or the tenant's, or little more.
    LikeName,
}

impl WeakPassword {
    /// The reason in words for the user. Constant: holds nothing of the password.
    pub const fn text(self) -> &'static str {
        match self {
            Self::TooShort => "The new password is too short.",
            Self::TooLong => "The new password is too long.",
            Self::Common => "The new password is one of those that are tried first.",
            Self::LikeName => "The new password is too close to the user name or the service's name.",
        }
    }
}

/// What a deployment asks of a password that is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordPolicy {
    /// The least number of code points.
    pub min_length: usize,
}

impl Default for PasswordPolicy {
    fn default() -> Self {
        Self { min_length: 8 }
    }
}

impl PasswordPolicy {
    /// Whether this user may set this password.
    ///
    /// # Errors
    /// The first reason why not.
    pub fn check(self, password: &str, login: &LoginId, tenant: &TenantId) -> Result<(), WeakPassword> {
        if password.len() > MAX_PASSWORD_BYTES {
            Err(WeakPassword::TooLong)
        } else if password.chars().count() < self.min_length {
            Err(WeakPassword::TooShort)
        } else if is_common(password) {
            Err(WeakPassword::Common)
        } else if is_like(password, login, tenant) {
            Err(WeakPassword::LikeName)
        } else {
            Ok(())
        }
    }
}

/// Whether a password is on the list, in any case, or one character over and over.
fn is_common(password: &str) -> bool {
    let lower = password.to_lowercase();
    let mut characters = lower.chars();
    let first = characters.next();
    COMMON.binary_search(&lower.as_str()).is_ok() || characters.all(|next| Some(next) == first)
}

/// Whether a password is a name, part of one, or one with fewer than five characters added: `acme2026`, `Ada.1815!`.
fn is_like(password: &str, login: &LoginId, tenant: &TenantId) -> bool {
    let password = folded(password);
    let local_part = login.as_str().split('@').next().unwrap_or_default();
    [login.as_str(), local_part, tenant.as_str()].into_iter().map(folded).any(|name| {
        let backwards: String = name.chars().rev().collect();
        [name, backwards].iter().any(|name| {
            let added = || password.replace(name.as_str(), "").chars().count();
            let names_most = name.len() >= 3 && password.contains(name.as_str()) && added() < 5;
            names_most || (password.chars().count() >= 3 && name.contains(&password))
        })
    })
}

/// Letters and digits in lower case: what is left of a name when it is decorated.
fn folded(text: &str) -> String {
    text.chars().filter(|character| character.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(password: &str) -> Result<(), WeakPassword> {
        let login = "ada.lovelace@mail.example".parse().unwrap();
        let tenant = "acme".parse().unwrap();
        PasswordPolicy::default().check(password, &login, &tenant)
    }

    #[test]
    fn the_list_is_what_the_search_needs() {
        assert!(COMMON.len() > 8000, "{}", COMMON.len());
        assert!(COMMON.is_sorted(), "sorted by bytes");
        for password in COMMON.iter() {
            assert!(password.chars().count() >= 8 && **password == password.to_lowercase(), "{password}");
            assert_eq!(check(password), Err(WeakPassword::Common), "{password}");
        }
    }

    #[test]
    fn what_may_be_set() {
        for (password, verdict, why) in [
            ("tr0ub4dor&3", Ok(()), "no rules of composition"),
            ("aaaaaaab", Ok(()), "letters alone will do"),
            ("correct horse battery staple", Ok(()), "blanks are characters"),
            ("  vbnm4z  ", Ok(()), "at the ends too"),
            ("пароль-мой", Ok(()), "any script"),
            ("äöüßñçé🦀", Ok(()), "eight code points, however many bytes"),
            ("zq8kfj2", Err(WeakPassword::TooShort), "seven"),
            ("äöüßñç🦀", Err(WeakPassword::TooShort), "seven code points in sixteen bytes"),
            ("", Err(WeakPassword::TooShort), "none"),
            ("password1", Err(WeakPassword::Common), "on the list"),
            ("PassWord1", Err(WeakPassword::Common), "in any case"),
            ("🦀🦀🦀🦀🦀🦀🦀🦀🦀", Err(WeakPassword::Common), "one character over and over"),
            ("ada.lovelace@mail.example", Err(WeakPassword::LikeName), "the name"),
            ("Ada.Lovelace", Err(WeakPassword::LikeName), "the part before the @"),
            ("ada_lovelace!1", Err(WeakPassword::LikeName), "with a little added"),
            ("lovelace", Err(WeakPassword::LikeName), "a part of it"),
            ("ecalevol.ada", Err(WeakPassword::LikeName), "backwards"),
            ("acme2026", Err(WeakPassword::LikeName), "the tenant and a year"),
            ("acmeacmeacme", Err(WeakPassword::LikeName), "over and over"),
            ("acme of distant shores", Ok(()), "a name within something longer is no harm"),
            ("!!!!????----", Ok(()), "nothing but signs is like no name"),
        ] {
            assert_eq!(check(password), verdict, "{password}: {why}");
        }
        assert_eq!(check(&"ab".repeat(512)), Ok(()), "1024 bytes");
        assert_eq!(check(&format!("{}c", "ab".repeat(512))), Err(WeakPassword::TooLong), "one more");
    }

    #[test]
    fn a_deployment_may_ask_for_more() {
        let policy = PasswordPolicy { min_length: 15 };
        let (login, tenant) = ("ada".parse().unwrap(), "acme".parse().unwrap());
        assert_eq!(policy.check("fourteen chars", &login, &tenant), Err(WeakPassword::TooShort));
        assert_eq!(policy.check("fifteen chars..", &login, &tenant), Ok(()));
    }

    #[test]
    fn short_names_forbid_little() {
        let (login, tenant) = ("al".parse().unwrap(), "io".parse().unwrap());
        let policy = PasswordPolicy::default();
        assert_eq!(policy.check("almanac3", &login, &tenant), Ok(()), "two letters are no name to speak of");
    }
}
