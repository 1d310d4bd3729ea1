//! Refresh tokens. What a refresh would give is [`present`]'s to say; the checks tell why.

use super::{About, Checks, Explanation, Facts, Kind, Outcome, Refresh, SESSION_ENDS, span};
use crate::client::ClientStatus;
use crate::clock::{CLOCKS_APART_SECONDS, Timestamp};
use crate::health::versions::is_blocked;
use crate::refresh::family::Presentation;
use crate::refresh::{Family, FamilyStatus, RefreshToken, Replay, Standing, Stranger, Verdict, present};

const AFTER_SESSION: &[&str] = &["lineage", "secret"];
const STATE: &[&str] = &[
    "client_version",
    "user",
    "tenant",
    "client",
    "revoked",
    "absolute_expiry",
    "idle_expiry",
    "tenant_epoch",
    "user_epoch",
    "generation",
];

const UNPROVED: &str = "Nothing is told of the session, since the token is not proved to be of it.";

/// How far back the audit log is asked about a session whose record is gone, in seconds.
const GONE_SECONDS: u64 = 30 * 86_400;

/// Explains a text that has the form of a refresh token.
pub(super) fn explain(token: &RefreshToken, facts: Facts<'_>) -> Explanation {
    let mut checks = Checks::default();
    checks.ok("form", "Prefix, length and checksum hold.");
    let family = facts.family.filter(|family| family.id == token.family && family.user == token.user);
    let Some((family, standing)) = proved(token, family, &facts, &mut checks) else {
        checks.skip_all(STATE, UNPROVED);
        let mut explanation = Explanation::of(Kind::RefreshToken, None, checks);
        explanation.refresh = Some(told(Verdict::Unknown));
        return explanation;
    };
    let verdict = verdict(token, family, &facts);
    alive(family, &facts, &mut checks);
    generation(family, standing, verdict, &facts, &mut checks);
    let about = About {
        sub: family.user,
        sid: family.id,
        client_id: family.client.clone(),
        kid: None,
        iat: None,
        exp: family.idle_expiry.min(family.absolute_expiry).seconds(),
        generation: Some(token.generation),
    };
    let mut explanation = Explanation::of(Kind::RefreshToken, Some(about), checks);
    // A blocked version is turned away before its token is looked at.
    explanation.refresh = Some(if is_outdated(family, &facts) { OUTDATED } else { told(verdict) });
    explanation
}

/// What a refresh from a blocked version gives.
const OUTDATED: Refresh = Refresh {
    verdict: "blocked",
    effect: "A refresh would be refused until the app is updated; nothing would change.",
};

/// Whether the version that the client said last is blocked. It may say another one now.
fn is_outdated(family: &Family, facts: &Facts<'_>) -> bool {
    is_blocked(&facts.tenant.policy, family.client_version.as_deref())
}

/// What the token's own client would be given. A client that is gone is refused before a token is looked at.
fn verdict(token: &RefreshToken, family: &Family, facts: &Facts<'_>) -> Verdict {
    let Facts { tenant, user, now, .. } = *facts;
    let Some(client) = facts.client else { return Verdict::Dead(crate::refresh::Dead::Client) };
    present(Some(family), Presentation { tenant, client, user, token, now })
}

const fn told(verdict: Verdict) -> Refresh {
    let (verdict, effect) = match verdict {
        Verdict::Rotate => ("rotate", "A refresh would give new tokens and the next generation."),
        Verdict::Replay(Replay::Prompt) => {
            ("replay", "A refresh would give the successor again that was given before; it is not counted.")
        }
        Verdict::Replay(Replay::Late) => (
            "late_replay",
            "A refresh would give the successor again that was given before, counted as late.",
        ),
        Verdict::Reuse | Verdict::SlowDuplicate => {
            ("reuse", "A refresh would be refused as a theft, and the session would end.")
        }
        Verdict::Dead(_) => ("dead", "A refresh would be refused; nothing would change."),
        Verdict::Unknown => ("unknown", "A refresh would be refused; nothing would change."),
    };
    Refresh { verdict, effect }
}

/// The family that the token is proved to be of.
fn proved<'a>(
    token: &RefreshToken,
    family: Option<&'a Family>,
    facts: &Facts<'_>,
    checks: &mut Checks,
) -> Option<(&'a Family, Standing)> {
    let Some(family) = family else {
        let detail = "No session of this tenant has the id that it names. It is another tenant's, or made up, or it ended \
                      more than a day ago.";
        let since = facts.now.minus_seconds(GONE_SECONDS);
        checks.failed("session", "unknown", detail).traced(
            SESSION_ENDS,
            Some(token.family.to_string()),
            since,
        );
        checks.skip_all(AFTER_SESSION, UNPROVED);
        return None;
    };
    checks.ok("session", "There is a session of this id.");
    match family.standing(token) {
        Err(Stranger::Generation) => {
            let detail = "It names a generation that has not been yet: it is forged, or the table was restored from a backup.";
            checks.failed("lineage", "unknown", detail);
            checks.skipped("secret", UNPROVED);
            None
        }
        Err(Stranger::Proof) => {
            checks.failed(
                "lineage",
                "unknown",
                "Its proof does not lead to the session's: it was never issued.",
            );
            checks.skipped("secret", UNPROVED);
            None
        }
        Err(Stranger::Secret) => {
            checks.ok("lineage", "Its proof leads to the session's.");
            let detail =
                "Its secret is not that of its generation: it was never issued, or made from an older token.";
            checks.failed("secret", "unknown", detail);
            None
        }
        Ok(standing) => {
            checks.ok("lineage", "Its proof leads to the session's.");
            match standing {
                Standing::Current | Standing::Previous => {
                    checks.ok("secret", "Its secret is that of its generation.");
                }
                Standing::Earlier(_) => {
                    checks.skipped(
                        "secret",
                        "Secrets of earlier generations are not kept; the proof is enough.",
                    );
                }
            }
            Some((family, standing))
        }
    }
}

/// Whether the session gives tokens at all.
fn alive(family: &Family, facts: &Facts<'_>, checks: &mut Checks) {
    let (now, used) = (facts.now, family.last_used_at);
    if is_outdated(family, facts) {
        let detail = "The tenant's policy blocks the version that the client said last.";
        checks.failed("client_version", "blocked_version", detail).traced(&["policy.update"], None, used);
    } else {
        checks.ok(
            "client_version",
            "The tenant's policy does not block the version that the client said last.",
        );
    }
    checks.user(facts.user, family.user, "user", used);
    checks.tenant(facts, used);
    client(family, facts, checks);
    if family.status == FamilyStatus::Active {
        checks.ok("revoked", "The session was not ended.");
    } else {
        // Whoever ended it may have begun before the last refresh was written.
        let since = used.minus_seconds(CLOCKS_APART_SECONDS);
        checks.failed("revoked", "revoked", "The session was ended.").traced(
            SESSION_ENDS,
            Some(family.id.to_string()),
            since,
        );
    }
    expiry("absolute_expiry", "expired", "reached its greatest age", family.absolute_expiry, now, checks);
    expiry("idle_expiry", "idle", "ended for want of use", family.idle_expiry, now, checks);
    checks.epochs((family.tenant_epoch, family.user_epoch), facts, family.user, used);
}

fn client(family: &Family, facts: &Facts<'_>, checks: &mut Checks) {
    let target = Some(family.client.to_string());
    let used = family.last_used_at;
    match facts.client {
        None => checks.failed("client", "client_disabled", "Its client was removed.").traced(
            &["client.delete"],
            target,
            used,
        ),
        Some(client) if client.status != ClientStatus::Active => checks
            .failed("client", "client_disabled", "Its client is disabled.")
            .traced(&["client.update"], target, used),
        Some(client) if family.is_of_a_former(client) => {
            let detail = "Its client was removed; another one was registered under the same id.";
            checks.failed("client", "client_disabled", detail).since(Some(client.created_at));
        }
        Some(_) => checks.ok("client", "Its client is there and active."),
    }
}

fn expiry(
    check: &'static str,
    reason: &'static str,
    what: &str,
    end: Timestamp,
    now: Timestamp,
    checks: &mut Checks,
) {
    if end <= now {
        let detail = format!("The session {what} {} ago.", span(end.seconds_until(now)));
        checks.failed(check, reason, detail).since(Some(end));
    } else {
        checks.ok(check, format!("{} left.", span(now.seconds_until(end))));
    }
}

/// Which generation it is, and what that means by the windows.
fn generation(family: &Family, standing: Standing, verdict: Verdict, facts: &Facts<'_>, checks: &mut Checks) {
    let (now, number) = (facts.now, family.generation);
    let dead = checks.0.iter().any(|check| STATE.contains(&check.check) && check.outcome == Outcome::Failed);
    match (standing, verdict) {
        (Standing::Current, Verdict::Dead(_)) if !dead => {
            checks.failed("generation", "expired", "It is the last generation that can be.");
        }
        (Standing::Current, _) => checks.ok("generation", format!("It is the current one, {number}.")),
        (Standing::Previous, Verdict::Replay(window)) => {
            let left = match window {
                Replay::Prompt => {
                    format!("a retry counts as prompt for {}", span(now.seconds_until(family.retry_until)))
                }
                Replay::Late => {
                    format!("a retry counts as late for {}", span(now.seconds_until(family.late_until)))
                }
            };
            let ago = span(family.rotated_at.seconds_until(now));
            checks.ok("generation", format!("It is the one before {number}, superseded {ago} ago; {left}."));
        }
        (Standing::Previous, Verdict::Dead(_)) => {
            checks
                .ok("generation", format!("It is the one before {number}, which does not matter any more."));
        }
        (Standing::Previous, _) => {
            let why = if family.confirmed {
                "the client has confirmed that it keeps the newer one"
            } else if family.late_until <= now {
                "the time for retries is over"
            } else {
                "too many generations in a row were retried late"
            };
            let detail = format!("It is spent: it is the one before {number}, and {why}.");
            checks.failed("generation", "reuse", detail).since(Some(family.rotated_at));
        }
        (Standing::Earlier(gap), Verdict::Dead(_)) => {
            checks.ok(
                "generation",
                format!("It is spent, {gap} generations old, which does not matter any more."),
            );
        }
        (Standing::Earlier(gap), _) => {
            checks.failed("generation", "reuse", format!("It is spent: {gap} generations have followed it."));
        }
    }
}
