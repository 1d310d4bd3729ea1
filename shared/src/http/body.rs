//! Request bodies: forms (RFC 6749 §3.2) and JSON, small ones only, of the declared type only.

use std::collections::BTreeMap;

use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde::de::DeserializeOwned;

use super::call::Call;
use super::error::Refusal;
use crate::secret::Secret;

/// The largest body that is looked at, in bytes.
pub const MAX_BODY: usize = 8192;

/// A form: parameters by name. An empty one counts as absent, a repeated one is refused (RFC 6749 §3.2).
#[derive(Debug, Default)]
pub struct Form(BTreeMap<String, Secret<String>>);

impl Form {
    /// Takes a parameter out.
    pub fn take(&mut self, name: &str) -> Option<Secret<String>> {
        self.0.remove(name)
    }
}

/// What a body declares itself to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `application/x-www-form-urlencoded`.
    Form,
    /// `application/json`.
    Json,
}

/// What the body declares itself to be.
///
/// # Errors
/// When it is too large, or neither a form nor JSON.
pub fn kind(call: &Call) -> Result<Kind, Refusal> {
    if call.body.expose().len() > MAX_BODY {
        return Err(Refusal::with_status(StatusCode::PAYLOAD_TOO_LARGE, "The body is too large."));
    }
    let declared = call.header(&CONTENT_TYPE).unwrap_or_default();
    let essence = declared.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        Ok(Kind::Form)
    } else if essence.eq_ignore_ascii_case("application/json") {
        Ok(Kind::Json)
    } else {
        Err(unsupported())
    }
}

/// Reads a form.
///
/// # Errors
/// When the body is not one, or repeats a parameter.
pub fn form(call: &Call) -> Result<Form, Refusal> {
    if kind(call)? != Kind::Form {
        return Err(unsupported());
    }
    let mut parameters = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(call.body.expose()) {
        if parameters.insert(name.into_owned(), Secret::new(value.into_owned())).is_some() {
            return Err(Refusal::invalid_request("A parameter is repeated."));
        }
    }
    parameters.retain(|_, value| !value.expose().is_empty());
    Ok(Form(parameters))
}

/// Reads a JSON object. Members that the type does not have are passed over, repeated ones refused.
///
/// # Errors
/// When the body is not JSON of that type.
pub fn json<T: DeserializeOwned>(call: &Call) -> Result<T, Refusal> {
    if kind(call)? != Kind::Json {
        return Err(unsupported());
    }
    let malformed = || Refusal::invalid_request("The body is not JSON of the expected form.");
    // Serde would take an array for an object with its members in order.
    if call.body.expose().trim_ascii_start().first() != Some(&b'{') {
        return Err(malformed());
    }
    serde_json::from_slice(call.body.expose()).map_err(|_| malformed())
}

/// The text of a body of this type, at most so many bytes long.
///
/// # Errors
/// When it is too long, of another type, or not UTF-8.
pub fn text<'a>(call: &'a Call, essence: &str, longest: usize) -> Result<&'a str, Refusal> {
    if call.body.expose().len() > longest {
        return Err(Refusal::with_status(StatusCode::PAYLOAD_TOO_LARGE, "The body is too large."));
    }
    let declared = call.header(&CONTENT_TYPE).unwrap_or_default();
    if !declared.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(essence) {
        return Err(unsupported());
    }
    std::str::from_utf8(call.body.expose()).map_err(|_| Refusal::invalid_request("The body is not UTF-8."))
}

fn unsupported() -> Refusal {
    Refusal::with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE, "The content type is not supported here.")
}
