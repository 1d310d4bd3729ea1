//! Leasehold on a laptop: the very binaries that run on Lambda, as OS processes behind an API gateway, with an embedded
//! DynamoDB and KMS. Everything speaks AWS's wire protocol, so the code under test is the code that is deployed.
//!
//! | Piece | Stands for |
//! | --- | --- |
//! | [`gateway`] | API Gateway's HTTP API, with the routes of `infra/template.yaml` |
//! | [`lambda`] | Lambda: Runtime API, processes, Invoke API, schedule |
//! | [`dynamodb`], [`kms`] | the two services that functions call |
//! | [`stack`] | all of it, started and stopped together |
//! | [`seed`] | two tenants to play with, made as an operator would |
//!
//! It must never listen on anything but the loopback interface, and must never be needed by a function: no crate but
//! the tests depends on it.

pub mod client;
mod clock;
pub mod dynamodb;
pub mod files;
pub mod gateway;
pub mod kms;
pub mod lambda;
mod random;
pub mod seed;
mod server;
pub mod stack;
pub mod template;
