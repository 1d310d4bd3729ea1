//! Introspection (RFC 7662). For confidential clients of the tenant; each is told of its own tokens and of access tokens
//! for one of its APIs. Everything else is `{"active":false}`, exactly, for whatever reason (RFC 7662 §2.2).

use std::collections::BTreeSet;

use http::StatusCode;
use http::header::AUTHORIZATION;
use leasehold::app::App;
use leasehold::client::{Client, ClientType};
use leasehold::health::{Decision, Place};
use leasehold::http::credentials::Credentials;
use leasehold::http::{Call, Refusal, Reply, body};
use leasehold::id::{FamilyId, UserId};
use leasehold::refresh::family::{Presentation, Verdict, present};
use leasehold::refresh::{Dead, Family, Presented, RefreshToken};
use leasehold::secret::Secret;
use leasehold::store::{Entered, Wanted};
use leasehold::telemetry::Note;
use leasehold::tenant::{Tenant, issuer};
use leasehold::token::verify::{Expected, UnverifiedAudience};
use leasehold::token::{self, AccessClaims, KeySet};
use leasehold::user::{User, join_scope};
use serde::Serialize;

/// What is told of a token that is good (RFC 7662 §2.2).
#[derive(Serialize)]
struct Told {
    active: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<&'static str>,
    iss: String,
    sub: UserId,
    client_id: String,
    scope: String,
    sid: FamilyId,
    exp: u64,
    iat: u64,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    aud: BTreeSet<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<String>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    roles: BTreeSet<String>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    permissions: BTreeSet<String>,
}

/// Why nothing is told. For the log alone.
type Inactive = &'static str;

/// The reason of a token whose epochs are not those of the present.
const EPOCH: Inactive = "epoch";

/// Answers a request to introspect a token. A read that fell into the middle of a sign-out is made once more.
pub async fn introspect(app: &App, call: &Call, note: &mut Note) -> Result<Reply, Refusal> {
    let (credentials, token) = read(call)?;
    let presented = Presented::read(&token);
    let told = match look(app, call, &credentials, &presented, note).await? {
        Err(EPOCH) => look(app, call, &credentials, &presented, note).await?,
        told => told,
    };
    note.decided = Some(Decision { place: Place::Verify, reason: told.as_ref().err().copied() });
    Ok(match told {
        Ok(active) => {
            note.user = Some(active.sub.to_string());
            note.family = Some(active.sid.to_string());
            note.verdict = Some("active");
            Reply::json(StatusCode::OK, &active)
        }
        Err(reason) => {
            note.verdict = Some(reason);
            Reply::json(StatusCode::OK, &serde_json::json!({ "active": false }))
        }
    })
}

async fn look(
    app: &App,
    call: &Call,
    credentials: &Credentials,
    presented: &Presented,
    note: &mut Note,
) -> Result<Result<Told, Inactive>, Refusal> {
    let tenant = call.tenant().ok_or_else(|| credentials.refused())?;
    let wanted = Wanted {
        client: Some(&credentials.client_id),
        user: presented.family().map(|(user, _)| user),
        family: presented.family(),
        ..Wanted::default()
    };
    let entered = app.store.enter(&tenant, wanted).await?.filter(|entered| entered.tenant.is_active());
    let Some(Entered { tenant, client, user, family, .. }) = entered else {
        return Err(credentials.refused());
    };
    note.served = Some(tenant.id.clone());
    let client = credentials.authenticate_active(client, call, note)?;
    if client.kind != ClientType::Confidential {
        return Err(credentials.refused());
    }
    let (Some(user), Some(family)) = (user, family) else { return Ok(Err("session")) };
    let asked = Asked {
        issuer: issuer(&app.config.public_url, &tenant.id),
        tenant: &tenant,
        client: &client,
        user: &user,
        family: &family,
    };
    Ok(match presented {
        Presented::Nothing => Err("malformed"),
        Presented::Refresh(token) => asked.refresh_token(call, token),
        Presented::Access { text, .. } => asked.access_token(call, text.expose()),
    })
}

/// Everything that a token is judged by.
struct Asked<'a> {
    issuer: String,
    tenant: &'a Tenant,
    client: &'a Client,
    user: &'a User,
    family: &'a Family,
}

impl Asked<'_> {
    /// A refresh token is good while it would be taken from this client: the current one, and the one before for as long
    /// as a retry with it would get an answer. Asking ends nothing.
    fn refresh_token(&self, call: &Call, token: &RefreshToken) -> Result<Told, Inactive> {
        let Self { tenant, client, user, family, .. } = *self;
        let presentation = Presentation { tenant, client, user: Some(user), token, now: call.now };
        match present(Some(family), presentation) {
            Verdict::Rotate | Verdict::Replay(_) => Ok(Told {
                active: true,
                token_type: None,
                iss: self.issuer.clone(),
                sub: user.id,
                client_id: family.client.to_string(),
                scope: join_scope(&family.scope),
                sid: family.id,
                exp: family.idle_expiry.min(family.absolute_expiry).seconds(),
                iat: family.created_at.seconds(),
                aud: BTreeSet::new(),
                jti: None,
                roles: BTreeSet::new(),
                permissions: BTreeSet::new(),
            }),
            Verdict::Dead(Dead::Epoch) => Err(EPOCH),
            Verdict::Dead(_) => Err("dead"),
            Verdict::Reuse | Verdict::SlowDuplicate => Err("spent"),
            Verdict::Unknown => Err("unknown"),
        }
    }

    fn access_token(&self, call: &Call, text: &str) -> Result<Told, Inactive> {
        let named = UnverifiedAudience::read(text).map_err(token::Refusal::name)?;
        let Self { tenant, client, user, family, .. } = *self;
        // One of the client's own APIs; or, for the client that it was issued to, any.
        let api = named.aud.iter().find(|api| client.audiences.contains(*api)).or(named.aud.first());
        let audience = api.map(String::as_str).ok_or("audience")?;
        let keys = KeySet::of(&tenant.ring, call.now);
        let expected = Expected { tenant: &tenant.id, issuer: &self.issuer, audience };
        let verified = expected.verifier(&keys).verify(text, call.now).map_err(token::Refusal::name)?;
        let claims = verified.into_claims();
        if !client.audiences.contains(audience) && claims.client_id != client.id {
            return Err("audience");
        }
        if claims.sub != family.user || claims.sid != family.id {
            return Err("session");
        }
        if claims.ep.tenant != tenant.epoch || claims.ep.user != user.epoch || !user.is_active() {
            return Err(EPOCH);
        }
        if !family.is_open(call.now) {
            return Err("session");
        }
        let AccessClaims { iss, sub, aud, client_id, exp, iat, jti, scope, sid, roles, permissions, .. } =
            claims;
        Ok(Told {
            active: true,
            token_type: Some("Bearer"),
            iss,
            sub,
            client_id: client_id.to_string(),
            scope,
            sid,
            exp,
            iat,
            aud,
            jti: Some(jti),
            roles,
            permissions,
        })
    }
}

/// A form (RFC 7662 §2.1). The hint is only a hint and is not needed: our tokens tell themselves apart.
fn read(call: &Call) -> Result<(Credentials, Secret<String>), Refusal> {
    let mut form = body::form(call)?;
    let client_id = form.take("client_id").map(|id| id.expose().clone());
    if client_id.is_none() && !call.headers.contains_key(AUTHORIZATION) {
        return Err(Credentials::missing());
    }
    let credentials = Credentials::read(call, client_id.as_deref(), form.take("client_secret"))?;
    let token = form.take("token").ok_or_else(|| Refusal::invalid_request("token is missing."))?;
    Ok((credentials, token))
}
