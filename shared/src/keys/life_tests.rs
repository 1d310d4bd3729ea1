//! A key's life as tables, and as random walks that may never break its two promises.

use proptest::prelude::*;

use super::*;
use crate::keys::{Algorithm, Custody, PublicKey};

const MARGINS: Margins = Margins {
    request_deadline_seconds: 10,
    max_access_token_seconds: 900,
    fallback_seconds: 300,
    leeway_seconds: 60,
    destroy_after_seconds: 1000,
};
const ES256: KeyKind = KeyKind { algorithm: Algorithm::ES256, custody: Custody::Kms };
const WRAPPED: KeyKind = KeyKind { algorithm: Algorithm::EdDsa, custody: Custody::Wrapped };
/// How long a key that stopped signing stays published: the sum of the margins.
const STAYS: u64 = 1270;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

fn kid(number: u8) -> Kid {
    format!("{number:A>43}").parse().unwrap()
}

fn made(number: u8, kind: KeyKind, now: u64) -> Key {
    let public = PublicKey::Ed25519 { x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo".to_owned() };
    Key::made(kind, kid(number), public, format!("arn-{number}"), at(now))
}

fn first() -> KeyRing {
    KeyRing::with_first_key(made(1, ES256, 0))
}

/// The first key, and a second to which the tenant switches at 2000.
fn planned() -> KeyRing {
    let (ring, second) = first()
        .rotate(ES256, Some(made(2, ES256, 1000)), Switch::Published(1000), &MARGINS, at(1000))
        .unwrap();
    assert_eq!(second, kid(2));
    ring
}

fn states(ring: &KeyRing, now: u64) -> Vec<KeyState> {
    ring.iter().map(|key| key.state(at(now))).collect()
}

use KeyState::{Active, Compromised, Pending, Retired, Retiring};

#[test]
fn a_rotation_waits_until_verifiers_know_the_key_and_then_happens_by_itself() {
    let ring = planned();
    for (now, expected) in [
        (1000, [Active, Pending]),
        (1999, [Active, Pending]),
        (2000, [Retiring, Active]),
        (2000 + STAYS - 1, [Retiring, Active]),
        (2000 + STAYS, [Retired, Active]),
    ] {
        assert_eq!(states(&ring, now), expected, "at {now}");
    }
}

#[test]
fn a_spare_that_was_published_long_enough_takes_over_at_once() {
    let ring = first().with_spare(made(2, ES256, 100)).unwrap();
    let (early, _) = ring.rotate(ES256, None, Switch::Published(1000), &MARGINS, at(200)).unwrap();
    assert_eq!(states(&early, 1099), [Active, Pending]);
    assert_eq!(states(&early, 1100), [Retiring, Active]);
    let (late, _) = ring.rotate(ES256, None, Switch::Published(1000), &MARGINS, at(5000)).unwrap();
    assert_eq!(states(&late, 5000), [Retiring, Active]);
}

#[test]
fn a_rotation_to_another_kind_takes_no_spare_of_this_one() {
    let ring = first().with_spare(made(2, ES256, 0)).unwrap();
    assert_eq!(ring.needs_key(ES256, at(10)), Ok(false));
    assert_eq!(ring.needs_key(WRAPPED, at(10)), Ok(true));
    assert_eq!(ring.rotate(WRAPPED, None, Switch::Forced, &MARGINS, at(10)), Err(Refused::NotFound));
    let (ring, new) =
        ring.rotate(WRAPPED, Some(made(3, WRAPPED, 10)), Switch::Forced, &MARGINS, at(10)).unwrap();
    assert_eq!((new, states(&ring, 10)), (kid(3), vec![Retiring, Pending, Active]));
}

#[test]
fn force_waits_for_nothing() {
    let (ring, _) =
        first().rotate(ES256, Some(made(2, ES256, 50)), Switch::Forced, &MARGINS, at(50)).unwrap();
    assert_eq!(states(&ring, 50), [Retiring, Active]);
}

#[test]
fn one_switch_is_planned_at_a_time() {
    let ring = planned();
    let refused = Refused::RotationPlanned { kid: kid(2), active_from: at(2000) };
    assert_eq!(ring.needs_key(ES256, at(1500)), Err(refused.clone()));
    assert_eq!(ring.rotate(ES256, None, Switch::Forced, &MARGINS, at(1500)), Err(refused));
    assert!(ring.needs_key(ES256, at(2000)).is_ok(), "once it has happened, the next may be planned");
}

#[test]
fn a_full_ring_takes_no_key() {
    let mut ring = first();
    for number in 2..=16 {
        ring = ring.with_spare(made(number, WRAPPED, 0)).unwrap();
    }
    assert_eq!(ring.with_spare(made(17, WRAPPED, 0)), Err(Refused::TooManyKeys));
    assert_eq!(ring.needs_key(ES256, at(0)), Err(Refused::TooManyKeys));
    assert_eq!(ring.needs_key(WRAPPED, at(0)), Ok(false), "a spare is there");
}

#[test]
fn a_full_ring_takes_a_key_where_none_signs_and_compromises_come_to_an_end() {
    let mut ring = first();
    let mut now = 10;
    for number in 2..=40 {
        let signs = ring.active(at(now)).unwrap().kid.clone();
        let (after, replacement) =
            ring.compromise(&signs, Some(made(number, ES256, now)), &MARGINS, at(now)).unwrap();
        ring = after;
        if replacement.is_none() {
            break;
        }
        now += 1;
    }
    assert_eq!(ring.iter().count(), 32, "twice as many as with a key that signs");
    assert!(ring.active(at(now)).is_none());
    assert_eq!(ring.needs_key(ES256, at(now)), Err(Refused::TooManyKeys));
    let (mut ring, _) = first().compromise(&kid(1), None, &MARGINS, at(10)).unwrap();
    while ring.iter().count() < MAX_KEYS {
        let number = u8::try_from(ring.iter().count() + 1).unwrap();
        ring = ring.with_spare(made(number, WRAPPED, 10)).unwrap();
    }
    assert_eq!(ring.needs_key(ES256, at(11)), Ok(true), "full, but nothing signs");
    let (ring, _) = ring.rotate(ES256, Some(made(30, ES256, 11)), Switch::Forced, &MARGINS, at(11)).unwrap();
    assert_eq!(ring.active(at(11)).unwrap().kid, kid(30));
}

#[test]
fn a_key_signs_when_verifiers_had_their_time_and_the_request_that_published_it_had_its_own() {
    let published = |key_propagation_seconds| {
        Policy { key_propagation_seconds, ..Policy::default() }.published_seconds(&MARGINS)
    };
    assert_eq!([0, 1, 300].map(published), [0, 11, 310]);
}

#[test]
fn no_spare_falls_due_in_a_full_ring() {
    let mut ring = first();
    while ring.keys.len() < MAX_KEYS {
        let number = u8::try_from(ring.keys.len() + 1).unwrap();
        let spare_falls_due =
            ring.due(Some(&policy(true, WRAPPED)), &MARGINS, at(1)) == Some(Due::Spare(WRAPPED));
        assert!(spare_falls_due, "{number} keys");
        ring = ring.with_spare(made(number, ES256, 1)).unwrap();
    }
    assert_eq!(ring.due(Some(&policy(true, WRAPPED)), &MARGINS, at(1)), None);
}

/// The schedule, by a clock that is ahead, has put the key away; this request's clock says that it is not retired yet.
/// Found by the model of the key ring.
#[test]
fn nobody_rolls_back_to_a_key_that_was_put_away() {
    let ring = planned().with_disabled(&kid(1), at(2000 + STAYS));
    let hasty = ring.roll_back(&kid(1), 1000, &MARGINS, at(2000 + STAYS - 1));
    assert_eq!(hasty.unwrap_err(), Refused::WrongState(Retired));
    let patient = ring.roll_back(&kid(1), 1000, &MARGINS, at(2000 + STAYS)).unwrap();
    assert_eq!(patient.find(&kid(1)).unwrap().disabled_at, None);
}

#[test]
fn promotion_before_propagation_is_refused_with_the_time_unless_forced() {
    let ring = planned();
    let promote = |switch, now| ring.promote(&kid(2), switch, &MARGINS, at(now));
    let refused = Err(Refused::TooEarly { earliest_at: at(2000) });
    assert_eq!(promote(Switch::Published(1000), 1999), refused);
    // The planned time gives way when the policy waits for less by now.
    assert_eq!(states(&promote(Switch::Published(500), 1500).unwrap(), 1500), [Retiring, Active]);
    assert_eq!(states(&promote(Switch::Forced, 1001).unwrap(), 1001), [Retiring, Active]);
    for (number, state) in [(1, Retiring), (2, Active)] {
        let refused = Err(Refused::WrongState(state));
        assert_eq!(ring.promote(&kid(number), Switch::Forced, &MARGINS, at(2000)), refused);
    }
    assert_eq!(ring.promote(&kid(9), Switch::Forced, &MARGINS, at(0)), Err(Refused::NotFound));
}

#[test]
fn roll_back_leads_from_where_a_key_signed_before() {
    let ring = planned();
    let back = |number, now| ring.roll_back(&kid(number), 1000, &MARGINS, at(now));
    let called_off = back(1, 1500).unwrap();
    assert_eq!(states(&called_off, 9999), [Active, Pending], "the switch is called off");
    let again = back(1, 2500).unwrap();
    assert_eq!(states(&again, 2500), [Active, Retiring], "still published: at once");
    assert_eq!(states(&again, 2500 + STAYS), [Active, Retired]);
    assert_eq!(back(1, 4000), Err(Refused::WrongState(Retired)), "it may be being disabled right now");
    let disabled = ring.with_disabled(&kid(1), at(3900));
    let republished = disabled.roll_back(&kid(1), 1000, &MARGINS, at(4000)).unwrap();
    assert_eq!(republished.find(&kid(1)).unwrap().disabled_at, None);
    assert_eq!(states(&republished, 4999), [Pending, Active], "published again first");
    assert_eq!(states(&republished, 5000), [Active, Retiring]);
    for (number, now, refused) in [
        (2, 1500, Refused::WrongState(Pending)),
        (2, 2500, Refused::WrongState(Active)),
        (9, 2500, Refused::NotFound),
    ] {
        assert_eq!(back(number, now), Err(refused), "key {number} at {now}");
    }
    let ending = ring.with_end(&kid(1), at(6000));
    assert_eq!(ending.roll_back(&kid(1), 0, &MARGINS, at(6000)), Err(Refused::Destroying));
    assert_eq!(ending.retain(&kid(1), true), Err(Refused::Destroying));
    let spare = first().with_spare(made(2, ES256, 0)).unwrap().with_withdrawn(&kid(2), at(10));
    assert_eq!(spare.roll_back(&kid(2), 0, &MARGINS, at(10)), Err(Refused::WrongState(Retired)));
}

#[test]
fn a_compromised_key_is_out_at_once_and_a_pending_one_takes_over() {
    let (ring, replacement) = planned().compromise(&kid(1), None, &MARGINS, at(1001)).unwrap();
    assert_eq!((replacement, states(&ring, 1001)), (Some(kid(2)), vec![Compromised, Active]));
    assert_eq!(ring.compromise(&kid(1), None, &MARGINS, at(1002)), Ok((ring.clone(), None)), "twice is once");

    let (ring, replacement) = first().compromise(&kid(1), Some(made(2, ES256, 5)), &MARGINS, at(5)).unwrap();
    assert_eq!((replacement, states(&ring, 5)), (Some(kid(2)), vec![Compromised, Active]));

    let (ring, replacement) = first().compromise(&kid(1), None, &MARGINS, at(5)).unwrap();
    assert_eq!((replacement, states(&ring, 5)), (None, vec![Compromised]));
    assert_eq!(ring.active(at(5)), None, "better no key than that one");
    assert_eq!(ring.published(at(5)).count(), 0);
}

#[test]
fn compromise_of_a_key_that_does_not_sign_moves_nothing_else() {
    let (ring, replacement) = planned().compromise(&kid(2), None, &MARGINS, at(1500)).unwrap();
    assert_eq!((replacement, states(&ring, 9999)), (None, vec![Active, Compromised]), "the switch is off");
    let spare = made(3, ES256, 2000);
    let (ring, replacement) = planned().compromise(&kid(1), Some(spare), &MARGINS, at(2100)).unwrap();
    assert_eq!((replacement, states(&ring, 2100)), (None, vec![Compromised, Active]), "no key is taken in");
    assert_eq!(ring.roll_back(&kid(1), 0, &MARGINS, at(2100)), Err(Refused::WrongState(Compromised)));
    assert_eq!(
        ring.promote(&kid(1), Switch::Forced, &MARGINS, at(2100)),
        Err(Refused::WrongState(Compromised))
    );
}

fn policy(spare: bool, kind: KeyKind) -> Policy {
    Policy { spare_key: spare, algorithm: kind.algorithm, custody: kind.custody, ..Policy::default() }
}

#[test]
fn steps_fall_due_by_time_alone_and_in_order() {
    let ring = planned();
    let plain = policy(false, ES256);
    let due = |ring: &KeyRing, now| ring.due(Some(&plain), &MARGINS, at(now));
    assert_eq!(due(&ring, 2000 + STAYS - 1), None);
    assert_eq!(due(&ring, 2000 + STAYS), Some(Due::Disable(kid(1))));
    let retained = ring.retain(&kid(1), true).unwrap();
    assert_eq!(due(&retained, 2000 + STAYS), None, "retained");
    let disabled = ring.with_disabled(&kid(1), at(4000));
    assert_eq!(due(&disabled, 4999), None);
    assert_eq!(due(&disabled, 5000), Some(Due::Destroy(kid(1))));
    assert_eq!(due(&disabled.retain(&kid(1), true).unwrap(), 5000), None, "retained in time");
    let ending = disabled.with_end(&kid(1), at(5000));
    assert_eq!(due(&ending, 5000), Some(Due::Bury(kid(1))));
    assert_eq!(due(&ending.without(&kid(1)), 5000), None);
}

#[test]
fn a_compromised_key_is_disabled_before_anything_else_and_kept_as_long_as_any() {
    let (ring, _) = first().compromise(&kid(1), None, &MARGINS, at(5)).unwrap();
    let plain = policy(false, WRAPPED);
    let due = |ring: &KeyRing, now| ring.due(Some(&plain), &MARGINS, at(now));
    assert_eq!(due(&ring, 5), Some(Due::Disable(kid(1))));
    assert_eq!(due(&ring.retain(&kid(1), true).unwrap(), 5), Some(Due::Disable(kid(1))), "even if retained");
    let disabled = ring.with_disabled(&kid(1), at(6));
    assert_eq!(due(&disabled, 6), Some(Due::Replace(WRAPPED)), "of the policy's kind");
    let (replaced, _) =
        disabled.rotate(WRAPPED, Some(made(2, WRAPPED, 7)), Switch::Published(99), &MARGINS, at(7)).unwrap();
    assert_eq!(states(&replaced, 7), [Compromised, Active], "nothing to wait for");
    assert_eq!(due(&replaced, 1006), Some(Due::Destroy(kid(1))));
}

#[test]
fn spares_are_kept_by_policy_and_withdrawn_when_it_changes() {
    let due = |ring: &KeyRing, policy: &Policy, now| ring.due(Some(policy), &MARGINS, at(now));
    assert_eq!(due(&first(), &policy(true, ES256), 0), Some(Due::Spare(ES256)));
    assert_eq!(
        due(&first(), &policy(false, WRAPPED), 0),
        Some(Due::Spare(WRAPPED)),
        "wrapped always has one"
    );
    assert_eq!(due(&planned(), &policy(true, ES256), 1500), None, "not while a switch is planned");
    assert_eq!(due(&planned(), &policy(true, ES256), 2000), Some(Due::Spare(ES256)));
    let kept = first().with_spare(made(2, ES256, 0)).unwrap();
    assert_eq!(due(&kept, &policy(true, ES256), 9000), None);
    assert_eq!(due(&kept, &policy(false, ES256), 999), None, "there is time to use it");
    assert_eq!(due(&kept, &policy(false, ES256), 1000), Some(Due::Withdraw(kid(2))));
    assert_eq!(due(&kept, &policy(true, WRAPPED), 1000), Some(Due::Withdraw(kid(2))), "of another kind");
    let withdrawn = kept.with_withdrawn(&kid(2), at(1000));
    assert_eq!(due(&withdrawn, &policy(false, ES256), 1000), Some(Due::Disable(kid(2))));
}

#[test]
fn the_keys_of_a_tenant_that_is_no_more_end_and_none_is_made() {
    let ring = planned().retain(&kid(1), true).unwrap().ended(at(1500));
    assert_eq!(states(&ring, 1500), [Retired, Retired]);
    assert_eq!(ring.due(None, &MARGINS, at(1500)), Some(Due::Disable(kid(1))));
    let disabled = ring.with_disabled(&kid(1), at(1500)).with_disabled(&kid(2), at(1500));
    assert_eq!(disabled.due(None, &MARGINS, at(1501)), None);
    assert_eq!(disabled.due(None, &MARGINS, at(2500)), Some(Due::Destroy(kid(1))));
}

#[derive(Clone, Debug)]
enum Move {
    Wait(u64),
    Rotate { wrapped: bool, forced: bool },
    Promote { number: u8, forced: bool },
    RollBack(u8),
    Compromise { number: u8, makes: bool },
    Retain(u8),
    Schedule { spare: bool },
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let number = 1..12_u8;
    let one = prop_oneof![
        4 => (1..2500_u64).prop_map(Move::Wait),
        3 => any::<(bool, bool)>().prop_map(|(wrapped, forced)| Move::Rotate { wrapped, forced }),
        2 => (number.clone(), any::<bool>()).prop_map(|(number, forced)| Move::Promote { number, forced }),
        2 => number.clone().prop_map(Move::RollBack),
        1 => (number.clone(), any::<bool>()).prop_map(|(number, makes)| Move::Compromise { number, makes }),
        1 => number.prop_map(Move::Retain),
        3 => any::<bool>().prop_map(|spare| Move::Schedule { spare }),
    ];
    prop::collection::vec(one, 1..40)
}

/// A tenant that signs at every moment, and what was promised about that.
struct Walk {
    ring: KeyRing,
    now: u64,
    keys: u8,
    /// When each key signed last.
    signed: std::collections::BTreeMap<Kid, u64>,
    /// Keys that an audited exception let sign early.
    excepted: std::collections::BTreeSet<Kid>,
}

const PROPAGATION: u64 = 1000;

impl Walk {
    fn new_key(&mut self, kind: KeyKind) -> Key {
        self.keys += 1;
        made(self.keys, kind, self.now)
    }

    fn take(&mut self, step: &Move) {
        let now = at(self.now);
        let switch = |forced| if forced { Switch::Forced } else { Switch::Published(PROPAGATION) };
        match *step {
            Move::Wait(seconds) => {
                // Every second in which a key signs counts; the last one before the end is the one that matters.
                for moment in [self.now + seconds / 2, self.now + seconds] {
                    self.now = moment;
                    self.look();
                }
            }
            Move::Rotate { wrapped, forced } => {
                let kind = if wrapped { WRAPPED } else { ES256 };
                let made = (self.ring.needs_key(kind, now) == Ok(true)).then(|| self.new_key(kind));
                let idle = self.ring.active(now).is_none();
                if let Ok((ring, kid)) = self.ring.rotate(kind, made, switch(forced), &MARGINS, now) {
                    self.ring = ring;
                    if forced || idle {
                        self.excepted.insert(kid);
                    }
                }
            }
            Move::Promote { number, forced } => {
                if let Ok(ring) = self.ring.promote(&kid(number), switch(forced), &MARGINS, now) {
                    self.ring = ring;
                    if forced {
                        self.excepted.insert(kid(number));
                    }
                }
            }
            Move::RollBack(number) => {
                let idle = self.ring.active(now).is_none();
                if let Ok(ring) = self.ring.roll_back(&kid(number), PROPAGATION, &MARGINS, now) {
                    self.ring = ring;
                    if idle {
                        self.excepted.insert(kid(number));
                    }
                }
            }
            Move::Compromise { number, makes } => {
                let made = makes.then(|| self.new_key(ES256));
                if let Ok((ring, replacement)) = self.ring.compromise(&kid(number), made, &MARGINS, now) {
                    self.ring = ring;
                    self.excepted.extend(replacement);
                    self.signed.remove(&kid(number));
                }
            }
            Move::Retain(number) => {
                if let Ok(ring) = self.ring.retain(&kid(number), true) {
                    self.ring = ring;
                }
            }
            Move::Schedule { spare } => {
                let policy = policy(spare, ES256);
                for _ in 0..64 {
                    let Some(due) = self.ring.due(Some(&policy), &MARGINS, now) else { return };
                    self.ring = match due {
                        Due::Replace(kind) => {
                            let Ok(true) = self.ring.needs_key(kind, now) else { return };
                            let made = self.new_key(kind);
                            let (ring, kid) = self
                                .ring
                                .rotate(kind, Some(made), switch(false), &MARGINS, now)
                                .expect("a key was made for it");
                            self.excepted.insert(kid);
                            ring
                        }
                        Due::Disable(kid) => self.ring.with_disabled(&kid, now),
                        Due::Destroy(kid) => self.ring.with_end(&kid, now),
                        Due::Bury(kid) => self.ring.without(&kid),
                        Due::Withdraw(kid) => self.ring.with_withdrawn(&kid, now),
                        Due::Spare(kind) => {
                            let made = self.new_key(kind);
                            self.ring.with_spare(made).expect("there was room")
                        }
                    };
                }
                panic!("steps fall due without end");
            }
        }
    }

    /// Signs, and checks what was promised.
    fn look(&mut self) {
        let now = at(self.now);
        let active: Vec<_> = self.ring.iter().filter(|key| key.state(now) == Active).collect();
        assert!(active.len() <= 1, "two keys sign: {active:#?}");
        if let Some(key) = active.first() {
            let published = key.published_at.plus_seconds(PROPAGATION) <= now;
            assert!(published || self.excepted.contains(&key.kid), "{key:#?} signs unseen at {}", self.now);
            assert!(key.disabled_at.is_none() && key.destroying_at.is_none(), "{key:#?} can't sign");
            self.signed.insert(key.kid.clone(), self.now);
        }
        for (kid, signed) in &self.signed {
            let lives = signed + MARGINS.max_access_token_seconds > self.now;
            let published = self.ring.find(kid).is_some_and(|key| key.is_published(now));
            assert!(
                !lives || published,
                "a token of {kid} from {signed} lives at {} and can't be verified",
                self.now
            );
            let destroyed = self.ring.find(kid).is_none_or(|key| key.disabled_at.is_some());
            assert!(!lives || !destroyed, "{kid} was disabled before its last token ended");
        }
    }
}

proptest! {
    #[test]
    fn no_walk_breaks_a_promise(steps in moves()) {
        let ring = KeyRing::with_first_key(made(1, ES256, 0));
        let mut walk = Walk {
            ring,
            now: 0,
            keys: 1,
            signed: std::collections::BTreeMap::new(),
            excepted: std::collections::BTreeSet::from([kid(1)]),
        };
        for step in &steps {
            walk.look();
            walk.take(step);
        }
        walk.look();
    }
}
