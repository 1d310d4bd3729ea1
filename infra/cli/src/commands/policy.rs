//! The tenant's policy.

use clap::Subcommand;
use serde_json::{Map, Value};

use crate::commands::tenant::member;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, Format, Table, cell};
use crate::service::Call;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the policy, with defaults and bounds
    Get,
    /// Change members of the policy
    Set {
        /// Members and their new values
        #[arg(value_name = "MEMBER=VALUE", required = true, value_parser = member)]
        members: Vec<(String, Value)>,
    },
}

pub async fn run(context: &mut Context, command: Command) -> Result<(), Failure> {
    let format = context.format();
    let service = context.service()?;
    let (mut answer, etag) = service.json(Call::get("policy", &[])).await?;
    if let Command::Set { members } = command {
        let body: Map<_, _> = members.into_iter().collect();
        answer = service.call(Call::patch("policy".to_owned(), &body.into(), &etag)).await?.json();
    }
    match format {
        Format::Json => output::json(&answer),
        Format::Text => table(&answer).print(),
    }
    Ok(())
}

fn table(answer: &Value) -> Table {
    let mut table = Table::new(["MEMBER", "VALUE", "DEFAULT", "LOW", "HIGH"]);
    for (name, value) in answer["policy"].as_object().into_iter().flatten() {
        let bounds = &answer["bounds"][name];
        table.row([
            name.clone(),
            cell(value),
            cell(&bounds["default"]),
            cell(&bounds["low"]),
            cell(&bounds["high"]),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_policy_is_a_table_with_bounds() {
        let answer = json!({
            "policy": {"idle_seconds": 60, "spare_key": false},
            "bounds": {"idle_seconds": {"default": 2_592_000, "low": 30, "high": 15_552_000}},
        });
        assert_eq!(
            table(&answer).lines(),
            [
                "MEMBER        VALUE  DEFAULT  LOW  HIGH",
                "idle_seconds  60     2592000  30   15552000",
                "spare_key     no     -        -    -",
            ]
        );
    }
}
