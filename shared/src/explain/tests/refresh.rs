//! Refresh tokens.

use super::*;

/// What is wrong with the session, which token is presented, the checks that fail, and what a refresh would give.
type Row = (&'static str, fn(&mut World), usize, &'static [&'static str], &'static str);

static ROWS: &[Row] = &[
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
    ("ended", |world| world.family.as_mut().unwrap().status = FamilyStatus::Revoked, 2, &["revoked"], "dead"),
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
    ("disabled", |world| world.user.as_mut().unwrap().status = UserStatus::Disabled, 2, &["user"], "dead"),
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
    (
        "a blocked version",
        |world| {
            world.family.as_mut().unwrap().client_version = Some("shop/1.2".to_owned());
            world.tenant.policy.blocked_versions.insert("shop/<2".to_owned());
        },
        2,
        &["client_version"],
        "blocked",
    ),
    ("the last generation", |world| last_generation(world), 2, &["generation"], "dead"),
];

#[test]
fn each_check_of_a_refresh_token_fails_by_itself_and_as_a_refresh_would() {
    for (what, change, presented, checks, verdict) in ROWS {
        let mut world = World::new();
        world.rotate();
        world.rotate();
        change(&mut world);
        let token = world.tokens[*presented].clone();
        let told = world.explain(&token.encode());
        assert_eq!(failing(&told), *checks, "{what}: {told:?}");
        assert_eq!(told.refresh.map(|refresh| refresh.verdict), Some(*verdict), "{what}");
        let takes = matches!(world.refreshes(&token), Verdict::Rotate | Verdict::Replay(_));
        assert_eq!(told.good, takes && *verdict != "blocked", "{what}");
        assert_eq!(told.about.is_some(), *verdict != "unknown", "{what}");
    }
}

fn last_generation(world: &mut World) {
    world.family.as_mut().unwrap().generation = u32::MAX;
    world.tokens[2].generation = u32::MAX;
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
