//! Users, their login names and, with one query, their families.

use super::call::Condition;
use super::families::read_family;
use super::schema;
use super::writes::{Commit, Part};
use super::{StoreError, TenantStore, item};
use crate::id::{FamilyId, UserId};
use crate::refresh::Family;
use crate::user::User;

/// How many megabytes of families are read at most.
const PAGES: usize = 1;

impl TenantStore {
    /// A user.
    ///
    /// # Errors
    /// When the table can't be read, or the item does not read as a user.
    pub async fn find_user(&self, user: UserId) -> Result<Option<User>, StoreError> {
        let found = self.store.read(&[schema::user(&self.tenant, user)]).await?;
        found.into_iter().next().map(|found| item::read("user", found)).transpose()
    }

    /// The families of a user, for showing and counting them: nothing that admits or refuses depends on their being
    /// complete. A damaged one is passed over and logged.
    ///
    /// # Errors
    /// When the table can't be read.
    pub async fn list_families(&self, user: UserId) -> Result<Vec<Family>, StoreError> {
        let pk = schema::user(&self.tenant, user).pk;
        let mut families = Vec::new();
        for found in self.store.query(&pk, schema::FAMILY_PREFIX, PAGES).await? {
            match read_family(found) {
                Ok(family) => families.push(family),
                Err(error) => tracing::error!(user = %user, cause = %error, "a family is passed over"),
            }
        }
        Ok(families)
    }

    /// Removes families that can never give a token again, before DynamoDB's TTL gets to them. Presented, their tokens
    /// are unknown afterwards instead of dead: the answer is the same.
    ///
    /// # Errors
    /// When the table can't be written.
    pub async fn forget_families(&self, user: UserId, families: &[FamilyId]) -> Result<(), StoreError> {
        let keys: Vec<_> =
            families.iter().map(|family| schema::family(&self.tenant, user, *family)).collect();
        self.store.delete(&keys).await
    }

    /// Replaces the hash of an unchanged password by one at the parameters now in force. The epoch stays: no session
    /// ends.
    ///
    /// # Errors
    /// When the table can't be written.
    pub async fn rehash(&self, before: &User, hash: String) -> Result<Commit, StoreError> {
        let after = User { password: Some(hash), version: before.version + 1, ..before.clone() };
        let key = schema::user(&self.tenant, after.id);
        let written = item::write(&key, &after, None);
        match self.store.put_if(written, Condition::version(before.version)).await? {
            super::call::Written::Yes => Ok(Commit::Done),
            super::call::Written::No(_) => Ok(Commit::Lost(Part::User)),
        }
    }
}
