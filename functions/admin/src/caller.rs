//! Who asks: a user of the tenant, by an access token of its administration.

use std::collections::BTreeSet;

use leasehold::app::App;
use leasehold::audit::{Action, Actor, AuditEvent};
use leasehold::http::Call;
use leasehold::http::signed_in::{Audience, SignedIn, signed_in};
use leasehold::store::TenantStore;
use leasehold::telemetry::Note;
use leasehold::tenant::Tenant;
use leasehold::user::{User, split_scope};

use crate::problem::Problem;

/// A request of a user who administers the tenant.
pub struct Caller<'a> {
    /// Settings and clients.
    pub app: &'a App,
    /// The request.
    pub call: &'a Call,
    /// The way to the tenant's items.
    pub store: TenantStore,
    /// The tenant, as it was when the token was checked.
    pub tenant: Tenant,
    /// The user who asks.
    pub user: User,
    /// What the token's scope allows and the user's roles still grant.
    rights: BTreeSet<&'static str>,
}

/// Verifies the token of a request.
pub async fn authenticate<'a>(app: &'a App, call: &'a Call, note: &mut Note) -> Result<Caller<'a>, Problem> {
    let SignedIn { store, tenant, user, claims, .. } = signed_in(app, call, Audience::Admin, note).await?;
    let scope = split_scope(&claims.scope);
    let rights = user.admin_rights().into_iter().filter(|right| scope.contains(*right)).collect();
    Ok(Caller { app, call, store, tenant, user, rights })
}

impl Caller<'_> {
    /// Whether the caller holds a scope.
    pub fn holds(&self, scope: &'static str) -> Result<(), Problem> {
        if self.rights.contains(scope) { Ok(()) } else { Err(Problem::insufficient_scope(scope)) }
    }

    /// Whether the caller's token grants every right that this user's roles grant: otherwise whoever may manage users
    /// could take over, or make, somebody who may do more.
    pub fn outranks(&self, user: &User) -> Result<(), Problem> {
        if user.admin_rights().is_subset(&self.rights) {
            Ok(())
        } else {
            Err(Problem::not_yours("The user has, or would have, rights that you lack."))
        }
    }

    /// An entry of the audit log about something this caller did.
    pub fn event(&self, action: Action) -> AuditEvent {
        AuditEvent::new(self.call.now, Actor::User(self.user.id), action).from(self.call.source.as_deref())
    }

    /// A parameter of the path that must be an id; what can't be one is not found.
    pub fn id<T: std::str::FromStr>(&self, name: &str, what: &'static str) -> Result<T, Problem> {
        let id = self.call.parameter(name).and_then(|text| text.parse().ok());
        id.ok_or_else(|| Problem::not_found(what))
    }
}
