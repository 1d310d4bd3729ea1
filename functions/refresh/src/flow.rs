//! The way of a refresh: one consistent batch read, decide, sign, one conditional write, reply.
//!
//! Signing comes before the commit, so that a KMS outage spends nobody's token; the reply comes after it, so that nobody
//! holds a token that was not written. A write that came second decides again on what the first one left.

use std::collections::BTreeSet;

use http::StatusCode;
use leasehold::app::App;
use leasehold::audit::{Action, Actor, AuditEvent};
use leasehold::client::Client;
use leasehold::health::Place;
use leasehold::health::versions::is_blocked;
use leasehold::http::{Call, Code, Refusal, Reply, decision};
use leasehold::issue::{self, Rotation, Subject, TokenResponse, Tokens};
use leasehold::refresh::family::{Fresh, NOTABLE_REPLAY_STREAK, Presentation};
use leasehold::refresh::{Dead, Family, RefreshToken, Replay, Verdict, present, present_again};
use leasehold::sign::{Occasion, Priority};
use leasehold::store::{Entered, TenantStore, Wanted};
use leasehold::telemetry::Note;
use leasehold::tenant::Tenant;
use leasehold::user::User;

use crate::request::RefreshRequest;

/// How often one request decides again because another write was first.
const DECISIONS: usize = 8;

/// How often one request reads anew because the epochs it read do not belong together.
const READS: usize = 3;

/// What one request decides on, as one read found it.
struct Scene<'a> {
    app: &'a App,
    call: &'a Call,
    store: &'a TenantStore,
    tenant: &'a Tenant,
    client: &'a Client,
    user: &'a User,
    token: &'a RefreshToken,
    scope: Option<&'a BTreeSet<String>>,
}

/// An access token, and the scope that it has.
#[derive(Clone)]
struct Signed {
    tokens: Tokens,
    scope: BTreeSet<String>,
}

/// What a decision on one read came to.
enum Decided {
    /// The answer.
    Reply(Reply),
    /// The epochs of tenant, user and family differ: the user signed out, or the read fell into the middle of a sign-out
    /// that keeps this session.
    Epochs([u32; 4]),
}

/// Answers a request to refresh.
///
/// A batch read is not one moment: it can find the user after a sign-out and the family, which that sign-out keeps,
/// before it. So epochs that differ count only when a second read finds the same ones.
pub async fn refresh(
    app: &App,
    call: &Call,
    request: RefreshRequest,
    note: &mut Note,
) -> Result<Reply, Refusal> {
    let outcome = decide_on(app, call, &request, note).await;
    note.decided = decision(Place::Refresh, outcome.as_ref().err());
    outcome
}

async fn decide_on(
    app: &App,
    call: &Call,
    request: &RefreshRequest,
    note: &mut Note,
) -> Result<Reply, Refusal> {
    let mut seen = None;
    for _ in 0..READS {
        let found = enter(app, call, request, note).await?;
        if is_blocked(&found.tenant.policy, call.client_version().as_deref()) {
            return Err(Refusal::outdated());
        }
        let token = request.token.as_ref().ok_or_else(|| invalid_grant("malformed"))?;
        let (Some(user), Some(family)) = (found.user, found.family) else {
            note.verdict = Some("unknown");
            return Err(invalid_grant("unknown"));
        };
        note.user = Some(user.id.to_string());
        note.family = Some(family.id.to_string());
        let scene = Scene {
            app,
            call,
            store: &found.store,
            tenant: &found.tenant,
            client: &found.client,
            user: &user,
            token,
            scope: request.scope.as_ref(),
        };
        match scene.decide(family, note).await? {
            Decided::Reply(reply) => return Ok(reply),
            Decided::Epochs(epochs) if seen == Some(epochs) => return Err(invalid_grant("epoch")),
            Decided::Epochs(epochs) => seen = Some(epochs),
        }
    }
    Err(Refusal::unavailable("epochs", None))
}

/// Takes a client's word that it durably keeps the token it shows: its predecessor is spent from now on. Always 204, so
/// that it says nothing of the token.
pub async fn confirm(
    app: &App,
    call: &Call,
    request: RefreshRequest,
    note: &mut Note,
) -> Result<Reply, Refusal> {
    let done = || Ok(Reply::empty(StatusCode::NO_CONTENT));
    let found = enter(app, call, &request, note).await?;
    let (Some(user), Some(mut family), Some(token)) = (found.user, found.family, request.token.as_ref())
    else {
        return done();
    };
    for _ in 0..DECISIONS {
        let presentation = Presentation {
            tenant: &found.tenant,
            client: &found.client,
            user: Some(&user),
            token,
            now: call.now,
        };
        // Only the current token confirms itself.
        if present(Some(&family), presentation) != Verdict::Rotate {
            return done();
        }
        let Some(confirmed) = family.confirm() else { return done() };
        match found.store.commit_family(&family, &confirmed).await? {
            Ok(()) | Err(None) => return done(),
            Err(Some(other)) => family = other,
        }
    }
    Err(Refusal::unavailable("contended", None))
}

/// The tenant with an authenticated client, and what was found of the token.
struct Found {
    store: TenantStore,
    tenant: Tenant,
    client: Client,
    user: Option<User>,
    family: Option<Family>,
}

async fn enter(app: &App, call: &Call, request: &RefreshRequest, note: &mut Note) -> Result<Found, Refusal> {
    let tenant = call.tenant().ok_or_else(|| invalid_grant("tenant"))?;
    let token = request.token.as_ref();
    let wanted = Wanted {
        client: Some(&request.credentials.client_id),
        user: token.map(|token| token.user),
        family: token.map(|token| (token.user, token.family)),
        ..Wanted::default()
    };
    // A tenant that is not served answers like one that does not exist, and both like a token that is not good.
    let entered = app.store.enter(&tenant, wanted).await?.filter(|entered| entered.tenant.is_active());
    let Some(Entered { store, tenant, client, user, family, .. }) = entered else {
        return Err(invalid_grant("tenant"));
    };
    note.served = Some(tenant.id.clone());
    let client = request.credentials.authenticate(client, call, note)?;
    Ok(Found { store, tenant, client, user, family })
}

impl Scene<'_> {
    async fn decide(&self, read: Family, note: &mut Note) -> Result<Decided, Refusal> {
        let mut family = read;
        let mut verdict = present(Some(&family), self.presentation());
        let mut once = None;
        for _ in 0..DECISIONS {
            note.verdict = Some(name(verdict));
            let other = match verdict {
                Verdict::Unknown => return Err(invalid_grant("unknown")),
                Verdict::Dead(Dead::Epoch) => {
                    let (tenant, user) = (self.tenant.epoch, self.user.epoch);
                    return Ok(Decided::Epochs([tenant, family.tenant_epoch, user, family.user_epoch]));
                }
                Verdict::Dead(dead) => return Err(invalid_grant(cause(dead))),
                Verdict::SlowDuplicate => return Err(Refusal::unavailable("slow_duplicate", None)),
                Verdict::Reuse => return Err(self.end(&family).await?),
                Verdict::Rotate => {
                    let signed = Box::pin(self.sign_once(&family, &mut once)).await?;
                    let fresh = Fresh::draw();
                    let rotated = family.rotate(self.tenant, self.token, &fresh, self.call.now);
                    let after = Family { client_version: self.version(&family), ..rotated.family };
                    match self.store.commit_family(&family, &after).await? {
                        Ok(()) => {
                            let rotation = Rotation { generation: after.generation, replayed: false };
                            return Ok(Decided::Reply(self.reply(
                                signed,
                                &rotated.successor,
                                &after,
                                rotation,
                            )));
                        }
                        Err(other) => other,
                    }
                }
                Verdict::Replay(window) => {
                    let signed = Box::pin(self.sign_once(&family, &mut once)).await?;
                    let replayed = family.replay(self.tenant, self.token, window, self.call.now)?;
                    let written = match &replayed.change {
                        None => Ok(()),
                        Some(after) => self.store.commit_family(&family, after).await?,
                    };
                    match written {
                        Ok(()) => {
                            let after = replayed.change.as_ref().unwrap_or(&family);
                            report_streak(after);
                            let rotation = Rotation { generation: after.generation, replayed: true };
                            return Ok(Decided::Reply(self.reply(
                                signed,
                                &replayed.successor,
                                after,
                                rotation,
                            )));
                        }
                        Err(other) => other,
                    }
                }
            };
            verdict = present_again(other.as_ref(), self.presentation());
            let Some(other) = other else { return Err(invalid_grant("unknown")) };
            family = other;
        }
        Err(Refusal::unavailable("contended", None))
    }

    fn presentation(&self) -> Presentation<'_> {
        Presentation {
            tenant: self.tenant,
            client: self.client,
            user: Some(self.user),
            token: self.token,
            now: self.call.now,
        }
    }

    /// Signs the access token, once per read: nothing in it depends on the generation.
    async fn sign_once(&self, family: &Family, signed: &mut Option<Signed>) -> Result<Signed, Refusal> {
        if let Some(signed) = signed {
            return Ok(signed.clone());
        }
        let scope = self.scope(family)?;
        let subject = Subject { tenant: self.tenant, user: self.user, family, scope: &scope };
        let occasion = Occasion {
            tenant: self.tenant,
            store: self.store,
            priority: Priority::Refresh,
            now: self.call.now,
        };
        let tokens =
            issue::tokens(&self.app.signer, &self.app.config.public_url, subject, occasion, None).await?;
        Ok(signed.insert(Signed { tokens, scope }).clone())
    }

    /// The scope asked for, which must be within the family's; the family keeps its own (RFC 6749 §6). Of it, what user,
    /// client and tenant still allow: a right that was taken away is not in the next token.
    fn scope(&self, family: &Family) -> Result<BTreeSet<String>, Refusal> {
        let asked = self.scope.unwrap_or(&family.scope);
        if !asked.is_subset(&family.scope) {
            return Err(Refusal::new(Code::InvalidScope, "scope"));
        }
        Ok(self.user.grant(self.client, &self.tenant.policy, Some(asked)))
    }

    fn version(&self, family: &Family) -> Option<String> {
        self.call.client_version().or_else(|| family.client_version.clone())
    }

    fn reply(&self, signed: Signed, successor: &RefreshToken, family: &Family, rotation: Rotation) -> Reply {
        let subject = Subject { tenant: self.tenant, user: self.user, family, scope: &signed.scope };
        let response = TokenResponse::new(signed.tokens, successor, subject, Some(rotation), self.call.now);
        Reply::json(StatusCode::OK, &response)
    }

    /// A spent token returned: the family ends, in a write that no stream of refreshes can starve.
    async fn end(&self, family: &Family) -> Result<Refusal, Refusal> {
        let audit = AuditEvent::new(self.call.now, Actor::Service, Action::SessionReuse)
            .on(&family.id)
            .from(self.call.source.as_deref());
        self.store.revoke_family(family.user, family.id, &audit).await?;
        tracing::warn!(tenant = %self.tenant.id, family = %family.id, event = "reuse", "a spent refresh token returned");
        Ok(invalid_grant("reuse"))
    }
}

/// One answer for every token that gives nothing; the reason goes to the log alone.
fn invalid_grant(reason: &'static str) -> Refusal {
    Refusal::new(Code::InvalidGrant, reason)
}

fn report_streak(family: &Family) {
    if family.replay_streak >= NOTABLE_REPLAY_STREAK {
        let streak = family.replay_streak;
        tracing::warn!(family = %family.id, streak, event = "replay_streak", "every generation is retried");
    }
}

const fn name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Unknown => "unknown",
        Verdict::Dead(_) => "dead",
        Verdict::Rotate => "rotate",
        Verdict::Replay(Replay::Prompt) => "replay",
        Verdict::Replay(Replay::Late) => "late_replay",
        Verdict::Reuse => "reuse",
        Verdict::SlowDuplicate => "slow_duplicate",
    }
}

const fn cause(dead: Dead) -> &'static str {
    match dead {
        Dead::Revoked => "revoked",
        Dead::Idle => "idle",
        Dead::Expired => "expired",
        Dead::Epoch => "epoch",
        Dead::User => "user",
        Dead::Client => "client_disabled",
        Dead::Tenant => "tenant",
    }
}
