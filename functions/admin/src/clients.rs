//! Clients: registered, changed, given another secret, removed. A secret is shown once; while it is replaced, the one
//! before is good for a while.

use std::collections::BTreeSet;

use http::StatusCode;
use http::header::{ETAG, LOCATION};
use leasehold::audit::Action;
use leasehold::client::{
    ADMIN_CLIENT, Client, ClientStatus, ClientType, InvalidSettings, Settings, check_origins,
};
use leasehold::clock::Timestamp;
use leasehold::http::Reply;
use leasehold::id::ClientId;
use leasehold::store::{Commit, Entered, Page, Part, Wanted};
use leasehold::tenant::Tenant;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::caller::Caller;
use crate::once::Once;
use crate::problem::Problem;
use crate::{ATTEMPTS, etag, input, paging};

const LIST: &str = "clients";

/// How long the secret before is good where nobody says, in seconds.
const OVERLAP_SECONDS: u32 = 86_400;
/// How long it may be good.
const LONGEST_OVERLAP_SECONDS: u32 = 2_592_000;

/// `GET /clients`.
pub async fn list(caller: &Caller<'_>) -> Result<Reply, Problem> {
    let from = paging::place(caller, LIST)?;
    let found = caller.store.list_clients(from, input::limit(caller.call)?).await?;
    let items = found.items.iter().map(|client| show_client(client, caller.call.now)).collect();
    let page = Page { items, next: found.next };
    Ok(Reply::json(StatusCode::OK, &paging::answer(caller, LIST, page).await?))
}

/// `GET /clients/{id}`.
pub async fn show(caller: &Caller<'_>) -> Result<Reply, Problem> {
    let (_, client) = load(caller, &caller.id("id", "client")?).await?;
    Ok(reply(caller, StatusCode::OK, &client, &show_client(&client, caller.call.now)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewClient {
    client_id: String,
    #[serde(rename = "type")]
    kind: ClientType,
    #[serde(default)]
    audiences: BTreeSet<String>,
    #[serde(default)]
    scopes: BTreeSet<String>,
    #[serde(default)]
    origins: BTreeSet<String>,
}

/// `POST /clients`.
pub async fn create(caller: &Caller<'_>) -> Result<Reply, Problem> {
    let once = Once::read(caller)?;
    if let Some(reply) = once.replay(caller).await? {
        return Ok(reply);
    }
    let NewClient { client_id, kind, audiences, scopes, origins } = input::json(caller.call)?;
    let id: ClientId = client_id.parse().map_err(|_| {
        Problem::invalid_member("client_id", "2 to 64 of a-z 0-9 . _ -, beginning with a letter, not usr_.")
    })?;
    if id.as_str() == ADMIN_CLIENT {
        return Err(Problem::already_exists("The client of the tenant's admins."));
    }
    let settings = Settings { audiences, scopes, origins };
    check(caller, &settings)?;
    let now = caller.call.now;
    let (client, secret) = Client::new(id, kind, settings, now);
    let mut answer = json!({ "client": show_client(&client, now) });
    if let Some(secret) = &secret {
        answer["client_secret"] = json!(secret.expose());
    }
    let event = caller.event(Action::ClientCreate).on(&client.id);
    for _ in 0..ATTEMPTS {
        let before = enter(caller, None).await?.tenant;
        let mut after = before.next();
        after.origins.extend(client.origins.iter().cloned());
        check_origins(after.origins.iter())?;
        let writes = caller.store.writes().new_client(&client).tenant(&before, &after);
        let writes =
            writes.answer(once.answer(caller, StatusCode::CREATED, &answer).as_ref(), caller.call.now);
        match writes.audit(&event).commit().await? {
            Commit::Done => {
                let location = format!("/t/{}/admin/clients/{}", caller.tenant.id, client.id);
                let reply = reply(caller, StatusCode::CREATED, &client, &answer);
                return Ok(reply.header(LOCATION, location));
            }
            Commit::Lost(Part::Answer) => return once.replay(caller).await?.ok_or_else(Problem::contended),
            Commit::Lost(Part::Client) => {
                // The same request may have landed at another instance in this very moment.
                let replayed = once.replay(caller).await?;
                return replayed.ok_or_else(|| Problem::already_exists("The client_id is taken."));
            }
            Commit::Lost(_) => {}
        }
    }
    Err(Problem::contended())
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Change {
    audiences: Option<BTreeSet<String>>,
    scopes: Option<BTreeSet<String>>,
    origins: Option<BTreeSet<String>>,
    status: Option<ClientStatus>,
}

impl Change {
    fn names(&self) -> Vec<&'static str> {
        [
            self.audiences.as_ref().map(|_| "audiences"),
            self.scopes.as_ref().map(|_| "scopes"),
            self.origins.as_ref().map(|_| "origins"),
            self.status.map(|_| "status"),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn apply(&self, before: &Client) -> Client {
        Client {
            audiences: self.audiences.clone().unwrap_or_else(|| before.audiences.clone()),
            scopes: self.scopes.clone().unwrap_or_else(|| before.scopes.clone()),
            origins: self.origins.clone().unwrap_or_else(|| before.origins.clone()),
            status: self.status.unwrap_or(before.status),
            version: before.version + 1,
            ..before.clone()
        }
    }
}

/// `PATCH /clients/{id}`. Of the client of the admins, the origins alone can be changed.
pub async fn update(caller: &Caller<'_>) -> Result<Reply, Problem> {
    let id: ClientId = caller.id("id", "client")?;
    let change: Change = input::json(caller.call)?;
    if id.as_str() == ADMIN_CLIENT && change.names().iter().any(|name| *name != "origins") {
        return Err(Problem::not_yours("Only its origins can be changed."));
    }
    for _ in 0..ATTEMPTS {
        let (entered, before) = load(caller, &id).await?;
        etag::require(caller.call, &tag(&caller.tenant, &before))?;
        let after = change.apply(&before);
        if id.as_str() != ADMIN_CLIENT {
            check(caller, &after.settings())?;
        } else if let Some(origins) = &change.origins {
            check(caller, &Settings { origins: origins.clone(), ..Settings::default() })?;
        }
        let event = caller.event(Action::ClientUpdate).on(&id).with("changed", change.names());
        let mut writes = caller.store.writes().client(&before, &after).audit(&event);
        if after.origins != before.origins {
            let changed = with_origins(caller, &entered.tenant, &id, &after.origins).await?;
            writes = writes.tenant(&entered.tenant, &changed);
        }
        if writes.commit().await? == Commit::Done {
            return Ok(reply(caller, StatusCode::OK, &after, &show_client(&after, caller.call.now)));
        }
    }
    Err(Problem::contended())
}

/// `DELETE /clients/{id}`. Its sessions give no more tokens; a client that is registered under the same id later does not get
/// them back.
pub async fn delete(caller: &Caller<'_>) -> Result<Reply, Problem> {
    let id: ClientId = caller.id("id", "client")?;
    if id.as_str() == ADMIN_CLIENT {
        return Err(Problem::not_yours("Every tenant has it."));
    }
    for _ in 0..ATTEMPTS {
        let (entered, before) = load(caller, &id).await?;
        etag::check(caller.call, &tag(&caller.tenant, &before))?;
        let event = caller.event(Action::ClientDelete).on(&id);
        let mut writes = caller.store.writes().drop_client(&id, before.version).audit(&event);
        if !before.origins.is_empty() {
            let changed = with_origins(caller, &entered.tenant, &id, &BTreeSet::new()).await?;
            writes = writes.tenant(&entered.tenant, &changed);
        }
        if writes.commit().await? == Commit::Done {
            return Ok(Reply::empty(StatusCode::NO_CONTENT));
        }
    }
    Err(Problem::contended())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Renew {
    overlap_seconds: u32,
}

impl Default for Renew {
    fn default() -> Self {
        Self { overlap_seconds: OVERLAP_SECONDS }
    }
}

/// `POST /clients/{id}/secret`.
pub async fn renew_secret(caller: &Caller<'_>) -> Result<Reply, Problem> {
    let once = Once::read(caller)?;
    if let Some(reply) = once.replay(caller).await? {
        return Ok(reply);
    }
    let Renew { overlap_seconds } = input::optional_json(caller.call)?;
    if overlap_seconds > LONGEST_OVERLAP_SECONDS {
        return Err(leasehold::policy::OutOfBounds {
            name: "overlap_seconds",
            low: 0,
            high: LONGEST_OVERLAP_SECONDS,
        }
        .into());
    }
    let id: ClientId = caller.id("id", "client")?;
    for _ in 0..ATTEMPTS {
        let (_, before) = load(caller, &id).await?;
        etag::check(caller.call, &tag(&caller.tenant, &before))?;
        if before.kind == ClientType::Public {
            return Err(Problem::invalid("A public client has no secret."));
        }
        let (after, secret) = before.with_new_secret(overlap_seconds.into(), caller.call.now);
        let previous = after.secrets.iter().find_map(|secret| secret.until).map(Timestamp::seconds);
        let answer = json!({ "client_secret": secret.expose(), "previous_expires_at": previous });
        let event = caller.event(Action::ClientSecret).on(&id).with("overlap_seconds", overlap_seconds);
        let writes = caller.store.writes().client(&before, &after);
        let writes = writes.answer(once.answer(caller, StatusCode::OK, &answer).as_ref(), caller.call.now);
        match writes.audit(&event).commit().await? {
            Commit::Done => return Ok(reply(caller, StatusCode::OK, &after, &answer)),
            Commit::Lost(Part::Answer) => return once.replay(caller).await?.ok_or_else(Problem::contended),
            Commit::Lost(_) => {}
        }
    }
    Err(Problem::contended())
}

fn check(caller: &Caller<'_>, settings: &Settings) -> Result<(), Problem> {
    settings.check(&caller.app.config.public_url)?;
    if settings.scopes.iter().all(|scope| caller.tenant.policy.allows(scope)) {
        Ok(())
    } else {
        Err(InvalidSettings { member: "scopes", why: "the tenant's policy does not allow it" }.into())
    }
}

/// The tenant with the origins of all its clients, of which one has others from now on.
async fn with_origins(
    caller: &Caller<'_>,
    tenant: &Tenant,
    client: &ClientId,
    origins: &BTreeSet<String>,
) -> Result<Tenant, Problem> {
    let mut after = tenant.next();
    after.origins.clone_from(origins);
    let mut from = None;
    loop {
        let page = caller.store.list_clients(from, 100).await?;
        let others = page.items.iter().filter(|other| other.id != *client);
        after.origins.extend(others.flat_map(|other| other.origins.iter().cloned()));
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    check_origins(after.origins.iter())?;
    Ok(after)
}

async fn load(caller: &Caller<'_>, id: &ClientId) -> Result<(Entered, Client), Problem> {
    let mut entered = enter(caller, Some(id)).await?;
    let client = entered.client.take().ok_or_else(|| Problem::not_found("client"))?;
    Ok((entered, client))
}

async fn enter(caller: &Caller<'_>, client: Option<&ClientId>) -> Result<Entered, Problem> {
    let wanted = Wanted { client, ..Wanted::default() };
    let entered = caller.app.store.enter(&caller.tenant.id, wanted).await?;
    entered.ok_or_else(|| Problem::not_found("tenant"))
}

fn show_client(client: &Client, now: Timestamp) -> Value {
    let good = client.known_secrets().into_iter().filter(|secret| secret.is_good(now));
    let secrets: Vec<Value> = good
        .map(|secret| {
            json!({
                "created_at": secret.created_at.seconds(),
                "expires_at": secret.until.map(Timestamp::seconds),
            })
        })
        .collect();
    json!({
        "client_id": client.id,
        "type": client.kind,
        "audiences": client.audiences,
        "scopes": client.scopes,
        "origins": client.origins,
        "status": client.status,
        "created_at": client.created_at.seconds(),
        "secrets": secrets,
    })
}

fn reply(caller: &Caller<'_>, status: StatusCode, client: &Client, answer: &Value) -> Reply {
    Reply::json(status, answer).header(ETAG, tag(&caller.tenant, client))
}

fn tag(tenant: &Tenant, client: &Client) -> String {
    // A client removed and registered again begins with version 1 again; the time tells them apart.
    let id = format!("{}#{}", client.id, client.created_at.millis());
    etag::of(&tenant.id, "client", &id, client.version)
}
