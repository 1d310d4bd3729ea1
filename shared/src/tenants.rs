//! What a verifying process keeps for each tenant it is asked about, bounded. Tenants that are known to exist have a place
//! of their own: names that strangers make up can push out each other, and never a tenant.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::bounded::Bounded;
use crate::id::TenantId;

/// Slots of tenants.
#[derive(Debug)]
pub struct Tenants<S> {
    known: Mutex<Bounded<TenantId, Arc<S>>>,
    candidates: Mutex<Bounded<TenantId, Arc<S>>>,
}

impl<S: Default> Tenants<S> {
    /// Room for so many tenants, and for as many names that may be none.
    pub fn new(capacity: usize) -> Self {
        Self { known: Mutex::new(Bounded::new(capacity)), candidates: Mutex::new(Bounded::new(capacity)) }
    }

    /// The slot of a tenant; a fresh one among the candidates for a name that was never asked for.
    pub fn slot(&self, tenant: &TenantId) -> Arc<S> {
        if let Some(slot) = lock(&self.known).get(tenant) {
            return slot.clone();
        }
        let mut candidates = lock(&self.candidates);
        if let Some(slot) = candidates.get(tenant) {
            return slot.clone();
        }
        let slot = Arc::new(S::default());
        candidates.insert(tenant.clone(), slot.clone());
        slot
    }

    /// The tenant of this slot exists.
    pub fn exists(&self, tenant: &TenantId, slot: &Arc<S>) {
        let mut known = lock(&self.known);
        if known.get(tenant).is_none() {
            known.insert(tenant.clone(), slot.clone());
            lock(&self.candidates).remove(tenant);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that can panic runs under these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_names_push_out_each_other_and_never_a_tenant() {
        let tenants: Tenants<u8> = Tenants::new(4);
        let acme: TenantId = "acme".parse().unwrap();
        let slot = tenants.slot(&acme);
        tenants.exists(&acme, &slot);
        for n in 0..1000 {
            tenants.slot(&format!("made-up-{n}").parse().unwrap());
        }
        assert!(Arc::ptr_eq(&tenants.slot(&acme), &slot));
        assert_eq!((lock(&tenants.known).len(), lock(&tenants.candidates).len()), (1, 4));
    }
}
