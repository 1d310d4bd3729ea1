//! What an operator does for a tenant's admins.

use clap::{Args, Subcommand};
use serde_json::json;

use crate::commands::tenant::print_code;
use crate::context::Context;
use crate::failure::Failure;
use crate::operator::At;
use crate::output::{self, Format, cell};

#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    at: At,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a user of the tenant an active admin with a new one-time code, for a tenant that has locked itself out
    Restore {
        /// The tenant
        tenant: String,
        /// Login name of the admin; made if there is none
        username: String,
    },
}

pub async fn run(context: &Context, arguments: Arguments) -> Result<(), Failure> {
    let Command::Restore { tenant, username } = arguments.command;
    let operator = context.operator(&arguments.at)?;
    let answer =
        operator.run(&json!({ "op": "admin.restore", "tenant": tenant, "username": username })).await?;
    match context.format() {
        Format::Json => output::json(&answer),
        Format::Text => {
            output::line(&format!("{username} ({}) is an admin of {tenant}", cell(&answer["user_id"])));
            let shown = operator.run(&json!({ "op": "tenant.show", "tenant": tenant })).await;
            let issuer = shown.ok().and_then(|shown| shown["issuer"].as_str().map(str::to_owned));
            print_code(&answer, &username, &issuer.unwrap_or_else(|| "<issuer>".to_owned()));
        }
    }
    Ok(())
}
