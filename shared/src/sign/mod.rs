//! Signs with a tenant's active key, wherever its private half is: in KMS (`kms`), or in the table, wrapped by KMS
//! (`wrapped`). For everything that is signed: access tokens, ID tokens.
//!
//! A key that was just made may be unknown to the part of KMS that is asked; then the key before it signs, for as long
//! as what it signs will be verifiable. A tenant may ask KMS for so many signatures a second and no more, so that one
//! tenant can't use up the quota that all share.
//!
//! It must never sign with a key that is pending or compromised, nor keep a private half that the ring has dropped.

mod allowance;
mod local;

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::keys::{Custody, Key, KeyState, Margins};
use crate::kms::{Kms, KmsError};
use crate::store::{StoreError, TenantStore};
use crate::tenant::Tenant;
use crate::throttle::RetryAfter;
use crate::token::compact::{self, CompactError};

use allowance::Allowances;
pub use allowance::Priority;
use local::{LocalKey, LocalKeys, Unloadable};

/// Nothing was signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// KMS did not sign, or did not decrypt.
    #[error(transparent)]
    Kms(#[from] KmsError),
    /// The table could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is to be signed does not fit.
    #[error(transparent)]
    Compact(#[from] CompactError),
    /// The tenant has no key that signs.
    #[error("the tenant has no active key")]
    NoActiveKey,
    /// The private half is missing, or is not the one that belongs to the public half.
    #[error("the private half of the tenant's key can't be used")]
    Unloadable,
    /// The tenant has asked KMS for as many signatures as it may.
    #[error("the tenant has used up its signatures")]
    Exhausted(RetryAfter),
}

impl From<Unloadable> for SignError {
    fn from(Unloadable: Unloadable) -> Self {
        Self::Unloadable
    }
}

/// Signs for tenants. Made once per process; clones share the private halves and the counts.
#[derive(Clone, Debug)]
pub struct Signer {
    kms: Kms,
    margins: Margins,
    local: Arc<LocalKeys>,
    allowances: Arc<Allowances>,
}

/// For whom, and when.
#[derive(Clone, Copy, Debug)]
pub struct Occasion<'a> {
    /// The tenant, as this request read it.
    pub tenant: &'a Tenant,
    /// Its part of the table.
    pub store: &'a TenantStore,
    /// Who goes first when a tenant has asked for much.
    pub priority: Priority,
    /// The one time of the request.
    pub now: Timestamp,
}

impl Signer {
    /// A signer that lets a tenant have so many signatures of KMS a second; 0 sets no bound.
    pub fn new(kms: Kms, margins: Margins, signatures_per_second: u32) -> Self {
        Self {
            kms,
            margins,
            local: Arc::default(),
            allowances: Arc::new(Allowances::new(signatures_per_second)),
        }
    }

    /// The times of the deployment that keys are bound to.
    pub const fn margins(&self) -> &Margins {
        &self.margins
    }

    /// Signs what `input` makes for a key (its header names the key) and gives the compact form.
    ///
    /// `lives_seconds` is how long the result has to be verifiable.
    ///
    /// # Errors
    /// See [`SignError`].
    pub async fn sign(
        &self,
        occasion: Occasion<'_>,
        lives_seconds: u64,
        input: impl Fn(&Key) -> Result<String, CompactError>,
    ) -> Result<String, SignError> {
        let Occasion { tenant, now, .. } = occasion;
        self.local.keep_only(&tenant.id, &tenant.ring, now);
        let active = tenant.ring.signer(now).ok_or(SignError::NoActiveKey)?;
        let outlives = |key: &&Key| {
            let end = now.plus_seconds(lives_seconds.saturating_add(self.margins.leeway_seconds));
            key.state(now) == KeyState::Retiring && key.retire_at.is_some_and(|at| end <= at)
        };
        let earlier = tenant.ring.iter().filter(outlives).max_by_key(|key| key.superseded_at);
        match self.sign_with(occasion, active, &input).await {
            Err(SignError::Kms(KmsError::NotUsable(cause))) => {
                let Some(earlier) = earlier else { return Err(KmsError::NotUsable(cause).into()) };
                tracing::warn!(tenant = %tenant.id, kid = %active.kid, event = "key_fallback", "the key before signs");
                self.sign_with(occasion, earlier, &input).await
            }
            outcome => outcome,
        }
    }

    async fn sign_with(
        &self,
        occasion: Occasion<'_>,
        key: &Key,
        input: &impl Fn(&Key) -> Result<String, CompactError>,
    ) -> Result<String, SignError> {
        let input = input(key)?;
        let signature = match key.custody {
            Custody::Kms => {
                self.allowances.take(occasion).await?;
                self.kms.sign(&occasion.tenant.id, &key.arn, key.algorithm, input.as_bytes()).await?
            }
            Custody::Wrapped => self.local_key(occasion, key).await?.sign(input.as_bytes())?,
        };
        Ok(compact::join(&input, &signature))
    }

    /// The private half of a wrapped key: kept, or read and decrypted once.
    async fn local_key(&self, occasion: Occasion<'_>, key: &Key) -> Result<Arc<LocalKey>, SignError> {
        let Occasion { tenant, store, .. } = occasion;
        if let Some(kept) = self.local.find(&tenant.id, &key.kid) {
            return Ok(kept);
        }
        let wrapped = store.find_wrapped(&key.kid).await?.ok_or(SignError::Unloadable)?;
        let plain = self.kms.unwrap(&tenant.id, &key.arn, &wrapped).await?;
        let loaded = Arc::new(LocalKey::load(key, &plain)?);
        self.local.keep(&tenant.id, &key.kid, Arc::clone(&loaded));
        Ok(loaded)
    }
}
