//! `operator`: tenants, and what an operator does for them. Invoked directly, so that IAM alone decides who may; it has
//! no route, and its schedule is an invocation like any other.
//!
//! An invocation is `{"op": …}` with the operation's members; the answer is `{"ok": …}` or
//! `{"error": {"code", "message"}}`.
//!
//! | `op` | Members |
//! | --- | --- |
//! | `tenant.create` | `tenant, algorithm?, custody?, policy?, clients?, admin {username, password?}` |
//! | `tenant.suspend`, `tenant.resume`, `tenant.delete`, `tenant.show` | `tenant` |
//! | `tenant.limit` | `tenant, allowed_custody` |
//! | `tenant.list` | `cursor?` |
//! | `client.create` | `tenant, client_id, type, audiences, scopes, origins?` |
//! | `user.create` | `tenant, username, password?, roles?, permissions?, scopes?, claims?` |
//! | `user.disable`, `user.enable`, `admin.restore` | `tenant, username` |
//! | `schedule.run` | none |
//!
//! It must never sign a token, and never leave a tenant half made.

mod clients;
mod error;
mod removal;
mod schedule;
mod tenants;
mod users;

use leasehold::app::App;
use leasehold::audit::{Action, Actor, AuditEvent};
use leasehold::clock::{self, Timestamp};
use leasehold::id::TenantId;
use leasehold::metrics::Metric;
use leasehold::password::Hasher;
use leasehold::store::{Entered, Wanted};
use leasehold::tenant::TenantStatus;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

pub use error::OperatorError;

/// The function has no route.
pub const ROUTES: &[(&str, &str)] = &[];

/// How often a change is tried again because another write was first.
const ATTEMPTS: usize = 8;

/// What the function is built of.
pub struct Operator {
    /// Settings and clients.
    pub app: App,
    /// Hashes the passwords of the users it makes.
    pub hasher: Hasher,
}

impl Operator {
    /// Answers an invocation, and writes its log line.
    pub async fn answer(&self, event: Value) -> Value {
        let began = clock::now();
        let name = event.get("op").and_then(Value::as_str).and_then(known).unwrap_or("unknown");
        let tenant =
            event.get("tenant").and_then(Value::as_str).and_then(|text| text.parse::<TenantId>().ok());
        let tenant = tenant.as_ref().map(TenantId::as_str);
        let outcome = self.run(name, event, began).await;
        let duration_ms = clock::now().millis().saturating_sub(began.millis());
        match outcome {
            Ok(answer) => {
                tracing::info!(op = name, tenant, outcome = "ok", duration_ms, "operation");
                json!({ "ok": answer })
            }
            Err(error) => {
                let code = error.code();
                if name == "schedule.run" {
                    Metric::ScheduleFailed.count();
                }
                if let Some(cause) = error.cause() {
                    tracing::error!(op = name, tenant, outcome = code, cause, duration_ms, "operation");
                } else {
                    tracing::warn!(op = name, tenant, outcome = code, duration_ms, "operation");
                }
                json!({ "error": { "code": code, "message": error.to_string() } })
            }
        }
    }

    async fn run(&self, name: &str, event: Value, now: Timestamp) -> Result<Value, OperatorError> {
        match name {
            "tenant.create" => tenants::create(self, read(event)?, now).await,
            "tenant.suspend" => {
                tenants::change_status(self, read(event)?, TenantStatus::Suspended, now).await
            }
            "tenant.resume" => tenants::change_status(self, read(event)?, TenantStatus::Active, now).await,
            "tenant.delete" => tenants::delete(self, read(event)?, now).await,
            "tenant.limit" => tenants::limit(self, read(event)?, now).await,
            "tenant.show" => tenants::show(self, read(event)?, now).await,
            "tenant.list" => tenants::list(self, read(event)?).await,
            "client.create" => {
                let (tenant, event) = of_tenant(event)?;
                clients::create(self, &tenant, read(event)?, now).await
            }
            "user.create" => {
                let (tenant, event) = of_tenant(event)?;
                users::create(self, &tenant, read(event)?, now).await
            }
            "user.disable" => {
                users::change_status(self, read(event)?, leasehold::user::UserStatus::Disabled, now).await
            }
            "user.enable" => {
                users::change_status(self, read(event)?, leasehold::user::UserStatus::Active, now).await
            }
            "admin.restore" => users::restore(self, read(event)?, now).await,
            "schedule.run" => schedule::run(self, now).await,
            _ => Err(OperatorError::invalid("op is not a known operation")),
        }
    }

    /// A tenant that exists and was not deleted.
    async fn load(&self, tenant: &TenantId, wanted: Wanted<'_>) -> Result<Entered, OperatorError> {
        let entered = self.app.store.enter(tenant, wanted).await?;
        entered
            .filter(|entered| entered.tenant.status != TenantStatus::Deleted)
            .ok_or(OperatorError::NotFound("there is no such tenant"))
    }
}

const OPERATIONS: [&str; 13] = [
    "tenant.create",
    "tenant.suspend",
    "tenant.resume",
    "tenant.delete",
    "tenant.limit",
    "tenant.show",
    "tenant.list",
    "admin.restore",
    "client.create",
    "user.create",
    "user.disable",
    "user.enable",
    "schedule.run",
];

fn known(name: &str) -> Option<&'static str> {
    OPERATIONS.into_iter().find(|known| *known == name)
}

fn read<T: DeserializeOwned>(mut event: Value) -> Result<T, OperatorError> {
    if let Some(members) = event.as_object_mut() {
        members.remove("op");
    }
    serde_json::from_value(event).map_err(|error| OperatorError::Invalid(expected(&error.to_string())))
}

/// What serde says of a value, without the value: it may be a password that was sent as a number.
fn expected(message: &str) -> String {
    if message.starts_with("missing field") || message.starts_with("unknown field") {
        return message.to_owned();
    }
    match message.split_once("expected ") {
        Some((_, expected)) => format!("a member is not as expected: it must be {expected}"),
        None => "a member is not as expected".to_owned(),
    }
}

/// The tenant of an event, and the rest of it.
fn of_tenant(mut event: Value) -> Result<(TenantId, Value), OperatorError> {
    let tenant = event.as_object_mut().and_then(|members| members.remove("tenant"));
    let tenant =
        tenant.as_ref().and_then(Value::as_str).ok_or_else(|| OperatorError::invalid("tenant is missing"))?;
    Ok((tenant.parse()?, event))
}

fn audit(now: Timestamp, action: Action) -> AuditEvent {
    AuditEvent::new(now, Actor::Operator, action)
}
