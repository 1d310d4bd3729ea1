//! Revocation by token (RFC 7009). Whatever the token is, the answer is 200 once the client is known: it says nothing.
//!
//! A refresh token is enough if it was ever issued in its family: signing out must work with the token that the device
//! holds, also when the answer with the newer one was lost. An access token ends its session too (RFC 7009 §2.1 lets us).

use http::StatusCode;
use leasehold::app::App;
use leasehold::audit::{Action, Actor, AuditEvent};
use leasehold::client::Client;
use leasehold::http::credentials::Credentials;
use leasehold::http::{Call, Refusal, Reply, body};
use leasehold::refresh::family::{Presentation, Verdict, present};
use leasehold::refresh::{Dead, Family, Presented};
use leasehold::secret::Secret;
use leasehold::store::{Entered, Wanted};
use leasehold::telemetry::Note;
use leasehold::tenant::{Tenant, admin_audience, issuer};
use leasehold::token::{KeySet, Verifier};
use leasehold::user::User;
use serde::Deserialize;

/// Answers a request to revoke a token.
pub async fn revoke(app: &App, call: &Call, note: &mut Note) -> Result<Reply, Refusal> {
    let (credentials, token) = read(call)?;
    let presented = Presented::read(&token);
    let tenant = call.tenant().ok_or_else(|| credentials.refused())?;
    let wanted = Wanted {
        client: Some(&credentials.client_id),
        user: presented.family().map(|(user, _)| user),
        family: presented.family(),
        ..Wanted::default()
    };
    let entered = app.store.enter(&tenant, wanted).await?.filter(|entered| entered.tenant.is_active());
    let Some(Entered { store, tenant, client, user, family, .. }) = entered else {
        return Err(credentials.refused());
    };
    let client = credentials.authenticate(client, call, note)?;
    let done = || Ok(Reply::empty(StatusCode::OK));
    let (Some(user), Some(family)) = (user, family) else { return done() };
    if !entitled(
        app,
        call,
        &presented,
        &Owner { tenant: &tenant, client: &client, user: &user, family: &family },
    ) {
        return done();
    }
    note.user = Some(user.id.to_string());
    note.family = Some(family.id.to_string());
    let audit = AuditEvent::new(call.now, Actor::User(user.id), Action::SessionRevoke)
        .on(&family.id)
        .from(call.source.as_deref());
    store.revoke_family(user.id, family.id, &audit).await?;
    done()
}

struct Owner<'a> {
    tenant: &'a Tenant,
    client: &'a Client,
    user: &'a User,
    family: &'a Family,
}

/// Whether the token is one of this family, shown by its own client. A family that died otherwise is not touched: there
/// is nothing left to end.
fn entitled(app: &App, call: &Call, presented: &Presented, owner: &Owner<'_>) -> bool {
    let Owner { tenant, client, user, family } = *owner;
    match presented {
        Presented::Nothing => false,
        Presented::Refresh(token) => {
            let presentation = Presentation { tenant, client, user: Some(user), token, now: call.now };
            match present(Some(family), presentation) {
                Verdict::Rotate | Verdict::Replay(_) | Verdict::Reuse | Verdict::SlowDuplicate => true,
                Verdict::Dead(dead) => matches!(dead, Dead::User | Dead::Client | Dead::Epoch),
                Verdict::Unknown => false,
            }
        }
        Presented::Access { text, .. } => {
            let issuer = issuer(&app.config.public_url, &tenant.id);
            let audience = if client.is_admin() { admin_audience(&issuer) } else { issuer.clone() };
            let keys = KeySet::of(&tenant.ring, call.now);
            let verifier = Verifier { tenant: &tenant.id, issuer: &issuer, keys: &keys, audience: &audience };
            verifier.verify(text.expose(), call.now).is_ok_and(|verified| {
                let claims = verified.claims();
                claims.client_id == client.id && claims.sid == family.id && claims.sub == family.user
            })
        }
    }
}

/// Form by RFC 7009 §2.1, or JSON. The hint is only a hint and is not needed: our tokens tell themselves apart.
fn read(call: &Call) -> Result<(Credentials, Secret<String>), Refusal> {
    #[derive(Deserialize)]
    struct Json {
        client_id: Option<String>,
        client_secret: Option<Secret<String>>,
        token: Option<Secret<String>>,
    }
    let (client_id, client_secret, token) = match body::kind(call)? {
        body::Kind::Form => {
            let mut form = body::form(call)?;
            (
                form.take("client_id").map(|id| id.expose().clone()),
                form.take("client_secret"),
                form.take("token"),
            )
        }
        body::Kind::Json => {
            let json: Json = body::json(call)?;
            (json.client_id, json.client_secret, json.token.filter(|token| !token.expose().is_empty()))
        }
    };
    let credentials = Credentials::read(call, client_id.as_deref(), client_secret)?;
    Ok((credentials, token.ok_or_else(|| Refusal::invalid_request("token is missing."))?))
}
