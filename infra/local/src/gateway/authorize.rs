//! Lambda authorizers before routes, as API Gateway runs them (HTTP API, payload 2.0, simple response): a request that
//! lacks an identity source is 401 without a call, a refusal is 403, a failure is 500, and a result is kept by the values
//! of all identity sources.
//!
//! A kept result must never serve a request that differs in one of them, nor one at another authorizer.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::request::Parts;
use http::{Response, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::event::{self, Facts};
use super::response;
use crate::clock;
use crate::lambda::{Call, Function, Functions, Outcome};
use crate::random;
use crate::template::{AuthorizerSpec, IdentitySource};

/// How long an authorizer may take ("Authorizer timeout", HTTP API quotas).
const TIME: Duration = Duration::from_secs(10);
/// How many results are kept before those that are over are cleared out.
const KEPT: usize = 10_000;

/// The authorizers, by logical id.
pub type Authorizers = BTreeMap<String, Arc<Authorizer>>;

/// What the authorizer tells the integration.
pub type Told = Map<String, Value>;

/// One authorizer.
#[derive(Debug)]
pub struct Authorizer {
    function: Arc<Function>,
    sources: Vec<IdentitySource>,
    ttl: Duration,
    kept: Mutex<HashMap<Vec<String>, Kept>>,
}

#[derive(Debug, Clone)]
struct Kept {
    /// Since the epoch.
    until: Duration,
    result: Result<Option<Told>, Forbidden>,
}

#[derive(Debug, Clone, Copy)]
struct Forbidden;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    is_authorized: bool,
    #[serde(default)]
    context: Option<Told>,
}

/// The authorizers of the template; an error names the one that cannot run.
pub fn all(specs: BTreeMap<String, AuthorizerSpec>, functions: &Functions) -> Result<Authorizers, String> {
    specs
        .into_iter()
        .map(|(id, spec)| {
            let function = functions.find(&spec.function).cloned();
            let function =
                function.ok_or_else(|| format!("authorizer {id}: no function {}", spec.function))?;
            let AuthorizerSpec { identity_sources: sources, ttl, .. } = spec;
            Ok((id, Arc::new(Authorizer { function, sources, ttl, kept: Mutex::default() })))
        })
        .collect()
}

impl Authorizer {
    /// Whether the request may pass, and what the integration is told; otherwise the gateway's answer.
    pub async fn authorize(&self, parts: &Parts, facts: &Facts<'_>) -> Result<Option<Told>, Response<Body>> {
        let identity = self.sources.iter().map(|source| value(source, parts, facts));
        let identity: Option<Vec<String>> = identity.collect();
        let identity = identity.ok_or_else(|| response::message(StatusCode::UNAUTHORIZED, "Unauthorized"))?;
        let result = match self.find(&identity) {
            Some(result) => result,
            None => self.ask(identity, parts, facts).await?,
        };
        result.map_err(|Forbidden| response::message(StatusCode::FORBIDDEN, "Forbidden"))
    }

    async fn ask(
        &self,
        identity: Vec<String>,
        parts: &Parts,
        facts: &Facts<'_>,
    ) -> Result<Result<Option<Told>, Forbidden>, Response<Body>> {
        let asked = clock::now();
        let event = event::encode_authorizer(parts, facts, &identity);
        let call = Call { id: random::uuid(), trace_id: facts.trace_id.to_owned(), event, limit: Some(TIME) };
        let name = &self.function.spec.name;
        let answer: Bytes = match self.function.invoke(call).await {
            Ok(Outcome::Answer(answer)) => answer,
            Ok(Outcome::Failed(_)) => {
                tracing::warn!("[{name}] {}: the authorizer failed", facts.route_key);
                return Err(super::internal_error());
            }
            Err(_) => {
                tracing::warn!("[{name}] {}: no answer within {TIME:?}", facts.route_key);
                return Err(super::internal_error());
            }
        };
        let Ok(Answer { is_authorized, context }) = serde_json::from_slice(&answer) else {
            tracing::warn!("[{name}] {}: malformed response of the authorizer", facts.route_key);
            return Err(super::internal_error());
        };
        let result = if is_authorized { Ok(context) } else { Err(Forbidden) };
        self.keep(identity, Kept { until: asked + self.ttl, result: result.clone() });
        Ok(result)
    }

    fn find(&self, identity: &[String]) -> Option<Result<Option<Told>, Forbidden>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(identity).filter(|kept| clock::now() < kept.until).map(|kept| kept.result.clone())
    }

    fn keep(&self, identity: Vec<String>, result: Kept) {
        if self.ttl.is_zero() {
            return;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT {
            let now = clock::now();
            kept.retain(|_, kept| now < kept.until);
        }
        kept.insert(identity, result);
    }
}

/// The value of an identity source; absent when it is not there or empty.
fn value(source: &IdentitySource, parts: &Parts, facts: &Facts<'_>) -> Option<String> {
    let value = match source {
        IdentitySource::Header(name) => event::header(&parts.headers, name)?,
        IdentitySource::Query(name) => {
            event::query_parameters(parts.uri.query().unwrap_or_default()).remove(name)?
        }
        IdentitySource::Path => parts.uri.path().to_owned(),
        IdentitySource::RouteKey => facts.route_key.to_owned(),
        IdentitySource::Method => parts.method.as_str().to_owned(),
        IdentitySource::SourceIp => facts.peer.ip().to_string(),
    };
    (!value.is_empty()).then_some(value)
}
