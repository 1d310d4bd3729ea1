//! Families: each change is one conditional write, and a write that came second brings back the item as it is.

use super::call::{Condition, Written};
use super::schema::{self, Item};
use super::writes::Commit;
use super::{StoreError, TenantStore, item};
use crate::audit::AuditEvent;
use crate::clock::Timestamp;
use crate::id::{FamilyId, UserId};
use crate::refresh::Family;
use crate::revocation::Revocation;

/// How long a family is kept after it can no longer give a token, so that a token of it still reads as once ours.
pub(super) const MARGIN_SECONDS: u64 = 86_400;

/// What became of ending a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revoked {
    /// It ended now.
    Now,
    /// It had ended before, or there is none.
    Before,
}

impl TenantStore {
    /// Writes a new family.
    ///
    /// # Errors
    /// When the table can't be written.
    pub async fn open_family(&self, family: &Family) -> Result<(), StoreError> {
        match self.store.put_if(self.family_item(family), Condition::absent()).await? {
            Written::Yes => Ok(()),
            // Ids are random: an item of this id is our own, from a write whose answer was lost.
            Written::No(Some(found)) => {
                if read_family(found)?.rotation_id == family.rotation_id {
                    Ok(())
                } else {
                    Err(StoreError::Contended)
                }
            }
            Written::No(None) => Err(StoreError::Contended),
        }
    }

    /// Writes a changed family on condition of the version that `before` has.
    ///
    /// `Err(Some(family))` is the family as another write left it, `Err(None)` that it is gone.
    ///
    /// # Errors
    /// When the table can't be written.
    pub async fn commit_family(
        &self,
        before: &Family,
        after: &Family,
    ) -> Result<Result<(), Option<Family>>, StoreError> {
        match self.store.put_if(self.family_item(after), Condition::version(before.version)).await? {
            Written::Yes => Ok(Ok(())),
            Written::No(None) => Ok(Err(None)),
            Written::No(Some(found)) => {
                let found = read_family(found)?;
                // The SDK's own retry of a write that had landed fails its condition against our own write.
                let ours = found.rotation_id == after.rotation_id
                    && found.version == after.version
                    && found == *after;
                Ok(if ours { Ok(()) } else { Err(Some(found)) })
            }
        }
    }

    /// Ends a family: its status, the revocation of its access tokens and the audit event, in one transaction. On
    /// condition of its status alone, so that no stream of refreshes can starve it.
    ///
    /// # Errors
    /// When the table can't be written.
    pub async fn revoke_family(
        &self,
        user: UserId,
        family: FamilyId,
        audit: &AuditEvent,
    ) -> Result<Revoked, StoreError> {
        let revocation = Revocation::Session { sid: family };
        let writes = self.writes().end_family(user, family, audit.at).revocation(&revocation).audit(audit);
        match writes.commit().await? {
            Commit::Done => Ok(Revoked::Now),
            Commit::Lost(_) => Ok(Revoked::Before),
        }
    }

    pub(super) fn family_item(&self, family: &Family) -> Item {
        let key = schema::family(&self.tenant, family.user, family.id);
        item::write(&key, family, Some(gone_at(family)))
    }
}

pub(super) fn read_family(found: Item) -> Result<Family, StoreError> {
    item::read("family", found)
}

fn gone_at(family: &Family) -> Timestamp {
    family.idle_expiry.min(family.absolute_expiry).plus_seconds(MARGIN_SECONDS)
}
