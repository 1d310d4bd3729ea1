//! One invocation of a function, as `functions/refresh` and `functions/revoke` go about it: read, decide, write on a
//! condition, decide again on what another write left, answer. The decisions are the rules'; only their order is here.

use std::sync::Arc;

use leasehold::refresh::family::Presentation;
use leasehold::refresh::{Dead, Family, FamilyStatus, Replay, Verdict};
use leasehold::user::User;

use crate::cast;
use crate::rules::{Answering, Condition, Epochs, Revocation};
use crate::scenario::Scenario;
use crate::world::{Answer, Call, Kind, Phase, Who, World, Write};

/// How often one call reads anew because epochs differ, as in `functions/refresh`.
const READS: u8 = 3;

impl Scenario {
    fn presentation<'a>(&'a self, user: &'a User, call: &'a Call) -> Presentation<'a> {
        Presentation {
            tenant: &self.tenant,
            client: &self.client,
            user: Some(user),
            token: &call.token,
            now: call.now,
        }
    }

    /// One step of a call: read, or write.
    pub fn step(&self, world: &mut World, at: usize) {
        let call = &world.calls[at];
        match call.phase.clone() {
            Phase::Begun => {
                let (epoch, family) = (world.epoch, Arc::clone(&world.family));
                self.decide(world, at, epoch, family, self.rules.present);
            }
            Phase::HalfRead { epoch, family } => {
                let epoch = epoch.unwrap_or(world.epoch);
                let family = family.unwrap_or_else(|| Arc::clone(&world.family));
                self.decide(world, at, epoch, family, self.rules.present);
            }
            Phase::Writing { write, epoch, landed } => self.write(world, at, write, epoch, landed),
            Phase::Answered(_) => {}
        }
    }

    /// What the function makes of what it has read; by `present`, or by `present_again` on what another write left.
    fn decide(
        &self,
        world: &mut World,
        at: usize,
        epoch: u32,
        family: Arc<Family>,
        present: fn(Option<&Family>, Presentation<'_>) -> Verdict,
    ) {
        let user = cast::user(epoch);
        let call = world.calls[at].clone();
        let verdict = present(Some(&family), self.presentation(&user, &call));
        let phase = match call.kind {
            Kind::Refresh => self.refresh(world, at, epoch, &family, verdict),
            Kind::Confirm => match ((verdict == Verdict::Rotate), (self.rules.confirm)(&family)) {
                (true, Some(after)) => {
                    let write =
                        Write::Family { before: family, after: Arc::new(after), answer: Answer::Done };
                    Phase::Writing { write, epoch, landed: false }
                }
                _ => Phase::Answered(Answer::Done),
            },
            Kind::Revoke => match verdict {
                Verdict::Rotate | Verdict::Replay(_) | Verdict::Reuse | Verdict::SlowDuplicate => {
                    Phase::Writing { write: Write::End { answer: Answer::Done }, epoch, landed: false }
                }
                Verdict::Dead(_) | Verdict::Unknown => Phase::Answered(Answer::Done),
            },
            Kind::SignOut { keep } => {
                let kept =
                    keep.then(|| (Arc::clone(&family), Arc::new((self.rules.restamp)(&family, epoch + 1))));
                Phase::Writing { write: Write::Epoch { before: epoch, keep: kept }, epoch, landed: false }
            }
        };
        self.answered(world, at, phase);
    }

    fn refresh(
        &self,
        world: &mut World,
        at: usize,
        epoch: u32,
        family: &Arc<Family>,
        verdict: Verdict,
    ) -> Phase {
        let call = world.calls[at].clone();
        match verdict {
            Verdict::Dead(Dead::Epoch) => {
                let epochs = [epoch, family.user_epoch];
                let call = &mut world.calls[at];
                call.reads += 1;
                world.seen.happened.epochs_differed = true;
                if self.rules.epochs == Epochs::AtOnce || call.differed == Some(epochs) {
                    Phase::Answered(Answer::Refused)
                } else if call.reads == READS {
                    Phase::Answered(Answer::Trouble)
                } else {
                    call.differed = Some(epochs);
                    Phase::Begun
                }
            }
            Verdict::Unknown | Verdict::Dead(_) => Phase::Answered(Answer::Refused),
            Verdict::SlowDuplicate => {
                world.seen.happened.slow = true;
                Phase::Answered(Answer::Trouble)
            }
            Verdict::Reuse => {
                Phase::Writing { write: Write::End { answer: Answer::Refused }, epoch, landed: false }
            }
            Verdict::Rotate => {
                let mut mark = [call.id; 16];
                mark[..8].copy_from_slice(&family.version.to_be_bytes());
                let rotated =
                    (self.rules.rotate)(family, &self.tenant, &call.token, &cast::fresh(&mark), call.now);
                let answer = Answer::Token { token: Arc::new(rotated.successor), again: false };
                if self.rules.answer == Answering::Hoped {
                    received(world, at, &answer);
                }
                let write =
                    Write::Family { before: Arc::clone(family), after: Arc::new(rotated.family), answer };
                Phase::Writing { write, epoch, landed: false }
            }
            Verdict::Replay(window) => {
                let replayed = (self.rules.replay)(family, &self.tenant, &call.token, window, call.now)
                    .expect("nobody damages items here");
                world.seen.happened.late |= window == Replay::Late;
                let answer = Answer::Token { token: Arc::new(replayed.successor), again: true };
                match replayed.change {
                    None => Phase::Answered(answer),
                    Some(after) => {
                        let write =
                            Write::Family { before: Arc::clone(family), after: Arc::new(after), answer };
                        Phase::Writing { write, epoch, landed: false }
                    }
                }
            }
        }
    }

    fn write(&self, world: &mut World, at: usize, write: Write, epoch: u32, landed: bool) {
        match write {
            Write::Family { before, after, answer } => {
                let holds =
                    self.rules.condition == Condition::Nothing || world.family.version == before.version;
                if holds {
                    commit(world, at, &after, &answer);
                } else if *world.family != *after {
                    world.seen.happened.overtaken = true;
                    let found = Arc::clone(&world.family);
                    return self.decide(world, at, epoch, found, self.rules.present_again);
                } else if landed {
                    world.seen.happened.found_own = true;
                }
                self.answered(world, at, Phase::Answered(answer));
            }
            Write::End { answer } => {
                self.end(world, &answer);
                self.answered(world, at, Phase::Answered(answer));
            }
            Write::Epoch { before, keep } => {
                if sign_out(world, before, keep) || landed {
                    self.answered(world, at, Phase::Answered(Answer::Done));
                } else {
                    // Another write was first: read again.
                    world.calls[at].phase = Phase::Begun;
                }
            }
        }
    }

    /// The family ends, unless it has: because a spent token returned, or because its client asked.
    fn end(&self, world: &mut World, answer: &Answer) {
        world.seen.happened.reuse |= *answer == Answer::Refused;
        world.seen.asked |= *answer == Answer::Done;
        if world.family.status == FamilyStatus::Active {
            let family = Family::clone(&world.family);
            let raised = u64::from(self.rules.revocation == Revocation::Versioned);
            world.family = Arc::new(Family {
                status: FamilyStatus::Revoked,
                version: family.version + raised,
                ..family
            });
        }
        world.seen.ended = true;
    }

    /// A call goes on; where it answers, the observer looks at the answer.
    fn answered(&self, world: &mut World, at: usize, phase: Phase) {
        world.calls[at].phase = phase;
        let World { calls, seen, .. } = world;
        let call = &calls[at];
        let Phase::Answered(answer) = &call.phase else { return };
        match (call.kind, answer) {
            (Kind::Refresh, Answer::Token { token, again }) => {
                seen.forked |= seen.issued.get(token.generation as usize) != Some(token);
                seen.resurrected |= call.began_ended;
                seen.unspent |= call.began_spent.is_some_and(|spent| call.token.generation <= spent);
                if *again && seen.issued.last() == Some(token) {
                    let window = u64::from(self.tenant.policy.retry_window_seconds) * 1000;
                    let late = call.now.millis() >= seen.rotated_at.saturating_add(window);
                    seen.late_run += u32::from(late && !seen.replayed.1);
                    seen.replayed = (true, seen.replayed.1 || late);
                }
            }
            (Kind::Refresh, Answer::Refused) => {
                seen.signed_out |= call.who == Who::Client && !seen.excused && !seen.asked;
            }
            _ => {}
        }
    }
}

/// A client acts on an answer before its write, where the rules are broken so.
fn received(world: &mut World, at: usize, answer: &Answer) {
    if let (Answer::Token { token, .. }, Who::Client) = (answer, world.calls[at].who) {
        world.memory = Arc::clone(token);
        world.saved = Arc::clone(token);
    }
}

/// A changed family lands.
fn commit(world: &mut World, at: usize, after: &Arc<Family>, answer: &Answer) {
    let call = &world.calls[at];
    let seen = &mut world.seen;
    if let (Kind::Refresh, Answer::Token { token, .. }) = (call.kind, answer) {
        if after.generation > world.family.generation {
            if !seen.replayed.0 {
                seen.late_run = 0;
            }
            seen.replayed = (false, false);
            seen.rotated_at = call.now.millis();
        }
        if seen.issued.len() == token.generation as usize {
            seen.issued.push(Arc::clone(token));
        } else if seen.issued.get(token.generation as usize) != Some(token) {
            seen.forked = true;
        }
    }
    if call.kind == Kind::Confirm {
        seen.spent = call.token.generation.checked_sub(1);
    }
    world.family = Arc::clone(after);
}

/// Every session of the user ends but the one that is kept. Whether the transaction went through.
fn sign_out(world: &mut World, before: u32, keep: Option<(Arc<Family>, Arc<Family>)>) -> bool {
    let unchanged = keep.as_ref().is_none_or(|(before, _)| before.version == world.family.version);
    if world.epoch != before || !unchanged {
        return false;
    }
    world.epoch += 1;
    if let Some((_, after)) = keep {
        world.family = after;
    } else {
        world.seen.ended = true;
        world.seen.asked = true;
    }
    true
}
