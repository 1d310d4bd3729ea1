//! What clients did and saw, written down so that a judge who knows only the contract can decide whether it was legal.
//!
//! An operation is written down when it begins and when its answer is there. The times are those of one clock that only
//! runs forward, so "before" means what it says; beside it stands the simulated time, which the windows are about.

mod judge;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Instant;

use serde_json::{Value, json};

pub use judge::{Fault, Rules, Verdict, judge};

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A refresh with the token of this generation.
    Refresh(u32),
    /// A confirmation of the token of this generation.
    Confirm(u32),
    /// The end of the session, by a token of it, or by its user from elsewhere.
    End,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Came {
    /// A refresh token: its generation and its text.
    Token(u32, String),
    /// What was asked for is done.
    Done,
    /// 400 `invalid_grant`.
    Refused,
    /// A 5xx: it may have been carried out or not; the function has ended.
    Trouble,
    /// Nothing: it may have been carried out or not, and may still be under way.
    Nothing,
}

/// One operation on one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Who: `phone`, `thief`.
    pub who: &'static str,
    /// What for.
    pub asked: Asked,
    /// What came.
    pub came: Came,
    /// When it began and when its answer was there, in microseconds of the judge's clock.
    pub micros: (u64, u64),
    /// The same in simulated seconds.
    pub simulated: (i64, i64),
}

/// The histories of all families of a run.
pub struct History {
    began: Instant,
    families: Mutex<BTreeMap<String, Vec<Operation>>>,
}

/// An operation under way.
#[derive(Clone, Copy, Debug)]
pub struct Begun {
    /// By the judge's clock.
    pub micros: u64,
    simulated: i64,
}

impl Default for History {
    fn default() -> Self {
        Self { began: Instant::now(), families: Mutex::default() }
    }
}

impl History {
    /// Notes the beginning of an operation; to be called before anything is sent.
    pub fn begin(&self, simulated: i64) -> Begun {
        Begun { micros: self.micros(), simulated }
    }

    /// An operation that has come to its end; to be called when the answer has been read.
    pub fn ended(&self, begun: Begun, simulated: i64, who: &'static str, what: (Asked, Came)) -> Operation {
        Operation {
            who,
            asked: what.0,
            came: what.1,
            micros: (begun.micros, self.micros()),
            simulated: (begun.simulated, simulated),
        }
    }

    /// Writes an operation down under its family.
    pub fn note(&self, family: &str, operation: Operation) {
        let mut families = self.families.lock().unwrap_or_else(PoisonError::into_inner);
        families.entry(family.to_owned()).or_default().push(operation);
    }

    /// The histories by family, each in the order of beginning.
    pub fn families(&self) -> BTreeMap<String, Vec<Operation>> {
        let mut families = self.families.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for operations in families.values_mut() {
            operations.sort_by_key(|operation| operation.micros.0);
        }
        families
    }

    fn micros(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).expect("a run ends before the sun does")
    }
}

impl Operation {
    /// One line for people. Tokens are shown by their last characters.
    pub fn describe(&self) -> Value {
        let came = match &self.came {
            Came::Token(generation, text) => {
                format!("token {generation} …{}", &text[text.len().saturating_sub(6)..])
            }
            other => format!("{other:?}"),
        };
        json!({
            "who": self.who, "asked": format!("{:?}", self.asked), "came": came,
            "micros": self.micros, "simulated": self.simulated,
        })
    }
}
