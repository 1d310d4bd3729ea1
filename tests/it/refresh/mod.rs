//! The refresh function: `/token`, its JSON twin `/refresh`, and `/confirm`.

mod commit_failure;
mod expiry;
mod race;
mod refuses;
mod replay;
mod rotates;
