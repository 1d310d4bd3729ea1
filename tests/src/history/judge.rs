//! Decides whether a legal order exists for the history of a family.
//!
//! The judge knows the contract (`architecture.md`, "The way of a refresh") and nothing of the code. It follows every
//! order of the operations that the times allow: an operation takes effect at one moment between its beginning and its
//! answer; one without an answer takes effect once or never, within a bounded time. If no order explains what was seen,
//! the history is illegal, and the operation at which the last explanation failed is named.

use std::collections::{BTreeMap, BTreeSet};

use super::{Asked, Came, Operation};

/// The policy and the bounds by which a history is judged. Times of policy are in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// How long the previous token is replayed freely.
    pub retry_window: i64,
    /// How long it is replayed at all.
    pub late_window: i64,
    /// How many generations in a row may be replayed late.
    pub late_limit: u32,
    /// How long after a 5xx something of it may still take effect, in microseconds.
    pub after_trouble: u64,
    /// How long after its beginning an operation without an answer may take effect, in microseconds.
    pub after_nothing: u64,
}

/// Why a history is illegal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Two tokens of one generation.
    Forked,
    /// A token after the end.
    Resurrected,
    /// A refusal though the family lives and the token is good.
    Lost,
    /// Anything else that no order explains.
    Unexplained,
}

/// What the judge found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A legal order exists. Whether the family may live at the end of it.
    Legal {
        /// Whether some legal order leaves the family alive.
        alive: bool,
    },
    /// None does.
    Illegal {
        /// Which promise is broken.
        fault: Fault,
        /// The operation that nothing explains, by its place in the history.
        at: usize,
    },
}

/// What the contract says a family is, in so far as anybody can see.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Family {
    alive: bool,
    generation: u32,
    confirmed: bool,
    /// When the generation was made: not before and not after.
    rotated: (i64, i64),
    /// Whether this generation was given out again, and whether late.
    replayed: (bool, bool),
    late_streak: u32,
}

/// One explanation of what was seen so far: the family as it is, and which operations under way have had their effect.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Explanation {
    family: Family,
    done: BTreeSet<usize>,
}

/// Judges the operations of one family, in the order of their beginning.
pub fn judge(operations: &[Operation], rules: Rules) -> Verdict {
    if let Some(at) = fork(operations) {
        return Verdict::Illegal { fault: Fault::Forked, at };
    }
    let start = operations.first().map_or(0, |operation| operation.simulated.0);
    let mut explanations = BTreeSet::from([Explanation {
        family: Family {
            alive: true,
            generation: 0,
            confirmed: false,
            rotated: (start, start),
            replayed: (false, false),
            late_streak: 0,
        },
        done: BTreeSet::new(),
    }]);
    let mut open = BTreeSet::new();
    for (_, moment) in moments(operations, rules) {
        match moment {
            Moment::Begins(at) => {
                open.insert(at);
            }
            Moment::Ends(at) => {
                let before = explanations.clone();
                explanations = Judge { operations, rules, open: &open }.settle(explanations, at);
                if explanations.is_empty() {
                    return Verdict::Illegal { fault: fault(&before, &operations[at]), at };
                }
                open.remove(&at);
            }
        }
    }
    Verdict::Legal { alive: explanations.iter().any(|explanation| explanation.family.alive) }
}

/// The first operation that got another token than an earlier one of the same generation.
fn fork(operations: &[Operation]) -> Option<usize> {
    let mut known: BTreeMap<u32, &str> = BTreeMap::new();
    operations.iter().position(|operation| match &operation.came {
        Came::Token(generation, text) => known.entry(*generation).or_insert(text) != text,
        Came::Done | Came::Refused | Came::Trouble | Came::Nothing => false,
    })
}

fn fault(before: &BTreeSet<Explanation>, operation: &Operation) -> Fault {
    let none_alive = before.iter().all(|explanation| !explanation.family.alive);
    match (&operation.asked, &operation.came) {
        (_, Came::Token(..)) if none_alive => Fault::Resurrected,
        (Asked::Refresh(presented), Came::Refused) => {
            let good = |explanation: &Explanation| explanation.family.generation <= presented + 1;
            if before.iter().any(good) { Fault::Lost } else { Fault::Unexplained }
        }
        _ => Fault::Unexplained,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Moment {
    Begins(usize),
    Ends(usize),
}

/// All beginnings and ends in order. Beginnings come first where times are equal: that allows more orders, not fewer.
fn moments(operations: &[Operation], rules: Rules) -> Vec<(u64, Moment)> {
    let mut moments = Vec::with_capacity(operations.len() * 2);
    for (at, operation) in operations.iter().enumerate() {
        let (began, answered) = operation.micros;
        let ends = match operation.came {
            Came::Token(..) | Came::Done | Came::Refused => answered,
            Came::Trouble => answered + rules.after_trouble,
            Came::Nothing => answered.max(began + rules.after_nothing),
        };
        moments.extend([(began, Moment::Begins(at)), (ends, Moment::Ends(at))]);
    }
    moments.sort_unstable();
    moments
}

struct Judge<'a> {
    operations: &'a [Operation],
    rules: Rules,
    open: &'a BTreeSet<usize>,
}

impl Judge<'_> {
    /// The explanations that remain when this operation has had its effect, or can have none any more.
    fn settle(&self, explanations: BTreeSet<Explanation>, at: usize) -> BTreeSet<Explanation> {
        let mut remaining = BTreeSet::new();
        let mut seen = explanations.clone();
        let mut queue: Vec<Explanation> = explanations.into_iter().collect();
        let needs_effect = !matches!(self.operations[at].came, Came::Trouble | Came::Nothing);
        while let Some(mut explanation) = queue.pop() {
            if explanation.done.remove(&at) {
                remaining.insert(explanation);
                continue;
            }
            for next in self.open.iter().filter(|next| !explanation.done.contains(*next)) {
                for family in self.effects(&explanation.family, &self.operations[*next]) {
                    let mut done = explanation.done.clone();
                    done.insert(*next);
                    let further = Explanation { family, done };
                    if seen.insert(further.clone()) {
                        queue.push(further);
                    }
                }
            }
            if !needs_effect {
                remaining.insert(explanation);
            }
        }
        remaining
    }

    /// What an operation may make of a family, in agreement with what came of it.
    fn effects(&self, family: &Family, operation: &Operation) -> Vec<Family> {
        match &operation.asked {
            Asked::Refresh(presented) => self.refreshed(family, *presented, operation),
            Asked::Confirm(presented) => match operation.came {
                Came::Done | Came::Trouble | Came::Nothing => {
                    let confirms = family.alive && *presented == family.generation && *presented > 0;
                    vec![Family { confirmed: family.confirmed || confirms, ..family.clone() }]
                }
                Came::Token(..) | Came::Refused => Vec::new(),
            },
            Asked::End => match operation.came {
                Came::Done | Came::Trouble | Came::Nothing => vec![Family { alive: false, ..family.clone() }],
                // Refused: nothing was ended.
                Came::Refused => vec![family.clone()],
                Came::Token(..) => Vec::new(),
            },
        }
    }

    fn refreshed(&self, family: &Family, presented: u32, operation: &Operation) -> Vec<Family> {
        let unknown = matches!(operation.came, Came::Trouble | Came::Nothing);
        let gives = |generation: u32| {
            matches!(operation.came, Came::Token(given, _) if given == generation) || unknown
        };
        let refuses = operation.came == Came::Refused || unknown;
        let mut after = Vec::new();
        let ended = Family { alive: false, ..family.clone() };
        if !family.alive || presented > family.generation {
            if operation.came == Came::Refused {
                after.push(family.clone());
            }
        } else if presented == family.generation {
            if gives(presented + 1) {
                let kept = if family.replayed.0 { family.late_streak } else { 0 };
                let rotated = Family {
                    alive: true,
                    generation: presented + 1,
                    confirmed: false,
                    rotated: operation.simulated,
                    replayed: (false, false),
                    late_streak: kept,
                };
                // A function that lost sight of its own write and finds it again has rotated and replayed.
                after.push(Family { replayed: (true, false), ..rotated.clone() });
                after.push(rotated);
            }
        } else if presented + 1 == family.generation {
            self.replayed(family, operation, &mut after, gives(family.generation), refuses);
        } else if refuses {
            after.push(ended);
        }
        after
    }

    /// The previous token: again, late and counted, or too late. Which windows can apply depends on the simulated times,
    /// of which only bounds are known.
    fn replayed(
        &self,
        family: &Family,
        operation: &Operation,
        after: &mut Vec<Family>,
        gives: bool,
        refuses: bool,
    ) {
        let age = (
            operation.simulated.0.saturating_sub(family.rotated.1),
            operation.simulated.1.saturating_sub(family.rotated.0),
        );
        let counts = family.replayed.1 || family.late_streak < self.rules.late_limit;
        let late = age.1 >= self.rules.retry_window && age.0 < self.rules.late_window;
        if !family.confirmed && gives {
            if age.0 < self.rules.retry_window {
                after.push(Family { replayed: (true, family.replayed.1), ..family.clone() });
            }
            if late && counts {
                let streak = family.late_streak + u32::from(!family.replayed.1);
                after.push(Family { replayed: (true, true), late_streak: streak, ..family.clone() });
            }
        }
        let too_late = age.1 >= self.rules.late_window || late && !counts;
        if refuses && (family.confirmed || too_late) {
            after.push(Family { alive: false, ..family.clone() });
        }
    }
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
