//! The audit log: who did what, when, from where, and how it ended. An entry is written in one transaction with what it
//! tells of. It holds ids, names of members and flags; never a secret, and never a login name.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::clock::Timestamp;
use crate::id::UserId;

/// Who acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Actor {
    /// A user of the tenant, an admin included.
    User(UserId),
    /// An operator, named by IAM alone.
    Operator,
    /// The service itself, by its rules.
    Service,
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Action {
    /// A tenant came to be.
    #[serde(rename = "tenant.create")]
    TenantCreate,
    /// A tenant is no longer served.
    #[serde(rename = "tenant.suspend")]
    TenantSuspend,
    /// A tenant is served again.
    #[serde(rename = "tenant.resume")]
    TenantResume,
    /// An operator set what the tenant's admins may choose.
    #[serde(rename = "tenant.limit")]
    TenantLimit,
    /// A tenant ended for good.
    #[serde(rename = "tenant.delete")]
    TenantDelete,
    /// An admin ended every session of the tenant.
    #[serde(rename = "tenant.sign_out")]
    TenantSignOut,
    /// The policy was changed.
    #[serde(rename = "policy.update")]
    PolicyUpdate,
    /// A client was registered.
    #[serde(rename = "client.create")]
    ClientCreate,
    /// A client was changed.
    #[serde(rename = "client.update")]
    ClientUpdate,
    /// A client was removed.
    #[serde(rename = "client.delete")]
    ClientDelete,
    /// A client was given another secret.
    #[serde(rename = "client.secret")]
    ClientSecret,
    /// A user was added.
    #[serde(rename = "user.create")]
    UserCreate,
    /// A user was brought along from another system.
    #[serde(rename = "user.import")]
    UserImport,
    /// A page of users was given out, hashes included.
    #[serde(rename = "user.export")]
    UserExport,
    /// A user's roles, permissions, scopes or claims were changed.
    #[serde(rename = "user.update")]
    UserUpdate,
    /// A user was removed.
    #[serde(rename = "user.delete")]
    UserDelete,
    /// A user may no longer sign in.
    #[serde(rename = "user.disable")]
    UserDisable,
    /// A user may sign in again.
    #[serde(rename = "user.enable")]
    UserEnable,
    /// A user was given a one-time code to set a password with.
    #[serde(rename = "user.reset")]
    UserReset,
    /// An operator gave a user the rights of an admin, and a one-time code.
    #[serde(rename = "user.restore")]
    UserRestore,
    /// A user changed or set the password.
    #[serde(rename = "user.password")]
    UserPassword,
    /// Every session of a user was ended.
    #[serde(rename = "user.sign_out")]
    UserSignOut,
    /// A session was ended by its client.
    #[serde(rename = "session.revoke")]
    SessionRevoke,
    /// A session was ended from elsewhere, by its user or an admin.
    #[serde(rename = "session.end")]
    SessionEnd,
    /// A session was ended because a spent refresh token returned.
    #[serde(rename = "session.reuse")]
    SessionReuse,
    /// A session left to make room for a newer one.
    #[serde(rename = "session.evict")]
    SessionEvict,
    /// An admin had a token explained.
    #[serde(rename = "token.explain")]
    TokenExplain,
    /// A switch to another key was planned, or made.
    #[serde(rename = "key.rotate")]
    KeyRotate,
    /// A pending key signs from now on.
    #[serde(rename = "key.promote")]
    KeyPromote,
    /// An earlier key signs again.
    #[serde(rename = "key.roll_back")]
    KeyRollBack,
    /// A key is kept from being destroyed, or no longer.
    #[serde(rename = "key.retain")]
    KeyRetain,
    /// A key was declared compromised.
    #[serde(rename = "key.compromise")]
    KeyCompromise,
    /// The service made a key for a tenant that had none that signs.
    #[serde(rename = "key.replace")]
    KeyReplace,
    /// The service made a spare key.
    #[serde(rename = "key.spare")]
    KeySpare,
    /// The service withdrew a spare that nobody asks for.
    #[serde(rename = "key.withdraw")]
    KeyWithdraw,
    /// The service made a key unable to sign.
    #[serde(rename = "key.disable")]
    KeyDisable,
    /// The service decided the end of a key.
    #[serde(rename = "key.destroy")]
    KeyDestroy,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It was done.
    Ok,
    /// It was refused, and nothing was changed.
    Refused,
}

/// One line of the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditEvent {
    /// When.
    pub at: Timestamp,
    actor: Actor,
    action: Action,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    detail: Map<String, Value>,
}

impl AuditEvent {
    /// Something was done.
    pub fn new(at: Timestamp, actor: Actor, action: Action) -> Self {
        Self {
            at,
            actor,
            action,
            target: None,
            source: None,
            outcome: Outcome::Ok,
            reason: None,
            detail: Map::new(),
        }
    }

    /// To which user, session, client or key; an id.
    #[must_use]
    pub fn on(self, target: &impl ToString) -> Self {
        Self { target: Some(target.to_string()), ..self }
    }

    /// From which address, as API Gateway saw it.
    #[must_use]
    pub fn from(self, source: Option<&str>) -> Self {
        Self { source: source.map(str::to_owned), ..self }
    }

    /// It was refused, for this reason.
    #[must_use]
    pub fn refused(self, reason: &'static str) -> Self {
        Self { outcome: Outcome::Refused, reason: Some(reason), ..self }
    }

    /// What else is worth knowing: a flag, an id, the names of what was changed.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.detail.insert(name.to_owned(), value.into());
        self
    }
}

/// A line as it is read back. Lenient: another release may know other actions.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct AuditRecord {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: Actor,
    /// What.
    pub action: String,
    /// To which user, session, client or key.
    #[serde(default)]
    pub target: Option<String>,
    /// From which address.
    #[serde(default)]
    pub source: Option<String>,
    /// How it ended; `ok` where a release before this one did not say.
    #[serde(default = "ok")]
    pub outcome: String,
    /// Why it was refused.
    #[serde(default)]
    pub reason: Option<String>,
    /// What else is worth knowing.
    #[serde(default)]
    pub detail: Map<String, Value>,
}

fn ok() -> String {
    "ok".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_back_as_it_was_written() {
        let user = UserId::generate();
        let event = AuditEvent::new(Timestamp::from_seconds(7), Actor::User(user), Action::KeyPromote)
            .on(&"kid")
            .from(Some("192.0.2.1"))
            .refused("too_early")
            .with("forced", false);
        let record: AuditRecord = serde_json::from_value(serde_json::to_value(&event).unwrap()).unwrap();
        assert_eq!((record.at, record.actor), (Timestamp::from_seconds(7), Actor::User(user)));
        assert_eq!((record.action.as_str(), record.outcome.as_str()), ("key.promote", "refused"));
        assert_eq!((record.target.as_deref(), record.source.as_deref()), (Some("kid"), Some("192.0.2.1")));
        assert_eq!(
            (record.reason.as_deref(), &record.detail["forced"]),
            (Some("too_early"), &Value::Bool(false))
        );
    }

    #[test]
    fn lines_of_other_releases_are_read() {
        let before = r#"{"at":1,"actor":"service","action":"session.reuse","target":"x"}"#;
        let record: AuditRecord = serde_json::from_str(before).unwrap();
        assert_eq!(record.outcome, "ok");
        let after = r#"{"at":1,"actor":"operator","action":"tenant.paint","outcome":"pending","new":1}"#;
        assert_eq!(serde_json::from_str::<AuditRecord>(after).unwrap().action, "tenant.paint");
    }
}
