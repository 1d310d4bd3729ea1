//! The harness of the black-box tests.
//!
//! It starts the local stack as users start it, talks to it over HTTP, takes tokens apart with code of its own, and
//! stands between the functions and AWS to spoil calls. It never links the product: what the tests know, they know
//! from the wire. Every test makes its own tenants on a stack shared by the whole process, since tenancy is the
//! isolation; tests that spoil calls, move the clock or restart things start a stack of their own.

pub mod cli;
pub mod chaos;
pub mod clock;
pub mod dice;
pub mod history;
pub mod http;
pub mod process;
pub mod proxy;
pub mod settings;
pub mod stack;
pub mod sts;
pub mod table;
pub mod tenant;
pub mod token;
