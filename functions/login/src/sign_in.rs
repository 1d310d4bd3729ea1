//! Signing in: check, grant, sign, open the family, reply. The signature comes before the write, so that trouble in KMS
//! leaves no session behind that nobody holds a token of.
//!
//! A reply that is lost costs a session that nobody uses: the retry opens another (ASVS 7.2.4), and the old one leaves
//! by idleness or when the user has too many.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::time::Duration;

use http::StatusCode;
use leasehold::audit::{Action, Actor, AuditEvent};
use leasehold::client::Client;
use leasehold::clock::Timestamp;
use leasehold::health::Place;
use leasehold::health::versions::is_blocked;
use leasehold::http::{Call, Code, Refusal, Reply, decision};
use leasehold::id::FamilyId;
use leasehold::issue::{self, Subject, TokenResponse};
use leasehold::refresh::Family;
use leasehold::refresh::family::{Grant, Opening};
use leasehold::sign::{Occasion, Priority};
use leasehold::store::StoreError;
use leasehold::telemetry::{Note, chain};
use leasehold::tenant::{Tenant, issuer};
use leasehold::user::User;

use crate::Login;
use crate::check::{Checked, check};
use crate::request::{LoginRequest, Proof};

/// How the user proved who they are (RFC 8176 §2).
const PASSWORD_METHOD: &str = "pwd";

/// How many families one login ends at most, when the limit was lowered; the rest leave with the next logins.
const LEAVING_AT_ONCE: usize = 4;

/// How many ended families of a user are left to DynamoDB's TTL, which is days late; beyond that logins remove them, so
/// that the families of somebody who signs in all day stay few.
const ENDED_KEPT: usize = 50;

/// How long what follows a login that stands may keep the answer waiting.
const FOLLOW_UP: Duration = Duration::from_secs(2);

/// `POST /t/{tenant}/login`.
///
/// # Errors
/// Those of [`check`]; `invalid_scope` when nothing of the scope asked for can be granted; `access_denied` when a user
/// who is no admin signs in through the client of the admins.
pub async fn sign_in(login: &Login, call: &Call, note: &mut Note) -> Result<Reply, Refusal> {
    let outcome = Box::pin(decide_on(login, call, note)).await;
    note.decided = decision(Place::Login, outcome.as_ref().err());
    outcome
}

async fn decide_on(login: &Login, call: &Call, note: &mut Note) -> Result<Reply, Refusal> {
    let LoginRequest { claimed, scope, nonce } = LoginRequest::read(call)?;
    let checked = Box::pin(check(login, &claimed, call, note)).await?;
    let Checked { store, tenant, client, user, counters, .. } = &checked;
    let granted = if is_blocked(&tenant.policy, call.client_version().as_deref()) {
        Err(Refusal::outdated())
    } else {
        grant(tenant, user, client, scope.as_ref())
    };
    let scope = match granted {
        Ok(scope) => scope,
        Err(refusal) => {
            counters.take_back(store).await;
            return Err(refusal);
        }
    };
    let app = &login.app;
    let grant = Grant {
        user: user.id,
        client: client.id.clone(),
        device: claimed.device.clone(),
        client_version: call.client_version(),
        audience: issue::audiences(client, &issuer(&app.config.public_url, &tenant.id)),
        scope,
        amr: vec![PASSWORD_METHOD.to_owned()],
        tenant_epoch: tenant.epoch,
        user_epoch: user.epoch,
    };
    let opened = Family::open(grant, &tenant.policy, Opening::draw(), call.now);
    let family = &opened.family;
    note.family = Some(family.id.to_string());
    let subject = Subject { tenant, user, family, scope: &family.scope };
    let occasion = Occasion { tenant, store, priority: Priority::Login, now: call.now };
    let (signed, families, ()) = tokio::join!(
        issue::tokens(&app.signer, &app.config.public_url, subject, occasion, nonce.as_deref()),
        store.list_families(user.id),
        counters.take_back(store),
    );
    let tokens = signed?;
    store.open_family(family).await?;
    if let Some(version) = &family.client_version {
        app.recorder.learn(&tenant.id, version, user.id);
    }
    let follow_up = Box::pin(async {
        tokio::join!(
            remember_device(&checked, call.now),
            rehash(login, &checked, &claimed.proof),
            tidy(&checked, families, call),
        )
    });
    if tokio::time::timeout(FOLLOW_UP, follow_up).await.is_err() {
        tracing::warn!(user = %user.id, "what follows a login took too long and is left to the next one");
    }
    Ok(Reply::json(StatusCode::OK, &TokenResponse::new(tokens, &opened.successor, subject, None, call.now)))
}

/// What the session may do: requested ∩ client's ∩ user's. Asked for nothing, it may be nothing; asked for something
/// and given nothing of it, the login would be of no use, and an admin's without the role is a mistake.
fn grant(
    tenant: &Tenant,
    user: &User,
    client: &Client,
    requested: Option<&BTreeSet<String>>,
) -> Result<BTreeSet<String>, Refusal> {
    if client.is_admin() && user.admin_rights().is_empty() {
        return Err(Refusal::new(Code::AccessDenied, "not_an_admin"));
    }
    let granted = user.grant(client, &tenant.policy, requested);
    if granted.is_empty() && requested.is_some() {
        return Err(Refusal::new(Code::InvalidScope, "nothing_granted"));
    }
    Ok(granted)
}

/// The families that leave to make room for one more: the least recently used first.
fn leaving(families: &[Family], tenant: &Tenant, user: &User, now: Timestamp) -> Vec<FamilyId> {
    let mut live: Vec<&Family> = families.iter().filter(|family| family.is_live(tenant, user, now)).collect();
    live.sort_by_key(|family| (Reverse(family.last_used_at), Reverse(family.created_at)));
    let staying =
        usize::try_from(tenant.policy.max_sessions_per_user.saturating_sub(1)).unwrap_or(usize::MAX);
    live.iter().skip(staying).rev().take(LEAVING_AT_ONCE).map(|family| family.id).collect()
}

/// The ended families to remove: the oldest, when there are too many; as many as one call deletes.
fn gone(families: &[Family], now: Timestamp) -> Vec<FamilyId> {
    let mut ended: Vec<&Family> = families.iter().filter(|family| !family.is_open(now)).collect();
    ended.sort_by_key(|family| Reverse(family.last_used_at));
    ended.iter().skip(ENDED_KEPT).rev().take(25).map(|family| family.id).collect()
}

// What follows a login that stands. None of it makes the login fail: each is made good by the next one.

async fn tidy(checked: &Checked, families: Result<Vec<Family>, StoreError>, call: &Call) {
    let Checked { store, tenant, user, .. } = checked;
    let families = match families {
        Ok(families) => families,
        Err(error) => {
            tracing::warn!(cause = chain(&error), "a user's sessions could not be counted");
            return;
        }
    };
    for family in leaving(&families, tenant, user, call.now) {
        let audit = AuditEvent::new(call.now, Actor::Service, Action::SessionEvict)
            .on(&family)
            .from(call.source.as_deref());
        if let Err(error) = store.revoke_family(user.id, family, &audit).await {
            tracing::warn!(family = %family, cause = chain(&error), "a session beyond the limit could not be ended");
        }
    }
    let gone = gone(&families, call.now);
    if !gone.is_empty()
        && let Err(error) = store.forget_families(user.id, &gone).await
    {
        tracing::warn!(cause = chain(&error), "ended sessions could not be removed");
    }
}

async fn remember_device(checked: &Checked, now: Timestamp) {
    let Some(device) = &checked.new_device else { return };
    if let Err(error) = checked.store.remember_device(&checked.user.login, device, now).await {
        tracing::warn!(cause = chain(&error), "a device could not be remembered");
    }
}

/// The password is at hand only now: where its hash is not as it would be made today, it is hashed anew.
async fn rehash(login: &Login, checked: &Checked, proof: &Proof) {
    let Proof::Password(password) = proof else { return };
    let stored = checked.user.password.as_deref();
    let cost = login.cost(&checked.tenant.policy);
    if !stored.is_some_and(|stored| login.hasher.needs_rehash(stored, cost)) {
        return;
    }
    match login.hasher.hash(password.clone(), cost).await {
        Ok(hash) => {
            // A user changed meanwhile keeps the change; the next login comes by here again.
            if let Err(error) = checked.store.rehash(&checked.user, hash).await {
                tracing::warn!(cause = chain(&error), "a renewed hash could not be kept");
            }
        }
        Err(error) => tracing::warn!(cause = chain(&error), "a hash could not be renewed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use leasehold::client::{ADMIN_CLIENT, ADMIN_SCOPES, ClientType, Settings};
    use leasehold::keys::KeyRing;
    use leasehold::policy::Policy;
    use leasehold::refresh::FamilyStatus;
    use leasehold::user::Profile;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn texts(texts: &[&str]) -> BTreeSet<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    fn client(id: &str, scopes: &[&str]) -> Client {
        let settings = Settings { scopes: texts(scopes), ..Settings::default() };
        Client::new(id.parse().unwrap(), ClientType::Public, settings, NOW).0
    }

    fn user(roles: &[&str]) -> User {
        let profile = Profile { roles: texts(roles), ..Profile::default() };
        User { epoch: 3, ..User::new("ada".parse().unwrap(), profile, NOW) }
    }

    fn tenant(max_sessions_per_user: u32) -> Tenant {
        let policy = Policy { max_sessions_per_user, ..Policy::default() };
        Tenant { epoch: 2, ..Tenant::new("acme".parse().unwrap(), policy, KeyRing::default(), NOW) }
    }

    fn family(user: &User, used_seconds_ago: u64) -> Family {
        let grant = Grant {
            user: user.id,
            client: "shop".parse().unwrap(),
            device: None,
            client_version: None,
            scope: BTreeSet::new(),
            audience: BTreeSet::new(),
            amr: vec![],
            tenant_epoch: 2,
            user_epoch: 3,
        };
        let at = NOW.minus_seconds(used_seconds_ago);
        Family::open(grant, &Policy::default(), Opening::draw(), at).family
    }

    #[test]
    fn what_is_granted() {
        let shop = client("shop", &["read", "write"]);
        let admins = client(ADMIN_CLIENT, &ADMIN_SCOPES);
        for (roles, client, requested, granted, why) in [
            (&[][..], &shop, None, Ok(&["read", "write"][..]), "asked for nothing: all there is"),
            (&[], &shop, Some(&["read"][..]), Ok(&["read"]), "a part"),
            (&[], &shop, Some(&["read", "admin:keys"]), Ok(&["read"]), "more than there is: what there is"),
            (&[], &shop, Some(&["admin:keys"]), Err(Code::InvalidScope), "nothing of it"),
            (&[], &admins, None, Err(Code::AccessDenied), "no admin"),
            (&[], &admins, Some(&["admin:keys"]), Err(Code::AccessDenied), "no admin, whatever is asked for"),
            (&["admin"], &admins, None, Ok(&ADMIN_SCOPES), "an admin"),
            (&["admin"], &admins, Some(&["admin:keys"]), Ok(&["admin:keys"]), "an admin for one thing"),
            (&["admin:users"], &admins, None, Ok(&["admin:users"]), "an admin for one thing by role"),
            (&["admin:users"], &admins, Some(&["admin:keys"]), Err(Code::InvalidScope), "not for another"),
            (&["admin"], &admins, Some(&["read"]), Err(Code::InvalidScope), "nothing an admin has"),
            (&["admin"], &shop, None, Ok(&["read", "write"]), "an admin through an app is a user"),
        ] {
            let found = grant(&tenant(20), &user(roles), client, requested.map(texts).as_ref());
            assert_eq!(found.map_err(|refusal| refusal.code), granted.map(texts), "{why}");
        }
        let bare = client("bare", &[]);
        assert_eq!(grant(&tenant(20), &user(&[]), &bare, None).ok(), Some(texts(&[])), "no scopes");
        let mut narrow = tenant(20);
        narrow.policy.allowed_scopes = Some(texts(&["read"]));
        assert_eq!(grant(&narrow, &user(&[]), &shop, None).ok(), Some(texts(&["read"])), "the tenant's part");
    }

    #[test]
    fn the_least_recently_used_leave_first() {
        let ada = user(&[]);
        let families: Vec<_> = [30, 10, 50, 20, 40].iter().map(|&ago| family(&ada, ago)).collect();
        let order = |ids: &[usize]| ids.iter().map(|&at| families[at].id).collect::<Vec<_>>();
        for (max, expected, why) in [
            (20, &[][..], "room for all"),
            (6, &[], "room for one more"),
            (5, &[2], "the oldest leaves"),
            (4, &[2, 4], "a lowered limit takes more"),
            (1, &[2, 4, 0, 3], "but only so many with one login"),
        ] {
            assert_eq!(leaving(&families, &tenant(max), &ada, NOW), order(expected), "{why}");
        }
    }

    #[test]
    fn ended_families_are_removed_only_when_there_are_many_and_never_a_live_one() {
        let ada = user(&[]);
        let ended = |ago| Family { status: FamilyStatus::Revoked, ..family(&ada, ago) };
        let mut families: Vec<_> = (0..60).map(|_| family(&ada, 5)).chain((0..50).map(ended)).collect();
        assert_eq!(gone(&families, NOW), []);
        let oldest = ended(1000);
        families.push(oldest.clone());
        assert_eq!(gone(&families, NOW), [oldest.id]);
    }

    #[test]
    fn families_that_are_over_take_no_room() {
        let ada = user(&[]);
        let live = family(&ada, 60);
        let revoked = Family { status: FamilyStatus::Revoked, ..family(&ada, 70) };
        let idle = Family { idle_expiry: NOW, ..family(&ada, 80) };
        let signed_out = Family { user_epoch: 2, ..family(&ada, 90) };
        let of_old = Family { tenant_epoch: 1, ..family(&ada, 95) };
        let families = [live.clone(), revoked, idle, signed_out, of_old];
        assert_eq!(leaving(&families, &tenant(2), &ada, NOW), []);
        assert_eq!(leaving(&families, &tenant(1), &ada, NOW), [live.id]);
    }
}
