//! The user of a request, by the access token, against the present state: on our own routes a revoked token is dead at
//! once, and so is one of a user who was disabled or of a tenant that was suspended.

use super::call::{Call, invalid_token};
use super::error::{Refusal, decision};
use crate::app::App;
use crate::health::Place;
use crate::refresh::Family;
use crate::store::{TenantStore, Wanted};
use crate::telemetry::Note;
use crate::tenant::{Tenant, admin_audience, issuer};
use crate::token::verify::UnverifiedSubject;
use crate::token::{AccessClaims, Epochs, KeySet, Verifier};
use crate::user::User;

/// For what the token must have been issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// A user's own routes.
    Own,
    /// The administration of the tenant.
    Admin,
}

/// The user of a request whose access token was checked against the present state.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// The way to the tenant's items.
    pub store: TenantStore,
    /// The tenant; served.
    pub tenant: Tenant,
    /// The user; active.
    pub user: User,
    /// The session; open.
    pub family: Family,
    /// What the token says.
    pub claims: AccessClaims,
}

/// The reason of a token whose epochs are not those of the present.
pub const EPOCH: &str = "epoch";

/// Verifies the access token, and its session and epochs by a consistent read. A read that fell into the middle of a
/// sign-out is made once more.
///
/// # Errors
/// Challenges by RFC 6750 §3.1.
pub async fn signed_in(
    app: &App,
    call: &Call,
    audience: Audience,
    note: &mut Note,
) -> Result<SignedIn, Refusal> {
    let outcome = match read_signed_in(app, call, audience, note).await {
        Err(refusal) if refusal.reason == EPOCH => read_signed_in(app, call, audience, note).await,
        outcome => outcome,
    };
    note.decided = decision(Place::Verify, outcome.as_ref().err());
    outcome
}

async fn read_signed_in(
    app: &App,
    call: &Call,
    audience: Audience,
    note: &mut Note,
) -> Result<SignedIn, Refusal> {
    let token = call.bearer()?;
    let subject = UnverifiedSubject::read(token.expose()).map_err(|_| invalid_token("malformed"))?;
    let id = call.tenant().ok_or_else(|| invalid_token("tenant"))?;
    let wanted =
        Wanted { user: Some(subject.sub), family: Some((subject.sub, subject.sid)), ..Wanted::default() };
    let entered = app.store.enter(&id, wanted).await?.filter(|entered| entered.tenant.is_active());
    let entered = entered.ok_or_else(|| invalid_token("tenant"))?;
    note.served = Some(id.clone());
    let own = issuer(&app.config.public_url, &id);
    let audience = match audience {
        Audience::Own => own.clone(),
        Audience::Admin => admin_audience(&own),
    };
    let keys = KeySet::of(&entered.tenant.ring, call.now);
    let verifier = Verifier { tenant: &id, issuer: &own, keys: &keys, audience: &audience };
    let verified =
        verifier.verify(token.expose(), call.now).map_err(|refusal| invalid_token(refusal.name()))?;
    let claims = verified.claims().clone();
    let (Some(user), Some(family)) = (entered.user, entered.family) else {
        return Err(invalid_token("session"));
    };
    let now = Epochs { tenant: entered.tenant.epoch, user: user.epoch };
    if claims.ep != now || !user.is_active() {
        return Err(invalid_token(EPOCH));
    }
    if !family.is_open(call.now) {
        return Err(invalid_token("session"));
    }
    note.user = Some(user.id.to_string());
    note.family = Some(family.id.to_string());
    Ok(SignedIn { store: entered.store, tenant: entered.tenant, user, family, claims })
}
