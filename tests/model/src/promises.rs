//! What must hold in every state, and what some state must reach so that a search that found nothing has looked.

use leasehold::refresh::RefreshToken;
use leasehold::refresh::family::{Presentation, Verdict};
use leasehold::refresh::proof::Proof;
use leasehold::secret::Secret;
use stateright::Property;

use crate::scenario::Scenario;
use crate::world::World;

/// One generation has one token, whoever asks and however often.
pub const ONE_LINEAGE: &str = "one live lineage";
/// No honest client is told to sign in again.
pub const NOT_SIGNED_OUT: &str = "an honest client that retries is never signed out";
/// What the client keeps is good at any moment, whatever is under way.
pub const CAN_GO_ON: &str = "what an honest client holds is good";
/// Nothing that begins after the end gets a token.
pub const REVOKED_IS_REVOKED: &str = "nothing lives after its end";
/// Nothing that begins after a confirmation gets a token for what it spent.
pub const SPENT_IS_SPENT: &str = "what was confirmed is spent";
/// Late replays in a row stay within the limit.
pub const LOCK_STEP_ENDS: &str = "a follower outside the retry window is out within the limit";
/// Whoever was not given a token changes nothing.
pub const OUTSIDERS: &str = "an outsider changes nothing";

/// The properties of a scenario.
pub fn of(scenario: &Scenario) -> Vec<Property<Scenario>> {
    let mut all = vec![
        Property::always(ONE_LINEAGE, |_, world: &World| !world.seen.forked),
        Property::always(NOT_SIGNED_OUT, |_, world: &World| !world.seen.signed_out),
        Property::always(CAN_GO_ON, can_go_on),
        Property::always(REVOKED_IS_REVOKED, |_, world: &World| !world.seen.resurrected),
        Property::always(SPENT_IS_SPENT, |_, world: &World| !world.seen.unspent),
        Property::always(LOCK_STEP_ENDS, |scenario: &Scenario, world: &World| {
            world.seen.late_run <= scenario.tenant.policy.late_retry_limit
        }),
        Property::always(OUTSIDERS, outsiders_learn_nothing),
    ];
    for reached in scenario.must_reach {
        let (name, condition) = reached.property();
        all.push(Property::sometimes(name, condition));
    }
    all
}

/// What a scenario must reach to count as a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The last generation within the bounds.
    LastGeneration,
    /// A write that another overtook.
    Overtaken,
    /// A write found to be one's own.
    FoundOwn,
    /// A late replay.
    Late,
    /// A family that a spent token ended.
    Reuse,
    /// A slow duplicate.
    Slow,
    /// Epochs that differ within one read.
    EpochsDiffer,
    /// An end that was asked for.
    Ended,
    /// A confirmation.
    Spent,
}

impl Reach {
    fn property(self) -> (&'static str, fn(&Scenario, &World) -> bool) {
        match self {
            Self::LastGeneration => ("reached: the last generation", |scenario, world| {
                world.family.generation == scenario.generations
            }),
            Self::Overtaken => ("reached: an overtaken write", |_, world| world.seen.happened.overtaken),
            Self::FoundOwn => {
                ("reached: a write found to be one's own", |_, world| world.seen.happened.found_own)
            }
            Self::Late => ("reached: a late replay", |_, world| world.seen.happened.late),
            Self::Reuse => ("reached: reuse", |_, world| world.seen.happened.reuse),
            Self::Slow => ("reached: a slow duplicate", |_, world| world.seen.happened.slow),
            Self::EpochsDiffer => {
                ("reached: epochs that differ", |_, world| world.seen.happened.epochs_differed)
            }
            Self::Ended => ("reached: an end", |_, world| world.seen.ended),
            Self::Spent => ("reached: a confirmation", |_, world| world.seen.spent.is_some()),
        }
    }
}

/// Not by what has happened but by what would: each token that the client holds is put before the production decision,
/// on the item as it is now.
fn can_go_on(scenario: &Scenario, world: &World) -> bool {
    if world.seen.asked || world.seen.excused {
        return true;
    }
    [&world.saved, &world.memory].into_iter().all(|token| {
        let user = crate::cast::user(world.epoch);
        let presentation = Presentation {
            tenant: &scenario.tenant,
            client: &scenario.client,
            user: Some(&user),
            token,
            now: world.now,
        };
        matches!(
            (scenario.rules.present)(Some(&world.family), presentation),
            Verdict::Rotate | Verdict::Replay(_)
        )
    })
}

/// Tokens with the right ids and all the rest invented, of every generation there could be.
fn outsiders_learn_nothing(scenario: &Scenario, world: &World) -> bool {
    let user = crate::cast::user(world.epoch);
    let real = &world.seen.issued[world.seen.issued.len() - 1];
    (0..=world.family.generation + 1).all(|generation| {
        let invented = RefreshToken {
            generation,
            secret: Secret::new([0x77; 32]),
            proof: Proof::new([0x77; 16]),
            ..RefreshToken::clone(real)
        };
        // Whoever learns a proof without its secret, of the current or the previous generation, is an outsider too.
        let half = world
            .seen
            .issued
            .get(generation as usize)
            .filter(|_| generation + 1 >= world.family.generation)
            .map(|known| RefreshToken { secret: Secret::new([0x77; 32]), ..RefreshToken::clone(known) });
        [Some(invented), half].into_iter().flatten().all(|token| {
            let presentation = Presentation {
                tenant: &scenario.tenant,
                client: &scenario.client,
                user: Some(&user),
                token: &token,
                now: world.now,
            };
            (scenario.rules.present)(Some(&world.family), presentation) == Verdict::Unknown
        })
    })
}
