//! Keys of the tenant.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use crate::ask::{Sure, confirm};
use crate::commands::tenant::{Algorithm, Custody};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, Format, Table, cell, moment};
use crate::service::{Call, segment};

#[derive(Debug, Args)]
pub struct Kid {
    /// The key's id
    // One of 64 begins with a hyphen, which is not to be taken for a flag.
    #[arg(value_name = "KID", allow_hyphen_values = true)]
    kid: String,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the keys and their states
    List,
    /// Make a key, or take the spare one, and plan the switch to it
    Rotate {
        /// Switch at once, although verifiers may not have seen the key yet
        #[arg(long)]
        force: bool,
        /// Another algorithm from this key on
        #[arg(long)]
        algorithm: Option<Algorithm>,
        /// Another custody from this key on
        #[arg(long)]
        custody: Option<Custody>,
        #[command(flatten)]
        sure: Sure,
    },
    /// Switch to a pending key now
    Promote {
        #[command(flatten)]
        kid: Kid,
        /// Although verifiers may not have seen it yet
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        sure: Sure,
    },
    /// Let a superseded key sign again, or call a planned switch off
    Rollback(Kid),
    /// Keep a key from being retired
    Retain {
        #[command(flatten)]
        kid: Kid,
        /// Let it go its way again
        #[arg(long)]
        release: bool,
    },
    /// Give a key up at once: its tokens are refused, another key signs
    Compromise {
        #[command(flatten)]
        kid: Kid,
        #[command(flatten)]
        sure: Sure,
    },
}

pub async fn run(context: &mut Context, command: Command) -> Result<(), Failure> {
    let format = context.format();
    let service = context.service()?;
    let step = |kid: &Kid, name: &str| format!("keys/{}/{name}", segment(&kid.kid));
    let early = "Verifiers that cache keys may refuse valid tokens until they have seen the new key.";
    let call = match command {
        Command::List => {
            let answer = service.call(Call::get("keys", &[])).await?.json();
            print_list(format, &answer);
            return Ok(());
        }
        Command::Rotate { force, algorithm, custody, sure } => {
            if force {
                confirm(sure, early, service.issuer.tenant())?;
            }
            let mut body = Map::new();
            if force {
                body.insert("force".to_owned(), true.into());
            }
            if let Some(algorithm) = algorithm {
                body.insert("algorithm".to_owned(), algorithm.as_str().into());
            }
            if let Some(custody) = custody {
                body.insert("custody".to_owned(), custody.as_str().into());
            }
            Call::create("keys/rotate".to_owned(), &body.into())
        }
        Command::Promote { kid, force, sure } => {
            if force {
                confirm(sure, early, &kid.kid)?;
            }
            Call::step(step(&kid, "promote"), &if force { json!({ "force": true }) } else { json!({}) })
        }
        Command::Rollback(kid) => Call::step(step(&kid, "rollback"), &json!({})),
        Command::Retain { kid, release } => Call::step(step(&kid, "retain"), &json!({ "retain": !release })),
        Command::Compromise { kid, sure } => {
            let what = "This gives the key up: every token that it signed is refused, and KMS disables it.";
            confirm(sure, what, &kid.kid)?;
            Call::step(step(&kid, "compromise"), &json!({}))
        }
    };
    let answer = service.call(call).await?.json();
    print_step(format, &answer);
    Ok(())
}

fn print_list(format: Format, answer: &Value) {
    if format == Format::Json {
        output::json(answer);
        return;
    }
    table(&answer["items"]).print();
    if let Some(kid) = answer["planned"]["kid"].as_str() {
        output::note(&format!("{kid} is planned to sign from {}", moment(&answer["planned"]["active_from"])));
    }
}

fn print_step(format: Format, answer: &Value) {
    if format == Format::Json {
        output::json(answer);
        return;
    }
    table(&json!([answer["key"]])).print();
    for (member, text) in
        [("active_from", "signs from"), ("previous", "before it"), ("replacement", "in its place")]
    {
        let value = &answer[member];
        if !value.is_null() {
            let shown = if member == "active_from" { moment(value) } else { cell(value) };
            output::note(&format!("{text}: {shown}"));
        }
    }
}

/// A table of keys.
pub fn table(keys: &Value) -> Table {
    let mut table =
        Table::new(["KID", "STATE", "ALGORITHM", "CUSTODY", "PUBLISHED", "SIGNS FROM", "RETIRES", ""]);
    for key in keys.as_array().into_iter().flatten() {
        table.row([
            cell(&key["kid"]),
            cell(&key["state"]),
            cell(&key["algorithm"]),
            cell(&key["custody"]),
            moment(&key["published_at"]),
            moment(&key["active_from"]),
            moment(&key["retire_at"]),
            if key["retained"] == true { "retained".to_owned() } else { String::new() },
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_a_table() {
        let keys = json!([
            {"kid": "8Z519", "state": "active", "algorithm": "RS256", "custody": "kms", "published_at": 1_799_990_000, "active_from": 1_800_000_000, "retained": false},
            {"kid": "g_w-j", "state": "retiring", "algorithm": "ES256", "custody": "wrapped", "published_at": 0, "retire_at": 1_800_000_000, "retained": true},
        ]);
        assert_eq!(
            table(&keys).lines(),
            [
                "KID    STATE     ALGORITHM  CUSTODY  PUBLISHED             SIGNS FROM            RETIRES",
                "8Z519  active    RS256      kms      2027-01-15 05:13:20Z  2027-01-15 08:00:00Z  -",
                "g_w-j  retiring  ES256      wrapped  1970-01-01 00:00:00Z  -                     2027-01-15 08:00:00Z  retained",
            ]
        );
    }
}
