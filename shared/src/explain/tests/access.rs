//! Access tokens, and what passes itself off as one.

use super::*;

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

static ROWS: &[Row] = &[
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
    ("another issuer", |_, _, claims| claims["iss"] = json!("https://x.example/t/acme"), &["issuer"], None),
    ("another tenant", |_, _, claims| claims["tid"] = json!("globex"), &["issuer"], None),
    ("another API", |_, _, claims| claims["aud"] = json!(["other"]), &["audience"], None),
    ("expired", |world, _, _| world.now = NOW.plus_seconds(994), &["expiry"], Some(AT + 900)),
    ("issued ahead", |world, _, _| world.now = NOW.minus_seconds(61), &["not_before"], None),
    ("suspended", |world, _, _| world.tenant.status = TenantStatus::Suspended, &["tenant"], None),
    ("the tenant signed out", |world, _, _| world.tenant.epoch = 2, &["tenant_epoch"], None),
    ("the user signed out", |world, _, _| world.user.as_mut().unwrap().epoch = 3, &["user_epoch"], None),
    ("disabled", |world, _, _| world.user.as_mut().unwrap().status = UserStatus::Disabled, &["user"], None),
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

#[test]
fn each_check_of_an_access_token_fails_by_itself_and_as_the_verifier_says() {
    for (what, change, checks, since) in ROWS {
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
