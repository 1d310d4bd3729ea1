//! The stack around a stand-in function: gateway, host of functions, command.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod authorizer;
mod command;
mod extensions;
mod gateway;
mod host;
mod world;
