//! Preflight requests of the token routes (Fetch standard, "CORS protocol"). A preflight names no client, so the origins
//! of all the tenant's clients count; the answer to the request itself names the one origin only if *its* client
//! registered it. Never `*`, never with credentials.

use http::StatusCode;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_MAX_AGE, ORIGIN,
};

use super::call::Call;
use super::error::Refusal;
use super::reply::Reply;
use crate::app::App;
use crate::store::Wanted;
use crate::telemetry::Note;

/// Seconds for which a browser may keep the answer.
const MAX_AGE: &str = "600";

/// Answers a preflight: 204, with permission if a client of the tenant registered the origin, and without otherwise.
///
/// # Errors
/// When the table can't be read.
pub async fn preflight(app: &App, call: &Call, note: &mut Note) -> Result<Reply, Refusal> {
    let reply = Reply::empty(StatusCode::NO_CONTENT);
    let (Some(tenant), Some(origin)) = (call.tenant(), call.header(&ORIGIN)) else { return Ok(reply) };
    let Some(entered) = app.store.enter(&tenant, Wanted::default()).await? else { return Ok(reply) };
    if !entered.tenant.is_active() {
        return Ok(reply);
    }
    if !entered.tenant.origins.contains(origin) {
        return Ok(reply);
    }
    note.origin = Some(origin.to_owned());
    Ok(reply
        .header(ACCESS_CONTROL_ALLOW_METHODS, "POST")
        .header(ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type, x-client-version")
        .header(ACCESS_CONTROL_MAX_AGE, MAX_AGE))
}
