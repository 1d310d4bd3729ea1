//! What a client sends: a form by RFC 6749 §6, or its JSON twin.

use std::collections::BTreeSet;

use leasehold::client::is_scope_token;
use leasehold::http::credentials::Credentials;
use leasehold::http::{Call, Code, Refusal, body};
use leasehold::refresh::RefreshToken;
use leasehold::secret::Secret;
use leasehold::user::split_scope;
use serde::Deserialize;

/// A request to refresh.
#[derive(Debug)]
pub struct RefreshRequest {
    /// Who asks.
    pub credentials: Credentials,
    /// What it presents; `None` when the text is no token of ours, which answers like an unknown one.
    pub token: Option<RefreshToken>,
    /// The scope that the access token is to have; all of the family's without.
    pub scope: Option<BTreeSet<String>>,
}

#[derive(Deserialize)]
struct Json {
    grant_type: Option<String>,
    client_id: Option<String>,
    client_secret: Option<Secret<String>>,
    refresh_token: Option<Secret<String>>,
    scope: Option<String>,
}

/// Reads the form of RFC 6749 §6.
pub fn from_form(call: &Call) -> Result<RefreshRequest, Refusal> {
    let mut form = body::form(call)?;
    let text = |value: Option<Secret<String>>| value.map(|value| value.expose().clone());
    match text(form.take("grant_type")).as_deref() {
        Some("refresh_token") => {}
        Some(_) => return Err(Refusal::new(Code::UnsupportedGrantType, "grant_type")),
        None => return Err(Refusal::invalid_request("grant_type is missing.")),
    }
    let credentials =
        Credentials::read(call, text(form.take("client_id")).as_deref(), form.take("client_secret"))?;
    request(credentials, form.take("refresh_token"), text(form.take("scope")).as_deref())
}

/// Reads the JSON twin, in which the grant type goes without saying.
pub fn from_json(call: &Call) -> Result<RefreshRequest, Refusal> {
    let json: Json = body::json(call)?;
    if json.grant_type.is_some_and(|grant| grant != "refresh_token") {
        return Err(Refusal::new(Code::UnsupportedGrantType, "grant_type"));
    }
    let credentials = Credentials::read(call, json.client_id.as_deref(), json.client_secret)?;
    request(credentials, json.refresh_token, json.scope.as_deref())
}

/// Reads a confirmation: the *new* token.
pub fn confirmation(call: &Call) -> Result<RefreshRequest, Refusal> {
    let json: Json = body::json(call)?;
    let credentials = Credentials::read(call, json.client_id.as_deref(), json.client_secret)?;
    request(credentials, json.refresh_token, None)
}

fn request(
    credentials: Credentials,
    token: Option<Secret<String>>,
    scope: Option<&str>,
) -> Result<RefreshRequest, Refusal> {
    let token = token
        .filter(|token| !token.expose().is_empty())
        .ok_or_else(|| Refusal::invalid_request("refresh_token is missing."))?;
    let scope = scope.filter(|scope| !scope.is_empty()).map(split_scope);
    if scope.iter().flatten().any(|token| !is_scope_token(token)) {
        return Err(Refusal::new(Code::InvalidScope, "scope_form"));
    }
    Ok(RefreshRequest { credentials, token: RefreshToken::parse(token.expose()).ok(), scope })
}
