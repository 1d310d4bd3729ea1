//! Who and what there is in every scenario: a tenant, a client, a user, and how a family of theirs is opened.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use leasehold::client::Client;
use leasehold::clock::Timestamp;
use leasehold::id::{FamilyId, UserId};
use leasehold::policy::Policy;
use leasehold::refresh::Family;
use leasehold::refresh::family::{Fresh, Grant, Opening, Rotated};
use leasehold::refresh::proof::Proof;
use leasehold::secret::Secret;
use leasehold::tenant::Tenant;
use leasehold::user::User;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// When every scenario begins.
pub const START: Timestamp = Timestamp::from_seconds(1_800_000_000);

/// The tenant's epoch; no scenario raises it, since it counts as the user's does.
const TENANT_EPOCH: u32 = 3;

/// A tenant with this policy. Read as the table holds it, so that members that come with a default change nothing here.
pub fn tenant(policy: &Policy) -> Tenant {
    from(json!({
        "id": "acme", "status": "active", "epoch": TENANT_EPOCH, "policy": policy, "ring": [],
        "created_at": START, "version": 1,
    }))
}

/// Its public client.
pub fn client() -> Client {
    from(json!({
        "id": "app", "type": "public", "audiences": [], "scopes": [], "status": "active", "created_at": START,
        "version": 1,
    }))
}

/// Its user, at an epoch.
pub fn user(epoch: u32) -> User {
    static USER: LazyLock<User> = LazyLock::new(|| {
        from(json!({
            "id": UserId::from_bytes([1; 16]), "login": "ada", "status": "active", "epoch": 0, "created_at": START,
            "version": 1,
        }))
    });
    User { epoch, ..USER.clone() }
}

fn from<T: DeserializeOwned>(stored: Value) -> T {
    serde_json::from_value(stored).expect("it is as the table holds it")
}

/// A family as a login leaves it.
pub fn opened(tenant: &Tenant, user_epoch: u32) -> Rotated {
    let grant = Grant {
        user: UserId::from_bytes([1; 16]),
        client: client().id,
        device: None,
        client_version: None,
        scope: BTreeSet::new(),
        audience: BTreeSet::new(),
        amr: Vec::new(),
        tenant_epoch: TENANT_EPOCH,
        user_epoch,
    };
    let opening =
        Opening { id: FamilyId::from_bytes([2; 16]), proof: Proof::new([9; 16]), fresh: fresh(&[0; 16]) };
    Family::open(grant, &tenant.policy, opening, START)
}

/// Randomness that tells apart whatever the search must be able to tell apart.
pub fn fresh(mark: &[u8; 16]) -> Fresh {
    let mut secret = [0x55; 32];
    secret[..16].copy_from_slice(mark);
    let mut nonce = [0; 12];
    nonce.copy_from_slice(&mark[..12]);
    Fresh { secret: Secret::new(secret), nonce, rotation_id: *mark }
}
