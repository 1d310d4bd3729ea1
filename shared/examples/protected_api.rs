//! An API of a customer's, protected with the verifier of this crate and nothing else of Leasehold: no AWS, no call to
//! us per request. `PUBLIC_URL` is the deployment's, `AUDIENCE` this API's, `ADDRESS` where to listen.
//!
//! ```sh
//! PUBLIC_URL=http://localhost:9000 AUDIENCE=https://api.acme.example cargo run -p leasehold --features remote --example protected_api
//! curl -i localhost:8080/t/acme/orders -H 'authorization: Bearer eyJ…'
//! ```

use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRequestParts, Path};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderName, StatusCode};
use leasehold::id::TenantId;
use leasehold::remote::{OnTrouble, Polling, Remote, Settings};
use leasehold::token::Verified;
use leasehold::view::Denied;
use serde_json::json;

struct Api {
    verifier: Remote,
    audience: String,
}

/// The caller of a request. A handler that takes one is protected; there is no other way to get one.
struct Caller(Verified);

impl FromRequestParts<Arc<Api>> for Caller {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Refused> {
        // The tenant is the one that the request names, never the one that the token names.
        let path = Path::<Vec<(String, String)>>::from_request_parts(parts, api).await;
        let Ok(Path(path)) = path else { return Err(Refused::INVALID) };
        let tenant = path.iter().find(|(name, _)| name == "tenant");
        let Some(Ok(tenant)) = tenant.map(|(_, tenant)| tenant.parse::<TenantId>()) else {
            return Err(Refused::INVALID);
        };
        let header = parts.headers.get(AUTHORIZATION).ok_or(Refused::MISSING)?;
        let token = header.to_str().ok().and_then(|text| text.strip_prefix("Bearer "));
        let token = token.ok_or(Refused::MISSING)?;
        match api.verifier.verify(&tenant, &api.audience, token).await {
            Ok(verified) => Ok(Self(verified)),
            Err(Denied::Refused(_reason)) => Err(Refused::INVALID),
            // The token may be good: a phone must try again, and not sign its user out.
            Err(Denied::Undecided { .. }) => Err(Refused::UNAVAILABLE),
        }
    }
}

impl Caller {
    fn must_have(&self, scope: &str) -> Result<(), Refused> {
        if self.0.claims().has_scope(scope) { Ok(()) } else { Err(Refused::FORBIDDEN) }
    }
}

/// An answer without success (RFC 6750 §3): a status, and a header that says what to do.
struct Refused(StatusCode, HeaderName, &'static str);

impl Refused {
    const MISSING: Self = Self(StatusCode::UNAUTHORIZED, WWW_AUTHENTICATE, "Bearer");
    const INVALID: Self = Self(StatusCode::UNAUTHORIZED, WWW_AUTHENTICATE, "Bearer error=\"invalid_token\"");
    const FORBIDDEN: Self =
        Self(StatusCode::FORBIDDEN, WWW_AUTHENTICATE, "Bearer error=\"insufficient_scope\"");
    const UNAVAILABLE: Self = Self(StatusCode::SERVICE_UNAVAILABLE, RETRY_AFTER, "1");
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let Self(status, name, value) = self;
        (status, [(name, value)]).into_response()
    }
}

async fn orders(caller: Caller) -> Result<Response, Refused> {
    caller.must_have("orders:read")?;
    let body = json!({ "orders": [], "of": caller.0.claims().sub }).to_string();
    Ok(([(CONTENT_TYPE, "application/json")], body).into_response())
}

#[tokio::main]
#[expect(clippy::disallowed_methods, reason = "an example reads its few settings where it starts")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let polling = Polling::every_two_seconds(OnTrouble::Refuse);
    let verifier = Remote::new(&std::env::var("PUBLIC_URL")?, Settings { polling, ..Settings::default() })?;
    let api = Arc::new(Api { verifier, audience: std::env::var("AUDIENCE")? });
    let router = Router::new().route("/t/{tenant}/orders", get(orders)).with_state(api);
    let address = std::env::var("ADDRESS").unwrap_or_else(|_| "127.0.0.1:8080".to_owned());
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("listening on {}", listener.local_addr()?);
    axum::serve(listener, router).await?;
    Ok(())
}
