//! Logs: JSON lines on standard output, one per request, with stable field names. Never a token, a password, a hash of
//! either, a user's name or a body.

use tracing_subscriber::util::SubscriberInitExt as _;

use crate::clock::Timestamp;
use crate::config::log_level;
use crate::health::Decision;
use crate::id::TenantId;
use crate::metrics::Metric;

/// Sets logging up for the process. `LOG_LEVEL` chooses what is shown, `info` by default.
pub fn start() {
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_target(false)
        .with_max_level(log_level())
        .finish();
    // A second call in one process, as in tests, changes nothing.
    let _already = subscriber.try_init();
    // The text of a panic can hold anything, a secret included: the place alone is logged.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place, "panic");
    }));
}

/// An error and its causes in one line, for the log.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = text + ": " + &cause.to_string();
        next = cause.source();
    }
    text
}

/// What is known of a request by the time it is answered. Only ids.
#[derive(Clone, Debug, Default)]
pub struct Note {
    /// The tenant named by the path.
    pub tenant: Option<String>,
    /// The client, once it is known to exist.
    pub client: Option<String>,
    /// What the client says of its version, once it has the form of one.
    pub client_version: Option<String>,
    /// The user, once known.
    pub user: Option<String>,
    /// The session, once known.
    pub family: Option<String>,
    /// What a refresh token got.
    pub verdict: Option<&'static str>,
    /// The origin of a browser page that may read the answer.
    pub origin: Option<String>,
    /// The tenant, once it was found and is served.
    pub served: Option<TenantId>,
    /// What was decided of a token or a password of that tenant, for the counters of validation health.
    pub decided: Option<Decision>,
}

/// How a request ended.
#[derive(Clone, Copy, Debug)]
pub struct Ending<'a> {
    /// The route, as in the template.
    pub route: &'a str,
    /// The HTTP status.
    pub status: u16,
    /// `ok`, or the error code on the wire.
    pub outcome: &'a str,
    /// Why, more precisely than the wire says.
    pub reason: Option<&'a str>,
    /// The chain of causes of our own trouble.
    pub cause: Option<&'a str>,
    /// When it began.
    pub began: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
}

/// Writes the one line of a request. `error` means that a person should look, `warn` a refusal worth counting.
pub fn request(note: &Note, ending: Ending<'_>) {
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                tenant = note.tenant,
                client = note.client,
                client_version = note.client_version,
                user = note.user,
                family = note.family,
                verdict = note.verdict,
                route = ending.route,
                status = ending.status,
                outcome = ending.outcome,
                reason = ending.reason,
                cause = ending.cause,
                duration_ms = ending.ended.millis().saturating_sub(ending.began.millis()),
                "request"
            )
        };
    }
    if let Some(metric) = ending.reason.and_then(|reason| Metric::of_refusal(reason, ending.cause)) {
        metric.count();
    }
    match ending.status {
        500.. => line!(error),
        400..=499 => line!(warn),
        _ => line!(info),
    }
}
