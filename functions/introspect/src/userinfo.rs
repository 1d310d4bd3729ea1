//! The user of an access token, for the client that holds it (OpenID Connect Core §5.3).

use http::StatusCode;
use leasehold::app::App;
use leasehold::http::call::INSUFFICIENT_OPENID;
use leasehold::http::signed_in::{Audience, SignedIn, signed_in};
use leasehold::http::{Call, Refusal, Reply};
use leasehold::telemetry::Note;
use leasehold::token::identity::{OPENID, standard_claims};

/// Answers `GET /userinfo`: who the user is, as far as the scope goes.
pub async fn tell(app: &App, call: &Call, note: &mut Note) -> Result<Reply, Refusal> {
    let SignedIn { user, claims, .. } = signed_in(app, call, Audience::Own, note).await?;
    if !claims.has_scope(OPENID) {
        return Err(Refusal::insufficient_scope(INSUFFICIENT_OPENID));
    }
    let mut told = standard_claims(&user, |scope| claims.has_scope(scope));
    told.insert("sub".to_owned(), user.id.to_string().into());
    Ok(Reply::json(StatusCode::OK, &told))
}
