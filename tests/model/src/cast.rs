//! Who and what there is in every scenario: a tenant, a client, a user, and how a family of theirs is opened.

use std::collections::BTreeSet;

use leasehold::client::{Client, ClientStatus, ClientType};
use leasehold::clock::Timestamp;
use leasehold::id::{FamilyId, UserId};
use leasehold::keys::KeyRing;
use leasehold::policy::Policy;
use leasehold::refresh::Family;
use leasehold::refresh::family::{Fresh, Grant, Opening, Rotated};
use leasehold::refresh::proof::Proof;
use leasehold::rest::Rest;
use leasehold::secret::Secret;
use leasehold::tenant::{Tenant, TenantStatus};
use leasehold::user::{User, UserStatus};

/// When every scenario begins.
pub const START: Timestamp = Timestamp::from_seconds(1_800_000_000);

/// The tenant's epoch; no scenario raises it, since it counts as the user's does.
const TENANT_EPOCH: u32 = 3;

/// A tenant with this policy.
pub fn tenant(policy: Policy) -> Tenant {
    Tenant {
        id: "acme".parse().expect("a tenant's name"),
        status: TenantStatus::Active,
        epoch: TENANT_EPOCH,
        policy,
        ring: KeyRing::default(),
        origins: BTreeSet::new(),
        created_at: START,
        version: 1,
        rest: Rest::default(),
    }
}

/// Its public client.
pub fn client() -> Client {
    Client {
        id: "app".parse().expect("a client's name"),
        kind: ClientType::Public,
        secret_hashes: Vec::new(),
        audiences: BTreeSet::new(),
        scopes: BTreeSet::new(),
        origins: BTreeSet::new(),
        status: ClientStatus::Active,
        created_at: START,
        version: 1,
        rest: Rest::default(),
    }
}

/// Its user, at an epoch.
pub fn user(epoch: u32) -> User {
    User {
        id: UserId::from_bytes([1; 16]),
        login: "ada".parse().expect("a login name"),
        password: None,
        roles: BTreeSet::new(),
        permissions: BTreeSet::new(),
        scopes: None,
        claims: serde_json::Map::new(),
        status: UserStatus::Active,
        epoch,
        created_at: START,
        version: 1,
        rest: Rest::default(),
    }
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
