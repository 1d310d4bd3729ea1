//! Why a command did not do what it was asked, and the exit code that says so.

use serde_json::{Value, json};

use crate::http::{NoAnswer, Reply};
use crate::output;

/// Why a command failed. The kind decides the exit code; the text is for people.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Anything that has no code of its own.
    #[error("{0}")]
    Other(String),
    /// The command, or what it asked for, is not possible as it stands.
    #[error("{0}")]
    Usage(String),
    /// Nobody is signed in, or the session has ended.
    #[error("{0}")]
    NotSignedIn(String),
    /// Signed in, but without the right.
    #[error("{0}")]
    Forbidden(String),
    /// There is nothing of that name.
    #[error("{0}")]
    NotFound(String),
    /// What is there stands against it: it exists, it is too early, somebody else was faster.
    #[error("{0}")]
    Conflict(String),
    /// No answer, or "not now": the same command may work later.
    #[error("{0}")]
    Unavailable(String),
    /// Done in part; the report says which.
    #[error("{0}")]
    Partly(String),
    /// A token that was to be verified is not good.
    #[error("{0}")]
    Refused(String),
}

/// The exit codes, for `--help` and the reference.
pub const EXIT_CODES: [(u8, &str); 10] = [
    (0, "done"),
    (1, "failed for a reason without a code of its own"),
    (2, "the command line or the request is not possible as it stands"),
    (3, "not signed in, or the session has ended: leasehold login"),
    (4, "signed in, but not allowed"),
    (5, "there is nothing of that name"),
    (6, "conflict with what is there: it exists, it is too early, somebody else was faster"),
    (7, "no answer, or temporarily unavailable: try again"),
    (8, "done in part: lines of an import were refused"),
    (9, "the token that was to be verified is refused"),
];

impl Failure {
    /// The exit code of the process.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Other(_) => 1,
            Self::Usage(_) => 2,
            Self::NotSignedIn(_) => 3,
            Self::Forbidden(_) => 4,
            Self::NotFound(_) => 5,
            Self::Conflict(_) => 6,
            Self::Unavailable(_) => 7,
            Self::Partly(_) => 8,
            Self::Refused(_) => 9,
        }
    }

    /// The failure that a code of the service means, with this text.
    pub fn of_code(code: &str, status: u16, text: String) -> Self {
        match code {
            "invalid_request"
            | "payload_too_large"
            | "idempotency_mismatch"
            | "precondition_required"
            | "invalid_scope"
            | "weak_password"
            | "password_not_allowed" => Self::Usage(text),
            "invalid_token" | "invalid_credentials" | "invalid_grant" => Self::NotSignedIn(text),
            "insufficient_scope" | "not_yours" | "custody_not_allowed" | "access_denied" => {
                Self::Forbidden(text)
            }
            "not_found" => Self::NotFound(text),
            "already_exists"
            | "too_early"
            | "rotation_planned"
            | "too_many_keys"
            | "wrong_state"
            | "last_admin"
            | "precondition_failed" => Self::Conflict(text),
            "temporarily_unavailable" | "too_many_requests" => Self::Unavailable(text),
            _ => match status {
                401 => Self::NotSignedIn(text),
                403 => Self::Forbidden(text),
                404 => Self::NotFound(text),
                409 | 412 => Self::Conflict(text),
                400..500 => Self::Usage(text),
                502..=504 => Self::Unavailable(text),
                _ => Self::Other(text),
            },
        }
    }

    /// What a refusing answer says: a problem document, an OAuth error, or whatever stands between.
    pub fn of_reply(reply: &Reply) -> Self {
        let body = reply.json();
        if let Some(code) = body["code"].as_str() {
            return Self::of_code(code, reply.status, problem_text(&body));
        }
        if let Some(code) = body["error"].as_str() {
            let text = body["error_description"].as_str().unwrap_or(code).to_owned();
            return Self::of_code(code, reply.status, text);
        }
        let text = body["message"].as_str().map_or_else(|| format!("status {}", reply.status), str::to_owned);
        Self::of_code("", reply.status, format!("the service answered: {text}"))
    }

    /// The failure as JSON, for scripts.
    pub fn json(&self) -> Value {
        json!({ "error": { "exit_code": self.exit_code(), "message": self.to_string() } })
    }
}

impl From<NoAnswer> for Failure {
    fn from(error: NoAnswer) -> Self {
        Self::Unavailable(error.to_string())
    }
}

/// A problem document in words, with the members that say when or what instead.
fn problem_text(problem: &Value) -> String {
    let of = |member: &str| problem[member].as_str().filter(|text| !text.is_empty());
    let mut text = of("detail").or_else(|| of("title")).unwrap_or("refused").to_owned();
    let mut add = |more: String| text.push_str(&more);
    if let Some(member) = of("member") {
        add(format!(" [{member}"));
        if let (Some(low), Some(high)) = (problem["low"].as_i64(), problem["high"].as_i64()) {
            add(format!(": {low} to {high}"));
        }
        add("]".to_owned());
    }
    if let Some(earliest) = problem["earliest_at"].as_u64() {
        add(format!(" (not before {})", output::time::utc(earliest)));
    }
    if let Some(from) = problem["active_from"].as_u64() {
        add(format!(" (planned for {})", output::time::utc(from)));
    }
    if let Some(state) = of("state") {
        add(format!(" (it is {state})"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, body: &Value) -> Reply {
        Reply::of(status, body.to_string().into())
    }

    #[test]
    fn a_refusal_has_the_exit_code_of_its_kind() {
        for (status, body, code, text) in [
            (
                409,
                json!({"code": "too_early", "title": "Too early", "detail": "The key is not old enough.", "earliest_at": 1_800_000_000}),
                6,
                "The key is not old enough. (not before 2027-01-15 08:00:00Z)",
            ),
            (
                400,
                json!({"code": "invalid_request", "title": "Out of bounds", "member": "idle_seconds", "low": 30, "high": 60}),
                2,
                "Out of bounds [idle_seconds: 30 to 60]",
            ),
            (
                409,
                json!({"code": "wrong_state", "title": "Wrong state", "state": "retired"}),
                6,
                "Wrong state (it is retired)",
            ),
            (403, json!({"code": "not_yours", "title": "Not yours"}), 4, "Not yours"),
            (401, json!({"code": "invalid_token", "title": "Sign in"}), 3, "Sign in"),
            (404, json!({"code": "not_found", "title": "Nothing"}), 5, "Nothing"),
            (503, json!({"code": "temporarily_unavailable", "title": "Later"}), 7, "Later"),
            (500, json!({"code": "server_error", "title": "A fault"}), 1, "A fault"),
            (409, json!({"code": "one_of_next_year", "title": "New"}), 6, "New"),
            (401, json!({"error": "invalid_credentials", "error_description": "No."}), 3, "No."),
            (429, json!({"error": "too_many_requests"}), 7, "too_many_requests"),
            (404, json!({"message": "Not Found"}), 5, "the service answered: Not Found"),
            (503, json!({"message": "Service Unavailable"}), 7, "the service answered: Service Unavailable"),
            (502, json!(null), 7, "the service answered: status 502"),
        ] {
            let failure = Failure::of_reply(&reply(status, &body));
            assert_eq!((failure.exit_code(), failure.to_string().as_str()), (code, text), "{body}");
        }
    }

    #[test]
    fn every_exit_code_is_told() {
        let kinds = [
            Failure::Other,
            Failure::Usage,
            Failure::NotSignedIn,
            Failure::Forbidden,
            Failure::NotFound,
            Failure::Conflict,
            Failure::Unavailable,
            Failure::Partly,
            Failure::Refused,
        ];
        let codes: Vec<u8> = kinds.into_iter().map(|kind| kind(String::new()).exit_code()).collect();
        assert_eq!(EXIT_CODES.iter().skip(1).map(|(code, _)| *code).collect::<Vec<_>>(), codes);
    }
}
