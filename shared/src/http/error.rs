//! Refusals: what the wire says, which is constant per code, and what the log says, which is precise.
//!
//! | Code | Status | `client_action` |
//! | --- | --- | --- |
//! | `invalid_request` | 400, 404, 413, 415 | `fix_request` |
//! | `invalid_client` | 401 | `fix_request` |
//! | `invalid_grant` | 400 | `reauthenticate` |
//! | `invalid_scope`, `unsupported_grant_type` | 400 | `fix_request` |
//! | `invalid_credentials` | 401 | `reauthenticate` |
//! | `invalid_token` | 401 | `reauthenticate` |
//! | `insufficient_scope` | 403 | `fix_request` |
//! | `access_denied` | 403 | `fix_request`, `update_app` |
//! | `too_many_requests` | 429 | `retry` |
//! | `temporarily_unavailable` | 503 | `retry` |
//! | `server_error` | 500 | `retry` |
//!
//! Our own trouble is never a 400 or a 401: mobile SDKs sign users out on those.

use std::error::Error;

use http::StatusCode;
use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use serde::Serialize;

use super::reply::Reply;
use crate::health::{Decision, Place};
use crate::kms::KmsError;
use crate::password::{BUSY_SECONDS, HashError};
use crate::refresh::seal::Unopenable;
use crate::sign::SignError;
use crate::store::StoreError;
use crate::telemetry::chain;
use crate::throttle::RetryAfter;

/// Seconds after which a client may try again after trouble of ours.
const RETRY_SECONDS: u64 = 1;
/// Seconds after which a client may try again where a person must look first.
const REPAIR_SECONDS: u64 = 60;

/// An error code on the wire (RFC 6749 §5.2, RFC 6750 §3.1, RFC 7009 §2.2.1, and our own).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The request is malformed.
    InvalidRequest,
    /// The client is unknown or did not authenticate.
    InvalidClient,
    /// The refresh token gives nothing: one answer for every reason.
    InvalidGrant,
    /// The scope is unknown or too wide.
    InvalidScope,
    /// No such grant here.
    UnsupportedGrantType,
    /// The login failed: one answer for every reason.
    InvalidCredentials,
    /// The access token is missing, or gives nothing.
    InvalidToken,
    /// The access token is good, and was not issued for this.
    InsufficientScope,
    /// Signed in, but not entitled.
    AccessDenied,
    /// Too many requests: attempts to sign in, or signatures of a tenant.
    TooManyRequests,
    /// Trouble of ours; try again.
    TemporarilyUnavailable,
    /// Trouble of ours that a person must look at.
    ServerError,
}

/// What a client is to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientAction {
    /// Send the same request again, after `Retry-After`.
    Retry,
    /// Ask the user to sign in.
    Reauthenticate,
    /// The request itself is wrong.
    FixRequest,
    /// The app is too old.
    UpdateApp,
}

impl Code {
    /// The text on the wire.
    pub const fn text(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::InvalidScope => "invalid_scope",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::InvalidCredentials => "invalid_credentials",
            Self::InvalidToken => "invalid_token",
            Self::InsufficientScope => "insufficient_scope",
            Self::AccessDenied => "access_denied",
            Self::TooManyRequests => "too_many_requests",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
            Self::ServerError => "server_error",
        }
    }

    const fn status(self) -> StatusCode {
        match self {
            Self::InvalidRequest | Self::InvalidGrant | Self::InvalidScope | Self::UnsupportedGrantType => {
                StatusCode::BAD_REQUEST
            }
            Self::InvalidClient | Self::InvalidCredentials | Self::InvalidToken => StatusCode::UNAUTHORIZED,
            Self::InsufficientScope | Self::AccessDenied => StatusCode::FORBIDDEN,
            Self::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            Self::TemporarilyUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::ServerError => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    const fn action(self) -> ClientAction {
        match self {
            Self::InvalidRequest
            | Self::InvalidClient
            | Self::InvalidScope
            | Self::UnsupportedGrantType
            | Self::InsufficientScope
            | Self::AccessDenied => ClientAction::FixRequest,
            Self::InvalidGrant | Self::InvalidCredentials | Self::InvalidToken => {
                ClientAction::Reauthenticate
            }
            Self::TooManyRequests | Self::TemporarilyUnavailable | Self::ServerError => ClientAction::Retry,
        }
    }

    const fn description(self) -> &'static str {
        match self {
            Self::InvalidRequest => "The request is malformed.",
            Self::InvalidClient => "The client is unknown or did not authenticate.",
            Self::InvalidGrant => "The refresh token is not valid.",
            Self::InvalidScope => "The scope is not available.",
            Self::UnsupportedGrantType => "The grant type is not supported.",
            Self::InvalidCredentials => "The username or password is not correct.",
            Self::InvalidToken => "The access token is not valid.",
            Self::InsufficientScope => "The access token lacks a scope.",
            Self::AccessDenied => "The user is not entitled to this.",
            Self::TooManyRequests => "Too many requests. Try again later.",
            Self::TemporarilyUnavailable => "The service is temporarily unavailable. Try again.",
            Self::ServerError => "The service failed.",
        }
    }
}

/// What a function refuses with: OAuth's errors ([`Refusal`]), or problem documents where a function has those. The edge
/// makes trouble of its own (a deadline, a panic) into it.
pub trait Refuse: From<Refusal> + Send {
    /// The code on the wire.
    fn code(&self) -> &'static str;
    /// Why, precisely, for the log alone.
    fn reason(&self) -> &'static str;
    /// The chain of causes, for the log alone.
    fn cause(&self) -> Option<String>;
    /// The response. It says what is constant for the code and nothing of the request.
    fn reply(&self) -> Reply;
}

/// A refusal. Made where it is decided, turned into a response and a log line at the edge.
#[derive(Debug)]
pub struct Refusal {
    /// The code on the wire.
    pub code: Code,
    /// Why, precisely, for the log alone.
    pub reason: &'static str,
    status: StatusCode,
    description: &'static str,
    retry_after: Option<u64>,
    challenge: Option<&'static str>,
    action: ClientAction,
    cause: Option<Box<dyn Error + Send + Sync>>,
}

#[derive(Serialize)]
struct Wire {
    error: &'static str,
    error_description: &'static str,
    client_action: ClientAction,
}

impl Refusal {
    /// A refusal with this code; the reason goes to the log.
    pub const fn new(code: Code, reason: &'static str) -> Self {
        Self {
            code,
            reason,
            status: code.status(),
            description: code.description(),
            retry_after: None,
            challenge: None,
            action: code.action(),
            cause: None,
        }
    }

    /// The client's version is blocked by its tenant.
    pub fn outdated() -> Self {
        let description = "This version of the app is no longer served.";
        Self {
            description,
            action: ClientAction::UpdateApp,
            ..Self::new(Code::AccessDenied, "blocked_version")
        }
    }

    /// A malformed request, with a description that is constant and echoes nothing.
    pub fn invalid_request(description: &'static str) -> Self {
        Self { description, ..Self::new(Code::InvalidRequest, "malformed") }
    }

    /// A malformed request with another status than 400.
    pub fn with_status(status: StatusCode, description: &'static str) -> Self {
        Self { status, description, ..Self::new(Code::InvalidRequest, "malformed") }
    }

    /// There is nothing here.
    pub fn not_found(reason: &'static str) -> Self {
        Self { reason, ..Self::with_status(StatusCode::NOT_FOUND, "There is nothing here.") }
    }

    /// A client that did not authenticate; one that tried by header is told how (RFC 6749 §5.2).
    pub fn invalid_client(challenge: Option<&'static str>) -> Self {
        Self { challenge, ..Self::new(Code::InvalidClient, "client") }
    }

    /// An access token that is missing or not good, with the challenge of RFC 6750 §3.
    pub fn unauthorized(challenge: &'static str, reason: &'static str) -> Self {
        Self { challenge: Some(challenge), ..Self::new(Code::InvalidToken, reason) }
    }

    /// An access token without a scope that is needed, with the challenge that names it.
    pub fn insufficient_scope(challenge: &'static str) -> Self {
        Self { challenge: Some(challenge), ..Self::new(Code::InsufficientScope, "scope") }
    }

    /// Trouble of ours that passes: 503.
    pub fn unavailable(reason: &'static str, cause: Option<Box<dyn Error + Send + Sync>>) -> Self {
        Self { retry_after: Some(RETRY_SECONDS), cause, ..Self::new(Code::TemporarilyUnavailable, reason) }
    }

    /// Trouble of ours that a person must look at: 500.
    pub fn server_error(reason: &'static str, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            retry_after: Some(REPAIR_SECONDS),
            cause: Some(cause.into()),
            ..Self::new(Code::ServerError, reason)
        }
    }

    /// Its parts, for a function that answers in another form: status, description, `Retry-After`, challenge.
    pub const fn parts(&self) -> (StatusCode, &'static str, Option<u64>, Option<&'static str>) {
        (self.status, self.description, self.retry_after, self.challenge)
    }
}

/// What an outcome says of a token or a password, for the counters of validation health. Our own trouble decides nothing.
pub fn decision(place: Place, refusal: Option<&Refusal>) -> Option<Decision> {
    match refusal {
        None => Some(Decision { place, reason: None }),
        Some(refusal) if refusal.status.is_server_error() => None,
        Some(refusal) => Some(Decision { place, reason: Some(refusal.reason) }),
    }
}

impl Refuse for Refusal {
    fn code(&self) -> &'static str {
        self.code.text()
    }

    fn reason(&self) -> &'static str {
        self.reason
    }

    fn cause(&self) -> Option<String> {
        let first: &(dyn Error + Send + Sync) = self.cause.as_deref()?;
        Some(chain(first))
    }

    fn reply(&self) -> Reply {
        let wire =
            Wire { error: self.code.text(), error_description: self.description, client_action: self.action };
        let mut reply = Reply::json(self.status, &wire);
        if let Some(seconds) = self.retry_after {
            reply = reply.header(RETRY_AFTER, seconds.to_string());
        }
        if let Some(challenge) = &self.challenge {
            reply = reply.header(WWW_AUTHENTICATE, challenge);
        }
        reply
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(cause) => Self::unavailable("store", Some(cause.into())),
            StoreError::Contended => Self::unavailable("contended", None),
            StoreError::Corrupt { .. } => Self::server_error("corrupt", error),
        }
    }
}

impl From<KmsError> for Refusal {
    fn from(error: KmsError) -> Self {
        match error {
            KmsError::Unavailable(cause) => Self::unavailable("kms", Some(cause.into())),
            KmsError::NotUsable(cause) => Self::unavailable("kms_key", Some(cause.into())),
            KmsError::Unusable(_) => Self::unavailable("kms", Some(error.into())),
        }
    }
}

impl From<SignError> for Refusal {
    fn from(error: SignError) -> Self {
        match error {
            SignError::Kms(error) => error.into(),
            SignError::Store(error) => error.into(),
            SignError::NoActiveKey => Self::unavailable("no_active_key", Some(error.into())),
            SignError::Exhausted(retry) => Self { reason: "signatures", ..retry.into() },
            SignError::Unloadable => Self::server_error("corrupt", error),
            SignError::Compact(error) => Self::server_error("claims", error),
        }
    }
}

impl From<Unopenable> for Refusal {
    fn from(error: Unopenable) -> Self {
        Self::server_error("corrupt", error)
    }
}

impl From<RetryAfter> for Refusal {
    fn from(RetryAfter(seconds): RetryAfter) -> Self {
        Self { retry_after: Some(seconds), ..Self::new(Code::TooManyRequests, "throttled") }
    }
}

impl From<HashError> for Refusal {
    fn from(error: HashError) -> Self {
        match error {
            HashError::Busy => {
                Self { retry_after: Some(BUSY_SECONDS), ..Self::unavailable("hashing_busy", None) }
            }
            HashError::TooLong => Self::invalid_request("The password is too long."),
            HashError::Stored(_) => Self::server_error("corrupt", error),
            HashError::Failed => Self::unavailable("hashing", Some(error.into())),
        }
    }
}
