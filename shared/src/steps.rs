//! Carries the steps of a key's life out, for admins and for the schedule alike: decide on the ring as it was read, make
//! a key where one is needed, write the ring on condition that nobody else did, and only then take something away in
//! KMS.
//!
//! A crash anywhere leaves a ring that is whole. What can be left over is a key in KMS that no ring has; it is found by
//! its tags. What can be left undone is a step that is due; the schedule carries it out.
//!
//! It must never destroy a key whose end is not written down, nor put a key away that may have been written into a ring
//! by a write whose answer was lost.

use crate::audit::{Action, Actor, AuditEvent};
use crate::clock::Timestamp;
use crate::id::{Kid, TenantId};
use crate::keys::life::MAX_KEYS_IN_NEED;
use crate::keys::{Custody, Due, Key, KeyKind, KeyRing, KeyState, Margins, Refused, Switch};
use crate::kms::{Kms, KmsError};
use crate::revocation::Revocation;
use crate::store::{Answer, Commit, Part, Store, StoreError, TenantStore, Wanted};
use crate::telemetry::chain;
use crate::tenant::{Tenant, TenantStatus};

/// How often a step is decided again because another write was first.
const ATTEMPTS: usize = 24;

/// A step was not taken.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The ring as it is does not allow it.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// There is no such tenant.
    #[error("there is no such tenant")]
    NoTenant,
    /// The table could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// KMS did not do what was asked.
    #[error(transparent)]
    Kms(#[from] KmsError),
    /// The tenant was changed while it was looked at; the caller said which version it knows.
    #[error("the tenant has changed")]
    Changed,
    /// The operator does not let the tenant have keys of this custody.
    #[error("the custody is not allowed")]
    Custody,
    /// The same request was answered by somebody else meanwhile.
    #[error("the request was answered meanwhile")]
    Answered,
}

/// A key that was made and is in no ring yet.
#[derive(Clone, Debug)]
pub struct Made {
    /// The key.
    pub key: Key,
    /// Its private half, encrypted, in custody `wrapped`.
    pub wrapped: Option<Vec<u8>>,
}

/// Makes a key for a tenant.
///
/// # Errors
/// When KMS makes none.
pub async fn make(kms: &Kms, tenant: &TenantId, kind: KeyKind, now: Timestamp) -> Result<Made, KmsError> {
    let unusable = |_| KmsError::Unusable("a public key without a thumbprint");
    match kind.custody {
        Custody::Kms => {
            let made = kms.create_key(tenant, kind.algorithm).await?;
            let kid = made.public.thumbprint(kind.algorithm).map_err(unusable)?;
            Ok(Made { key: Key::made(kind, kid, made.public, made.arn, now), wrapped: None })
        }
        Custody::Wrapped => {
            let made = kms.create_pair(tenant, kind.algorithm).await?;
            let kid = made.public.thumbprint(kind.algorithm).map_err(unusable)?;
            let key = Key::made(kind, kid, made.public, made.wrap_key, now);
            Ok(Made { key, wrapped: Some(made.wrapped) })
        }
    }
}

/// Who takes a step, and on what.
#[derive(Clone)]
pub struct Step<'a> {
    /// The table.
    pub store: &'a Store,
    /// The keys.
    pub kms: &'a Kms,
    /// The times of the deployment that keys are bound to.
    pub margins: &'a Margins,
    /// Whose key.
    pub tenant: &'a TenantId,
    /// Who asked.
    pub actor: Actor,
    /// From which address.
    pub source: Option<&'a str>,
    /// The version of the tenant that the asker knows, if the step is to be taken on that one alone.
    pub version: Option<u64>,
    /// The answer to keep for when the same request comes again, written in the transaction of a rotation.
    pub answer: Option<&'a Answering<'a>>,
    /// The one time of the request.
    pub now: Timestamp,
}

/// The answer to keep of a step that is taken.
pub type Answering<'a> = dyn Fn(&Taken) -> Option<Answer> + Sync + 'a;

/// A step that was taken.
#[derive(Clone, Debug)]
pub struct Taken {
    /// The tenant as it was written.
    pub tenant: Tenant,
    /// The key that the step was about.
    pub kid: Kid,
    /// The key that signed before.
    pub previous: Option<Kid>,
}

impl Step<'_> {
    /// Rotates to a key of the wanted kind, or of the policy's: to the spare, or to one that is made. What was wanted is
    /// the policy's choice from then on.
    ///
    /// # Errors
    /// See [`StepError`]. A key that was made for nothing is put away.
    pub async fn rotate(
        &self,
        wanted: impl Fn(&Tenant) -> KeyKind,
        forced: bool,
    ) -> Result<Taken, StepError> {
        let mut made: Option<Made> = None;
        let taken = self.rotate_with(&wanted, forced, &mut made).await;
        if let (Some(made), true) = (made, is_certain(&taken)) {
            self.put_away(&made, taken.as_ref().ok().map(|taken| &taken.tenant.ring)).await;
        }
        taken
    }

    async fn rotate_with(
        &self,
        wanted: &impl Fn(&Tenant) -> KeyKind,
        forced: bool,
        made: &mut Option<Made>,
    ) -> Result<Taken, StepError> {
        for _ in 0..ATTEMPTS {
            let (store, before) = self.load().await?;
            let kind = wanted(&before);
            if !before.allowed_custody.contains(&kind.custody) {
                return Err(StepError::Custody);
            }
            if before.ring.needs_key(kind, self.now)?
                && made.as_ref().is_none_or(|made| made.key.kind() != kind)
            {
                if let Some(other) = made.replace(make(self.kms, self.tenant, kind, self.now).await?) {
                    self.put_away(&other, None).await;
                }
                // Making a key takes KMS a while: look again before anything is decided on it.
                continue;
            }
            let key = made.as_ref().map(|made| made.key.clone());
            let previous = before.ring.active(self.now).map(|key| key.kid.clone());
            let (ring, kid) =
                before.ring.rotate(kind, key, self.switch(&before, forced), self.margins, self.now)?;
            let mut after = before.next();
            after.ring = ring;
            (after.policy.algorithm, after.policy.custody) = (kind.algorithm, kind.custody);
            let event = self.event(Action::KeyRotate, &kid).with("forced", forced);
            let mut writes = store.writes().tenant(&before, &after).audit(&event);
            if let Some(Made { key, wrapped: Some(wrapped) }) = made.as_ref()
                && key.kid == kid
            {
                writes = writes.wrapped(&kid, wrapped);
            }
            let taken = Taken { tenant: after, kid, previous };
            let answer = self.answer.and_then(|answering| answering(&taken));
            match writes.answer(answer.as_ref(), self.now).commit().await? {
                Commit::Done => return Ok(taken),
                Commit::Lost(Part::Answer) => return Err(StepError::Answered),
                Commit::Lost(_) => {}
            }
        }
        Err(StoreError::Contended.into())
    }

    /// Lets a pending key sign now.
    ///
    /// # Errors
    /// See [`StepError`].
    pub async fn promote(&self, kid: &Kid, forced: bool) -> Result<Taken, StepError> {
        let step =
            |before: &Tenant| before.ring.promote(kid, self.switch(before, forced), self.margins, self.now);
        let event = self.event(Action::KeyPromote, kid).with("forced", forced);
        self.change(kid, step, &event).await
    }

    /// Lets an earlier key sign again. A key that was disabled in KMS is enabled first.
    ///
    /// # Errors
    /// See [`StepError`].
    pub async fn roll_back(&self, kid: &Kid) -> Result<Taken, StepError> {
        let (_, seen) = self.load().await?;
        let step = |before: &Tenant| {
            let published = before.policy.published_seconds(self.margins);
            before.ring.roll_back(kid, published, self.margins, self.now)
        };
        step(&seen)?;
        if let Some(key) = seen.ring.find(kid).filter(|key| key.disabled_at.is_some()) {
            match key.custody {
                Custody::Kms => self.kms.enable_key(self.tenant, &key.arn).await?,
                Custody::Wrapped => {}
            }
        }
        let taken = self.change(kid, step, &self.event(Action::KeyRollBack, kid)).await;
        if taken.is_err() && is_certain(&taken) {
            self.disable_again(kid).await;
        }
        taken
    }

    /// Keeps a key from being destroyed, or no longer.
    ///
    /// # Errors
    /// See [`StepError`].
    pub async fn retain(&self, kid: &Kid, retained: bool) -> Result<Taken, StepError> {
        let event = self.event(Action::KeyRetain, kid).with("retained", retained);
        self.change(kid, |before| before.ring.retain(kid, retained), &event).await
    }

    /// Declares a key compromised: out of the published set at once, unable to sign in KMS at once, its tokens revoked.
    /// If it was the one that signs, another takes over at once; where KMS can't make one, the key goes all the same.
    ///
    /// # Errors
    /// See [`StepError`].
    pub async fn compromise(&self, kid: &Kid) -> Result<(Taken, Option<Kid>), StepError> {
        let mut made: Option<Made> = None;
        let taken = self.compromise_with(kid, &mut made).await;
        if let (Some(made), true) = (made, is_certain(&taken)) {
            self.put_away(&made, taken.as_ref().ok().map(|(taken, _)| &taken.tenant.ring)).await;
        }
        let (taken, replacement) = taken?;
        let Some(key) = taken.tenant.ring.find(kid) else { return Ok((taken, replacement)) };
        // Even if it was disabled before: a roll-back that was refused may have enabled it. The ring says what is so from now on; if this fails, the step is due and the schedule takes it.
        match self.disable(key).await {
            Ok(Some(tenant)) => Ok((Taken { tenant, ..taken }, replacement)),
            Ok(None) => Ok((taken, replacement)),
            Err(error) => {
                tracing::error!(tenant = %self.tenant, kid = %kid, cause = chain(&error), event = "compromised_key_enabled", "a compromised key could not be disabled yet");
                Ok((taken, replacement))
            }
        }
    }

    async fn compromise_with(
        &self,
        kid: &Kid,
        made: &mut Option<Made>,
    ) -> Result<(Taken, Option<Kid>), StepError> {
        let mut tried = false;
        for _ in 0..ATTEMPTS {
            let (store, before) = self.load().await?;
            let previous = before.ring.active(self.now).map(|key| key.kid.clone());
            if before.ring.find(kid).is_some_and(|key| key.compromised_at.is_some()) {
                return Ok((Taken { tenant: before, kid: kid.clone(), previous }, None));
            }
            let wanted = before.ring.needs_replacement(kid, self.now) == Some(None)
                && before.ring.iter().count() < MAX_KEYS_IN_NEED;
            if wanted && made.is_none() && !tried {
                tried = true;
                match make(self.kms, self.tenant, before.policy.kind(), self.now).await {
                    Ok(key) => *made = Some(key),
                    Err(error) => {
                        tracing::error!(tenant = %self.tenant, cause = chain(&error), event = "no_replacement", "no key can be made to replace a compromised one");
                    }
                }
                continue;
            }
            let key = made.as_ref().map(|made| made.key.clone());
            let (ring, replacement) = before.ring.compromise(kid, key, self.margins, self.now)?;
            let mut after = before.next();
            after.ring = ring;
            let mut event = self.event(Action::KeyCompromise, kid);
            if let Some(replacement) = &replacement {
                event = event.with("replacement", replacement.as_str());
            }
            let revocation = Revocation::Key { kid: kid.clone() };
            let mut writes = store.writes().tenant(&before, &after).revocation(&revocation).audit(&event);
            if before.ring.find(kid).is_some_and(|key| key.custody == Custody::Wrapped) {
                writes = writes.drop_wrapped(kid);
            }
            if let Some(Made { key, wrapped: Some(wrapped) }) = made.as_ref()
                && replacement.as_ref() == Some(&key.kid)
            {
                writes = writes.wrapped(&key.kid, wrapped);
            }
            match writes.commit().await? {
                Commit::Done => {
                    return Ok((Taken { tenant: after, kid: kid.clone(), previous }, replacement));
                }
                Commit::Lost(_) => {}
            }
        }
        Err(StoreError::Contended.into())
    }

    /// Carries out the first step that is due. `None` when there is none.
    ///
    /// # Errors
    /// See [`StepError`].
    pub async fn carry_out_due(&self) -> Result<Option<Due>, StepError> {
        let (store, before) = self.load_any().await?;
        let policy = (before.status != TenantStatus::Deleted).then_some(&before.policy);
        let Some(due) = before.ring.due(policy, self.margins, self.now) else { return Ok(None) };
        match &due {
            Due::Replace(kind) => {
                let kind = *kind;
                self.rotate_for_service(kind, Action::KeyReplace, &store, &before).await?;
            }
            Due::Spare(kind) => {
                self.rotate_for_service(*kind, Action::KeySpare, &store, &before).await?;
            }
            Due::Disable(kid) => {
                if let Some(key) = before.ring.find(kid) {
                    self.disable(key).await?;
                }
            }
            Due::Destroy(kid) => {
                let ring = before.ring.with_end(kid, self.now);
                self.write(&store, &before, ring, &self.event(Action::KeyDestroy, kid)).await?;
            }
            Due::Withdraw(kid) => {
                let ring = before.ring.with_withdrawn(kid, self.now);
                self.write(&store, &before, ring, &self.event(Action::KeyWithdraw, kid)).await?;
            }
            Due::Bury(kid) => self.bury(&store, &before, kid).await?,
        }
        Ok(Some(due))
    }

    /// Makes a key on the service's own account: one that signs at once where none does, or a spare.
    async fn rotate_for_service(
        &self,
        kind: KeyKind,
        action: Action,
        store: &TenantStore,
        before: &Tenant,
    ) -> Result<(), StepError> {
        if action == Action::KeyReplace {
            before.ring.needs_key(kind, self.now)?;
        }
        let made = make(self.kms, self.tenant, kind, self.now).await?;
        let kid = made.key.kid.clone();
        let ring = match action {
            Action::KeyReplace => {
                let key = Some(made.key.clone());
                before.ring.rotate(kind, key, Switch::Forced, self.margins, self.now).map(|(ring, _)| ring)
            }
            _ => before.ring.with_spare(made.key.clone()),
        };
        let ring = match ring {
            Ok(ring) => ring,
            Err(refused) => {
                self.put_away(&made, None).await;
                return Err(refused.into());
            }
        };
        let mut after = before.next();
        after.ring = ring;
        let mut writes = store.writes().tenant(before, &after).audit(&self.event(action, &kid));
        if let Some(wrapped) = &made.wrapped {
            writes = writes.wrapped(&kid, wrapped);
        }
        match writes.commit().await? {
            Commit::Done => Ok(()),
            // Somebody else was first. The step is due again if it still is.
            Commit::Lost(_) => {
                self.put_away(&made, None).await;
                Ok(())
            }
        }
    }

    /// Whether KMS may not know the key everywhere yet.
    fn is_young(&self, key: &Key) -> bool {
        self.now < key.published_at.plus_seconds(self.margins.fallback_seconds)
    }

    /// Makes a private half unable to sign, then writes that down: the tenant as written. `None` when the key is in use after
    /// all, and then able to sign again.
    async fn disable(&self, key: &Key) -> Result<Option<Tenant>, StepError> {
        match key.custody {
            Custody::Kms => match self.kms.disable_key(self.tenant, &key.arn).await {
                // One that was just made may not be known everywhere yet, and can sign where it is: it stays due.
                Err(KmsError::NotUsable(trouble))
                    if trouble.is("NotFoundException") && self.is_young(key) =>
                {
                    return Err(KmsError::NotUsable(trouble).into());
                }
                // Any other that KMS does not know or is deleting can't sign either.
                Ok(()) | Err(KmsError::NotUsable(_)) => {}
                Err(error) => return Err(error.into()),
            },
            // Nobody signs with it: functions sign with the active key alone, and drop it from memory.
            Custody::Wrapped => {}
        }
        for _ in 0..ATTEMPTS {
            let (store, before) = self.load_any().await?;
            let Some(found) = before.ring.find(&key.kid) else { return Ok(None) };
            let ended = matches!(found.state(self.now), KeyState::Retired | KeyState::Compromised);
            if !ended && found.custody == Custody::Kms {
                // An admin rolled back to it while it was being put away: it is to sign again.
                self.kms.enable_key(self.tenant, &key.arn).await?;
            }
            if !ended || found.disabled_at.is_some() {
                return Ok(None);
            }
            let mut after = before.next();
            after.ring = before.ring.with_disabled(&key.kid, self.now);
            let event = self.event(Action::KeyDisable, &key.kid);
            match store.writes().tenant(&before, &after).audit(&event).commit().await? {
                Commit::Done => return Ok(Some(after)),
                Commit::Lost(_) => {}
            }
        }
        Err(StoreError::Contended.into())
    }

    /// Takes back what was enabled in KMS for a roll-back that was refused. Whoever rolled back meanwhile keeps it.
    async fn disable_again(&self, kid: &Kid) {
        let undone = async {
            let (_, tenant) = self.load_any().await?;
            let put_away = tenant.ring.find(kid).filter(|key| key.disabled_at.is_some());
            match put_away.map(|key| (key.custody, &key.arn)) {
                Some((Custody::Kms, arn)) => {
                    self.kms.disable_key(self.tenant, arn).await.map_err(StepError::from)
                }
                Some((Custody::Wrapped, _)) | None => Ok(()),
            }
        };
        if let Err(error) = undone.await {
            tracing::warn!(tenant = %self.tenant, kid = %kid, cause = chain(&error), event = "retired_key_enabled", "a key that was to sign again and does not could not be disabled");
        }
    }

    async fn bury(&self, store: &TenantStore, before: &Tenant, kid: &Kid) -> Result<(), StepError> {
        let Some(key) = before.ring.find(kid) else { return Ok(()) };
        match key.custody {
            Custody::Kms => self.kms.schedule_deletion(self.tenant, &key.arn).await?,
            Custody::Wrapped => {}
        }
        let mut after = before.next();
        after.ring = before.ring.without(kid);
        let mut writes = store.writes().tenant(before, &after);
        if key.custody == Custody::Wrapped {
            writes = writes.drop_wrapped(kid);
        }
        writes.commit().await?;
        Ok(())
    }

    async fn write(
        &self,
        store: &TenantStore,
        before: &Tenant,
        ring: KeyRing,
        event: &AuditEvent,
    ) -> Result<(), StepError> {
        let mut after = before.next();
        after.ring = ring;
        store.writes().tenant(before, &after).audit(event).commit().await?;
        Ok(())
    }

    /// A step that needs nothing of KMS.
    async fn change(
        &self,
        kid: &Kid,
        step: impl Fn(&Tenant) -> Result<KeyRing, Refused>,
        event: &AuditEvent,
    ) -> Result<Taken, StepError> {
        for _ in 0..ATTEMPTS {
            let (store, before) = self.load().await?;
            let previous = before.ring.active(self.now).map(|key| key.kid.clone());
            let mut after = before.next();
            after.ring = step(&before)?;
            match store.writes().tenant(&before, &after).audit(event).commit().await? {
                Commit::Done => return Ok(Taken { tenant: after, kid: kid.clone(), previous }),
                Commit::Lost(_) => {}
            }
        }
        Err(StoreError::Contended.into())
    }

    /// Puts a key away that was made for nothing. Only where it is certain that no ring has it.
    async fn put_away(&self, made: &Made, ring: Option<&KeyRing>) {
        if ring.is_some_and(|ring| ring.find(&made.key.kid).is_some()) || made.wrapped.is_some() {
            return;
        }
        let arn = &made.key.arn;
        let gone = match self.kms.disable_key(self.tenant, arn).await {
            Ok(()) => self.kms.schedule_deletion(self.tenant, arn).await,
            Err(error) => Err(error),
        };
        if let Err(error) = gone {
            tracing::warn!(tenant = %self.tenant, cause = chain(&error), event = "spare_key", "a key that was made for nothing stays until the schedule finds it");
        }
    }

    fn switch(&self, tenant: &Tenant, forced: bool) -> Switch {
        if forced { Switch::Forced } else { Switch::Published(tenant.policy.published_seconds(self.margins)) }
    }

    fn event(&self, action: Action, kid: &Kid) -> AuditEvent {
        AuditEvent::new(self.now, self.actor, action).on(kid).from(self.source)
    }

    /// The tenant, if it was not deleted and is as the asker knows it.
    async fn load(&self) -> Result<(TenantStore, Tenant), StepError> {
        let (store, tenant) = self.load_any().await?;
        if tenant.status == TenantStatus::Deleted {
            return Err(StepError::NoTenant);
        }
        match self.version {
            Some(version) if version != tenant.version => Err(StepError::Changed),
            _ => Ok((store, tenant)),
        }
    }

    async fn load_any(&self) -> Result<(TenantStore, Tenant), StepError> {
        let entered = self.store.enter(self.tenant, Wanted::default()).await?;
        entered.map(|entered| (entered.store, entered.tenant)).ok_or(StepError::NoTenant)
    }
}

/// Whether it is certain what was written: trouble with the table leaves open whether a write landed.
fn is_certain<T>(outcome: &Result<T, StepError>) -> bool {
    match outcome {
        Ok(_)
        | Err(
            StepError::Refused(_)
            | StepError::Custody
            | StepError::NoTenant
            | StepError::Kms(_)
            | StepError::Changed
            | StepError::Answered
            | StepError::Store(StoreError::Contended),
        ) => true,
        Err(StepError::Store(StoreError::Unavailable(_) | StoreError::Corrupt { .. })) => false,
    }
}
