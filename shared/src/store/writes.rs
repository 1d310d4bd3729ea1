//! Changes of one tenant that are written together or not at all, each on the condition that what it changes is still
//! as it was read. What goes with a change (the revocation that verifiers find, the entry in the audit log) goes with it
//! in the same transaction.

use aws_sdk_dynamodb::types::TransactWriteItem;

use super::call::{Change, Condition};
use super::families::MARGIN_SECONDS;
use super::schema::{self, Item, Key};
use super::tenants::LoginPointer;
use super::{Answer, StoreError, TenantStore, item};
use crate::audit::AuditEvent;
use crate::client::Client;
use crate::clock::Timestamp;
use crate::id::{ClientId, FamilyId, Kid, UserId};
use crate::refresh::Family;
use crate::revocation::Revocation;
use crate::tenant::Tenant;
use crate::user::User;

/// What became of a conditional write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    /// Written.
    Done,
    /// Nothing was written: this was not as it had been read, or not absent.
    Lost(Part),
}

/// What a write is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The tenant's control state.
    Tenant,
    /// A client.
    Client,
    /// A login name.
    Login,
    /// A user.
    User,
    /// A family.
    Family,
    /// The answer kept for a repeated request.
    Answer,
    /// Something that is written whatever is there.
    Other,
}

/// Changes that are being put together.
#[must_use]
pub struct Writes<'a> {
    scope: &'a TenantStore,
    parts: Vec<(Part, TransactWriteItem)>,
    unbuilt: Option<StoreError>,
}

impl TenantStore {
    /// Begins to put changes together.
    pub const fn writes(&self) -> Writes<'_> {
        Writes { scope: self, parts: Vec::new(), unbuilt: None }
    }
}

impl Writes<'_> {
    /// A new tenant, with its place in the directory.
    pub(super) fn new_tenant(self, tenant: &Tenant) -> Self {
        let entry = super::directory::Entry { created_at: tenant.created_at };
        let directory = item::write(&schema::directory(&tenant.id), &entry, None);
        let control = item::write(&schema::tenant(&tenant.id), tenant, None);
        self.put(Part::Tenant, control, Some(Condition::absent())).put(Part::Other, directory, None)
    }

    /// Takes the tenant off the directory: nothing is due for it any more.
    pub fn leave_directory(self) -> Self {
        let key = schema::directory(&self.scope.tenant);
        self.delete(Part::Other, &key, None)
    }

    /// A changed tenant.
    pub fn tenant(self, before: &Tenant, after: &Tenant) -> Self {
        let key = schema::tenant(&self.scope.tenant);
        self.put(Part::Tenant, item::write(&key, after, None), Some(Condition::version(before.version)))
    }

    /// The wrapped private half of a new key.
    pub fn wrapped(self, kid: &Kid, private: &[u8]) -> Self {
        let key = schema::wrapped(&self.scope.tenant, kid);
        self.put(Part::Other, item::write(&key, &super::keys::Wrapped::of(private), None), None)
    }

    /// Removes a wrapped private half.
    pub fn drop_wrapped(self, kid: &Kid) -> Self {
        let key = schema::wrapped(&self.scope.tenant, kid);
        self.delete(Part::Other, &key, None)
    }

    /// A new client.
    pub fn new_client(self, client: &Client) -> Self {
        let key = schema::client(&self.scope.tenant, &client.id);
        self.put(Part::Client, item::write(&key, client, None), Some(Condition::absent()))
    }

    /// A changed client.
    pub fn client(self, before: &Client, after: &Client) -> Self {
        let key = schema::client(&self.scope.tenant, &after.id);
        self.put(Part::Client, item::write(&key, after, None), Some(Condition::version(before.version)))
    }

    /// Removes a client.
    pub fn drop_client(self, client: &ClientId, version: u64) -> Self {
        let key = schema::client(&self.scope.tenant, client);
        self.delete(Part::Client, &key, Some(Condition::version(version)))
    }

    /// A new user, with the login name and the place in the list.
    pub fn new_user(self, user: &User) -> Self {
        let tenant = &self.scope.tenant;
        let pointer = LoginPointer { user: user.id };
        let login = item::write(&schema::login(tenant, &user.login), &pointer, None);
        let listed = item::write(&schema::listed(tenant, &user.login), &pointer, None);
        let written = item::write(&schema::user(tenant, user.id), user, None);
        self.put(Part::Login, login, Some(Condition::absent()))
            .put(Part::User, written, Some(Condition::absent()))
            .put(Part::Other, listed, None)
    }

    /// A changed user.
    pub fn user(self, before: &User, after: &User) -> Self {
        let key = schema::user(&self.scope.tenant, after.id);
        self.put(Part::User, item::write(&key, after, None), Some(Condition::version(before.version)))
    }

    /// Removes a user, the login name and the place in the list. The id is random and never drawn again.
    pub fn drop_user(self, user: &User) -> Self {
        let tenant = &self.scope.tenant;
        let (login, listed) = (schema::login(tenant, &user.login), schema::listed(tenant, &user.login));
        self.delete(Part::User, &schema::user(tenant, user.id), Some(Condition::version(user.version)))
            .delete(Part::Login, &login, None)
            .delete(Part::Other, &listed, None)
    }

    /// A changed family.
    pub fn family(self, before: &Family, after: &Family) -> Self {
        let written = self.scope.family_item(after);
        self.put(Part::Family, written, Some(Condition::version(before.version)))
    }

    /// Ends a family. On condition of its status alone, so that no stream of refreshes can starve it.
    pub fn end_family(self, user: UserId, family: FamilyId, at: Timestamp) -> Self {
        let key = schema::family(&self.scope.tenant, user, family);
        let end = Change {
            expression: "SET #status = :revoked, #expires = :expires ADD #version :one",
            condition: Condition::active()
                .name("#version", "version")
                .name("#expires", schema::EXPIRES_AT)
                .value(":revoked", schema::text("revoked"))
                .value(":expires", schema::number(at.plus_seconds(MARGIN_SECONDS).seconds()))
                .value(":one", schema::number(1)),
        };
        let part = self.scope.store.part_update(&key, &end);
        self.add(Part::Family, part)
    }

    /// What verifiers must stop accepting.
    pub fn revocation(self, revocation: &Revocation) -> Self {
        let written = self.scope.revocation_item(revocation);
        self.put(Part::Other, written, None)
    }

    /// The answer to keep for when the same request comes again, if it is to be kept.
    pub fn answer(self, answer: Option<&Answer>, now: Timestamp) -> Self {
        let Some(answer) = answer else { return self };
        let key = schema::answer(&self.scope.tenant, &answer.request);
        let written = item::write(&key, answer, Some(answer.until));
        // One whose time is over may still be there: TTL deletes late.
        self.put(Part::Answer, written, Some(Condition::absent_or_over("until", now)))
    }

    /// The entry in the audit log.
    pub fn audit(self, event: &AuditEvent) -> Self {
        let written = self.scope.audit_item(event);
        self.put(Part::Other, written, None)
    }

    /// Writes all of it, or nothing.
    ///
    /// # Errors
    /// When the table can't be written.
    pub async fn commit(self) -> Result<Commit, StoreError> {
        if let Some(error) = self.unbuilt {
            return Err(error);
        }
        let (about, parts): (Vec<Part>, Vec<TransactWriteItem>) = self.parts.into_iter().unzip();
        Ok(match self.scope.store.transact(parts).await? {
            None => Commit::Done,
            Some(failed) => Commit::Lost(about.get(failed).copied().unwrap_or(Part::Other)),
        })
    }

    fn put(self, part: Part, item: Item, condition: Option<Condition>) -> Self {
        let built = self.scope.store.part_put(item, condition);
        self.add(part, built)
    }

    fn delete(self, part: Part, key: &Key, condition: Option<Condition>) -> Self {
        let built = self.scope.store.part_delete(key, condition);
        self.add(part, built)
    }

    fn add(mut self, part: Part, built: Result<TransactWriteItem, StoreError>) -> Self {
        match built {
            Ok(built) => self.parts.push((part, built)),
            Err(error) => self.unbuilt = self.unbuilt.or(Some(error)),
        }
        self
    }
}
