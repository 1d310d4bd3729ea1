//! Every check row by row, each against what a verifier or a refresh would say.

mod access;
mod refresh;

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::audit::{Action, AuditEvent};
use crate::client::{ClientStatus, ClientType, Settings};
use crate::keys::{Algorithm, Custody, Key, KeyKind, KeyRing, PublicKey};
use crate::policy::Policy;
use crate::refresh::family::{Fresh, Grant, Opening, Presentation};
use crate::refresh::proof::Proof;
use crate::refresh::{FamilyStatus, Verdict, present};
use crate::tenant::TenantStatus;
use crate::token::compact::join;
use crate::token::testing::{ISSUER, NOW, Signer, claims};
use crate::token::verify::Verifier;
use crate::token::{AccessClaims, Epochs, KeySet};
use crate::user::{Profile, UserStatus};

struct World {
    signer: Signer,
    tenant: Tenant,
    user: Option<User>,
    family: Option<Family>,
    client: Option<Client>,
    tokens: Vec<RefreshToken>,
    audience: Option<&'static str>,
    now: Timestamp,
}

fn fresh(n: u8) -> Fresh {
    Fresh { secret: Secret::new([n; 32]), nonce: [n; 12], rotation_id: [n; 16] }
}

impl World {
    fn new() -> Self {
        let (signer, spki) = Signer::generate(Algorithm::EdDsa);
        let public = PublicKey::from_spki(Algorithm::EdDsa, &spki).unwrap();
        let kind = KeyKind { algorithm: Algorithm::EdDsa, custody: Custody::Kms };
        let kid = public.thumbprint(Algorithm::EdDsa).unwrap();
        let ring = KeyRing::with_first_key(Key::made(kind, kid, public, "arn".to_owned(), NOW));
        let tenant =
            Tenant { epoch: 1, ..Tenant::new("acme".parse().unwrap(), Policy::default(), ring, NOW) };
        let user = User {
            id: UserId::from_bytes([1; 16]),
            epoch: 2,
            ..User::new("ada".parse().unwrap(), Profile::default(), NOW)
        };
        let (client, _) = Client::new("app".parse().unwrap(), ClientType::Public, Settings::default(), NOW);
        let grant = Grant {
            user: user.id,
            client: client.id.clone(),
            device: None,
            client_version: None,
            scope: BTreeSet::new(),
            audience: BTreeSet::new(),
            amr: vec!["pwd".to_owned()],
            tenant_epoch: 1,
            user_epoch: 2,
        };
        let opening =
            Opening { id: FamilyId::from_bytes([2; 16]), proof: Proof::new([9; 16]), fresh: fresh(1) };
        let opened = Family::open(grant, &tenant.policy, opening, NOW);
        Self {
            signer,
            tenant,
            user: Some(user),
            family: Some(opened.family),
            client: Some(client),
            tokens: vec![opened.successor],
            audience: Some("api"),
            now: NOW,
        }
    }

    fn rotate(&mut self) {
        let token = self.tokens.last().unwrap().clone();
        let n = u8::try_from(self.tokens.len() + 1).unwrap();
        let rotated = self.family.as_ref().unwrap().rotate(&self.tenant, &token, &fresh(n), self.now);
        self.family = Some(rotated.family);
        self.tokens.push(rotated.successor);
    }

    fn change_key(&mut self, change: impl FnOnce(&mut Key)) {
        let mut key = self.tenant.ring.iter().next().unwrap().clone();
        change(&mut key);
        self.tenant.ring = serde_json::from_value(json!([key])).unwrap();
    }

    fn header(&self) -> Value {
        json!({ "typ": "at+jwt", "alg": "EdDSA", "kid": self.tenant.ring.iter().next().unwrap().kid })
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let input = format!("{}.{}", part(header), part(claims));
        join(&input, &self.signer.sign(input.as_bytes()))
    }

    fn facts(&self) -> Facts<'_> {
        Facts {
            tenant: &self.tenant,
            issuer: ISSUER,
            audience: self.audience,
            user: self.user.as_ref(),
            family: self.family.as_ref(),
            client: self.client.as_ref(),
            now: self.now,
        }
    }

    fn explain(&self, text: &str) -> Explanation {
        Presented::read(&Secret::new(text.to_owned())).explain(self.facts())
    }

    /// What our own routes say of an access token.
    fn verifies(&self, text: &str) -> Result<AccessClaims, &'static str> {
        let keys = KeySet::of(&self.tenant.ring, self.now);
        let audience = self.audience.unwrap_or("api");
        let verifier = Verifier { tenant: &self.tenant.id, issuer: ISSUER, keys: &keys, audience };
        let claims = verifier.verify(text, self.now).map_err(crate::token::Refusal::name)?.into_claims();
        let own = self.user.as_ref().filter(|user| user.is_active()).map(|user| user.epoch);
        if !self.tenant.is_active() {
            Err("tenant")
        } else if Some(claims.ep) != own.map(|user| Epochs { tenant: self.tenant.epoch, user }) {
            Err("epoch")
        } else if self.family.as_ref().is_none_or(|family| !family.is_open(self.now)) {
            Err("session")
        } else {
            Ok(claims)
        }
    }

    fn refreshes(&self, token: &RefreshToken) -> Verdict {
        let (Some(client), tenant, user) = (&self.client, &self.tenant, self.user.as_ref()) else {
            return Verdict::Dead(crate::refresh::Dead::Client);
        };
        present(self.family.as_ref(), Presentation { tenant, client, user, token, now: self.now })
    }
}

fn claims_with(change: impl FnOnce(&mut Value)) -> Value {
    let mut value = serde_json::to_value(claims()).unwrap();
    change(&mut value);
    value
}

fn failing(explanation: &Explanation) -> Vec<&'static str> {
    let failed = explanation.checks.iter().filter(|check| check.outcome == Outcome::Failed);
    failed.map(|check| check.check).collect()
}

const AT: u64 = NOW.seconds();

fn record(action: Action, target: &str, at: u64) -> AuditRecord {
    let event =
        AuditEvent::new(Timestamp::from_seconds(at), Actor::User(UserId::from_bytes([7; 16])), action)
            .on(&target.to_owned());
    serde_json::from_value(serde_json::to_value(event).unwrap()).unwrap()
}

#[test]
fn the_audit_log_says_by_whom_and_since_when() {
    let mut world = World::new();
    world.family.as_mut().unwrap().status = FamilyStatus::Revoked;
    let text = world.sign(&world.header(), &claims_with(|_| {}));
    let sid = FamilyId::from_bytes([2; 16]).to_string();
    let mut told = world.explain(&text);
    assert_eq!(told.wanted(), Some(NOW));
    let refused: AuditRecord = {
        let event = AuditEvent::new(NOW, Actor::Operator, Action::SessionEnd).on(&sid).refused("x");
        serde_json::from_value(serde_json::to_value(event).unwrap()).unwrap()
    };
    let records = [
        record(Action::SessionEnd, &sid, AT + 9),
        record(Action::SessionRevoke, &sid, AT + 5),
        record(Action::SessionEnd, "another", AT + 4),
        record(Action::UserUpdate, &sid, AT + 3),
        record(Action::SessionEnd, &sid, AT - 1),
        refused,
    ];
    assert_eq!(records.iter().filter(|record| told.is_told_by(record)).count(), 2);
    told.learn(&records);
    let check = told.checks.iter().find(|check| check.check == "session").unwrap();
    let by = check.by.as_ref().unwrap();
    assert_eq!((check.since, by.at, by.action.as_str()), (Some(AT + 5), AT + 5, "session.revoke"));
    assert_eq!(by.actor, Who { kind: "user", id: Some(UserId::from_bytes([7; 16])) });
    let shown = serde_json::to_value(&told).unwrap();
    assert!(shown["checks"][0].get("trace").is_none(), "{shown}");
}
