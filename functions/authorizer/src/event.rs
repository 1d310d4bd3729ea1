//! The event that API Gateway sends to an authorizer of an HTTP API (payload 2.0), as far as it is looked at, and the
//! simple response.

use std::collections::HashMap;

use leasehold::client::is_version;
use leasehold::id::TenantId;
use serde::{Deserialize, Serialize};

use crate::rules::Rule;

/// The event.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Event {
    /// The route, as in the template.
    pub route_key: String,
    /// Names in lower case; duplicates folded with commas.
    pub headers: HashMap<String, String>,
    /// Of the path, decoded.
    pub path_parameters: HashMap<String, String>,
}

impl Event {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The tenant of the request: the rule's, or that of the path. One that can't exist is none.
    pub fn tenant(&self, rule: &Rule) -> Option<TenantId> {
        rule.tenant.clone().or_else(|| self.path_parameters.get("tenant")?.parse().ok())
    }

    /// What the client says of its version, when it has the form of one.
    pub fn client_version(&self) -> Option<String> {
        self.header("x-client-version").filter(|text| is_version(text)).map(str::to_owned)
    }
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// Whether the request goes on to the API.
    pub is_authorized: bool,
    /// What the API, or the access log, is told.
    pub context: Context,
}

/// What the API finds in `requestContext.authorizer.lambda`. It must compare `tenant` with its own path.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Context {
    /// `ok`, or the error code of RFC 6750 §3.1, or `missing`, or `temporarily_unavailable`.
    pub verdict: &'static str,
    /// Why, more precisely; absent when all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// The status with which an API answers a refusal; absent when all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The `WWW-Authenticate` that goes with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub challenge: Option<String>,
    /// The bearer of the token; absent when none is good.
    #[serde(flatten)]
    pub bearer: Option<Bearer>,
}

/// Who is calling.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bearer {
    /// The tenant.
    pub tenant: String,
    /// The user.
    pub subject: String,
    /// The session.
    pub session: String,
    /// The client.
    pub client: String,
    /// The granted scope, space-separated.
    pub scope: String,
    /// Roles.
    pub roles: Vec<String>,
    /// Permissions.
    pub permissions: Vec<String>,
    /// When the token ends, in epoch seconds.
    pub expires_at: u64,
}
