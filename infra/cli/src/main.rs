//! `leasehold`: the command line of operators, who call the operator function and are let in by IAM, and of tenant
//! admins, who sign in and call the admin routes.
//!
//! It shows, asks and carries; what is allowed and what a request means is the service's to decide. It must never print
//! a password or a token that it was not asked for, keep one where others can read it, or send one over plain HTTP to
//! another machine.

mod ask;
mod aws;
mod commands;
mod context;
mod doctor;
mod export;
mod failure;
mod files;
mod http;
mod import;
mod issuer;
mod local;
mod operator;
mod output;
mod reference;
mod service;
mod session;
mod settings;

use std::process::ExitCode;

use clap::Parser as _;

use crate::commands::Cli;
use crate::output::Format;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let format = cli.global.format();
    match Box::pin(commands::run(cli)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            match format {
                Format::Text => output::note(&format!("leasehold: {}", output::plain(&failure.to_string()))),
                Format::Json => output::note(&failure.json().to_string()),
            }
            ExitCode::from(failure.exit_code())
        }
    }
}
