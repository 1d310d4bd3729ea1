//! Lists, a page at a time: users, clients, audit events. A page never costs more than a bounded number of queries; it can
//! be shorter than asked for, even empty, and not the last.

use aws_sdk_dynamodb::types::AttributeValue;
use serde::{Deserialize, Serialize};

use super::call::Range;
use super::schema::{self, Item, USER_SHARDS};
use super::tenants::LoginPointer;
use super::{StoreError, TenantStore, item};
use crate::audit::AuditRecord;
use crate::client::Client;
use crate::clock::Timestamp;
use crate::id::{ClientId, LoginId, UserId};
use crate::user::User;

/// How many days of the audit log one page looks at.
const DAYS: u64 = 31;

/// A page of a list.
#[derive(Clone, Debug)]
pub struct Page<T, P> {
    /// What is on it.
    pub items: Vec<T>,
    /// Where the next page begins; absent on the last.
    pub next: Option<P>,
}

/// A place in the list of users.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserPlace {
    shard: u8,
    after: Option<LoginId>,
}

/// A place in the audit log, which is read backwards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditPlace {
    day: u64,
    before: Option<String>,
}

/// An audit event and its id.
#[derive(Clone, Debug)]
pub struct Audited {
    /// Unique within the tenant, and ordered by time.
    pub id: String,
    /// The event.
    pub record: AuditRecord,
}

impl TenantStore {
    /// A page of login names and their users.
    ///
    /// # Errors
    /// When the table can't be read, or an entry is not a user's.
    pub async fn list_logins(
        &self,
        from: Option<UserPlace>,
        limit: u16,
    ) -> Result<Page<(LoginId, UserId), UserPlace>, StoreError> {
        let UserPlace { mut shard, mut after } = from.unwrap_or(UserPlace { shard: 0, after: None });
        let mut items = Vec::new();
        while shard < USER_SHARDS {
            let left = limit.saturating_sub(u16::try_from(items.len()).unwrap_or(u16::MAX));
            if left == 0 {
                return Ok(Page { items, next: Some(UserPlace { shard, after }) });
            }
            let start = after.take().map(|login| schema::listed_at(&self.tenant, shard, login.as_str()));
            let pk = schema::listed_at(&self.tenant, shard, "").pk;
            let found = self.store.query_page(&pk, Range::all().after(start).limit(left)).await?;
            for entry in found.items {
                items.push(read_listed(entry)?);
            }
            if found.more {
                after = items.last().map(|(login, _)| login.clone());
            } else {
                shard += 1;
            }
        }
        Ok(Page { items, next: None })
    }

    /// Whose login names these are, of those that are somebody's.
    ///
    /// # Errors
    /// When the table can't be read, or an item is not a login name's.
    pub async fn find_logins(&self, logins: &[&LoginId]) -> Result<Vec<(LoginId, UserId)>, StoreError> {
        let mut found = Vec::new();
        for part in logins.chunks(100) {
            let keys: Vec<_> = part.iter().map(|login| schema::login(&self.tenant, login)).collect();
            for pointer in self.store.read(&keys).await? {
                let key = schema::Key::of(&pointer);
                let login =
                    keys.iter().position(|known| Some(known) == key.as_ref()).and_then(|at| part.get(at));
                let LoginPointer { user } = item::read("login", pointer)?;
                found.extend(login.map(|login| ((*login).clone(), user)));
            }
        }
        Ok(found)
    }

    /// Users by id, in the order of the ids; those that are not there are left out.
    ///
    /// # Errors
    /// When the table can't be read, or an item is not a user.
    pub async fn find_users(&self, ids: &[UserId]) -> Result<Vec<User>, StoreError> {
        let mut users: Vec<User> = Vec::with_capacity(ids.len());
        // DynamoDB reads at most 100 items at once.
        for part in ids.chunks(100) {
            let keys: Vec<_> = part.iter().map(|id| schema::user(&self.tenant, *id)).collect();
            for found in self.store.read(&keys).await? {
                users.push(item::read("user", found)?);
            }
        }
        users.sort_by_key(|user| ids.iter().position(|id| *id == user.id));
        Ok(users)
    }

    /// A page of clients.
    ///
    /// # Errors
    /// When the table can't be read, or an item is not a client.
    pub async fn list_clients(
        &self,
        from: Option<ClientId>,
        limit: u16,
    ) -> Result<Page<Client, ClientId>, StoreError> {
        let start = from.map(|id| schema::client(&self.tenant, &id));
        let pk = schema::tenant(&self.tenant).pk;
        let range = Range::beginning_with(schema::CLIENT_PREFIX).after(start).limit(limit);
        let found = self.store.query_page(&pk, range).await?;
        let clients: Vec<Client> =
            found.items.into_iter().map(|found| item::read("client", found)).collect::<Result<_, _>>()?;
        let next = clients.last().filter(|_| found.more).map(|client| client.id.clone());
        Ok(Page { items: clients, next })
    }

    /// A page of the audit log between two moments, the newest first; nothing lies between moments in the wrong order.
    ///
    /// # Errors
    /// When the table can't be read, or an item is not an event.
    pub async fn list_audit(
        &self,
        (since, until): (Timestamp, Timestamp),
        from: Option<AuditPlace>,
        limit: u16,
    ) -> Result<Page<Audited, AuditPlace>, StoreError> {
        if since > until {
            return Ok(Page { items: Vec::new(), next: None });
        }
        let (first, last) = (schema::day(since), schema::day(until));
        let AuditPlace { day, mut before } = from.unwrap_or(AuditPlace { day: last, before: None });
        let mut items = Vec::new();
        let mut day = day.min(last);
        let oldest = day.saturating_sub(DAYS).max(first);
        loop {
            let left = limit.saturating_sub(u16::try_from(items.len()).unwrap_or(u16::MAX));
            if left == 0 {
                return Ok(Page { items, next: Some(AuditPlace { day, before }) });
            }
            let pk = schema::audit_day(&self.tenant, day);
            let start = before.take().map(|sk| schema::Key { pk: pk.clone(), sk });
            let range = Range::between(schema::moment(since), schema::moment_end(until));
            let found = self.store.query_page(&pk, range.backwards().after(start).limit(left)).await?;
            for event in found.items {
                items.push(read_event(event)?);
            }
            if found.more {
                before = items.last().map(|event: &Audited| event.id.clone());
            } else if day <= oldest {
                let next = (day > first).then(|| AuditPlace { day: day - 1, before: None });
                return Ok(Page { items, next });
            } else {
                day -= 1;
            }
        }
    }

    /// Removes everything that is kept of a user: families and the user's item, then the login name, then the place in
    /// the list, by which a removal that was cut short is found again.
    ///
    /// # Errors
    /// When the table can't be read or written.
    pub async fn remove_user(&self, login: &LoginId, user: UserId) -> Result<(), StoreError> {
        self.remove_families(user).await?;
        self.store
            .delete_all(&[schema::user(&self.tenant, user), schema::login(&self.tenant, login)])
            .await?;
        self.store.delete_all(&[schema::listed(&self.tenant, login)]).await
    }

    /// Removes every family of a user, ended or not. How many.
    ///
    /// # Errors
    /// When the table can't be read or written.
    pub async fn remove_families(&self, user: UserId) -> Result<usize, StoreError> {
        let pk = schema::user(&self.tenant, user).pk;
        let mut removed = 0;
        loop {
            let range = Range::beginning_with(schema::FAMILY_PREFIX).limit(100);
            let found = self.store.query_page(&pk, range).await?;
            let keys: Vec<_> = found.items.iter().filter_map(schema::Key::of).collect();
            self.store.delete_all(&keys).await?;
            removed += keys.len();
            if !found.more {
                return Ok(removed);
            }
        }
    }
}

fn read_listed(entry: Item) -> Result<(LoginId, UserId), StoreError> {
    let login = entry.get(schema::SK).and_then(|sk| sk.as_s().ok()).and_then(|sk| sk.parse().ok());
    let corrupt = || StoreError::Corrupt { kind: "listed user", cause: "not a login name".to_owned() };
    let login: LoginId = login.ok_or_else(corrupt)?;
    let LoginPointer { user } = item::read("listed user", entry)?;
    Ok((login, user))
}

fn read_event(event: Item) -> Result<Audited, StoreError> {
    let id = event.get(schema::SK).and_then(|sk: &AttributeValue| sk.as_s().ok()).cloned();
    let id = id.ok_or_else(|| StoreError::Corrupt { kind: "audit", cause: "without a key".to_owned() })?;
    Ok(Audited { id, record: item::read("audit", event)? })
}
