//! Revocation that arrives: whatever is revoked, every verifying function refuses it within five seconds of the answer, on
//! every instance, also where the token was found good a moment before. `ROUNDS=200` makes it 200 trials of each kind.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use leasehold::remote::{OnTrouble, Polling, Remote, Settings};
use leasehold_tests::http::Call;
use leasehold_tests::settings::number;
use leasehold_tests::stack::{Setup, Stack};
use leasehold_tests::tenant::{Admin, BACKEND, PASSWORD, Session, Tenant, USER, sample_api};
use serde_json::json;
use tokio::task::JoinSet;

use crate::support::{report, together};

/// What is promised.
const PROMISE: Duration = Duration::from_secs(5);
/// For how long it is watched.
const WATCHED: Duration = Duration::from_millis(6500);
/// How many trials run at once.
const AT_ONCE: usize = 12;

/// What is revoked, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Session,
    SignedOutEverywhere,
    PasswordChanged,
    UserDisabled,
    EveryoneSignedOut,
    TenantSuspended,
    KeyCompromised,
}

const KINDS: [Kind; 7] = [
    Kind::Session,
    Kind::SignedOutEverywhere,
    Kind::PasswordChanged,
    Kind::UserDisabled,
    Kind::EveryoneSignedOut,
    Kind::TenantSuspended,
    Kind::KeyCompromised,
];

/// Where tokens are verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Authorizer,
    Annotating,
    Introspection,
    Userinfo,
    Sessions,
    Admin,
    Elsewhere,
}

const PLACES: [Place; 7] = [
    Place::Authorizer,
    Place::Annotating,
    Place::Introspection,
    Place::Userinfo,
    Place::Sessions,
    Place::Admin,
    Place::Elsewhere,
];

struct Trial {
    tenant: Tenant,
    session: Session,
    admin: Admin,
    elsewhere: Remote,
}

impl Trial {
    async fn new(stack: &Stack) -> Self {
        let tenant = Tenant::create(stack).await;
        let session = tenant.login_for("openid orders:read").await;
        let polling = Polling::every_two_seconds(OnTrouble::Refuse);
        let elsewhere = Remote::new(&stack.base_url(), Settings { polling, ..Settings::default() });
        Self { admin: tenant.admin().await, elsewhere: elsewhere.expect("a local address"), tenant, session }
    }

    /// Whether the token is found good there.
    async fn is_good(&self, place: Place) -> bool {
        let Self { tenant, session, .. } = self;
        let get = |path: &str, token: &str| Call::get(tenant.url(path)).bearer(token).send(&tenant.http);
        match place {
            Place::Authorizer => tenant.orders(&session.access).await.status == 200,
            Place::Annotating => tenant.me(&session.access).await.status == 200,
            Place::Introspection => {
                let call = Call::post(tenant.url("/introspect")).basic(BACKEND, &tenant.secret);
                call.form(&[("token", &session.access)]).send(&tenant.http).await.json()["active"] == true
            }
            Place::Userinfo => get("/userinfo", &session.access).await.status == 200,
            Place::Sessions => tenant.sessions(&session.access).await.status == 200,
            Place::Admin => get("/admin/keys", &self.admin.token).await.status == 200,
            Place::Elsewhere => {
                let id = tenant.name.parse().expect("a tenant id");
                self.elsewhere.verify(&id, &sample_api(&tenant.name), &session.access).await.is_ok()
            }
        }
    }

    async fn revoke(&self, stack: &Stack, kind: Kind) {
        let Self { tenant, session, admin, .. } = self;
        let operate = |op: &str| {
            let command = json!({"op": op, "tenant": tenant.name});
            async move { stack.operator(&tenant.http, &command).await }
        };
        match kind {
            Kind::Session => {
                tenant.revoke(&session.refresh).await.expect(200);
            }
            Kind::SignedOutEverywhere => {
                tenant.sign_out_everywhere(&session.access).await.expect(204);
            }
            Kind::PasswordChanged => {
                tenant.change_password(USER, PASSWORD, "copper-Nebula 9 ticket").await.expect(204);
            }
            Kind::UserDisabled => {
                let command = json!({"op": "user.disable", "tenant": tenant.name, "username": USER});
                stack.operator(&tenant.http, &command).await;
            }
            Kind::EveryoneSignedOut => {
                let call = Call::delete(tenant.url("/admin/sessions")).bearer(&admin.token);
                call.send(&tenant.http).await.expect(204);
            }
            Kind::TenantSuspended => {
                operate("tenant.suspend").await;
            }
            Kind::KeyCompromised => {
                let jwt = session.jwt();
                let kid = jwt.header["kid"].as_str().expect("a kid");
                let call =
                    Call::post(tenant.url(&format!("/admin/keys/{kid}/compromise"))).bearer(&admin.token);
                call.json(&json!({})).send(&tenant.http).await.expect(200);
            }
        }
    }

    /// When, after the revocation was answered, a request was last sent that found the token good.
    async fn run(self, stack: &Stack, kind: Kind) -> BTreeMap<Place, Duration> {
        // An admin's own token is not the user's: only what ends everything ends it too.
        let ends_all = kind >= Kind::EveryoneSignedOut;
        let places: Vec<Place> =
            PLACES.into_iter().filter(|place| *place != Place::Admin || ends_all).collect();
        for place in &places {
            // At once, so that every instance is warm and has just found it good.
            for good in self.twice(*place).await.into_iter().chain(self.twice(*place).await) {
                assert!(good, "{kind:?}: {place:?} finds the token good before");
            }
        }
        self.revoke(stack, kind).await;
        let answered = Instant::now();
        let mut last = BTreeMap::new();
        while answered.elapsed() < WATCHED {
            for place in &places {
                let sent = answered.elapsed();
                if self.twice(*place).await.contains(&true) {
                    last.insert(*place, sent);
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        for place in &places {
            let latest = last.entry(*place).or_default();
            assert!(*latest <= PROMISE, "{kind:?}: {place:?} found it good {latest:?} after");
        }
        last
    }

    async fn twice(&self, place: Place) -> [bool; 2] {
        let (first, second) = tokio::join!(self.is_good(place), self.is_good(place));
        [first, second]
    }
}

#[tokio::test]
async fn what_is_revoked_is_refused_everywhere_within_five_seconds() {
    let stack = std::sync::Arc::new(Setup::default().instances(2).start());
    let rounds = number("ROUNDS", 1);
    let trials: Vec<Kind> = (0..rounds).flat_map(|_| KINDS).collect();
    let mut slowest: BTreeMap<(Kind, Place), Duration> = BTreeMap::new();
    for part in trials.chunks(AT_ONCE) {
        let made = together(part.len(), |_| {
            let stack = stack.clone();
            async move { Trial::new(&stack).await }
        });
        let mut running = JoinSet::new();
        for (trial, kind) in made.await.into_iter().zip(part.iter().copied()) {
            let stack = stack.clone();
            running.spawn(async move { (kind, trial.run(&stack, kind).await) });
        }
        for (kind, seen) in running.join_all().await {
            for (place, latest) in seen {
                let slot = slowest.entry((kind, place)).or_default();
                *slot = latest.max(*slot);
            }
        }
    }
    let mut lines =
        vec![format!("slowest of {rounds} revocations of each kind, in seconds after the answer")];
    lines.extend(KINDS.iter().map(|kind| {
        let cells = PLACES.iter().filter_map(|place| {
            slowest.get(&(*kind, *place)).map(|latest| format!("{place:?} {:.1}", latest.as_secs_f64()))
        });
        format!("{:<20} {}", format!("{kind:?}"), cells.collect::<Vec<_>>().join("  "))
    }));
    report(&lines);
}
