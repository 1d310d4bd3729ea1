//! Issues access tokens and ID tokens, for login and refresh alike: claims, signing input, signature. And the token
//! response that carries them (RFC 6749 §5.1).

use serde::Serialize;

use crate::client::Client;
use crate::clock::Timestamp;
use crate::keys::Key;
use crate::refresh::{Family, RefreshToken};
use crate::sign::{Occasion, SignError, Signer};
use crate::tenant::{Tenant, admin_audience, issuer};
use crate::token::claims::{AccessClaims, Epochs};
use crate::token::compact;
use crate::token::identity::{IdentityClaims, OPENID, standard_claims};
use crate::user::{User, join_scope};

use std::collections::BTreeSet;

/// For whom a token is made.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The tenant.
    pub tenant: &'a Tenant,
    /// The user.
    pub user: &'a User,
    /// The session.
    pub family: &'a Family,
    /// The scope it is to have: the family's, or a part of it (RFC 6749 §6).
    pub scope: &'a BTreeSet<String>,
}

/// The audiences of a client's access tokens. The client of the admins has the tenant's administration and nothing
/// else; every other has its APIs and, for a user's own routes, the issuer.
pub fn audiences(client: &Client, issuer: &str) -> BTreeSet<String> {
    if client.is_admin() {
        BTreeSet::from([admin_audience(issuer)])
    } else {
        client.audiences.iter().cloned().chain([issuer.to_owned()]).collect()
    }
}

/// Tokens that were just signed.
#[derive(Clone, Debug)]
pub struct Tokens {
    access: String,
    lives_seconds: u64,
    identity: Option<String>,
}

/// Signs an access token and, where the scope asks for one, an ID token. They live as long as the policy says, and never
/// longer than their session or than any token of the deployment may. The `nonce` is the login's; a refresh has none.
///
/// # Errors
/// See [`SignError`].
pub async fn tokens(
    signer: &Signer,
    public_url: &str,
    subject: Subject<'_>,
    occasion: Occasion<'_>,
    nonce: Option<&str>,
) -> Result<Tokens, SignError> {
    let Subject { tenant, family, .. } = subject;
    let longest = signer.margins().max_access_token_seconds;
    let lives = u64::from(tenant.policy.access_token_seconds).min(longest);
    let end = occasion.now.plus_seconds(lives).min(family.absolute_expiry);
    let claims = claims(public_url, subject, occasion.now, end);
    let lives_seconds = claims.exp.abs_diff(claims.iat);
    let access = |key: &Key| compact::signing_input(key.algorithm, &key.kid, &claims);
    let identity = subject.scope.contains(OPENID).then(|| identity(&claims, subject, nonce));
    let identity = async {
        let Some(claims) = &identity else { return Ok(None) };
        let input = |key: &Key| compact::id_signing_input(key.algorithm, &key.kid, claims);
        signer.sign(occasion, lives_seconds, input).await.map(Some)
    };
    let (access, identity) = tokio::try_join!(signer.sign(occasion, lives_seconds, access), identity)?;
    Ok(Tokens { access, lives_seconds, identity })
}

/// What the ID token says that goes with an access token.
fn identity(access: &AccessClaims, subject: Subject<'_>, nonce: Option<&str>) -> IdentityClaims {
    IdentityClaims {
        iss: access.iss.clone(),
        sub: access.sub,
        aud: access.client_id.clone(),
        exp: access.exp,
        iat: access.iat,
        auth_time: access.auth_time,
        amr: access.amr.clone(),
        sid: access.sid,
        nonce: nonce.map(str::to_owned),
        standard: standard_claims(subject.user, |scope| subject.scope.contains(scope)),
    }
}

fn claims(public_url: &str, subject: Subject<'_>, now: Timestamp, end: Timestamp) -> AccessClaims {
    let Subject { tenant, user, family, scope } = subject;
    AccessClaims {
        iss: issuer(public_url, &tenant.id),
        sub: user.id,
        aud: family.audience.clone(),
        client_id: family.client.clone(),
        exp: end.seconds(),
        iat: now.seconds(),
        nbf: None,
        jti: crate::secret::random_hex::<16>(),
        scope: join_scope(scope),
        sid: family.id,
        tid: tenant.id.clone(),
        ep: Epochs { tenant: family.tenant_epoch, user: family.user_epoch },
        auth_time: family.auth_time.seconds(),
        amr: family.amr.clone(),
        roles: user.roles.clone(),
        permissions: user.permissions.clone(),
        custom: user.claims.clone(),
    }
}

/// Whether a refresh gave a new token or the same one again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Rotation {
    /// The generation of the refresh token.
    pub generation: u32,
    /// Whether it had been given out before.
    pub replayed: bool,
}

/// A token response (RFC 6749 §5.1). Durations are in seconds and count from receipt, never by the device's clock.
#[derive(Serialize)]
pub struct TokenResponse {
    access_token: String,
    token_type: &'static str,
    expires_in: u64,
    refresh_token: String,
    refresh_token_expires_in: u64,
    scope: String,
    sid: String,
    refresh_after: u64,
    server_time: u64,
    session_expires_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rotation: Option<Rotation>,
}

impl TokenResponse {
    /// The response to a login or, with `rotation`, to a refresh.
    pub fn new(
        tokens: Tokens,
        refresh_token: &RefreshToken,
        subject: Subject<'_>,
        rotation: Option<Rotation>,
        now: Timestamp,
    ) -> Self {
        let Subject { family, scope, .. } = subject;
        let session_end = family.idle_expiry.min(family.absolute_expiry);
        let expires_in = tokens.lives_seconds;
        let refresh_token_expires_in = now.seconds_until(session_end);
        Self {
            access_token: tokens.access,
            token_type: "Bearer",
            expires_in,
            refresh_token: refresh_token.encode().to_string(),
            refresh_token_expires_in,
            scope: join_scope(scope),
            sid: family.id.to_string(),
            refresh_after: refresh_after(expires_in.min(refresh_token_expires_in), crate::secret::random()),
            server_time: now.seconds(),
            session_expires_at: family.absolute_expiry.seconds(),
            id_token: tokens.identity,
            rotation,
        }
    }
}

/// When a client should refresh: after 70 to 90 % of what ends first, the access token or the session unused, spread by chance so that a fleet that signed in
/// together does not come back together.
fn refresh_after(expires_in: u64, [random]: [u8; 1]) -> u64 {
    expires_in * (700 + u64::from(random) * 200 / 255) / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refreshing_is_spread_within_the_life_of_the_token() {
        assert_eq!(refresh_after(1000, [0]), 700);
        assert_eq!(refresh_after(1000, [255]), 900);
        assert_eq!(refresh_after(0, [255]), 0);
    }
}
