//! The feed of revocations: a page from the caller's cursor on. Bounded at both ends: nothing older than a token can live,
//! and no more than a page.

use leasehold::app::App;
use leasehold::feed::{Cursor, Feed, PAGE};
use leasehold::http::{Call, Refusal};
use leasehold::store::{Revocations, TenantStore};
use leasehold::tenant::{Tenant, issuer};

/// The page that the caller asks for.
pub async fn page(app: &App, call: &Call, store: &TenantStore, tenant: &Tenant) -> Result<Feed, Refusal> {
    let since = call.query.get("since").map(|since| since.parse::<Cursor>()).transpose();
    let since = since.map_err(|_| Refusal::invalid_request("since is not a cursor."))?;
    let from = Cursor::begin(since, call.now, app.config.verification.overlap_seconds);
    let Revocations { entries, next } = store.list_revocations(&from, call.now, PAGE).await?;
    Ok(Feed {
        issuer: issuer(&app.config.public_url, &tenant.id),
        epoch: tenant.epoch,
        keys: tenant.ring.published(call.now).map(|key| key.kid.clone()).collect(),
        revoked: entries.into_iter().map(Into::into).collect(),
        more: next.is_some(),
        next: next.unwrap_or(Cursor::caught_up(call.now)),
    })
}
