//! Verification of access tokens (RFC 8725 §3, RFC 9068 §4). Pure: the caller resolves the tenant from the *request*
//! and gives that tenant's keys; the token never chooses where to look.
//!
//! It must never look a key up outside the given set, never take an algorithm from the token, and never hand out
//! claims whose signature it has not checked.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::claims::AccessClaims;
use super::compact::ACCESS_TOKEN_TYPE;
use super::key_set::KeySet;
use crate::clock::Timestamp;
use crate::id::{FamilyId, Kid, TenantId, UserId};
use crate::keys::Algorithm;
use crate::policy::MAX_ACCESS_TOKEN_SECONDS;
use crate::tenant::split_issuer;

/// The longest token that is looked at, in bytes.
pub const MAX_TOKEN: usize = 6144;

/// How far a clock may be behind that issued the token, in seconds. An end is never stretched.
pub const LEEWAY_SECONDS: u64 = 60;

/// Why a token is refused. For logs, counters and support; the wire says `invalid_token` alone. The names are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.name())]
pub enum Refusal {
    /// Not three canonical base64url parts of JSON with the members of an access token.
    Malformed,
    /// A header of another kind of token, or with members that we never set.
    Header,
    /// No published key of the tenant has this id.
    UnknownKey,
    /// Not the one algorithm of the key.
    Algorithm,
    /// The signature is not the key's.
    Signature,
    /// Another issuer or tenant.
    Issuer,
    /// Not for us.
    Audience,
    /// Its time is over.
    Expired,
    /// Its time has not come.
    NotYetValid,
    /// The tenant does not exist or is not served.
    Tenant,
    /// Its key was declared compromised.
    Key,
    /// Tenant or user signed out everywhere since it was issued, or the user was disabled.
    Epoch,
    /// Its session has ended.
    Session,
}

impl Refusal {
    /// The reason as logs and counters name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Header => "header",
            Self::UnknownKey => "unknown_key",
            Self::Algorithm => "algorithm",
            Self::Signature => "signature",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Tenant => "tenant",
            Self::Key => "key",
            Self::Epoch => "epoch",
            Self::Session => "session",
        }
    }
}

/// What the request says a token must be for.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The tenant that the request names.
    pub tenant: &'a TenantId,
    /// Its issuer.
    pub issuer: &'a str,
    /// The audience that must be named.
    pub audience: &'a str,
}

/// What tokens are checked against.
#[derive(Clone, Copy, Debug)]
pub struct Verifier<'a> {
    /// The tenant that the request names.
    pub tenant: &'a TenantId,
    /// Its issuer.
    pub issuer: &'a str,
    /// Its keys.
    pub keys: &'a KeySet,
    /// The audience that must be named.
    pub audience: &'a str,
}

/// Claims whose signature, issuer, audience and times were checked. Only [`Verifier::verify`] makes one.
///
/// Epochs and revocations are state. Who verifies by [`Verifier`] alone compares [`AccessClaims::ep`] with what it has
/// read; `live` and `remote` do that before they give one out.
#[derive(Clone, Debug, PartialEq)]
pub struct Verified {
    claims: AccessClaims,
    kid: Kid,
}

impl Verified {
    /// The claims.
    pub const fn claims(&self) -> &AccessClaims {
        &self.claims
    }

    /// The key that signed them.
    pub const fn kid(&self) -> &Kid {
        &self.kid
    }

    /// The claims, to keep.
    pub fn into_claims(self) -> AccessClaims {
        self.claims
    }
}

/// Whose a token claims to be, unchecked: good for nothing but choosing what to read along.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct UnverifiedSubject {
    /// The user it names.
    pub sub: UserId,
    /// The session it names.
    pub sid: FamilyId,
}

impl UnverifiedSubject {
    /// Reads it from the text of a token.
    ///
    /// # Errors
    /// When the text can't be a token of ours.
    pub fn read(token: &str) -> Result<Self, Refusal> {
        let [_, payload, _] = parts(token)?;
        serde_json::from_slice(&decode(payload)?).map_err(|_| Refusal::Malformed)
    }
}

/// For what a token claims to be, unchecked: good for nothing but choosing the audience that it is then checked for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct UnverifiedAudience {
    /// The audiences it names.
    pub aud: BTreeSet<String>,
}

impl UnverifiedAudience {
    /// Reads it from the text of a token.
    ///
    /// # Errors
    /// When the text can't be a token of ours.
    pub fn read(token: &str) -> Result<Self, Refusal> {
        let [_, payload, _] = parts(token)?;
        serde_json::from_slice(&decode(payload)?).map_err(|_| Refusal::Malformed)
    }
}

/// Tries a token out, for a person who wants to know why it is refused: by keys at hand, and for the issuer and the
/// audience that are given or, without them, for those that the token names itself. Nothing that guards anything may
/// call it: a token that says for whom it is good must not be believed.
///
/// # Errors
/// The first check that fails.
pub fn examine(
    token: &str,
    issuer: Option<&str>,
    audience: Option<&str>,
    keys: &KeySet,
    now: Timestamp,
) -> Result<AccessClaims, Refusal> {
    #[derive(Deserialize)]
    struct Named {
        iss: String,
        aud: BTreeSet<String>,
    }
    let [_, payload, _] = parts(token)?;
    let named: Option<Named> = serde_json::from_slice(&decode(payload)?).ok();
    let own = named.as_ref().map(|named| named.iss.as_str());
    let issuer = issuer.or(own).ok_or(Refusal::Malformed)?;
    let (_, tenant) = split_issuer(issuer).ok_or(Refusal::Issuer)?;
    let own = named.as_ref().and_then(|named| named.aud.first()).map(String::as_str);
    let audience = audience.or(own).unwrap_or_default();
    Expected { tenant: &tenant, issuer, audience }
        .verifier(keys)
        .verify(token, now)
        .map(Verified::into_claims)
}

/// The header of our access tokens has exactly these members. Anything else is refused: `crit` (RFC 7515 §4.1.11),
/// `jku`, `jwk`, `x5u`, `x5c`, an encrypted token's `enc`; and so is a value that is spelt with escapes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header<'a> {
    typ: &'a str,
    alg: &'a str,
    kid: &'a str,
}

impl<'a> Header<'a> {
    fn read(json: &'a [u8]) -> Result<Self, Refusal> {
        let header: Self = serde_json::from_slice(json).map_err(|_| Refusal::Header)?;
        if is_access_token_type(header.typ) { Ok(header) } else { Err(Refusal::Header) }
    }
}

impl<'a> Expected<'a> {
    /// What checks a token for it by these keys.
    pub const fn verifier(self, keys: &'a KeySet) -> Verifier<'a> {
        Verifier { tenant: self.tenant, issuer: self.issuer, keys, audience: self.audience }
    }

    fn check(&self, claims: &AccessClaims, now: Timestamp) -> Result<(), Refusal> {
        if claims.iss != self.issuer || claims.tid != *self.tenant {
            Err(Refusal::Issuer)
        } else if !claims.aud.contains(self.audience) {
            Err(Refusal::Audience)
        } else if claims.exp.saturating_sub(claims.iat) > MAX_ACCESS_TOKEN_SECONDS {
            // No policy allows it, and nothing that outlives a token (keys, revocations) would outlive this one.
            Err(Refusal::Malformed)
        } else if now.seconds() >= claims.exp {
            Err(Refusal::Expired)
        } else if claims.nbf.unwrap_or(0).max(claims.iat) > now.seconds().saturating_add(LEEWAY_SECONDS) {
            Err(Refusal::NotYetValid)
        } else {
            Ok(())
        }
    }

    /// Whether a token could be good under keys that are not known yet: what is asked before a look-up is spent on it, so
    /// that rubbish and tokens of others never cause one. Believes nothing.
    ///
    /// # Errors
    /// The first thing that no key could mend.
    pub fn is_worth_a_look_up(&self, token: &str, now: Timestamp) -> Result<(), Refusal> {
        let [head, payload, signature] = parts(token)?;
        let json = decode(head)?;
        let header = Header::read(&json)?;
        header.kid.parse::<Kid>().map_err(|_| Refusal::UnknownKey)?;
        let ours = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDsa];
        if !ours.iter().any(|algorithm| algorithm.name() == header.alg) {
            return Err(Refusal::Algorithm);
        }
        decode(signature)?;
        let claims = serde_json::from_slice(&decode(payload)?).map_err(|_| Refusal::Malformed)?;
        self.check(&claims, now)
    }
}

impl Verifier<'_> {
    /// Checks a token.
    ///
    /// # Errors
    /// The first check that fails.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Verified, Refusal> {
        let [head, payload, signature] = parts(token)?;
        let json = decode(head)?;
        let header = Header::read(&json)?;
        let key = self.keys.find(header.kid).ok_or(Refusal::UnknownKey)?;
        if header.alg != key.algorithm().name() {
            return Err(Refusal::Algorithm);
        }
        let signed = &token.as_bytes()[..head.len() + 1 + payload.len()];
        if !key.verifies(signed, &decode(signature)?) {
            return Err(Refusal::Signature);
        }
        let claims: AccessClaims =
            serde_json::from_slice(&decode(payload)?).map_err(|_| Refusal::Malformed)?;
        let Self { tenant, issuer, audience, .. } = *self;
        Expected { tenant, issuer, audience }.check(&claims, now)?;
        Ok(Verified { claims, kid: key.kid().clone() })
    }
}

/// Whether a header, decoded, is that of an access token of ours, as far as its members go.
pub(crate) fn is_access_token_header(json: &[u8]) -> bool {
    Header::read(json).is_ok()
}

/// Whether a `typ` is that of an access token; one without "/" stands for `application/…` (RFC 7515 §4.1.9).
fn is_access_token_type(typ: &str) -> bool {
    let typ = typ.strip_prefix("application/").unwrap_or(typ);
    typ == ACCESS_TOKEN_TYPE
}

pub(crate) fn parts(token: &str) -> Result<[&str; 3], Refusal> {
    if token.len() > MAX_TOKEN {
        return Err(Refusal::Malformed);
    }
    let mut parts = token.split('.');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(header), Some(payload), Some(signature), None) => Ok([header, payload, signature]),
        _ => Err(Refusal::Malformed),
    }
}

/// Strict: only the alphabet, no padding, no stray bits in the last character.
pub(crate) fn decode(part: &str) -> Result<Vec<u8>, Refusal> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Refusal::Malformed)
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
