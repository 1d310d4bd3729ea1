//! Users, their login names and, with one query, their families.

use aws_sdk_dynamodb::types::TransactWriteItem;

use super::call::Condition;
use super::families::{Commit, read_family};
use super::schema;
use super::tenants::LoginPointer;
use super::{StoreError, TenantStore, item};
use crate::id::{FamilyId, UserId};
use crate::refresh::Family;
use crate::revocation::{AuditEvent, Revocation};
use crate::user::User;

/// How many megabytes of families are read at most.
const PAGES: usize = 1;

/// A change of a user and what is written with it.
#[derive(Clone, Copy, Debug)]
pub struct UserChange<'a> {
    /// The user as read.
    pub before: &'a User,
    /// The user as it is to be.
    pub after: &'a User,
    /// A family that is changed in the same transaction, before and after.
    pub keep: Option<(&'a Family, &'a Family)>,
    /// What verifiers must stop accepting.
    pub revocation: Option<&'a Revocation>,
    /// The entry in the audit log.
    pub audit: &'a AuditEvent,
}

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

    /// Adds a user. [`Commit::Lost`] when the login name is taken.
    ///
    /// # Errors
    /// When the table can't be written.
    pub async fn create_user(&self, user: &User, audit: &AuditEvent) -> Result<Commit, StoreError> {
        let mut parts = self.user_parts(user)?.to_vec();
        parts.push(self.store.part_put(self.audit_item(audit), None)?);
        self.store.transact(parts).await
    }

    /// Changes a user on condition of the version it had, and what goes with it, in one transaction.
    ///
    /// # Errors
    /// When the table can't be written.
    pub async fn commit_user(&self, change: UserChange<'_>) -> Result<Commit, StoreError> {
        let UserChange { before, after, keep, revocation, audit } = change;
        let key = schema::user(&self.tenant, after.id);
        let mut parts = vec![
            self.store.part_put(item::write(&key, after, None), Some(Condition::version(before.version)))?,
        ];
        if let Some((before, after)) = keep {
            parts.push(
                self.store.part_put(self.family_item(after), Some(Condition::version(before.version)))?,
            );
        }
        if let Some(revocation) = revocation {
            parts.push(self.store.part_put(self.revocation_item(revocation), None)?);
        }
        parts.push(self.store.part_put(self.audit_item(audit), None)?);
        self.store.transact(parts).await
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
            super::call::Written::No(_) => Ok(Commit::Lost),
        }
    }

    pub(super) fn user_parts(&self, user: &User) -> Result<[TransactWriteItem; 2], StoreError> {
        let login =
            item::write(&schema::login(&self.tenant, &user.login), &LoginPointer { user: user.id }, None);
        let written = item::write(&schema::user(&self.tenant, user.id), user, None);
        Ok([
            self.store.part_put(login, Some(Condition::absent()))?,
            self.store.part_put(written, Some(Condition::absent()))?,
        ])
    }
}
