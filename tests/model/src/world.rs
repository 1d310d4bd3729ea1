//! One state of the search: the table, the clients, what is under way, and what an observer has seen so far.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use leasehold::clock::Timestamp;
use leasehold::refresh::{Family, FamilyStatus, RefreshToken};

use crate::cast::START;
use crate::hash;

/// A token as many may hold it.
pub type Token = Arc<RefreshToken>;

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    /// The honest client.
    Client,
    /// A thief of one of its tokens.
    Thief,
    /// The same user on another device, who signs everybody else out.
    Elsewhere,
}

/// What a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Present a token.
    Refresh,
    /// Confirm a saved token.
    Confirm,
    /// Sign out, by token.
    Revoke,
    /// Sign out everywhere, this session excepted or not.
    SignOut {
        /// Whether the client's own session stays.
        keep: bool,
    },
}

/// What a call writes.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// A changed family.
    Family {
        /// As it was read.
        before: Arc<Family>,
        /// As it is to be.
        after: Arc<Family>,
        /// What is answered once it is written.
        answer: Answer,
    },
    /// The end of the family, on condition of its status alone.
    End {
        /// What is answered then.
        answer: Answer,
    },
    /// The user's next epoch, and with it the family that is kept.
    Epoch {
        /// The epoch as it was read.
        before: u32,
        /// The kept family, before and after.
        keep: Option<(Arc<Family>, Arc<Family>)>,
    },
}

/// What a function answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 200 with a refresh token.
    Token {
        /// The token.
        token: Token,
        /// Whether it says that the token had been given out before.
        again: bool,
    },
    /// 400 `invalid_grant`.
    Refused,
    /// 503: try again.
    Trouble,
    /// 200 or 204 without a token.
    Done,
}

/// How far a call is.
#[derive(Clone, Debug, PartialEq)]
pub enum Phase {
    /// Nothing is read yet.
    Begun,
    /// A batch read is half done: it is not one moment.
    HalfRead {
        /// The user's epoch, if that was read first.
        epoch: Option<u32>,
        /// The family, if that was read first.
        family: Option<Arc<Family>>,
    },
    /// It has decided and, where it must, signed; the write comes next.
    Writing {
        /// The write.
        write: Write,
        /// The user's epoch as it was read.
        epoch: u32,
        /// Whether the write has landed before, and the SDK sends it again because the answer was lost.
        landed: bool,
    },
    /// It has answered; the answer is on its way.
    Answered(Answer),
}

/// One invocation of a function.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Tells calls that are under way at once apart.
    pub id: u8,
    /// Who calls.
    pub who: Who,
    /// What for.
    pub kind: Kind,
    /// With which token.
    pub token: Token,
    /// What the function's clock said when the call began.
    pub now: Timestamp,
    /// The epochs that an earlier read of this call found to differ.
    pub differed: Option<[u32; 2]>,
    /// How often it has read.
    pub reads: u8,
    /// Whether the session had ended when the call began.
    pub began_ended: bool,
    /// Which generation was spent by a confirmation when the call began.
    pub began_spent: Option<u32>,
    /// How far it is.
    pub phase: Phase,
}

/// What an observer has seen who sees everything; only the promises read it, no rule does.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "facts that do not depend on one another")]
pub struct Seen {
    /// The token of each generation, in the order of their commits.
    pub issued: Vec<Token>,
    /// When the last generation was made, in milliseconds, by the clock of the function that made it.
    pub rotated_at: u64,
    /// Generations in a row that were replayed after the retry window.
    pub late_run: u32,
    /// Whether the last generation was given out again, and whether that was after the retry window.
    pub replayed: (bool, bool),
    /// Whether the session has ended, in whichever way.
    pub ended: bool,
    /// Whether somebody asked for that who may.
    pub asked: bool,
    /// The generation that a confirmation spent.
    pub spent: Option<u32>,
    /// Whether a token of the client was stolen.
    pub stolen: bool,
    /// Whether the client may be signed out without anybody's asking: it was robbed, or it came late more often in a row
    /// than the policy bears.
    pub excused: bool,
    /// Two tokens of one generation.
    pub forked: bool,
    /// An honest client was refused without cause.
    pub signed_out: bool,
    /// A call that began after the end got a token.
    pub resurrected: bool,
    /// A call that began after a confirmation got a token for what it had spent.
    pub unspent: bool,
    /// What happened that must be able to happen, or the search would be empty.
    pub happened: Happened,
}

/// What a scenario must be able to reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "facts that do not depend on one another")]
pub struct Happened {
    /// A write was found to be another's, and the call decided again.
    pub overtaken: bool,
    /// A call found its own write.
    pub found_own: bool,
    /// A late replay.
    pub late: bool,
    /// A spent token ended the family.
    pub reuse: bool,
    /// A slow duplicate.
    pub slow: bool,
    /// Two reads of one call found epochs that differ.
    pub epochs_differed: bool,
}

/// A state of the search.
#[derive(Clone, PartialEq)]
pub struct World {
    /// The true time.
    pub now: Timestamp,
    /// How many more times the clock may move.
    pub waits: u8,
    /// How many more calls may run on a function whose clock is off.
    pub skews: u8,
    /// How many more calls may crash, lose their answer or send a write twice.
    pub faults: u8,
    /// The family's item.
    pub family: Arc<Family>,
    /// The user's epoch.
    pub epoch: u32,
    /// What the client keeps durably.
    pub saved: Token,
    /// What the client holds in memory.
    pub memory: Token,
    /// What the thief holds.
    pub loot: Vec<Token>,
    /// What is under way.
    pub calls: Vec<Call>,
    /// What was seen.
    pub seen: Seen,
}

impl Hash for World {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Self { now, waits, skews, faults, family, epoch, saved, memory, loot, calls, seen } = self;
        (now, waits, skews, faults, epoch, loot.len(), calls.len()).hash(hasher);
        hash::family(family, hasher);
        hash::token(saved, hasher);
        hash::token(memory, hasher);
        for token in loot {
            hash::token(token, hasher);
        }
        for call in calls {
            call.hash(hasher);
        }
        seen.hash(hasher);
    }
}

impl Hash for Call {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Self { id, who, kind, token, now, differed, reads, began_ended, began_spent, phase } = self;
        (id, who, kind, now, differed, reads, began_ended, began_spent).hash(hasher);
        hash::token(token, hasher);
        match phase {
            Phase::Begun => 0_u8.hash(hasher),
            Phase::HalfRead { epoch, family } => {
                (1_u8, epoch, family.is_some()).hash(hasher);
                if let Some(family) = family {
                    hash::family(family, hasher);
                }
            }
            Phase::Writing { write, epoch, landed } => {
                (2_u8, epoch, landed).hash(hasher);
                write.hash(hasher);
            }
            Phase::Answered(answer) => {
                3_u8.hash(hasher);
                answer.hash(hasher);
            }
        }
    }
}

impl Hash for Write {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        match self {
            Self::Family { before, after, answer } => {
                0_u8.hash(hasher);
                hash::family(before, hasher);
                hash::family(after, hasher);
                answer.hash(hasher);
            }
            Self::End { answer } => {
                1_u8.hash(hasher);
                answer.hash(hasher);
            }
            Self::Epoch { before, keep } => {
                (2_u8, before, keep.is_some()).hash(hasher);
                if let Some((before, after)) = keep {
                    hash::family(before, hasher);
                    hash::family(after, hasher);
                }
            }
        }
    }
}

impl Hash for Answer {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        match self {
            Self::Token { token, again } => {
                (0_u8, again).hash(hasher);
                hash::token(token, hasher);
            }
            Self::Refused => 1_u8.hash(hasher),
            Self::Trouble => 2_u8.hash(hasher),
            Self::Done => 3_u8.hash(hasher),
        }
    }
}

impl Hash for Seen {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Self {
            issued,
            rotated_at,
            late_run,
            replayed,
            ended,
            asked,
            spent,
            stolen,
            excused,
            forked,
            signed_out,
            resurrected,
            unspent,
            happened,
        } = self;
        (issued.len(), rotated_at, late_run, replayed, ended, asked, spent).hash(hasher);
        (stolen, excused).hash(hasher);
        (forked, signed_out, resurrected, unspent, happened).hash(hasher);
        for token in issued {
            hash::token(token, hasher);
        }
    }
}

impl fmt::Debug for World {
    /// What a person needs who reads a counter-example.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = &self.family;
        let alive = if family.status == FamilyStatus::Active { "active" } else { "revoked" };
        write!(
            f,
            "+{} s: {alive} generation {} version {} epoch {}/{}, late {}, client {}/{}, loot {:?}",
            (self.now.millis().saturating_sub(START.millis())) / 1000,
            family.generation,
            family.version,
            family.user_epoch,
            self.epoch,
            family.late_streak,
            self.saved.generation,
            self.memory.generation,
            self.loot.iter().map(|token| token.generation).collect::<Vec<_>>(),
        )?;
        for call in &self.calls {
            let phase = match &call.phase {
                Phase::Begun => "begun",
                Phase::HalfRead { .. } => "half read",
                Phase::Writing { landed: false, .. } => "writing",
                Phase::Writing { landed: true, .. } => "writing again",
                Phase::Answered(Answer::Token { .. }) => "answered with a token",
                Phase::Answered(Answer::Refused) => "refused",
                Phase::Answered(Answer::Trouble) => "answered 503",
                Phase::Answered(Answer::Done) => "done",
            };
            write!(f, "; {:?} {:?} {} {phase}", call.who, call.kind, call.token.generation)?;
        }
        Ok(())
    }
}
