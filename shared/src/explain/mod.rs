//! Why a token is refused, told to a person who administers its tenant: every check that a verifier or a refresh makes,
//! how it comes out, since when, and, once the audit log was asked, by whom. Pure: the caller reads the items and the log.
//!
//! It must never say anything of a token that no key of this tenant signed, or that is not proved to be of a family of
//! this tenant, beyond that: another tenant's token gets the same answer as one that nobody issued. It must never repeat a
//! token or a part of one that can be redeemed, and it changes nothing. What it finds good must be what a verifier takes
//! and what a refresh would be given.

mod access;
mod refresh;
#[cfg(test)]
mod tests;

use serde::Serialize;

use crate::audit::{Actor, AuditRecord};
use crate::client::Client;
use crate::clock::Timestamp;
use crate::id::{ClientId, FamilyId, Kid, UserId};
use crate::refresh::{Family, RefreshToken};
use crate::secret::Secret;
use crate::tenant::Tenant;
use crate::token::verify::{MAX_TOKEN, UnverifiedSubject, decode, parts};
use crate::user::User;

/// What a text turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An access token.
    AccessToken,
    /// An ID token, which is for its client alone.
    IdToken,
    /// A refresh token.
    RefreshToken,
    /// None of them.
    Unknown,
}

impl Kind {
    /// Its name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AccessToken => "access_token",
            Self::IdToken => "id_token",
            Self::RefreshToken => "refresh_token",
            Self::Unknown => "unknown",
        }
    }
}

/// How a check comes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It holds.
    Ok,
    /// It does not.
    Failed,
    /// It says nothing, because an earlier one failed or because nobody asked.
    Skipped,
}

/// Who acted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Who {
    /// `user`, `operator` or `service`.
    pub kind: &'static str,
    /// Which user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<UserId>,
}

/// Who made a check fail, from the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct By {
    /// When, in epoch seconds.
    pub at: u64,
    /// What was done, as the audit log names it.
    pub action: String,
    /// Who did it.
    pub actor: Who,
}

/// Where in the audit log it says who made a check fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The actions that do so.
    actions: &'static [&'static str],
    /// To what they were done; `None` for the whole tenant.
    target: Option<String>,
    /// Since when it can have been.
    pub since: Timestamp,
}

impl Trace {
    fn is_told_by(&self, record: &AuditRecord) -> bool {
        record.outcome == "ok"
            && record.at >= self.since
            && self.actions.contains(&record.action.as_str())
            && (self.target.is_none() || self.target == record.target)
    }
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Its name.
    pub check: &'static str,
    /// How it comes out.
    pub outcome: Outcome,
    /// What logs and counters call the refusal, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// In words.
    pub detail: String,
    /// Since when it fails, in epoch seconds, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// Who made it fail, where the audit log says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<By>,
    #[serde(skip)]
    trace: Option<Trace>,
}

impl Check {
    const fn since(&mut self, moment: Option<Timestamp>) -> &mut Self {
        self.since = match moment {
            Some(moment) => Some(moment.seconds()),
            None => None,
        };
        self
    }

    fn traced(&mut self, actions: &'static [&'static str], target: Option<String>, since: Timestamp) {
        self.trace = Some(Trace { actions, target, since });
    }
}

/// Whose a token is. Told only of one that is proved to be the tenant's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct About {
    /// The user.
    pub sub: UserId,
    /// The session.
    pub sid: FamilyId,
    /// The client.
    pub client_id: ClientId,
    /// The key that signed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kid: Option<Kid>,
    /// When it was issued, in epoch seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iat: Option<u64>,
    /// When it ends, in epoch seconds.
    pub exp: u64,
    /// Which generation it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<u32>,
}

/// What a refresh with the token would give now, made by the token's own client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Refresh {
    /// `rotate`, `replay`, `late_replay`, `reuse`, `dead`, `blocked` or `unknown`.
    pub verdict: &'static str,
    /// In words.
    pub effect: &'static str,
}

/// A token, explained.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// What it is.
    pub kind: Kind,
    /// Whether it would be taken now.
    pub good: bool,
    /// Why not, as logs and counters name it; of the first check that fails.
    pub reason: Option<&'static str>,
    /// Whose it is.
    pub about: Option<About>,
    /// What a refresh would give.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh: Option<Refresh>,
    /// The checks, in the order in which they are made.
    pub checks: Vec<Check>,
}

impl Explanation {
    fn of(kind: Kind, about: Option<About>, Checks(checks): Checks) -> Self {
        let reason = checks.iter().find_map(|check| check.reason);
        Self { kind, good: reason.is_none(), reason, about, refresh: None, checks }
    }

    /// Since when the audit log can say who made a check fail; `None` when there is nothing to look for.
    pub fn wanted(&self) -> Option<Timestamp> {
        self.traces().map(|trace| trace.since).min()
    }

    /// Whether an entry of the audit log says so of one of the checks.
    pub fn is_told_by(&self, record: &AuditRecord) -> bool {
        self.traces().any(|trace| trace.is_told_by(record))
    }

    /// Takes what the audit log says. Of several entries the earliest is what ended the token.
    pub fn learn(&mut self, records: &[AuditRecord]) {
        for check in &mut self.checks {
            let Some(trace) = &check.trace else { continue };
            let told = records.iter().filter(|record| trace.is_told_by(record));
            let Some(record) = told.min_by_key(|record| record.at) else { continue };
            let actor = match record.actor {
                Actor::User(user) => Who { kind: "user", id: Some(user) },
                Actor::Operator => Who { kind: "operator", id: None },
                Actor::Service => Who { kind: "service", id: None },
            };
            let at = record.at.seconds();
            check.since = check.since.or(Some(at));
            check.by = Some(By { at, action: record.action.clone(), actor });
        }
    }

    fn traces(&self) -> impl Iterator<Item = &Trace> {
        self.checks.iter().filter_map(|check| check.trace.as_ref())
    }
}

/// The tenant's items by which a token is judged, as one consistent read found them.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The tenant that the request names.
    pub tenant: &'a Tenant,
    /// Its issuer.
    pub issuer: &'a str,
    /// The API that refused the token, if the person names it.
    pub audience: Option<&'a str>,
    /// The user that the token names.
    pub user: Option<&'a User>,
    /// The session that the token names.
    pub family: Option<&'a Family>,
    /// The client of that session.
    pub client: Option<&'a Client>,
    /// The one time of this request.
    pub now: Timestamp,
}

/// A text that may be a token, taken apart and not believed.
#[derive(Clone, Debug)]
pub enum Presented {
    /// It has the form of a refresh token.
    Refresh(RefreshToken),
    /// It has the form of a signed token.
    Signed {
        /// The text.
        text: Secret<String>,
        /// Whose it claims to be, if it says so.
        subject: Option<UnverifiedSubject>,
    },
    /// It has no form of ours.
    Malformed(Kind, &'static str),
}

impl Presented {
    /// Takes a text apart.
    pub fn read(text: &Secret<String>) -> Self {
        let token = text.expose();
        if let Ok(token) = RefreshToken::parse(token) {
            return Self::Refresh(token);
        }
        if token.contains(char::is_whitespace) {
            return Self::Malformed(
                Kind::Unknown,
                "There are blanks or line ends in it, or something stands before it.",
            );
        }
        if token.starts_with("lhr_") {
            let why = "It begins like a refresh token, but is cut off, mistyped or too long: its checksum does not hold.";
            return Self::Malformed(Kind::RefreshToken, why);
        }
        if token.len() > MAX_TOKEN {
            return Self::Malformed(Kind::Unknown, "It is longer than any token of ours.");
        }
        let Ok(split) = parts(token) else {
            let why =
                "It is neither a refresh token, which begins with lhr_, nor three parts with dots between.";
            return Self::Malformed(Kind::Unknown, why);
        };
        if split.into_iter().any(|part| decode(part).is_err()) {
            let why = "Its three parts are not all base64url without padding: it is cut off or was changed.";
            return Self::Malformed(Kind::Unknown, why);
        }
        Self::Signed { text: text.clone(), subject: UnverifiedSubject::read(token).ok() }
    }

    /// The session that it names, to be read along.
    pub fn names(&self) -> Option<(UserId, FamilyId)> {
        match self {
            Self::Refresh(token) => Some((token.user, token.family)),
            Self::Signed { subject, .. } => subject.map(|subject| (subject.sub, subject.sid)),
            Self::Malformed(..) => None,
        }
    }

    /// Explains it.
    pub fn explain(&self, facts: Facts<'_>) -> Explanation {
        match self {
            Self::Refresh(token) => refresh::explain(token, facts),
            Self::Signed { text, .. } => access::explain(text.expose(), facts),
            Self::Malformed(kind, why) => {
                let mut checks = Checks::default();
                checks.failed("form", "malformed", *why);
                Explanation::of(*kind, None, checks)
            }
        }
    }
}

#[derive(Default)]
struct Checks(Vec<Check>);

impl Checks {
    fn add(
        &mut self,
        check: &'static str,
        outcome: Outcome,
        reason: Option<&'static str>,
        detail: String,
    ) -> &mut Check {
        self.0.push(Check { check, outcome, reason, detail, since: None, by: None, trace: None });
        self.0.last_mut().expect("one was just added")
    }

    fn ok(&mut self, check: &'static str, detail: impl Into<String>) {
        self.add(check, Outcome::Ok, None, detail.into());
    }

    fn failed(&mut self, check: &'static str, reason: &'static str, detail: impl Into<String>) -> &mut Check {
        self.add(check, Outcome::Failed, Some(reason), detail.into())
    }

    fn skipped(&mut self, check: &'static str, detail: impl Into<String>) {
        self.add(check, Outcome::Skipped, None, detail.into());
    }

    fn skip_all(&mut self, checks: &[&'static str], detail: &'static str) {
        for check in checks {
            self.skipped(check, detail);
        }
    }

    /// Whether the tenant is served.
    fn tenant(&mut self, facts: &Facts<'_>, since: Timestamp) {
        if facts.tenant.is_active() {
            self.ok("tenant", "It is served.");
        } else {
            const ENDED: &[&str] = &["tenant.suspend", "tenant.delete"];
            self.failed("tenant", "tenant", "It is not served.").traced(ENDED, None, since);
        }
    }

    /// The checks of the user's item, which both kinds of token have.
    fn user(&mut self, user: Option<&User>, id: UserId, reason: &'static str, since: Timestamp) {
        match user {
            None => self.failed("user", reason, "The user was removed.").traced(
                &["user.delete"],
                Some(id.to_string()),
                since,
            ),
            Some(user) if !user.is_active() => self.failed("user", reason, "The user is disabled.").traced(
                &["user.disable"],
                Some(id.to_string()),
                since,
            ),
            Some(_) => self.ok("user", "The user is there and active."),
        }
    }

    /// The checks of the epochs.
    fn epochs(&mut self, own: (u32, u32), facts: &Facts<'_>, id: UserId, since: Timestamp) {
        if own.0 == facts.tenant.epoch {
            self.ok("tenant_epoch", "Nobody has signed the whole tenant out since.");
        } else {
            self.failed(
                "tenant_epoch",
                "epoch",
                "Everybody of the tenant was signed out since, or it was suspended.",
            )
            .traced(&["tenant.sign_out", "tenant.suspend"], None, since);
        }
        match facts.user {
            None => self.skipped("user_epoch", "There is no such user."),
            Some(user) if own.1 == user.epoch => {
                self.ok("user_epoch", "The user has not been signed out everywhere since.");
            }
            Some(_) => {
                let actions: &[&str] =
                    &["user.sign_out", "user.password", "user.reset", "user.disable", "user.restore"];
                let detail = "The user was signed out everywhere since: by themselves, by an admin, by a new password or by being disabled.";
                self.failed("user_epoch", "epoch", detail).traced(actions, Some(id.to_string()), since);
            }
        }
    }
}

/// What ends one session.
const SESSION_ENDS: &[&str] = &["session.revoke", "session.end", "session.reuse", "session.evict"];

/// Seconds in words, in the largest unit that is not too coarse.
fn span(seconds: u64) -> String {
    match seconds {
        0..600 => format!("{seconds} s"),
        600..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}
