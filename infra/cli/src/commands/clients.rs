//! Clients of the tenant.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, Value, json};

use crate::ask::{Sure, confirm};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::time::parse_span;
use crate::output::{self, Format, Table, cell, moment};
use crate::service::{Call, segment};

/// Whether a client can keep a secret.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Kind {
    /// An app: has no secret
    Public,
    /// A server: has a secret
    Confidential,
}

/// Sets of a client. Each flag replaces the whole set; an empty value empties it.
#[derive(Args, Debug)]
pub struct Sets {
    /// Audiences of its tokens, separated by commas
    #[arg(long, value_name = "LIST")]
    audiences: Option<String>,
    /// Scopes that it may have, separated by commas
    #[arg(long, value_name = "LIST")]
    scopes: Option<String>,
    /// Origins of its pages, separated by commas
    #[arg(long, value_name = "LIST")]
    origins: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the clients
    List {
        /// How many at most; 0 for all
        #[arg(long, default_value_t = 100, value_name = "N")]
        limit: usize,
    },
    /// Show a client
    Show {
        /// The client's id
        client: String,
    },
    /// Register a client; a confidential one's secret is shown this once
    Create {
        /// The client's id
        client: String,
        /// Its type
        #[arg(long = "type", default_value = "public")]
        kind: Kind,
        #[command(flatten)]
        sets: Sets,
    },
    /// Change a client
    Update {
        /// The client's id
        client: String,
        #[command(flatten)]
        sets: Sets,
        /// Whether it may be used: active or disabled
        #[arg(long, value_parser = ["active", "disabled"])]
        status: Option<String>,
    },
    /// Delete a client; its sessions end
    Delete {
        /// The client's id
        client: String,
        #[command(flatten)]
        sure: Sure,
    },
    /// Give a confidential client a new secret, shown this once
    Secret {
        /// The client's id
        client: String,
        /// How long the secret before it stays good: 90s, 15m, 6h, 7d
        #[arg(long, value_name = "SPAN", value_parser = parse_span)]
        overlap: Option<u64>,
    },
}

impl Sets {
    fn write_to(self, body: &mut Map<String, Value>) {
        let sets = [("audiences", self.audiences), ("scopes", self.scopes), ("origins", self.origins)];
        for (name, list) in sets {
            if let Some(list) = list {
                body.insert(name.to_owned(), split(&list));
            }
        }
    }
}

/// The members of a list that was typed.
pub fn split(list: &str) -> Value {
    list.split(',').map(str::trim).filter(|item| !item.is_empty()).collect()
}

pub async fn run(context: &mut Context, command: Command) -> Result<(), Failure> {
    let format = context.format();
    let service = context.service()?;
    let path = |client: &str| format!("clients/{}", segment(client));
    match command {
        Command::List { limit } => {
            let (clients, more) = service.list("clients", &[], bounded(limit)).await?;
            print_list(format, &clients, more);
        }
        Command::Show { client } => {
            print_one(format, &service.call(Call::get(&path(&client), &[])).await?.json());
        }
        Command::Create { client, kind, sets } => {
            let kind = match kind {
                Kind::Public => "public",
                Kind::Confidential => "confidential",
            };
            let mut body = Map::new();
            body.insert("client_id".to_owned(), client.into());
            body.insert("type".to_owned(), kind.into());
            sets.write_to(&mut body);
            let answer = service.call(Call::create("clients".to_owned(), &body.into())).await?.json();
            if format == Format::Json {
                output::json(&answer);
            } else {
                print_one(format, &answer["client"]);
                print_secret(&answer);
            }
        }
        Command::Update { client, sets, status } => {
            let mut body = Map::new();
            sets.write_to(&mut body);
            if let Some(status) = status {
                body.insert("status".to_owned(), status.into());
            }
            if body.is_empty() {
                return Err(Failure::Usage("nothing to change was named".to_owned()));
            }
            let (_, etag) = service.json(Call::get(&path(&client), &[])).await?;
            print_one(format, &service.call(Call::patch(path(&client), &body.into(), &etag)).await?.json());
        }
        Command::Delete { client, sure } => {
            confirm(
                sure,
                &format!("This deletes client {client}; sessions opened through it end."),
                &client,
            )?;
            service.call(Call::delete(path(&client))).await?;
            output::note(&format!("{client} is deleted"));
        }
        Command::Secret { client, overlap } => {
            let body = overlap.map_or_else(|| json!({}), |overlap| json!({ "overlap_seconds": overlap }));
            let answer = service.call(Call::create(path(&client) + "/secret", &body)).await?.json();
            if format == Format::Json {
                output::json(&answer);
            } else {
                print_secret(&answer);
                if !answer["previous_expires_at"].is_null() {
                    output::note(&format!(
                        "the one before it ends {}",
                        moment(&answer["previous_expires_at"])
                    ));
                }
            }
        }
    }
    Ok(())
}

/// A limit as it was typed: 0 is none.
pub const fn bounded(limit: usize) -> usize {
    if limit == 0 { usize::MAX } else { limit }
}

/// Says that a list was cut.
pub fn note_more(more: bool) {
    if more {
        output::note("there are more: --limit 0 lists all");
    }
}

fn print_secret(answer: &Value) {
    if let Some(secret) = answer["client_secret"].as_str() {
        output::line(&format!("client_secret, shown this once: {secret}"));
    }
}

fn print_list(format: Format, clients: &[Value], more: bool) {
    if format == Format::Json {
        output::json(&json!(clients));
        return;
    }
    table(clients).print();
    note_more(more);
}

fn table(clients: &[Value]) -> Table {
    let mut table = Table::new(["CLIENT", "TYPE", "STATUS", "AUDIENCES", "SCOPES"]);
    for client in clients {
        table.row(["client_id", "type", "status", "audiences", "scopes"].map(|member| cell(&client[member])));
    }
    table
}

fn print_one(format: Format, client: &Value) {
    if format == Format::Json {
        output::json(client);
        return;
    }
    output::members([
        ("client_id", cell(&client["client_id"])),
        ("type", cell(&client["type"])),
        ("status", cell(&client["status"])),
        ("audiences", cell(&client["audiences"])),
        ("scopes", cell(&client["scopes"])),
        ("origins", cell(&client["origins"])),
        ("created", moment(&client["created_at"])),
    ]);
    for secret in client["secrets"].as_array().into_iter().flatten() {
        let ends = if secret["expires_at"].is_null() {
            String::new()
        } else {
            format!(", ends {}", moment(&secret["expires_at"]))
        };
        output::line(&format!("a secret of {}{ends}", moment(&secret["created_at"])));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_typed_with_commas() {
        assert_eq!(split("a, b,,c "), json!(["a", "b", "c"]));
        assert_eq!(split(""), json!([]));
        let mut body = Map::new();
        let sets = Sets { audiences: None, scopes: Some(String::new()), origins: Some("https://a".into()) };
        sets.write_to(&mut body);
        assert_eq!(
            Value::from(body),
            json!({"scopes": [], "origins": ["https://a"]}),
            "what was not named stays"
        );
    }

    #[test]
    fn clients_are_a_table() {
        let clients = [
            json!({"client_id": "app", "type": "public", "status": "active", "audiences": ["https://api"], "scopes": []}),
        ];
        assert_eq!(
            table(&clients).lines(),
            ["CLIENT  TYPE    STATUS  AUDIENCES    SCOPES", "app     public  active  https://api  -",]
        );
    }
}
