//! `jwks`: publishes what verifiers need: a tenant's public keys, its metadata and its revocations. It has no right in
//! KMS at all: everything comes from the table, so that an outage of KMS affects no verification.

mod revocations;

use http::StatusCode;
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, ETAG, IF_NONE_MATCH};
use leasehold::app::App;
use leasehold::client::ADMIN_SCOPES;
use leasehold::config::Config;
use leasehold::feed;
use leasehold::http::{Call, Refusal, Reply};
use leasehold::keys::Algorithm;
use leasehold::secret::sha256;
use leasehold::store::{Entered, Wanted};
use leasehold::telemetry::Note;
use leasehold::tenant::{Tenant, issuer};
use leasehold::token::identity::{OPENID, STANDARD};
use serde::Serialize;

/// The routes of this function, as in the template: method and path.
pub const ROUTES: &[(&str, &str)] = &[
    ("GET", "/t/{tenant}/.well-known/jwks.json"),
    ("GET", "/t/{tenant}/.well-known/openid-configuration"),
    ("GET", "/.well-known/oauth-authorization-server/t/{tenant}"),
    ("GET", "/t/{tenant}/.well-known/revocations"),
];

/// Seconds for which a stale key set may be used while we can't be reached (RFC 5861 §4).
const STALE_IF_ERROR: u32 = 86_400;

/// Answers a request.
///
/// # Errors
/// The refusal to answer with.
pub async fn handle(app: &App, call: &Call, _note: &mut Note) -> Result<Reply, Refusal> {
    // A tenant that is not served answers like one that does not exist.
    let id = call.tenant().ok_or_else(|| Refusal::not_found("tenant"))?;
    let entered = app.store.enter(&id, Wanted::default()).await?;
    let Entered { store, tenant, .. } =
        entered.filter(|entered| entered.tenant.is_active()).ok_or_else(|| Refusal::not_found("tenant"))?;
    let age = || {
        let max_age = tenant.policy.jwks_max_age_seconds;
        format!("public, max-age={max_age}, stale-if-error={STALE_IF_ERROR}")
    };
    match call.route.as_str() {
        "GET /t/{tenant}/.well-known/jwks.json" => published(call, &age(), &key_set(&tenant, call)?),
        "GET /t/{tenant}/.well-known/openid-configuration"
        | "GET /.well-known/oauth-authorization-server/t/{tenant}" => {
            published(call, &age(), &Metadata::of(&tenant, &app.config, call))
        }
        "GET /t/{tenant}/.well-known/revocations" => {
            let feed = revocations::page(app, call, &store, &tenant).await?;
            published(call, &format!("public, max-age={}", feed::MAX_AGE_SECONDS), &feed)
        }
        _ => Err(Refusal::not_found("route")),
    }
}

fn key_set(tenant: &Tenant, call: &Call) -> Result<serde_json::Value, Refusal> {
    let keys = tenant
        .ring
        .published(call.now)
        .map(|key| key.public.jwk(&key.kid, key.algorithm))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|cause| Refusal::server_error("corrupt", cause))?;
    Ok(serde_json::json!({ "keys": keys }))
}

/// Authorization server metadata (RFC 8414 §2; OpenID Connect Discovery 1.0 §3). It says what is there and nothing more:
/// no authorization endpoint, no password grant.
#[derive(Serialize)]
struct Metadata {
    issuer: String,
    jwks_uri: String,
    /// Ours; RFC 8414 §2 allows more members than it names.
    revocations_uri: String,
    token_endpoint: String,
    token_endpoint_auth_methods_supported: [&'static str; 3],
    revocation_endpoint: String,
    revocation_endpoint_auth_methods_supported: [&'static str; 3],
    introspection_endpoint: String,
    introspection_endpoint_auth_methods_supported: [&'static str; 2],
    userinfo_endpoint: String,
    grant_types_supported: [&'static str; 1],
    response_types_supported: [&'static str; 0],
    subject_types_supported: [&'static str; 1],
    id_token_signing_alg_values_supported: Vec<&'static str>,
    scopes_supported: Vec<&'static str>,
    claims_supported: Vec<&'static str>,
}

const AUTH_METHODS: [&str; 3] = ["none", "client_secret_basic", "client_secret_post"];
const SECRET_METHODS: [&str; 2] = ["client_secret_basic", "client_secret_post"];

impl Metadata {
    fn of(tenant: &Tenant, config: &Config, call: &Call) -> Self {
        let issuer = issuer(&config.public_url, &tenant.id);
        let mut algorithms: Vec<_> =
            tenant.ring.published(call.now).map(|key| Algorithm::name(key.algorithm)).collect();
        algorithms.sort_unstable();
        algorithms.dedup();
        Self {
            jwks_uri: format!("{}/t/{}/.well-known/jwks.json", config.keys_url, tenant.id),
            revocations_uri: format!("{issuer}/.well-known/revocations"),
            token_endpoint: format!("{issuer}/token"),
            token_endpoint_auth_methods_supported: AUTH_METHODS,
            revocation_endpoint: format!("{issuer}/revoke"),
            revocation_endpoint_auth_methods_supported: AUTH_METHODS,
            introspection_endpoint: format!("{issuer}/introspect"),
            introspection_endpoint_auth_methods_supported: SECRET_METHODS,
            userinfo_endpoint: format!("{issuer}/userinfo"),
            grant_types_supported: ["refresh_token"],
            response_types_supported: [],
            subject_types_supported: ["public"],
            id_token_signing_alg_values_supported: algorithms,
            scopes_supported: std::iter::once(OPENID)
                .chain(STANDARD.map(|(scope, _)| scope))
                .chain(ADMIN_SCOPES)
                .collect(),
            claims_supported: ["iss", "sub", "aud", "exp", "iat", "auth_time", "amr", "sid", "nonce"]
                .into_iter()
                .chain(STANDARD.into_iter().flat_map(|(_, claims)| claims.iter().copied()))
                .collect(),
            issuer,
        }
    }
}

/// A public document: anybody may keep it for a time, any page may read it, and who has it gets 304.
fn published(call: &Call, age: &str, document: &impl Serialize) -> Result<Reply, Refusal> {
    let body = serde_json::to_vec(document).map_err(|cause| Refusal::server_error("document", cause))?;
    let tag = format!(
        "\"{}\"",
        sha256(&body).iter().take(12).fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
    );
    let known = call.header(&IF_NONE_MATCH).is_some_and(|tags| {
        tags.split(',').any(|known| known.trim().trim_start_matches("W/") == tag || known.trim() == "*")
    });
    let reply =
        if known { Reply::empty(StatusCode::NOT_MODIFIED) } else { Reply::json(StatusCode::OK, document) };
    Ok(reply.header(CACHE_CONTROL, age).header(ETAG, tag).header(ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
}
