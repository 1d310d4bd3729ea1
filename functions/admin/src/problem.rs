//! Problem documents (RFC 9457): what the wire says, constant per code but for members that name a bound or a moment;
//! and what the log says.

use http::StatusCode;
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use leasehold::client::InvalidSettings;
use leasehold::http::call::CHALLENGE;
use leasehold::http::{Code, Refusal, Refuse, Reply};
use leasehold::keys::Refused;
use leasehold::kms::KmsError;
use leasehold::policy::OutOfBounds;
use leasehold::steps::StepError;
use leasehold::store::StoreError;
use leasehold::tenant::TooManyAdmins;
use leasehold::user::InvalidProfile;
use serde_json::{Map, Value, json};

/// What `type` of every problem begins with.
const TYPE: &str = "urn:leasehold:problem:";

/// Why a request is refused. Boxed: it is what nearly every function here may return.
#[derive(Debug)]
pub struct Problem(Box<Parts>);

#[derive(Debug)]
struct Parts {
    code: &'static str,
    status: StatusCode,
    title: &'static str,
    detail: &'static str,
    extra: Map<String, Value>,
    reason: &'static str,
    challenge: Option<String>,
    retry_after: Option<u64>,
    cause: Option<String>,
}

impl Problem {
    fn new(code: &'static str, status: StatusCode, title: &'static str) -> Self {
        Self(Box::new(Parts {
            code,
            status,
            title,
            detail: title,
            extra: Map::new(),
            reason: code,
            challenge: None,
            retry_after: None,
            cause: None,
        }))
    }

    fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.extra.insert(name.to_owned(), value.into());
        self
    }

    fn saying(mut self, detail: &'static str) -> Self {
        self.0.detail = detail;
        self
    }

    /// The request is malformed, or says something that it may not.
    pub fn invalid(detail: &'static str) -> Self {
        Self::new("invalid_request", StatusCode::BAD_REQUEST, "The request is malformed.").saying(detail)
    }

    /// A member of the request is not as it may be.
    pub fn invalid_member(member: &'static str, detail: &'static str) -> Self {
        Self::invalid(detail).with("member", member)
    }

    /// There is nothing of this id.
    pub fn not_found(reason: &'static str) -> Self {
        let mut problem = Self::new("not_found", StatusCode::NOT_FOUND, "There is nothing here.");
        problem.0.reason = reason;
        problem
    }

    /// There is something of this name.
    pub fn already_exists(detail: &'static str) -> Self {
        Self::new("already_exists", StatusCode::CONFLICT, "It exists already.").saying(detail)
    }

    /// The token does not have the scope that the route needs, or the user's roles no longer grant it (RFC 6750 §3.1).
    pub fn insufficient_scope(scope: &'static str) -> Self {
        let title = "The token or the user lacks the scope that this needs.";
        let mut problem = Self::new("insufficient_scope", StatusCode::FORBIDDEN, title).with("scope", scope);
        let challenge = format!("{CHALLENGE}, error=\"insufficient_scope\", scope=\"{scope}\"");
        problem.0.challenge = Some(challenge);
        problem
    }

    /// The change touches the caller's own rights, or rights that the caller lacks.
    pub fn not_yours(detail: &'static str) -> Self {
        Self::new("not_yours", StatusCode::FORBIDDEN, "This is not yours to change.").saying(detail)
    }

    /// The operator does not let this tenant choose the custody.
    pub fn custody_not_allowed() -> Self {
        let title = "The operator does not allow this custody.";
        Self::new("custody_not_allowed", StatusCode::FORBIDDEN, title)
    }

    /// The change would leave nobody who can administer the tenant.
    pub fn last_admin() -> Self {
        let title = "No other active user would have the role admin.";
        Self::new("last_admin", StatusCode::CONFLICT, title)
    }

    /// `If-Match` is missing (RFC 6585 §3).
    pub fn precondition_required() -> Self {
        let title = "If-Match is missing: send the ETag of what you read, or *.";
        Self::new("precondition_required", StatusCode::PRECONDITION_REQUIRED, title)
    }

    /// What is to be changed is not as the caller read it (RFC 9110 §13.1.1).
    pub fn precondition_failed() -> Self {
        let title = "It has changed since it was read.";
        Self::new("precondition_failed", StatusCode::PRECONDITION_FAILED, title)
    }

    /// The same `Idempotency-Key` came with another request.
    pub fn idempotency_mismatch() -> Self {
        let title = "The Idempotency-Key was used for another request.";
        Self::new("idempotency_mismatch", StatusCode::UNPROCESSABLE_ENTITY, title)
    }

    /// Other writers kept coming first.
    pub fn contended() -> Self {
        StoreError::Contended.into()
    }

    /// Whether the audit log has an entry of it: trouble of ours is in the log, and who is not known leaves none.
    pub fn is_audited(&self) -> bool {
        self.0.status.is_client_error() && self.0.status != StatusCode::UNAUTHORIZED
    }

    fn step(refused: &Refused) -> Self {
        let conflict = |code, title| Self::new(code, StatusCode::CONFLICT, title);
        match refused {
            Refused::NotFound => Self::not_found("key"),
            Refused::WrongState(state) => {
                conflict("wrong_state", "The key is in a state from which this does not lead.")
                    .with("state", json!(state))
            }
            Refused::Destroying => {
                conflict("wrong_state", "The end of the key is decided.").with("state", "destroying")
            }
            Refused::TooEarly { earliest_at } => {
                conflict("too_early", "The key has not been published long enough.")
                    // Rounded up: at that second it is late enough.
                    .with("earliest_at", earliest_at.millis().div_ceil(1000))
            }
            Refused::RotationPlanned { kid, active_from } => {
                conflict("rotation_planned", "A switch to another key is planned already.")
                    .with("kid", kid.as_str())
                    .with("active_from", active_from.seconds())
            }
            Refused::TooManyKeys => {
                conflict("too_many_keys", "The tenant has as many keys as it may; they leave with time.")
            }
        }
    }
}

impl Refuse for Problem {
    fn code(&self) -> &'static str {
        self.0.code
    }

    fn reason(&self) -> &'static str {
        self.0.reason
    }

    fn cause(&self) -> Option<String> {
        self.0.cause.clone()
    }

    fn reply(&self) -> Reply {
        let mut wire = Map::new();
        wire.insert("type".to_owned(), json!(format!("{TYPE}{}", self.0.code)));
        wire.insert("title".to_owned(), json!(self.0.title));
        wire.insert("status".to_owned(), json!(self.0.status.as_u16()));
        wire.insert("code".to_owned(), json!(self.0.code));
        wire.insert("detail".to_owned(), json!(self.0.detail));
        wire.extend(self.0.extra.clone());
        let mut reply = Reply::json(self.0.status, &wire).header(CONTENT_TYPE, "application/problem+json");
        if let Some(seconds) = self.0.retry_after {
            reply = reply.header(RETRY_AFTER, seconds.to_string());
        }
        if let Some(challenge) = &self.0.challenge {
            reply = reply.header(WWW_AUTHENTICATE, challenge);
        }
        reply
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let (status, detail, retry_after, challenge) = refusal.parts();
        let (code, title) = match (refusal.code, status) {
            (_, StatusCode::NOT_FOUND) => ("not_found", "There is nothing here."),
            (_, StatusCode::PAYLOAD_TOO_LARGE) => ("payload_too_large", "The body is too large."),
            (_, StatusCode::UNSUPPORTED_MEDIA_TYPE) => {
                ("unsupported_media_type", "The content type is not supported here.")
            }
            (Code::InvalidToken, _) => ("invalid_token", "The access token is not valid."),
            (Code::InsufficientScope, _) => ("insufficient_scope", "The access token lacks a scope."),
            (Code::TemporarilyUnavailable, _) => {
                ("temporarily_unavailable", "The service is temporarily unavailable. Try again.")
            }
            (Code::ServerError, _) => ("server_error", "The service failed."),
            (Code::TooManyRequests, _) => ("too_many_requests", "Too many requests. Try again later."),
            (
                Code::InvalidRequest
                | Code::InvalidClient
                | Code::InvalidGrant
                | Code::InvalidScope
                | Code::UnsupportedGrantType
                | Code::InvalidCredentials
                | Code::AccessDenied,
                _,
            ) => ("invalid_request", "The request is malformed."),
        };
        let mut problem = Self::new(code, status, title).saying(detail);
        problem.0.reason = refusal.reason;
        problem.0.challenge = challenge.map(str::to_owned);
        problem.0.retry_after = retry_after;
        problem.0.cause = refusal.cause();
        problem
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Refusal::from(error).into()
    }
}

impl From<KmsError> for Problem {
    fn from(error: KmsError) -> Self {
        Refusal::from(error).into()
    }
}

impl From<StepError> for Problem {
    fn from(error: StepError) -> Self {
        match error {
            StepError::Refused(refused) => Self::step(&refused),
            StepError::NoTenant => Self::not_found("tenant"),
            StepError::Custody => Self::custody_not_allowed(),
            StepError::Changed => Self::precondition_failed(),
            // The same request is under way twice: the other one's answer is there in a moment.
            StepError::Answered => Self::contended(),
            StepError::Store(error) => error.into(),
            StepError::Kms(error) => error.into(),
        }
    }
}

impl From<InvalidProfile> for Problem {
    fn from(InvalidProfile { member, why }: InvalidProfile) -> Self {
        Self::invalid_member(member, why)
    }
}

impl From<InvalidSettings> for Problem {
    fn from(InvalidSettings { member, why }: InvalidSettings) -> Self {
        Self::invalid_member(member, why)
    }
}

impl From<OutOfBounds> for Problem {
    fn from(OutOfBounds { name, low, high }: OutOfBounds) -> Self {
        Self::invalid_member(name, "The value lies outside its bounds.").with("low", low).with("high", high)
    }
}

impl From<TooManyAdmins> for Problem {
    fn from(TooManyAdmins: TooManyAdmins) -> Self {
        Self::invalid_member("roles", "As many users have the role admin as may.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use leasehold::clock::Timestamp;

    #[test]
    fn a_moment_to_wait_for_is_never_told_too_early() {
        let at = Timestamp::from_millis(1_800_000_000_001);
        let problem = Problem::step(&Refused::TooEarly { earliest_at: at });
        assert_eq!(problem.0.extra["earliest_at"], 1_800_000_001_u64);
    }

    #[test]
    fn only_a_known_caller_fills_the_audit_log() {
        assert!(Problem::not_found("user").is_audited());
        assert!(Problem::insufficient_scope("admin:keys").is_audited());
        assert!(!Problem::contended().is_audited());
        let unknown = Refusal::unauthorized(CHALLENGE, "missing");
        assert!(!Problem::from(unknown).is_audited());
    }
}
