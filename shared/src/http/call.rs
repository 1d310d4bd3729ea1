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
        if self.headers.get_all(AUTHORIZATION).iter().count() > 1 {
            return Err(Bearer::Malformed.into());
        }
        // What is no text is no token either.
        let value = self.headers.get(AUTHORIZATION).map(|value| value.to_str().unwrap_or_default());
        Ok(Secret::new(Bearer::read(value)?.to_owned()))
    }
}

/// Why an `Authorization` header holds no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bearer {
    /// There is none.
    Missing,
    /// It is one of another scheme.
    OtherScheme,
    /// It holds something else, or more than one token.
    Malformed,
}

impl Bearer {
    /// The token of a header (RFC 6750 §2.1), with duplicates folded by commas.
    ///
    /// # Errors
    /// Why there is none.
    pub fn read(header: Option<&str>) -> Result<&str, Self> {
        let (scheme, token) = header.ok_or(Self::Missing)?.split_once(' ').ok_or(Self::Malformed)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            Err(Self::OtherScheme)
        } else if token.is_empty() || token.contains([' ', ',']) {
            Err(Self::Malformed)
        } else {
            Ok(token)
        }
    }
}

impl From<Bearer> for Refusal {
    fn from(bearer: Bearer) -> Self {
        match bearer {
            Bearer::Missing => Self::unauthorized(CHALLENGE, "missing"),
            Bearer::OtherScheme => Self::unauthorized(CHALLENGE, "scheme"),
            Bearer::Malformed => {
                Self::invalid_request("The Authorization header must hold one bearer token.")
            }
        }
    }
}

/// The challenge of a route that needs an access token, when none was shown (RFC 6750 §3).
pub const CHALLENGE: &str = "Bearer realm=\"leasehold\"";

/// The challenge to an access token that is not good.
pub const INVALID_TOKEN: &str = "Bearer realm=\"leasehold\", error=\"invalid_token\"";

/// The challenge to an access token without the scope `openid`, where that is needed.
pub const INSUFFICIENT_OPENID: &str =
    "Bearer realm=\"leasehold\", error=\"insufficient_scope\", scope=\"openid\"";

/// The refusal of an access token that is not good; the reason goes to the log alone.
pub fn invalid_token(reason: &'static str) -> Refusal {
    Refusal::unauthorized(INVALID_TOKEN, reason)
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
