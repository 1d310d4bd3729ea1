//! The look-up of a tenant, with whatever else of it a request needs, in one consistent read; and its
//! creation.

use super::schema::{self, Item, Key};
use super::writes::Commit;
use super::{Store, StoreError, TenantStore, item};
use crate::audit::AuditEvent;
use crate::bytes::Bytes;
use crate::client::Client;
use crate::health::versions::Versions;
use crate::id::{ClientId, FamilyId, Kid, LoginId, TenantId, UserId};
use crate::refresh::Family;
use crate::tenant::Tenant;
use crate::user::User;

/// What to read along with the tenant.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    /// A client.
    pub client: Option<&'a ClientId>,
    /// Whose login name this is.
    pub login: Option<&'a LoginId>,
    /// Whether this user signed in from this device before (SHA-256 of its text).
    pub device: Option<(&'a LoginId, &'a Bytes<32>)>,
    /// A user.
    pub user: Option<UserId>,
    /// A family of a user.
    pub family: Option<(UserId, FamilyId)>,
    /// The known client versions.
    pub versions: bool,
}

/// A tenant and what was found of what was wanted.
#[derive(Clone, Debug)]
pub struct Entered {
    /// The way to everything else of the tenant.
    pub store: TenantStore,
    /// Its control state.
    pub tenant: Tenant,
    /// The client.
    pub client: Option<Client>,
    /// The user of the login name.
    pub login: Option<UserId>,
    /// The known device, with when its user last signed in from it.
    pub device: Option<KnownDevice>,
    /// The user.
    pub user: Option<User>,
    /// The family.
    pub family: Option<Family>,
    /// The known client versions.
    pub versions: Option<Versions>,
}

/// A device that a user signed in from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct KnownDevice {
    /// When, last, to the day or better.
    pub seen_at: crate::clock::Timestamp,
}

/// The pointer from a login name to its user.
#[derive(serde::Serialize, serde::Deserialize)]
pub(super) struct LoginPointer {
    pub user: UserId,
}

/// A tenant to be created, with all that must exist with it.
#[derive(Clone, Debug)]
pub struct NewTenant<'a> {
    /// Its control state.
    pub tenant: &'a Tenant,
    /// The private half of its first key, if that is wrapped.
    pub wrapped: Option<(&'a Kid, &'a [u8])>,
    /// Its clients, that of the admins included.
    pub clients: &'a [Client],
    /// Its first admin.
    pub admin: &'a User,
    /// The entry in its audit log.
    pub audit: &'a AuditEvent,
}

impl Store {
    /// Looks a tenant up, with one consistent read. `None` when there is none of this id; a suspended or deleted one is
    /// found, and the caller looks at its status.
    ///
    /// # Errors
    /// When the table can't be read, or an item does not read as its kind.
    pub async fn enter(&self, tenant: &TenantId, wanted: Wanted<'_>) -> Result<Option<Entered>, StoreError> {
        let key = schema::tenant(tenant);
        let client = wanted.client.map(|id| schema::client(tenant, id));
        let login = wanted.login.map(|id| schema::login(tenant, id));
        let device = wanted.device.map(|(login, device)| schema::known_device(tenant, login, device));
        let user = wanted.user.map(|id| schema::user(tenant, id));
        let family = wanted.family.map(|(user, id)| schema::family(tenant, user, id));
        let versions = wanted.versions.then(|| schema::versions(tenant));
        let keys: Vec<Key> = [
            Some(&key),
            client.as_ref(),
            login.as_ref(),
            device.as_ref(),
            user.as_ref(),
            family.as_ref(),
            versions.as_ref(),
        ]
        .into_iter()
        .flatten()
        .cloned()
        .collect();
        let store = self.of_tenant(tenant);
        let mut items = store.read(&keys).await?;
        let mut take = |key: Option<&Key>| -> Option<Item> {
            let at = items.iter().position(|item| key.is_some_and(|key| key.is_of(item)))?;
            Some(items.swap_remove(at))
        };
        let Some(found) = take(Some(&key)) else {
            self.reach.forget(tenant);
            return Ok(None);
        };
        Ok(Some(Entered {
            store: TenantStore { store, tenant: tenant.clone() },
            tenant: item::read("tenant", found)?,
            client: take(client.as_ref()).map(|found| item::read("client", found)).transpose()?,
            login: take(login.as_ref())
                .map(|found| item::read::<LoginPointer>("login", found))
                .transpose()?
                .map(|pointer| pointer.user),
            device: take(device.as_ref()).map(|found| item::read("device", found)).transpose()?,
            user: take(user.as_ref()).map(|found| item::read("user", found)).transpose()?,
            family: take(family.as_ref()).map(|found| item::read("family", found)).transpose()?,
            versions: take(versions.as_ref()).map(|found| item::read("versions", found)).transpose()?,
        }))
    }

    /// Creates a tenant whole: control state, directory entry, clients, first admin, in one transaction. [`Commit::Lost`]
    /// when a tenant of this id exists, or ever did.
    ///
    /// # Errors
    /// When the table can't be written.
    pub async fn create_tenant(&self, new: NewTenant<'_>) -> Result<Commit, StoreError> {
        let NewTenant { tenant, wrapped, clients, admin, audit } = new;
        let scope = TenantStore { store: self.clone(), tenant: tenant.id.clone() };
        let mut writes = scope.writes().new_tenant(tenant).new_user(admin).audit(audit);
        if let Some((kid, private)) = wrapped {
            writes = writes.wrapped(kid, private);
        }
        for client in clients {
            writes = writes.new_client(client);
        }
        writes.commit().await
    }
}
