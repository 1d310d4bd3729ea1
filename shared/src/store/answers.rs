//! Answers that are kept so that a repeated request gets the same one again.

use serde::{Deserialize, Serialize};

use super::{StoreError, TenantStore, item, schema};
use crate::bytes::Bytes;
use crate::clock::Timestamp;

/// A kept answer. Sealed under a key that only the repeated request brings along: it can hold a secret that is shown
/// once, and a dump of the table must give nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Which request it answers: a hash of who asked and of the key they gave.
    pub request: Bytes<32>,
    /// A hash of what was asked: another request under the same key is a mistake.
    pub body: Bytes<32>,
    /// Status and body, sealed; base64.
    pub sealed: String,
    /// Until when it is kept.
    pub until: Timestamp,
}

impl TenantStore {
    /// The answer kept for a request, if its time is not over.
    ///
    /// # Errors
    /// When the table can't be read, or the item is none.
    pub async fn find_answer(
        &self,
        request: &Bytes<32>,
        now: Timestamp,
    ) -> Result<Option<Answer>, StoreError> {
        let found = self.store.read(&[schema::answer(&self.tenant, request)]).await?;
        let answer: Option<Answer> =
            found.into_iter().next().map(|found| item::read("answer", found)).transpose()?;
        Ok(answer.filter(|answer| answer.until > now))
    }
}
