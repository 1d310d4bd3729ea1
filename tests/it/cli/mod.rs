//! The `leasehold` command line, over the running stack.

mod admin;
mod aws;
mod documents;
mod moving;
mod operator;
mod relay;
mod session;
mod tokens;
