//! Every check row by row, each against what a verifier or a refresh would say.

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

#[test]
fn a_good_access_token_says_so_of_every_check() {
    let world = World::new();
    let told = world.explain(&world.sign(&world.header(), &claims_with(|_| {})));
    assert!(told.good && told.reason.is_none() && told.wanted().is_none(), "{told:?}");
    assert!(told.checks.iter().all(|check| check.outcome == Outcome::Ok), "{told:?}");
    let about = told.about.unwrap();
    assert_eq!((about.sub, about.sid), (UserId::from_bytes([1; 16]), FamilyId::from_bytes([2; 16])));
}

/// What is wrong with a token, its header or the world, the checks that fail, and since when.
type Row = (&'static str, fn(&mut World, &mut Value, &mut Value), &'static [&'static str], Option<u64>);

const AT: u64 = NOW.seconds();

#[test]
fn each_check_of_an_access_token_fails_by_itself_and_as_the_verifier_says() {
    let rows: &[Row] = &[
        ("an ID token", |_, header, _| header["typ"] = json!("JWT"), &["type"], None),
        ("a header of another kind", |_, header, _| header["crit"] = json!(["b64"]), &["type"], None),
        ("another key", |_, header, _| header["kid"] = json!("A".repeat(43)), &["key"], None),
        ("no key", |_, header, _| header["kid"] = json!(7), &["type", "key"], None),
        (
            "a retired key",
            |world, _, _| {
                world.change_key(|key| {
                    (key.superseded_at, key.retire_at) = (Some(NOW), Some(NOW.plus_seconds(7)));
                });
                world.now = NOW.plus_seconds(8);
            },
            &["key"],
            Some(AT + 7),
        ),
        (
            "a compromised key",
            |world, _, _| world.change_key(|key| key.compromised_at = Some(NOW)),
            &["key"],
            Some(AT),
        ),
        ("another algorithm", |_, header, _| header["alg"] = json!("RS256"), &["algorithm"], None),
        ("a missing claim", |_, _, claims| claims["sub"] = json!(null), &["claims"], None),
        ("too long a life", |_, _, claims| claims["exp"] = json!(AT + 4000), &["claims"], None),
        (
            "another issuer",
            |_, _, claims| claims["iss"] = json!("https://x.example/t/acme"),
            &["issuer"],
            None,
        ),
        ("another tenant", |_, _, claims| claims["tid"] = json!("globex"), &["issuer"], None),
        ("another API", |_, _, claims| claims["aud"] = json!(["other"]), &["audience"], None),
        ("expired", |world, _, _| world.now = NOW.plus_seconds(994), &["expiry"], Some(AT + 900)),
        ("issued ahead", |world, _, _| world.now = NOW.minus_seconds(61), &["not_before"], None),
        ("suspended", |world, _, _| world.tenant.status = TenantStatus::Suspended, &["tenant"], None),
        ("the tenant signed out", |world, _, _| world.tenant.epoch = 2, &["tenant_epoch"], None),
        ("the user signed out", |world, _, _| world.user.as_mut().unwrap().epoch = 3, &["user_epoch"], None),
        (
            "disabled",
            |world, _, _| world.user.as_mut().unwrap().status = UserStatus::Disabled,
            &["user"],
            None,
        ),
        ("removed", |world, _, _| world.user = None, &["user"], None),
        ("no session", |world, _, _| world.family = None, &["session"], None),
        (
            "a session that was ended",
            |world, _, _| world.family.as_mut().unwrap().status = FamilyStatus::Revoked,
            &["session"],
            None,
        ),
        (
            "a session that has run out",
            |world, _, _| world.family.as_mut().unwrap().idle_expiry = NOW,
            &["session"],
            Some(AT),
        ),
    ];
    for (what, change, checks, since) in rows {
        let mut world = World::new();
        let (mut header, mut body) = (world.header(), claims_with(|_| {}));
        change(&mut world, &mut header, &mut body);
        let text = world.sign(&header, &body);
        let told = world.explain(&text);
        assert_eq!(failing(&told), *checks, "{what}: {told:?}");
        let check = told.checks.iter().find(|check| check.outcome == Outcome::Failed).unwrap();
        assert_eq!(check.since, *since, "{what}");
        // A verifier does not see a key that was given up; what follows the feed calls that `key`.
        let said = told.reason.map(|reason| if reason == "key" { "unknown_key" } else { reason });
        assert_eq!(world.verifies(&text).err(), said, "{what}");
        assert!(!told.good);
    }
}

#[test]
fn an_id_token_is_known_for_one() {
    let world = World::new();
    let mut header = world.header();
    header["typ"] = json!("JWT");
    let told = world.explain(&world.sign(&header, &json!({ "iss": ISSUER, "aud": "app" })));
    assert_eq!((told.kind, told.reason), (Kind::IdToken, Some("header")));
    let signature = told.checks.iter().find(|check| check.check == "signature").unwrap();
    assert_eq!(signature.outcome, Outcome::Ok, "and that it is this tenant's is told");
}

#[test]
fn clocks_that_differ_are_suspected() {
    let mut world = World::new();
    let text = world.sign(&world.header(), &claims_with(|_| {}));
    let detail = |world: &World, name: &str| {
        let told = world.explain(&text);
        told.checks.into_iter().find(|check| check.check == name).unwrap().detail
    };
    assert!(detail(&world, "expiry").starts_with("It has 15 min left."));
    world.now = NOW.minus_seconds(30);
    assert_eq!(
        detail(&world, "not_before"),
        "It begins in 30 s, within the leeway of 60 s: two clocks differ."
    );
    world.now = NOW.minus_seconds(90);
    assert!(detail(&world, "not_before").contains("clock skew suspected"));
    world.now = NOW.plus_seconds(994);
    assert_eq!(detail(&world, "expiry"), "It expired 94 s ago, after a life of 15 min.");
}

#[test]
fn without_a_key_of_the_tenant_every_token_gets_the_same_answer() {
    let (world, other) = (World::new(), World::new());
    let stranger = other.sign(&other.header(), &claims_with(|_| {}));
    let globex = claims_with(|claims| {
        claims["iss"] = json!("https://auth.example/t/globex");
        claims["tid"] = json!("globex");
        claims["exp"] = json!(1);
    });
    let mut made_up = other.header();
    made_up["kid"] = json!("B".repeat(43));
    let told = world.explain(&stranger);
    assert_eq!((told.reason, &told.about), (Some("unknown_key"), &None));
    assert!(told.checks.iter().skip(3).all(|check| check.outcome == Outcome::Skipped), "{told:?}");
    for text in [other.sign(&other.header(), &globex), other.sign(&made_up, &json!({})), {
        let signature = URL_SAFE_NO_PAD.encode([0; 64]);
        format!("{}.{signature}", stranger.rsplit_once('.').unwrap().0)
    }] {
        assert_eq!(world.explain(&text), told);
    }
}

#[test]
fn of_a_token_that_was_changed_nothing_is_believed() {
    let world = World::new();
    let text = world.sign(&world.header(), &claims_with(|_| {}));
    let (head, signature) = text.rsplit_once('.').unwrap();
    let (header, _) = head.split_once('.').unwrap();
    let claims = URL_SAFE_NO_PAD.encode(claims_with(|claims| claims["exp"] = json!(1)).to_string());
    let told = world.explain(&format!("{header}.{claims}.{signature}"));
    assert_eq!((failing(&told), &told.about), (vec!["signature"], &None));
}

#[test]
fn what_has_no_form_of_ours_is_told_by_its_form_alone() {
    let world = World::new();
    let text = world.sign(&world.header(), &claims_with(|_| {}));
    let refresh = world.tokens[0].encode();
    for (what, text, kind) in [
        ("nothing", String::new(), Kind::Unknown),
        ("a word", "x".to_owned(), Kind::Unknown),
        ("four parts", "a.b.c.d".to_owned(), Kind::Unknown),
        ("padding", format!("{text}=="), Kind::Unknown),
        ("a scheme before it", format!("Bearer {text}"), Kind::Unknown),
        ("a line end behind it", format!("{text}\n"), Kind::Unknown),
        ("an empty header", "e30.e30.e30".to_owned(), Kind::Unknown),
        ("no JSON", "YQ.e30.e30".to_owned(), Kind::Unknown),
        ("too long", "a".repeat(7000), Kind::Unknown),
        ("a refresh token cut off", refresh[..100].to_owned(), Kind::RefreshToken),
        ("a refresh token mistyped", refresh.replace("lhr_A", "lhr_B"), Kind::RefreshToken),
    ] {
        let told = world.explain(&text);
        assert!(!told.good && told.about.is_none(), "{what}");
        assert_eq!(told.kind, kind, "{what}: {told:?}");
        let shown = serde_json::to_string(&told).unwrap();
        assert!(text.len() < 8 || !shown.contains(&text[..8]), "{what} is repeated");
    }
}

/// What is wrong with the session, which token is presented, the checks that fail, and what a refresh would give.
type RefreshRow = (&'static str, fn(&mut World), usize, &'static [&'static str], &'static str);

#[test]
fn each_check_of_a_refresh_token_fails_by_itself_and_as_a_refresh_would() {
    let rows: &[RefreshRow] = &[
        ("the current one", |_| {}, 2, &[], "rotate"),
        ("the one before, at once", |_| {}, 1, &[], "replay"),
        ("the one before, late", |world| world.now = world.now.plus_seconds(61), 1, &[], "late_replay"),
        (
            "the one before, too late",
            |world| world.now = world.now.plus_seconds(604_801),
            1,
            &["generation"],
            "reuse",
        ),
        (
            "the one before, confirmed",
            |world| world.family.as_mut().unwrap().confirmed = true,
            1,
            &["generation"],
            "reuse",
        ),
        (
            "the one before, late too often",
            |world| {
                world.family.as_mut().unwrap().late_streak = 3;
                world.now = world.now.plus_seconds(61);
            },
            1,
            &["generation"],
            "reuse",
        ),
        ("an earlier one", |_| {}, 0, &["generation"], "reuse"),
        ("no session", |world| world.family = None, 2, &["session"], "unknown"),
        ("a generation to come", |world| world.tokens[2].generation = 3, 2, &["lineage"], "unknown"),
        ("another proof", |world| world.tokens[2].proof = Proof::new([0; 16]), 2, &["lineage"], "unknown"),
        ("another secret", |world| world.tokens[2].secret = Secret::new([0; 32]), 2, &["secret"], "unknown"),
        (
            "a secret of the one before",
            |world| world.tokens[1].secret = Secret::new([0; 32]),
            1,
            &["secret"],
            "unknown",
        ),
        (
            "ended",
            |world| world.family.as_mut().unwrap().status = FamilyStatus::Revoked,
            2,
            &["revoked"],
            "dead",
        ),
        (
            "ended, and an earlier one",
            |world| world.family.as_mut().unwrap().status = FamilyStatus::Revoked,
            0,
            &["revoked"],
            "dead",
        ),
        (
            "unused for too long",
            |world| world.family.as_mut().unwrap().idle_expiry = NOW,
            2,
            &["idle_expiry"],
            "dead",
        ),
        (
            "too old",
            |world| world.family.as_mut().unwrap().absolute_expiry = NOW,
            2,
            &["absolute_expiry"],
            "dead",
        ),
        ("the tenant signed out", |world| world.tenant.epoch = 2, 2, &["tenant_epoch"], "dead"),
        ("the user signed out", |world| world.user.as_mut().unwrap().epoch = 3, 2, &["user_epoch"], "dead"),
        ("removed", |world| world.user = None, 2, &["user"], "dead"),
        (
            "disabled",
            |world| world.user.as_mut().unwrap().status = UserStatus::Disabled,
            2,
            &["user"],
            "dead",
        ),
        ("suspended", |world| world.tenant.status = TenantStatus::Suspended, 2, &["tenant"], "dead"),
        (
            "the client disabled",
            |world| world.client.as_mut().unwrap().status = ClientStatus::Disabled,
            2,
            &["client"],
            "dead",
        ),
        (
            "the client of another time",
            |world| world.client.as_mut().unwrap().created_at = NOW.plus_seconds(1000),
            2,
            &["client"],
            "dead",
        ),
        ("the client removed", |world| world.client = None, 2, &["client"], "dead"),
        ("the last generation", |world| last_generation(world), 2, &["generation"], "dead"),
    ];
    for (what, change, presented, checks, verdict) in rows {
        let mut world = World::new();
        world.rotate();
        world.rotate();
        change(&mut world);
        let token = world.tokens[*presented].clone();
        let told = world.explain(&token.encode());
        assert_eq!(failing(&told), *checks, "{what}: {told:?}");
        assert_eq!(told.refresh.map(|refresh| refresh.verdict), Some(*verdict), "{what}");
        let takes = matches!(world.refreshes(&token), Verdict::Rotate | Verdict::Replay(_));
        assert_eq!(told.good, takes, "{what}");
        assert_eq!(told.about.is_some(), *verdict != "unknown", "{what}");
    }
}

fn last_generation(world: &mut World) {
    world.family.as_mut().unwrap().generation = u32::MAX;
    world.tokens[2].generation = u32::MAX;
}

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

proptest! {
    /// However many things are wrong at once: good is what a refresh would be given, and the reason is of the first.
    #[test]
    fn good_is_what_a_refresh_would_be_given(wrong: [bool; 9], presented in 0_usize..4, later in 0_u64..700_000) {
        let mut world = World::new();
        for _ in 0..3 {
            world.rotate();
        }
        world.now = world.now.plus_seconds(later);
        let family = world.family.as_mut().unwrap();
        let now = world.now;
        if wrong[0] { family.status = FamilyStatus::Revoked; }
        if wrong[1] { family.idle_expiry = now; }
        if wrong[2] { family.absolute_expiry = now; }
        if wrong[3] { family.confirmed = true; }
        if wrong[4] { world.tenant.epoch += 1; }
        if wrong[5] { world.user.as_mut().unwrap().epoch += 1; }
        if wrong[6] { world.user.as_mut().unwrap().status = UserStatus::Disabled; }
        if wrong[7] { world.client.as_mut().unwrap().status = ClientStatus::Disabled; }
        if wrong[8] { world.tokens[presented].secret = Secret::new([0; 32]); }
        let token = world.tokens[presented].clone();
        let told = world.explain(&token.encode());
        let verdict = world.refreshes(&token);
        prop_assert_eq!(told.good, matches!(verdict, Verdict::Rotate | Verdict::Replay(_)));
        let reason = match verdict {
            Verdict::Rotate | Verdict::Replay(_) => None,
            Verdict::Unknown => Some("unknown"),
            Verdict::Reuse | Verdict::SlowDuplicate => Some("reuse"),
            Verdict::Dead(dead) => Some(match dead {
                crate::refresh::Dead::Revoked => "revoked",
                crate::refresh::Dead::Idle => "idle",
                crate::refresh::Dead::Expired => "expired",
                crate::refresh::Dead::Epoch => "epoch",
                crate::refresh::Dead::User => "user",
                crate::refresh::Dead::Client => "client_disabled",
                crate::refresh::Dead::Tenant => "tenant",
            }),
        };
        prop_assert_eq!(told.reason, reason);
    }

    #[test]
    fn no_text_panics(text in "\\PC*") {
        prop_assert!(!World::new().explain(&text).good);
    }
}
