//! The verdict table row by row, and properties over random histories.

use proptest::prelude::*;

use super::*;
use crate::client::{ClientType, Settings};
use crate::id::{LoginId, TenantId};
use crate::keys::KeyRing;
use crate::tenant::TenantStatus;
use crate::user::{Profile, UserStatus};

const START: Timestamp = Timestamp::from_seconds(1_800_000_000);

struct World {
    tenant: Tenant,
    client: Client,
    user: User,
    family: Family,
    tokens: Vec<RefreshToken>,
    now: Timestamp,
    drawn: u8,
}

impl World {
    fn new() -> Self {
        let id = "acme".parse::<TenantId>().unwrap();
        let tenant = Tenant { epoch: 3, ..Tenant::new(id, Policy::default(), KeyRing::default(), START) };
        let (client, _) = Client::new("app".parse().unwrap(), ClientType::Public, Settings::default(), START);
        let user = User {
            id: UserId::from_bytes([1; 16]),
            epoch: 5,
            ..User::new("ada".parse::<LoginId>().unwrap(), Profile::default(), START)
        };
        let grant = Grant {
            user: user.id,
            client: client.id.clone(),
            device: None,
            client_version: None,
            scope: BTreeSet::new(),
            audience: BTreeSet::new(),
            amr: vec!["pwd".to_owned()],
            tenant_epoch: tenant.epoch,
            user_epoch: user.epoch,
        };
        let opened = Family::open(
            grant,
            &tenant.policy,
            Opening { id: FamilyId::from_bytes([2; 16]), proof: Proof::new([9; 16]), fresh: fresh(0) },
            START,
        );
        Self {
            tenant,
            client,
            user,
            family: opened.family,
            tokens: vec![opened.successor],
            now: START,
            drawn: 0,
        }
    }

    fn after(mut self, rotations: usize) -> Self {
        for _ in 0..rotations {
            assert_eq!(self.present(self.tokens.len() - 1), Verdict::Rotate);
        }
        self
    }

    fn presentation<'a>(&'a self, token: &'a RefreshToken) -> Presentation<'a> {
        Presentation {
            tenant: &self.tenant,
            client: &self.client,
            user: Some(&self.user),
            token,
            now: self.now,
        }
    }

    fn verdict(&self, token: &RefreshToken) -> Verdict {
        present(Some(&self.family), self.presentation(token))
    }

    /// Presents the token of a generation and carries the verdict out, as the flow does.
    fn present(&mut self, generation: usize) -> Verdict {
        let token = self.tokens[generation].clone();
        let verdict = self.verdict(&token);
        match verdict {
            Verdict::Rotate => {
                self.drawn = self.drawn.wrapping_add(1);
                let rotated = self.family.rotate(&self.tenant, &token, &fresh(self.drawn), self.now);
                assert_eq!(rotated.family.version, self.family.version + 1);
                self.family = rotated.family;
                self.tokens.push(rotated.successor);
            }
            Verdict::Replay(window) => {
                let replayed = self.family.replay(&self.tenant, &token, window, self.now).unwrap();
                assert_eq!(
                    &replayed.successor,
                    self.tokens.last().unwrap(),
                    "a replay gives the one successor"
                );
                if let Some(changed) = replayed.change {
                    assert_eq!(changed.version, self.family.version + 1);
                    assert_eq!(changed.last_used_at, self.now);
                    self.family = changed;
                }
            }
            Verdict::Reuse => self.family.status = FamilyStatus::Revoked,
            Verdict::Unknown | Verdict::Dead(_) | Verdict::SlowDuplicate => {}
        }
        verdict
    }

    fn wait(&mut self, seconds: u64) {
        self.now = self.now.plus_seconds(seconds);
    }
}

fn fresh(number: u8) -> Fresh {
    Fresh { secret: Secret::new([number; 32]), nonce: [number; 12], rotation_id: [number; 16] }
}

const PROMPT: Verdict = Verdict::Replay(Replay::Prompt);
const LATE: Verdict = Verdict::Replay(Replay::Late);

#[test]
fn whoever_holds_no_token_of_the_family_learns_and_changes_nothing() {
    let world = World::new().after(3);
    let current = world.tokens[3].clone();
    let previous = world.tokens[2].clone();
    let foreign: [(&str, RefreshToken); 8] = [
        ("another user", RefreshToken { user: UserId::from_bytes([8; 16]), ..current.clone() }),
        ("another family", RefreshToken { family: FamilyId::from_bytes([8; 16]), ..current.clone() }),
        ("generation above current", RefreshToken { generation: 4, ..current.clone() }),
        ("proof that does not chain", RefreshToken { proof: Proof::new([0; 16]), ..current.clone() }),
        (
            "proof of an invented earlier generation",
            RefreshToken { generation: 0, proof: Proof::new([0; 16]), ..current.clone() },
        ),
        ("current proof under an earlier generation", RefreshToken { generation: 1, ..current.clone() }),
        ("wrong secret for current", RefreshToken { secret: Secret::new([200; 32]), ..current.clone() }),
        ("wrong secret for previous", RefreshToken { secret: Secret::new([200; 32]), ..previous }),
    ];
    for (what, token) in foreign {
        assert_eq!(world.verdict(&token), Verdict::Unknown, "{what}");
    }
    assert_eq!(present(None, world.presentation(&current)), Verdict::Unknown, "no such family");
    let mut other = World::new().after(3);
    other.client.id = "other".parse().unwrap();
    assert_eq!(other.verdict(&current), Verdict::Unknown, "another client");
    assert_eq!(
        other.verdict(&other.tokens[0].clone()),
        Verdict::Unknown,
        "another client with a spent token"
    );
}

#[test]
fn a_family_that_does_not_live_gives_nothing_and_changes_nothing() {
    type Change = fn(&mut World);
    let cases: [(Change, Dead); 9] = [
        (|world| world.family.status = FamilyStatus::Revoked, Dead::Revoked),
        (|world| world.now = world.family.idle_expiry, Dead::Idle),
        (|world| world.now = world.family.absolute_expiry, Dead::Expired),
        (|world| world.user.epoch += 1, Dead::Epoch),
        (|world| world.tenant.epoch += 1, Dead::Epoch),
        (|world| world.user.status = UserStatus::Disabled, Dead::User),
        (|world| world.client.status = ClientStatus::Disabled, Dead::Client),
        (|world| world.tenant.status = TenantStatus::Suspended, Dead::Tenant),
        (|world| world.tenant.status = TenantStatus::Deleted, Dead::Tenant),
    ];
    for (change, dead) in cases {
        let mut world = World::new().after(3);
        change(&mut world);
        for generation in [3, 2, 0] {
            assert_eq!(
                world.verdict(&world.tokens[generation].clone()),
                Verdict::Dead(dead),
                "generation {generation}"
            );
        }
    }
    let world = World::new();
    let token = world.tokens[0].clone();
    let presentation = Presentation { user: None, ..world.presentation(&token) };
    assert_eq!(present(Some(&world.family), presentation), Verdict::Dead(Dead::User), "user gone");
}

#[test]
fn the_last_generation_does_not_wrap() {
    let mut world = World::new();
    world.family.generation = u32::MAX;
    world.tokens[0].generation = u32::MAX;
    assert_eq!(world.verdict(&world.tokens[0].clone()), Verdict::Dead(Dead::Expired));
}

#[test]
fn a_rotation_leaves_its_mark_and_its_moment() {
    let mut world = World::new();
    let opened = world.family.clone();
    world.wait(7);
    let world = world.after(1);
    assert_ne!(world.family.rotation_id, opened.rotation_id, "tells our own landed write from another's");
    assert_eq!((world.family.rotated_at, world.family.last_used_at), (world.now, world.now));
    assert_eq!(world.family.created_at, opened.created_at);
}

#[test]
fn every_change_raises_the_version_that_writes_are_conditional_on() {
    let family = World::new().after(1).family;
    assert_eq!(family.confirm().unwrap().version, family.version + 1);
    let kept = family.restamp(9);
    assert_eq!((kept.version, kept.user_epoch), (family.version + 1, 9));
    assert_eq!(
        Family { version: family.version, user_epoch: family.user_epoch, ..kept },
        family,
        "and nothing else"
    );
}

#[test]
fn a_family_is_open_until_its_first_expiry_and_live_under_its_epochs() {
    let world = World::new();
    let family = &world.family;
    let before = |moment: Timestamp| Timestamp::from_millis(moment.millis() - 1);
    let (idle, absolute) = (family.idle_expiry, family.absolute_expiry);
    assert!(family.is_open(START) && family.is_open(before(idle)) && !family.is_open(idle));
    let old = Family { idle_expiry: absolute.plus_seconds(1), ..family.clone() };
    assert!(old.is_open(before(absolute)) && !old.is_open(absolute));
    let revoked = Family { status: FamilyStatus::Revoked, ..family.clone() };
    assert!(!revoked.is_open(START));
    let (tenant, user) = (&world.tenant, &world.user);
    assert!(family.is_live(tenant, user, START) && !family.is_live(tenant, user, idle));
    assert!(!family.is_live(tenant, &User { epoch: user.epoch + 1, ..user.clone() }, START));
    assert!(!family.is_live(&Tenant { epoch: tenant.epoch + 1, ..tenant.clone() }, user, START));
}

#[test]
fn a_family_of_a_client_of_before_is_dead_but_for_clocks_that_are_apart() {
    let mut world = World::new();
    let token = world.tokens[0].clone();
    world.client.created_at = START.plus_seconds(CLOCKS_APART_SECONDS);
    assert_eq!(world.verdict(&token), Verdict::Rotate);
    world.client.created_at = Timestamp::from_millis(world.client.created_at.millis() + 1);
    assert_eq!(world.verdict(&token), Verdict::Dead(Dead::Client));
}

#[test]
fn windows_end_to_the_millisecond_and_replays_never_move_them() {
    let mut world = World::new().after(1);
    let rotated = world.now;
    world.now = rotated.plus_seconds(59);
    assert_eq!(world.present(0), PROMPT);
    world.now = Timestamp::from_millis(rotated.millis() + 59_999);
    assert_eq!(world.present(0), PROMPT, "the first replay did not move the window");
    world.now = rotated.plus_seconds(60);
    assert_eq!(world.verdict(&world.tokens[0].clone()), LATE);
    world.now = Timestamp::from_millis(rotated.millis() + 604_799_999);
    assert_eq!(world.present(0), LATE);
    world.now = rotated.plus_seconds(604_800);
    assert_eq!(world.present(0), Verdict::Reuse);
}

#[test]
fn a_spent_token_ends_the_family_at_once() {
    let mut world = World::new().after(2);
    assert_eq!(world.present(0), Verdict::Reuse);
    assert_eq!(world.present(2), Verdict::Dead(Dead::Revoked), "for the thief and the victim alike");
}

#[test]
fn a_spent_token_is_reuse_whatever_secret_it_shows() {
    let world = World::new().after(2);
    let token = RefreshToken { secret: Secret::new([200; 32]), ..world.tokens[0].clone() };
    assert_eq!(world.verdict(&token), Verdict::Reuse, "the proof is what shows that it was once ours");
}

#[test]
fn a_confirmed_successor_makes_its_predecessor_reuse() {
    let mut world = World::new().after(1);
    world.family = world.family.confirm().unwrap();
    assert!(world.family.confirm().is_none(), "confirming twice writes nothing");
    assert_eq!(world.verdict(&world.tokens[0].clone()), Verdict::Reuse);
    assert!(World::new().family.confirm().is_none(), "generation 0 has nothing to confirm");
    let world = world.after(1);
    assert_eq!(world.verdict(&world.tokens[1].clone()), PROMPT, "a rotation begins unconfirmed");
}

#[test]
fn late_replays_are_counted_once_per_generation_and_limited_in_a_row() {
    let mut world = World::new();
    for round in 0..3 {
        assert_eq!(world.present(round), Verdict::Rotate);
        world.wait(600);
        assert_eq!(world.present(round), LATE);
        assert_eq!(world.present(round), LATE, "again within a counted generation");
        assert_eq!(world.family.late_streak, u32::try_from(round).unwrap() + 1);
    }
    assert_eq!(world.present(3), Verdict::Rotate);
    world.wait(600);
    assert_eq!(world.present(3), Verdict::Reuse, "one late generation more in a row than the limit");
}

#[test]
fn only_a_generation_without_any_replay_resets_the_streaks() {
    let mut world = World::new();
    for round in 0..2 {
        world.present(round);
        world.wait(600);
        world.present(round);
    }
    assert_eq!((world.family.late_streak, world.family.replay_streak), (2, 2));
    world.present(2);
    assert_eq!(world.present(2), PROMPT);
    world.present(3);
    assert_eq!((world.family.late_streak, world.family.replay_streak), (2, 3), "a prompt replay keeps both");
    world.present(4);
    assert_eq!(
        (world.family.late_streak, world.family.replay_streak),
        (0, 0),
        "a clean generation resets both"
    );
}

#[test]
fn policy_switches_windows_off() {
    let mut world = World::new();
    world.tenant.policy.retry_window_seconds = 0;
    world = world.after(1);
    assert_eq!(world.verdict(&world.tokens[0].clone()), LATE);
    world.tenant.policy.late_retry_limit = 0;
    assert_eq!(world.verdict(&world.tokens[0].clone()), Verdict::Reuse);
    let mut world = World::new();
    world.tenant.policy.late_retry_window_seconds = 0;
    world = world.after(1);
    assert_eq!(world.verdict(&world.tokens[0].clone()), PROMPT);
    world.wait(60);
    assert_eq!(world.verdict(&world.tokens[0].clone()), Verdict::Reuse);
}

#[test]
fn windows_are_those_of_the_rotation_not_of_a_later_policy() {
    let mut world = World::new().after(1);
    world.tenant.policy.retry_window_seconds = 0;
    world.wait(30);
    assert_eq!(world.verdict(&world.tokens[0].clone()), PROMPT);
}

#[test]
fn an_overtaken_request_is_a_slow_duplicate_and_never_theft() {
    let world = World::new().after(2);
    let token = world.tokens[0].clone();
    assert_eq!(present_again(Some(&world.family), world.presentation(&token)), Verdict::SlowDuplicate);
    let token = world.tokens[1].clone();
    assert_eq!(present_again(Some(&world.family), world.presentation(&token)), PROMPT);
}

#[test]
fn a_damaged_successor_is_an_error_and_not_a_verdict() {
    let mut world = World::new().after(1);
    let mut sealed = [0_u8; SEALED];
    sealed.copy_from_slice(world.family.sealed.unwrap().as_ref());
    sealed[20] ^= 1;
    world.family.sealed = Some(sealed.into());
    let token = world.tokens[0].clone();
    assert!(world.family.replay(&world.tenant, &token, Replay::Prompt, world.now).is_err());
}

#[test]
fn idle_expiry_never_passes_the_absolute_one() {
    let mut world = World::new();
    world.now = START.plus_seconds(29 * 86_400);
    for _ in 0..8 {
        let newest = world.tokens.len() - 1;
        if world.present(newest) != Verdict::Rotate {
            break;
        }
        assert!(world.family.idle_expiry <= world.family.absolute_expiry);
        world.wait(29 * 86_400);
    }
    assert!(world.now >= world.family.absolute_expiry);
}

#[derive(Clone, Debug)]
enum Step {
    Present { back: usize },
    Wait { seconds: u64 },
    Confirm,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0_usize..5).prop_map(|back| Step::Present { back }),
        2 => prop_oneof![Just(1), Just(59), Just(61), Just(600), Just(86_400), Just(604_801)]
            .prop_map(|seconds| Step::Wait { seconds }),
        1 => Just(Step::Confirm),
    ]
}

proptest! {
    /// However tokens of any age are presented: generations only grow, the newest token alone rotates, what was
    /// confirmed is not replayed, and nothing lives after reuse.
    #[test]
    fn no_history_yields_two_live_successors(steps in proptest::collection::vec(step(), 1..60)) {
        let mut world = World::new();
        let mut ended = false;
        for step in steps {
            match step {
                Step::Wait { seconds } => world.wait(seconds),
                Step::Confirm => if let Some(family) = world.family.confirm() { world.family = family },
                Step::Present { back } => {
                    let newest = world.tokens.len() - 1;
                    let generation = newest.saturating_sub(back);
                    let confirmed = world.family.confirmed;
                    let verdict = world.present(generation);
                    match verdict {
                        Verdict::Rotate => prop_assert!(generation == newest && !ended),
                        Verdict::Replay(_) => prop_assert!(generation + 1 == newest && !confirmed && !ended),
                        Verdict::Reuse => { prop_assert!(generation < newest && !ended); ended = true; }
                        Verdict::Dead(_) => prop_assert!(ended || world.now >= world.family.idle_expiry),
                        Verdict::Unknown | Verdict::SlowDuplicate => prop_assert!(false, "a real token"),
                    }
                    prop_assert_eq!(world.family.generation as usize, world.tokens.len() - 1);
                }
            }
        }
    }

    /// A thief who replays after every one of the victim's refreshes, outside the retry window, is out within the limit.
    #[test]
    fn lock_step_outside_the_window_ends_within_the_limit(waits in proptest::collection::vec(60_u64..86_400, 8)) {
        let mut world = World::new();
        let mut rounds = 0;
        for (round, seconds) in waits.into_iter().enumerate() {
            if world.present(round) != Verdict::Rotate { break }
            world.wait(seconds);
            if world.present(round) != LATE { break }
            rounds += 1;
        }
        prop_assert_eq!(rounds, 3);
        prop_assert_eq!(world.family.status, FamilyStatus::Revoked);
    }
}
