//! `authorizer`: the Lambda authorizer for the customer's own APIs (HTTP API, payload 2.0, simple response). Between two
//! polls of a tenant a decision makes no call.
//!
//! It must never refuse by failing nor let through by accident: a route without a rule, a tenant that is none, a token
//! of another tenant are refusals. Only trouble of its own is a failure, which API Gateway answers with 500 and never
//! caches: a client that gets 403 for that would not come back.

mod event;
mod rules;

use std::time::Duration;

use lambda_runtime::Diagnostic;
use leasehold::app::App;
use leasehold::clock::{self, Timestamp};
use leasehold::config::AuthorizerTrouble;
use leasehold::health::{Decision, Place};
use leasehold::http::call::{Bearer as Presented, CHALLENGE, INVALID_TOKEN};
use leasehold::id::TenantId;
use leasehold::live::Live;
use leasehold::telemetry::{self, Ending, Note, chain};
use leasehold::token::Verified;
use leasehold::view::Denied;

pub use event::{Answer, Bearer, Context, Event};
pub use rules::{Rule, Rules, RulesError};

/// The function: the view of each tenant that it was asked about, and the rules of its routes.
#[derive(Debug)]
pub struct Authorizer {
    app: App,
    live: Live,
    rules: Rules,
}

/// Nothing can be decided. Says nothing of the cause, which goes to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("temporarily unavailable")]
pub struct Undecided;

impl From<Undecided> for Diagnostic {
    fn from(undecided: Undecided) -> Self {
        Self { error_type: "Undecided".to_owned(), error_message: undecided.to_string() }
    }
}

/// Why a request does not get through.
#[derive(Debug)]
enum Refused {
    NoRule,
    NoTenant,
    Presented(Presented),
    Denied(Denied),
    Scope,
    Deadline,
}

impl From<Denied> for Refused {
    fn from(denied: Denied) -> Self {
        Self::Denied(denied)
    }
}

impl Authorizer {
    /// Reads the rules.
    ///
    /// # Errors
    /// When they are unusable: the function does not start.
    pub fn new(app: App) -> Result<Self, RulesError> {
        let rules = Rules::read(&app.config.authorizer_routes)?;
        let live = Live::new(app.store.clone(), app.config.public_url.clone(), app.config.verification);
        Ok(Self { app, live, rules })
    }

    /// Answers one event, with one log line.
    ///
    /// # Errors
    /// When nothing can be decided, and the settings do not say to refuse then.
    pub async fn answer(&self, event: &Event, now: Timestamp) -> Result<Answer, Undecided> {
        let rule = self.rules.find(&event.route_key);
        let deadline = Duration::from_secs(self.app.config.request_deadline_seconds);
        // Boxed: the SDK's futures are deep. Counts of earlier decisions are written beside this one's work.
        let deciding = Box::pin(tokio::time::timeout(deadline, self.decide(rule, event, now)));
        let flushing = Box::pin(self.app.recorder.flush_if_due(&self.app.store, now));
        let (decided, ()) = tokio::join!(deciding, flushing);
        let decided = decided.unwrap_or(Err(Refused::Deadline));
        let annotates = rule.is_some_and(|rule| rule.annotate);
        let context = match &decided {
            Ok(verified) => Context::of(verified),
            Err(refused) => refused.context(rule),
        };
        self.count(event, &decided, now);
        log(event, &decided, &context, now);
        let undecided = context.status == Some(503);
        if undecided && !annotates && self.app.config.authorizer_trouble == AuthorizerTrouble::Fail {
            return Err(Undecided);
        }
        Ok(Answer { is_authorized: decided.is_ok() || annotates, context })
    }

    /// Counts the decision on a token, for a tenant that exists. Our own trouble decides nothing, and where no token was
    /// shown there was nothing to decide.
    fn count(&self, event: &Event, decided: &Result<Verified, Refused>, now: Timestamp) {
        let reason = match decided {
            Ok(_) => None,
            Err(Refused::Denied(Denied::Refused(refusal))) => Some(refusal.name()),
            Err(refused @ Refused::Scope) => Some(refused.reason()),
            Err(
                Refused::NoRule
                | Refused::NoTenant
                | Refused::Presented(_)
                | Refused::Denied(Denied::Undecided { .. })
                | Refused::Deadline,
            ) => return,
        };
        let rule = self.rules.find(&event.route_key);
        let Some(tenant) = rule.and_then(|rule| event.tenant(rule)) else { return };
        if self.live.knows(&tenant) {
            let decision = Decision { place: Place::Authorizer, reason };
            self.app.recorder.count(&tenant, event.client_version().as_deref(), decision, now);
        }
    }

    async fn decide(&self, rule: Option<&Rule>, event: &Event, now: Timestamp) -> Result<Verified, Refused> {
        let rule = rule.ok_or(Refused::NoRule)?;
        let tenant = event.tenant(rule).ok_or(Refused::NoTenant)?;
        let token = Presented::read(event.header("authorization")).map_err(Refused::Presented)?;
        let verified = self.live.verify(&tenant, &rule.audience(&tenant), token, now).await?;
        if rule.scopes.iter().all(|scope| verified.claims().has_scope(scope)) {
            Ok(verified)
        } else {
            Err(Refused::Scope)
        }
    }
}

impl Refused {
    /// The refusal as the API is told, which answers with it where the authorizer only annotates.
    fn context(&self, rule: Option<&Rule>) -> Context {
        let scopes = || rule.map(|rule| rule.scopes.join(" ")).unwrap_or_default();
        let (verdict, status, challenge) = match self {
            Self::NoRule => ("access_denied", 403, None),
            Self::Presented(Presented::Missing | Presented::OtherScheme) => {
                ("missing", 401, Some(CHALLENGE.to_owned()))
            }
            Self::Presented(Presented::Malformed) => ("invalid_request", 400, None),
            Self::NoTenant | Self::Denied(Denied::Refused(_)) => {
                ("invalid_token", 401, Some(INVALID_TOKEN.to_owned()))
            }
            Self::Scope => {
                let challenge = format!("{CHALLENGE}, error=\"insufficient_scope\", scope=\"{}\"", scopes());
                ("insufficient_scope", 403, Some(challenge))
            }
            Self::Denied(Denied::Undecided { .. }) | Self::Deadline => ("temporarily_unavailable", 503, None),
        };
        Context { verdict, reason: Some(self.reason()), status: Some(status), challenge, bearer: None }
    }

    /// The reason as logs and counters name it.
    const fn reason(&self) -> &'static str {
        match self {
            Self::NoRule => "no_rule",
            Self::NoTenant => "tenant",
            Self::Presented(Presented::Missing) => "missing",
            Self::Presented(Presented::OtherScheme) => "scheme",
            Self::Presented(Presented::Malformed) => "malformed_header",
            Self::Denied(denied) => denied.name(),
            Self::Scope => "scope",
            Self::Deadline => "deadline",
        }
    }
}

impl Context {
    fn of(verified: &Verified) -> Self {
        let claims = verified.claims();
        let bearer = Bearer {
            tenant: claims.tid.to_string(),
            subject: claims.sub.to_string(),
            session: claims.sid.to_string(),
            client: claims.client_id.to_string(),
            scope: claims.scope.clone(),
            roles: claims.roles.iter().cloned().collect(),
            permissions: claims.permissions.iter().cloned().collect(),
            expires_at: claims.exp,
        };
        Self { verdict: "ok", reason: None, status: None, challenge: None, bearer: Some(bearer) }
    }
}

/// The one line of a decision.
fn log(event: &Event, decided: &Result<Verified, Refused>, context: &Context, began: Timestamp) {
    let claims = decided.as_ref().ok().map(Verified::claims);
    let named = event.path_parameters.get("tenant").and_then(|name| name.parse().ok());
    let note = Note {
        tenant: claims.map(|claims| &claims.tid).or(named.as_ref()).map(TenantId::to_string),
        client: claims.map(|claims| claims.client_id.to_string()),
        client_version: event.client_version(),
        user: claims.map(|claims| claims.sub.to_string()),
        family: claims.map(|claims| claims.sid.to_string()),
        ..Note::default()
    };
    let cause = match decided {
        Err(Refused::Denied(denied @ Denied::Undecided { .. })) => Some(chain(denied)),
        _ => None,
    };
    telemetry::request(
        &note,
        Ending {
            route: &event.route_key,
            status: context.status.unwrap_or(200),
            outcome: context.verdict,
            reason: context.reason,
            cause: cause.as_deref(),
            began,
            ended: clock::now(),
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use leasehold::token::Refusal;

    #[test]
    fn every_refusal_has_the_answer_of_rfc_6750() {
        let rules = Rules::read(r#"{"GET /t/{tenant}/x": {"audience": "a", "scopes": ["r", "w"]}}"#).unwrap();
        let rule = rules.find("GET /t/{tenant}/x");
        let undecided = || Denied::Undecided { reason: "store", cause: None };
        let rows = [
            (Refused::NoRule, 403, "no_rule", ""),
            (Refused::NoTenant, 401, "tenant", INVALID_TOKEN),
            (Refused::Presented(Presented::Missing), 401, "missing", CHALLENGE),
            (Refused::Presented(Presented::OtherScheme), 401, "scheme", CHALLENGE),
            (Refused::Presented(Presented::Malformed), 400, "malformed_header", ""),
            (Denied::Refused(Refusal::Expired).into(), 401, "expired", INVALID_TOKEN),
            (Denied::Refused(Refusal::Session).into(), 401, "session", INVALID_TOKEN),
            (
                Refused::Scope,
                403,
                "scope",
                r#"Bearer realm="leasehold", error="insufficient_scope", scope="r w""#,
            ),
            (undecided().into(), 503, "store", ""),
            (Refused::Deadline, 503, "deadline", ""),
        ];
        for (refused, status, reason, challenge) in rows {
            let context = refused.context(rule);
            assert_eq!(
                (context.status, context.reason, context.challenge.as_deref().unwrap_or_default()),
                (Some(status), Some(reason), challenge)
            );
            assert!(context.bearer.is_none());
        }
    }
}
