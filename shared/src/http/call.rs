//! A request as a function sees it, taken from the API Gateway event (payload 2.0). The tenant is the one in the path,
//! and the source address the one that API Gateway saw: no header can say otherwise.

use std::collections::HashMap;

use http::HeaderMap;
use http::header::{AUTHORIZATION, HeaderName};
use lambda_http::request::RequestContext;
use lambda_http::{Request, RequestExt};

use super::error::Refusal;
use crate::client::is_version;
use crate::clock::Timestamp;
use crate::id::TenantId;
use crate::secret::Secret;

/// How clients name themselves and their version: `<app>/<version>`.
const CLIENT_VERSION: HeaderName = HeaderName::from_static("x-client-version");

/// A request.
#[derive(Clone, Debug)]
pub struct Call {
    /// The route, as in the template: method and path with its parameters' names.
    pub route: String,
    /// When it arrived: the one time by which everything in it is decided.
    pub now: Timestamp,
    /// Its headers. Duplicates were folded with commas by API Gateway.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Secret<Vec<u8>>,
    /// The address it came from.
    pub source: Option<String>,
    /// The query parameter values.
    pub query: HashMap<String, String>,
    parameters: HashMap<String, String>,
}

impl Call {
    /// Takes an event apart.
    pub fn new(request: Request, now: Timestamp) -> Self {
        let parameters = pairs(&request.path_parameters());
        let query = pairs(&request.query_string_parameters());
        let (route, source) = match request.request_context_ref() {
            Some(RequestContext::ApiGatewayV2(context)) => {
                (context.route_key.clone().unwrap_or_default(), context.http.source_ip.clone())
            }
            _ => (String::new(), None),
        };
        let (parts, body) = request.into_parts();
        Self {
            route,
            now,
            headers: parts.headers,
            body: Secret::new(body.to_vec()),
            source,
            query,
            parameters,
        }
    }

    /// The tenant of the path. One that can't exist answers like one that does not.
    pub fn tenant(&self) -> Option<TenantId> {
        self.parameter("tenant")?.parse().ok()
    }

    /// A parameter of the path.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    /// A header's value, when it is there and text.
    pub fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// What the client says of its version, when it has the form of one; never trusted, and bounded.
    pub fn client_version(&self) -> Option<String> {
        let text = self.header(&CLIENT_VERSION)?;
        is_version(text).then(|| text.to_owned())
    }

    /// The access token of the `Authorization` header (RFC 6750 §2.1).
    ///
    /// # Errors
    /// Without one, a challenge; with something else, or more than one, `invalid_request` (RFC 6750 §3.1).
    pub fn bearer(&self) -> Result<Secret<String>, Refusal> {
        let Some(value) = self.headers.get(AUTHORIZATION) else {
            return Err(Refusal::unauthorized(CHALLENGE, "missing"));
        };
        let malformed = || Refusal::invalid_request("The Authorization header must hold one bearer token.");
        let text = value.to_str().map_err(|_| malformed())?;
        let (scheme, token) = text.split_once(' ').ok_or_else(malformed)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Refusal::unauthorized(CHALLENGE, "scheme"));
        }
        if token.is_empty()
            || token.contains([' ', ','])
            || self.headers.get_all(AUTHORIZATION).iter().count() > 1
        {
            return Err(malformed());
        }
        Ok(Secret::new(token.to_owned()))
    }
}

/// The challenge of a route that needs an access token, when none was shown (RFC 6750 §3).
pub const CHALLENGE: &str = "Bearer realm=\"leasehold\"";

/// The refusal of an access token that is not good; the reason goes to the log alone.
pub fn invalid_token(reason: &'static str) -> Refusal {
    Refusal::unauthorized("Bearer realm=\"leasehold\", error=\"invalid_token\"", reason)
}

fn pairs(map: &lambda_http::aws_lambda_events::query_map::QueryMap) -> HashMap<String, String> {
    let mut pairs: HashMap<String, String> = HashMap::new();
    for (name, value) in map.iter() {
        // Folded with commas, as API Gateway does: a doubled parameter is never the one or the other by chance.
        pairs
            .entry(name.to_owned())
            .and_modify(|all| {
                all.push(',');
                all.push_str(value);
            })
            .or_insert_with(|| value.to_owned());
    }
    pairs
}

#[cfg(test)]
#[path = "call_tests.rs"]
mod tests;
