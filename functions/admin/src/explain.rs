//! Why a token is refused. Whose it is, what fails and since when is decided by `leasehold::explain`; this reads what
//! that needs, asks the audit log by whom, and writes down that somebody asked.
//!
//! It must never change a session: asking about a spent refresh token is no theft.

use http::StatusCode;
use leasehold::audit::{Action, AuditRecord};
use leasehold::clock::Timestamp;
use leasehold::explain::{Explanation, Facts, Presented};
use leasehold::http::Reply;
use leasehold::secret::Secret;
use leasehold::store::{Entered, Wanted};
use leasehold::tenant::issuer;
use serde::Deserialize;
use serde_json::json;

use crate::caller::Caller;
use crate::input;
use crate::problem::Problem;

/// The scope without which the audit log is not asked.
const AUDIT: &str = "admin:audit";
/// How many pages of the audit log are read at most.
const PAGES: usize = 20;
/// How long a page is.
const PAGE: u16 = 100;
/// The reason of a token whose epochs are not those of the present.
const EPOCH: &str = "epoch";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    token: Secret<String>,
    audience: Option<String>,
}

/// `POST /explain`. A read that fell into the middle of a sign-out is made once more.
pub async fn explain(caller: &Caller<'_>) -> Result<Reply, Problem> {
    let Asked { token, audience } = input::json(caller.call)?;
    let presented = Presented::read(&token);
    let mut told = judge(caller, &presented, audience.as_deref()).await?;
    if told.reason == Some(EPOCH) {
        told = judge(caller, &presented, audience.as_deref()).await?;
    }
    let log = ask_the_log(caller, &mut told).await?;
    write_down(caller, &told).await?;
    let mut answer = json!(told);
    answer["audit_log"] = json!(log);
    answer["server_time"] = json!(caller.call.now.seconds());
    Ok(Reply::json(StatusCode::OK, &answer))
}

async fn judge(
    caller: &Caller<'_>,
    presented: &Presented,
    audience: Option<&str>,
) -> Result<Explanation, Problem> {
    let named = presented.names();
    let wanted = Wanted { user: named.map(|(user, _)| user), family: named, ..Wanted::default() };
    let mut entered = enter(caller, wanted).await?;
    if let (Presented::Refresh(_), Some(family)) = (presented, &entered.family) {
        // Once more, whole: a verdict is about one moment.
        let client = family.client.clone();
        entered = enter(caller, Wanted { client: Some(&client), ..wanted }).await?;
    }
    let issuer = issuer(&caller.app.config.public_url, &entered.tenant.id);
    Ok(presented.explain(Facts {
        tenant: &entered.tenant,
        issuer: &issuer,
        audience,
        user: entered.user.as_ref(),
        family: entered.family.as_ref(),
        client: entered.client.as_ref(),
        now: caller.call.now,
    }))
}

async fn enter(caller: &Caller<'_>, wanted: Wanted<'_>) -> Result<Entered, Problem> {
    let entered = caller.app.store.enter(&caller.tenant.id, wanted).await?;
    entered.ok_or_else(|| Problem::not_found("tenant"))
}

/// Takes from the audit log who made the token's checks fail. The log is another right than sessions, and so who lacks
/// it is not told. A log too long to be read back to the token's time is given up.
async fn ask_the_log(caller: &Caller<'_>, told: &mut Explanation) -> Result<&'static str, Problem> {
    let Some(since) = told.wanted() else { return Ok("not_needed") };
    if caller.holds(AUDIT).is_err() {
        return Ok("not_allowed");
    }
    let (records, outcome) = records(caller, told, since).await?;
    told.learn(&records);
    Ok(outcome)
}

async fn records(
    caller: &Caller<'_>,
    told: &Explanation,
    since: Timestamp,
) -> Result<(Vec<AuditRecord>, &'static str), Problem> {
    let (mut records, mut from) = (Vec::new(), None);
    for _ in 0..PAGES {
        let page = caller.store.list_audit((since, caller.call.now), from, PAGE).await?;
        records.extend(
            page.items.into_iter().map(|audited| audited.record).filter(|record| told.is_told_by(record)),
        );
        from = page.next;
        if from.is_none() {
            return Ok((records, "searched"));
        }
    }
    Ok((records, "too_long"))
}

/// Who asked, about which session and how it came out; never what was shown. An answer that could not be written down is
/// not given.
async fn write_down(caller: &Caller<'_>, told: &Explanation) -> Result<(), Problem> {
    let mut event = caller.event(Action::TokenExplain).with("kind", told.kind.name()).with("good", told.good);
    if let Some(reason) = told.reason {
        event = event.with("reason", reason);
    }
    if let Some(about) = &told.about {
        event = event.on(&about.sid);
    }
    caller.store.writes().audit(&event).commit().await?;
    Ok(())
}
