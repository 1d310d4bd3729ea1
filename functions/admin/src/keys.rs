//! Signing keys: shown without where their private halves are, and led through their life.

use http::StatusCode;
use http::header::ETAG;
use leasehold::audit::Actor;
use leasehold::http::Reply;
use leasehold::id::Kid;
use leasehold::keys::{Algorithm, Custody, KeyKind};
use leasehold::steps::{Answering, Step, StepError, Taken};
use leasehold::tenant::Tenant;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::caller::Caller;
use crate::once::Once;
use crate::problem::Problem;
use crate::{etag, input};

/// `GET /keys`.
pub fn list(caller: &Caller<'_>) -> Reply {
    let (ring, now) = (&caller.tenant.ring, caller.call.now);
    let keys: Vec<Value> = ring.iter().map(|key| key.show(now)).collect();
    let planned = ring.planned(now).map(|key| {
        json!({ "kid": key.kid, "active_from": key.active_from.map(leasehold::clock::Timestamp::seconds) })
    });
    let answer = json!({
        "items": keys,
        "next_cursor": null,
        "signing": ring.active(now).map(|key| &key.kid),
        "planned": planned,
    });
    Reply::json(StatusCode::OK, &answer).header(ETAG, tag(&caller.tenant))
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Rotate {
    force: bool,
    algorithm: Option<Algorithm>,
    custody: Option<Custody>,
}

/// `POST /keys/rotate`: plans the switch to another key, or makes it where nothing has to be waited for.
pub async fn rotate(caller: &Caller<'_>) -> Result<Reply, Problem> {
    let once = Once::read(caller)?;
    if let Some(reply) = once.replay(caller).await? {
        return Ok(reply);
    }
    let Rotate { force, algorithm, custody } = input::optional_json(caller.call)?;
    let wanted = |tenant: &Tenant| KeyKind {
        algorithm: algorithm.unwrap_or(tenant.policy.algorithm),
        custody: custody.unwrap_or(tenant.policy.custody),
    };
    let now = caller.call.now;
    let answer = |taken: &Taken| {
        let key = taken.tenant.ring.find(&taken.kid).map(|key| key.show(now));
        json!({
            "active_from": key.as_ref().map(|key| &key["active_from"]),
            "key": key,
            "previous": taken.previous,
            "forced": force,
        })
    };
    let answering = |taken: &Taken| once.answer(caller, StatusCode::OK, &answer(taken));
    match step(caller, Some(&answering))?.rotate(wanted, force).await {
        Ok(taken) => Ok(reply(&taken, &answer(&taken))),
        Err(StepError::Answered) => once.replay(caller).await?.ok_or_else(Problem::contended),
        Err(error) => Err(error.into()),
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Promote {
    force: bool,
}

/// `POST /keys/{kid}/promote`.
pub async fn promote(caller: &Caller<'_>) -> Result<Reply, Problem> {
    let Promote { force } = input::optional_json(caller.call)?;
    let taken = step(caller, None)?.promote(&kid(caller)?, force).await?;
    Ok(reply(&taken, &shown(caller, &taken, json!({ "previous": taken.previous, "forced": force }))))
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Nothing {}

/// `POST /keys/{kid}/rollback`.
pub async fn roll_back(caller: &Caller<'_>) -> Result<Reply, Problem> {
    let Nothing {} = input::optional_json(caller.call)?;
    let taken = step(caller, None)?.roll_back(&kid(caller)?).await?;
    let active_from = taken.tenant.ring.find(&taken.kid).and_then(|key| key.active_from);
    let more = json!({ "active_from": active_from.map(leasehold::clock::Timestamp::seconds) });
    Ok(reply(&taken, &shown(caller, &taken, more)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Retain {
    retain: bool,
}

impl Default for Retain {
    fn default() -> Self {
        Self { retain: true }
    }
}

/// `POST /keys/{kid}/retain`.
pub async fn retain(caller: &Caller<'_>) -> Result<Reply, Problem> {
    let Retain { retain } = input::optional_json(caller.call)?;
    let taken = step(caller, None)?.retain(&kid(caller)?, retain).await?;
    Ok(reply(&taken, &shown(caller, &taken, json!({}))))
}

/// `POST /keys/{kid}/compromise`.
pub async fn compromise(caller: &Caller<'_>) -> Result<Reply, Problem> {
    let Nothing {} = input::optional_json(caller.call)?;
    let (taken, replacement) = step(caller, None)?.compromise(&kid(caller)?).await?;
    Ok(reply(&taken, &shown(caller, &taken, json!({ "replacement": replacement }))))
}

fn step<'a>(caller: &'a Caller<'_>, answer: Option<&'a Answering<'a>>) -> Result<Step<'a>, Problem> {
    let conditional = caller.call.headers.contains_key(http::header::IF_MATCH);
    etag::check(caller.call, &tag(&caller.tenant))?;
    Ok(Step {
        store: &caller.app.store,
        kms: &caller.app.kms,
        margins: &caller.app.config.margins,
        tenant: &caller.tenant.id,
        actor: Actor::User(caller.user.id),
        source: caller.call.source.as_deref(),
        version: conditional.then_some(caller.tenant.version),
        answer,
        now: caller.call.now,
    })
}

fn kid(caller: &Caller<'_>) -> Result<Kid, Problem> {
    caller.id("kid", "key")
}

fn shown(caller: &Caller<'_>, taken: &Taken, mut more: Value) -> Value {
    more["key"] = json!(taken.tenant.ring.find(&taken.kid).map(|key| key.show(caller.call.now)));
    more
}

fn reply(taken: &Taken, answer: &Value) -> Reply {
    Reply::json(StatusCode::OK, answer).header(ETAG, tag(&taken.tenant))
}

fn tag(tenant: &Tenant) -> String {
    etag::of(&tenant.id, "keys", "", tenant.version)
}
