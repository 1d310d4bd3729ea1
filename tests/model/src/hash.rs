//! What makes two worlds different for the search. Taken apart member by member, so that a new member of a family cannot
//! be forgotten: it does not compile.

use std::hash::{Hash, Hasher};

use leasehold::refresh::{Family, FamilyStatus, RefreshToken};

/// Feeds a family to a hasher: everything a decision can depend on.
pub fn family<H: Hasher>(family: &Family, hasher: &mut H) {
    let Family {
        // The same in every family of a scenario.
        id: _,
        user: _,
        client: _,
        device: _,
        client_version: _,
        scope: _,
        audience: _,
        amr: _,
        auth_time: _,
        created_at: _,
        tenant_epoch: _,
        rest: _,
        // Written for people, and the windows follow from it.
        last_used_at: _,
        rotated_at: _,
        user_epoch,
        status,
        idle_expiry,
        absolute_expiry,
        generation,
        current_hash,
        previous_hash,
        proof_hash,
        sealed,
        rotation_id,
        retry_until,
        late_until,
        confirmed,
        replayed_gen,
        replay_streak,
        late_counted_gen,
        late_streak,
        version,
    } = family;
    (user_epoch, *status == FamilyStatus::Active, generation, version, confirmed).hash(hasher);
    (idle_expiry, absolute_expiry, retry_until, late_until).hash(hasher);
    (replayed_gen, replay_streak, late_counted_gen, late_streak).hash(hasher);
    (current_hash.as_ref(), proof_hash.as_ref(), rotation_id.as_ref()).hash(hasher);
    previous_hash.as_ref().map(AsRef::as_ref).hash(hasher);
    sealed.as_ref().map(AsRef::as_ref).hash(hasher);
}

/// Feeds a token to a hasher.
pub fn token<H: Hasher>(token: &RefreshToken, hasher: &mut H) {
    (token.generation, token.secret.expose(), token.proof.expose()).hash(hasher);
}
