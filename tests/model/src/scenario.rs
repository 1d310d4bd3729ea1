//! What can happen next in a world, and what comes of it.

use std::sync::Arc;

use leasehold::client::Client;
use leasehold::policy::Policy;
use leasehold::tenant::Tenant;
use stateright::{Model, Property};

use crate::cast;
use crate::promises::{self, Reach};
use crate::rules::Rules;
use crate::world::{Answer, Call, Kind, Phase, Seen, Token, Who, World};

/// A small world and its bounds.
#[derive(Clone)]
#[expect(clippy::struct_excessive_bools, reason = "choices that do not depend on one another")]
pub struct Scenario {
    /// The decisions.
    pub rules: Rules,
    /// The tenant, with the policy of the scenario.
    pub tenant: Tenant,
    /// Its client.
    pub client: Client,
    /// The last generation.
    pub generations: u32,
    /// Calls under way at once.
    pub calls: usize,
    /// How long the client may stay away, in seconds; no call is under way as long as that (service deadline).
    pub waits: &'static [i64],
    /// How far the clock may jump while calls are under way, in seconds, backwards too.
    pub jumps: &'static [i64],
    /// How often the clock may move, in either way.
    pub wait_budget: u8,
    /// How many calls may run on a function whose clock is off, by [`Scenario::skew_seconds`].
    pub skews: u8,
    /// How far such a clock is off.
    pub skew_seconds: &'static [i64],
    /// How many calls may crash, lose their answer or send a write twice; `u8::MAX` is no bound.
    pub faults: u8,
    /// Whether there is a thief, who copies what the client keeps, once, at any moment.
    pub thief: bool,
    /// Whether the client presents a new token while a function still works on an older attempt, against the advice of
    /// `wire.md`; but not while an older attempt may still be on its way there.
    pub impatient: bool,
    /// Whether the client confirms.
    pub confirms: bool,
    /// Whether the client signs out.
    pub revokes: bool,
    /// Whether the user signs out everywhere else (`Some(true)`: this session stays).
    pub signs_out: Option<bool>,
    /// Whether a batch read may fall apart into two.
    pub split_reads: bool,
    /// What the search must have reached.
    pub must_reach: &'static [Reach],
}

/// Which part of a batch read comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    /// The user.
    User,
    /// The family.
    Family,
}

/// What happens next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A call begins, on a function whose clock is off by so many seconds.
    Begin(Who, Kind, i64),
    /// The thief presents a token of the loot.
    Present(usize),
    /// A call goes one step on.
    Step(usize),
    /// A call reads the one half of what it needs.
    Read(usize, First),
    /// A write lands, its answer is lost, and the SDK will send it again.
    LandUnheard(usize),
    /// The function dies.
    Crash(usize),
    /// An answer is lost.
    Lose(usize),
    /// An answer arrives.
    Deliver(usize),
    /// The client keeps what it holds.
    Save,
    /// The client dies and starts from what it kept.
    Die,
    /// The thief copies what the client holds.
    Steal,
    /// The clock moves.
    Wait(i64),
}

impl Scenario {
    /// An honest client alone, with the rules of production.
    pub fn honest(policy: &Policy) -> Self {
        Self {
            rules: Rules::production(),
            tenant: cast::tenant(policy),
            client: cast::client(),
            generations: 3,
            calls: 2,
            waits: &[],
            jumps: &[],
            wait_budget: 0,
            skews: 0,
            skew_seconds: &[],
            faults: u8::MAX,
            thief: false,
            impatient: false,
            confirms: false,
            revokes: false,
            signs_out: None,
            split_reads: false,
            must_reach: &[Reach::LastGeneration],
        }
    }

    /// The same world under other rules.
    #[must_use]
    pub fn under(mut self, change: impl FnOnce(&mut Rules)) -> Self {
        change(&mut self.rules);
        self
    }

    fn may_begin(&self, world: &World, token: &Token) -> bool {
        let mut own = world.calls.iter().filter(|call| call.who == Who::Client);
        // No new token while an older attempt may still be under way (wire.md, "How a client refreshes").
        world.calls.len() < self.calls
            && own.all(|call| call.token == *token || self.impatient && !matches!(call.phase, Phase::Begun))
    }
}

fn begin(world: &mut World, who: Who, kind: Kind, token: Token, skew: i64) {
    let taken = |id: u8| world.calls.iter().any(|call| call.id == id);
    let id = (0..u8::MAX).find(|id| !taken(*id)).expect("there are fewer calls than ids");
    world.skews -= u8::from(skew != 0);
    world.calls.push(Call {
        id,
        who,
        kind,
        token,
        now: moved(world.now, skew),
        differed: None,
        reads: 0,
        began_ended: world.seen.ended,
        began_spent: world.seen.spent,
        phase: Phase::Begun,
    });
}

fn moved(now: leasehold::clock::Timestamp, seconds: i64) -> leasehold::clock::Timestamp {
    if seconds < 0 {
        now.minus_seconds(seconds.unsigned_abs())
    } else {
        now.plus_seconds(seconds.unsigned_abs())
    }
}

impl Model for Scenario {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let opened = cast::opened(&self.tenant, 5);
        let token = Arc::new(opened.successor);
        vec![World {
            now: cast::START,
            waits: self.wait_budget,
            skews: self.skews,
            faults: self.faults,
            family: Arc::new(opened.family),
            epoch: 5,
            saved: Arc::clone(&token),
            memory: Arc::clone(&token),
            loot: Vec::new(),
            calls: Vec::new(),
            seen: Seen { issued: vec![token], ..Seen::default() },
        }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        let skews = || {
            let off = self.skew_seconds.iter().copied().filter(|_| world.skews > 0);
            std::iter::once(0).chain(off)
        };
        // What is in memory alone is not used: save, then use.
        let settled = world.saved == world.memory;
        if settled && self.may_begin(world, &world.memory) {
            actions.extend(skews().map(|skew| Action::Begin(Who::Client, Kind::Refresh, skew)));
            let under_way = |kind| world.calls.iter().any(|call| call.kind == kind);
            if self.confirms && world.memory.generation > 0 && !under_way(Kind::Confirm) {
                actions.push(Action::Begin(Who::Client, Kind::Confirm, 0));
            }
            if self.revokes && !world.seen.ended && !under_way(Kind::Revoke) {
                actions.push(Action::Begin(Who::Client, Kind::Revoke, 0));
            }
        }
        if let Some(keep) = self.signs_out
            && world.epoch == 5
            && world.calls.len() < self.calls
            && world.calls.iter().all(|call| call.who != Who::Elsewhere)
        {
            actions.push(Action::Begin(Who::Elsewhere, Kind::SignOut { keep }, 0));
        }
        if self.thief && !world.seen.stolen {
            actions.push(Action::Steal);
        }
        if world.calls.len() < self.calls {
            actions.extend((0..world.loot.len()).map(Action::Present));
        }
        for (at, call) in world.calls.iter().enumerate() {
            match &call.phase {
                Phase::Answered(_) => {
                    actions.push(Action::Deliver(at));
                    if world.faults > 0 {
                        actions.push(Action::Lose(at));
                    }
                    continue;
                }
                Phase::Begun if self.split_reads && call.kind == Kind::Refresh => {
                    actions.extend([First::User, First::Family].map(|first| Action::Read(at, first)));
                }
                Phase::Writing { landed: false, .. } if world.faults > 0 => {
                    actions.push(Action::LandUnheard(at));
                }
                Phase::Begun | Phase::HalfRead { .. } | Phase::Writing { .. } => {}
            }
            actions.push(Action::Step(at));
            if world.faults > 0 {
                actions.push(Action::Crash(at));
            }
        }
        if !settled {
            actions.extend([Action::Save, Action::Die]);
        }
        if world.waits > 0 {
            let waits = self.waits.iter().filter(|_| world.calls.is_empty());
            actions.extend(waits.chain(self.jumps).copied().map(Action::Wait));
        }
    }

    fn next_state(&self, last: &World, action: Action) -> Option<World> {
        let mut world = last.clone();
        let fault = |world: &mut World| {
            if self.faults != u8::MAX {
                world.faults -= 1;
            }
        };
        match action {
            Action::Begin(who, kind, skew) => {
                let token = Arc::clone(&world.memory);
                begin(&mut world, who, kind, token, skew);
            }
            Action::Present(loot) => {
                let token = Arc::clone(&world.loot[loot]);
                begin(&mut world, Who::Thief, Kind::Refresh, token, 0);
            }
            Action::Step(at) => self.step(&mut world, at),
            Action::Read(at, first) => {
                let (epoch, family) = match first {
                    First::User => (Some(world.epoch), None),
                    First::Family => (None, Some(Arc::clone(&world.family))),
                };
                world.calls[at].phase = Phase::HalfRead { epoch, family };
            }
            Action::LandUnheard(at) => {
                fault(&mut world);
                let before = world.calls[at].clone();
                let family_before = Arc::clone(&world.family);
                self.step(&mut world, at);
                let Phase::Writing { write, epoch, .. } = before.phase else { return None };
                // Only a write that landed can be sent again after it landed.
                let changed = world.family != family_before || world.epoch != last.epoch;
                if !changed || !matches!(world.calls[at].phase, Phase::Answered(_)) {
                    return None;
                }
                world.calls[at].phase = Phase::Writing { write, epoch, landed: true };
            }
            Action::Crash(at) | Action::Lose(at) => {
                fault(&mut world);
                world.calls.remove(at);
            }
            Action::Deliver(at) => {
                let call = world.calls.remove(at);
                if let Phase::Answered(Answer::Token { token, .. }) = call.phase {
                    match call.who {
                        // A client that was overtaken by itself keeps the newest.
                        Who::Client if token.generation > world.memory.generation => world.memory = token,
                        Who::Thief if !world.loot.contains(&token) => world.loot.push(token),
                        Who::Client | Who::Thief | Who::Elsewhere => {}
                    }
                }
            }
            Action::Save => world.saved = Arc::clone(&world.memory),
            Action::Die => world.memory = Arc::clone(&world.saved),
            Action::Steal => {
                world.seen.stolen = true;
                world.seen.excused = true;
                let token = Arc::clone(&world.saved);
                world.loot.push(token);
            }
            Action::Wait(seconds) => {
                world.waits -= 1;
                let policy = &self.tenant.policy;
                let moves = u32::from(self.wait_budget - world.waits) + u32::from(self.skews - world.skews);
                world.seen.excused |=
                    moves > policy.late_retry_limit || seconds >= i64::from(policy.late_retry_window_seconds);
                world.now = moved(world.now, seconds);
            }
        }
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        promises::of(self)
    }

    fn within_boundary(&self, world: &World) -> bool {
        world.family.generation <= self.generations
    }
}
