//! Who the client says it is, and with what: by `Authorization: Basic` or in the body, never both (RFC 6749 §2.3.1).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, ORIGIN};

use super::call::Call;
use super::error::Refusal;
use crate::client::{Client, ClientStatus};
use crate::id::ClientId;
use crate::secret::Secret;
use crate::telemetry::Note;

/// Client credentials, unchecked.
#[derive(Debug)]
pub struct Credentials {
    /// Who it says it is.
    pub client_id: ClientId,
    secret: Option<Secret<String>>,
    method: Method,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Header,
    Body,
}

const BASIC_CHALLENGE: &str = "Basic realm=\"leasehold\"";

impl Credentials {
    /// Reads them from the header and from what the body held.
    ///
    /// # Errors
    /// When they are missing, doubled or malformed.
    pub fn read(
        call: &Call,
        client_id: Option<&str>,
        client_secret: Option<Secret<String>>,
    ) -> Result<Self, Refusal> {
        let twice = || Refusal::invalid_request("The client authenticates in more than one way.");
        // In JSON, too, what is empty counts as absent (RFC 6749 §3.2).
        let client_id = client_id.filter(|id| !id.is_empty());
        let client_secret = client_secret.filter(|secret| !secret.expose().is_empty());
        let unknown = |method| Refusal::invalid_client((method == Method::Header).then_some(BASIC_CHALLENGE));
        if let Some(header) = call.headers.get(AUTHORIZATION) {
            let (id, secret) = header.to_str().ok().and_then(basic).ok_or_else(|| unknown(Method::Header))?;
            if client_secret.is_some() || client_id.is_some_and(|named| named != id) {
                return Err(twice());
            }
            let client_id = id.parse().map_err(|_| unknown(Method::Header))?;
            return Ok(Self { client_id, secret: Some(secret), method: Method::Header });
        }
        let client_id = client_id.ok_or_else(|| Refusal::invalid_request("client_id is missing."))?;
        let client_id = client_id.parse().map_err(|_| unknown(Method::Body))?;
        Ok(Self { client_id, secret: client_secret, method: Method::Body })
    }

    /// The refusal of a request without any, on a route that is for clients alone.
    pub fn missing() -> Refusal {
        Refusal::invalid_client(Some(BASIC_CHALLENGE))
    }

    /// The refusal of this client: one that tried by header is told how (RFC 6749 §5.2).
    pub fn refused(&self) -> Refusal {
        Refusal::invalid_client((self.method == Method::Header).then_some(BASIC_CHALLENGE))
    }

    /// The client, authenticated. One that is disabled still authenticates: what it may do is decided later.
    ///
    /// # Errors
    /// When there is no such client, or it did not prove who it is.
    pub fn authenticate(
        &self,
        client: Option<Client>,
        call: &Call,
        note: &mut Note,
    ) -> Result<Client, Refusal> {
        let client = client.ok_or_else(|| self.refused())?;
        note.client = Some(client.id.to_string());
        // A page may read our refusals too, so this comes before them.
        note.origin = call.header(&ORIGIN).filter(|origin| client.allows_origin(origin)).map(str::to_owned);
        if client.accepts(self.secret.as_ref(), call.now) { Ok(client) } else { Err(self.refused()) }
    }

    /// The same, for a route on which a disabled client gets nothing.
    ///
    /// # Errors
    /// Also when the client is disabled.
    pub fn authenticate_active(
        &self,
        client: Option<Client>,
        call: &Call,
        note: &mut Note,
    ) -> Result<Client, Refusal> {
        let client = self.authenticate(client, call, note)?;
        match client.status {
            ClientStatus::Active => Ok(client),
            ClientStatus::Disabled => Err(self.refused()),
        }
    }
}

/// Id and secret of a Basic header; both are form-encoded before they are joined (RFC 6749 §2.3.1).
fn basic(header: &str) -> Option<(String, Secret<String>)> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let joined = Secret::new(String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?);
    let (id, secret) = joined.expose().split_once(':')?;
    if joined.expose().contains('&') {
        return None;
    }
    let decode = |text: &str| {
        form_urlencoded::parse(format!("v={text}").as_bytes()).next().map(|(_, v)| v.into_owned())
    };
    Some((decode(id)?, Secret::new(decode(secret)?)))
}
