//! The refresh family under every interleaving, by exhaustive search within stated bounds.
//!
//! A [`Scenario`] is a small world: one family in the table, an honest client that loses replies, retries and dies before
//! it saved, perhaps a thief, functions that read, decide, write and crash, an AWS SDK that sends a write again which had
//! landed, a clock that moves. The search visits every state that any order of these can reach, and checks
//! [the promises](promises) in each.
//!
//! What a function decides is not modelled: the transitions call `leasehold::refresh` itself ([`Rules::production`]).
//! Modelled is what surrounds the decisions in `functions/refresh` and `functions/revoke`: read, decide, conditional
//! write, decide again. A model that cannot fail proves nothing, so [`rules`] also holds rules broken on purpose; each must
//! be found out by a counter-example of a few steps.

mod cast;
mod function;
mod hash;
pub mod keys;
pub mod promises;
pub mod rules;
mod scenario;
mod world;

pub use rules::Rules;
pub use scenario::{Action, Scenario};
pub use world::{Answer, Call, Kind, Phase, Who, World};
