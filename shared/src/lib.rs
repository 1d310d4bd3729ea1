//! What Leasehold's functions share, in three rings: pure domain, adapters to AWS, HTTP edge.
//!
//! A module may use only modules of its own ring and of those above it, and the AWS SDK appears only in `store`, `kms`,
//! `reach` and `app`; a test reads the rings here and keeps both.
//!
//! Domain code takes the present moment and randomness as arguments, does no I/O and does not log.

// Pure.
pub mod clock;
pub mod secret;
pub mod bytes;
pub mod rest;
pub mod bounded;
pub mod pace;
pub mod id;
pub mod keys;
pub mod client;
pub mod policy;
pub mod health;
pub mod user;
pub mod tenant;
pub mod token;
pub mod refresh;
pub mod throttle;
pub mod revocation;
pub mod audit;
pub mod revoked;
pub mod explain;
pub mod feed;
pub mod view;
pub mod tenants;

// Adapters.
#[cfg(feature = "remote")]
pub mod remote;
#[cfg(feature = "aws")]
pub mod password;
#[cfg(feature = "aws")]
pub mod config;
#[cfg(feature = "aws")]
pub mod trouble;
#[cfg(feature = "aws")]
pub mod reach;
#[cfg(feature = "aws")]
pub mod store;
#[cfg(feature = "aws")]
pub mod kms;
#[cfg(feature = "aws")]
pub mod sign;

// Edge.
#[cfg(feature = "aws")]
pub mod issue;
#[cfg(feature = "aws")]
pub mod metrics;
#[cfg(feature = "aws")]
pub mod telemetry;
#[cfg(feature = "aws")]
pub mod recorder;
#[cfg(feature = "aws")]
pub mod app;
#[cfg(feature = "aws")]
pub mod ending;
#[cfg(feature = "aws")]
pub mod steps;
#[cfg(feature = "aws")]
pub mod live;
#[cfg(feature = "aws")]
pub mod http;
