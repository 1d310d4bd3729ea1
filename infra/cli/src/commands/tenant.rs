//! Tenants, as their operator sees them.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, Value, json};

use crate::ask::{Sure, confirm, new_password};
use crate::commands::keys;
use crate::context::Context;
use crate::failure::Failure;
use crate::files;
use crate::operator::{At, Operator};
use crate::output::{self, Format, Table, cell, moment};

/// Signature algorithms.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Algorithm {
    /// RSA 2048 with SHA-256
    #[value(name = "RS256")]
    Rs256,
    /// P-256 with SHA-256
    #[value(name = "ES256")]
    Es256,
    /// Ed25519
    #[value(name = "EdDSA")]
    EdDsa,
}

/// Where private keys are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Custody {
    /// In KMS, which signs each token
    Kms,
    /// Wrapped by KMS; the functions sign
    Wrapped,
}

impl Algorithm {
    /// As the service writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }
}

impl Custody {
    /// As the service writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kms => "kms",
            Self::Wrapped => "wrapped",
        }
    }
}

#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    at: At,
    #[command(subcommand)]
    command: Command,
}

#[derive(Args, Debug)]
struct Create {
    /// The tenant's id, part of its issuer for ever: 2 to 32 of a-z, 0-9 and -
    tenant: String,
    /// Login name of the first admin
    #[arg(long, value_name = "USERNAME")]
    admin: String,
    /// Take the admin's first password from standard input, where the stage allows it; without, there is a one-time code
    #[arg(long)]
    password_stdin: bool,
    /// Algorithm of the first key [default: RS256]
    #[arg(long)]
    algorithm: Option<Algorithm>,
    /// Custody of the first key [default: kms]
    #[arg(long)]
    custody: Option<Custody>,
    /// A member of the policy (repeatable)
    #[arg(long, value_name = "MEMBER=VALUE", value_parser = member)]
    policy: Vec<(String, Value)>,
    /// JSON file with a list of clients: {"client_id", "type", "audiences", "scopes", "origins"}
    #[arg(long, value_name = "FILE")]
    clients: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Create a tenant with its first key and its first admin
    Create(Create),
    /// List the tenants
    List,
    /// Show a tenant: status, policy, keys, and how far a deletion is
    Show {
        /// The tenant
        tenant: String,
    },
    /// Suspend a tenant: nothing is issued or verified any more
    Suspend {
        /// The tenant
        tenant: String,
    },
    /// Resume a suspended tenant; what was issued before stays dead
    Resume {
        /// The tenant
        tenant: String,
    },
    /// Delete a tenant for good, with all its users and keys; its name can't be used again
    Delete {
        /// The tenant
        tenant: String,
        #[command(flatten)]
        sure: Sure,
    },
    /// Limit which custody a tenant's admins may choose
    Limit {
        /// The tenant
        tenant: String,
        /// What is allowed, separated by commas
        #[arg(long, value_name = "CUSTODY", required = true, value_delimiter = ',')]
        custody: Vec<Custody>,
    },
}

/// `member=value`: JSON where it is, a text otherwise.
pub fn member(text: &str) -> Result<(String, Value), String> {
    let (name, value) =
        text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or("expected MEMBER=VALUE")?;
    Ok((name.to_owned(), serde_json::from_str(value).unwrap_or_else(|_| value.into())))
}

pub async fn run(context: &Context, arguments: Arguments) -> Result<(), Failure> {
    let operator = context.operator(&arguments.at)?;
    let format = context.format();
    let event = match arguments.command {
        Command::Create(create) => return self::create(&operator, format, create).await,
        Command::List => return list(&operator, format).await,
        Command::Show { tenant } => return show(&operator, format, &tenant).await,
        Command::Suspend { tenant } => json!({ "op": "tenant.suspend", "tenant": tenant }),
        Command::Resume { tenant } => json!({ "op": "tenant.resume", "tenant": tenant }),
        Command::Delete { tenant, sure } => {
            let what = format!("This deletes tenant {tenant} with all its users, sessions and keys.");
            confirm(sure, &what, &tenant)?;
            json!({ "op": "tenant.delete", "tenant": tenant })
        }
        Command::Limit { tenant, custody } => {
            let allowed: Vec<_> = custody.into_iter().map(Custody::as_str).collect();
            json!({ "op": "tenant.limit", "tenant": tenant, "allowed_custody": allowed })
        }
    };
    let answer = operator.run(&event).await?;
    match format {
        Format::Json => output::json(&answer),
        Format::Text => {
            for member in ["status", "allowed_custody"].into_iter().filter(|member| !answer[member].is_null())
            {
                output::line(&format!("{}: {}", cell(&answer["tenant"]), cell(&answer[member])));
            }
        }
    }
    if format == Format::Text && event["op"] == "tenant.delete" {
        output::note("Its data goes in the background; `leasehold tenant show` tells how far.");
    }
    Ok(())
}

async fn create(operator: &Operator<'_>, format: Format, create: Create) -> Result<(), Failure> {
    let mut event =
        json!({ "op": "tenant.create", "tenant": create.tenant, "admin": { "username": create.admin } });
    if create.password_stdin {
        event["admin"]["password"] = new_password(true)?.into();
    }
    if let Some(algorithm) = create.algorithm {
        event["algorithm"] = algorithm.as_str().into();
    }
    if let Some(custody) = create.custody {
        event["custody"] = custody.as_str().into();
    }
    if !create.policy.is_empty() {
        event["policy"] = create.policy.into_iter().collect::<Map<_, _>>().into();
    }
    if let Some(path) = create.clients {
        let missing = || Failure::Usage(format!("{} is not there", path.display()));
        let text = files::read(&path)?.ok_or_else(missing)?;
        event["clients"] = serde_json::from_slice(&text)
            .map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))?;
    }
    let made = operator.run(&event).await?;
    if format == Format::Json {
        output::json(&made);
        return Ok(());
    }
    output::members([
        ("tenant", cell(&made["tenant"])),
        ("issuer", cell(&made["issuer"])),
        ("key", cell(&made["kid"])),
        ("admin", format!("{} ({})", create.admin, cell(&made["admin"]["user_id"]))),
    ]);
    for client in made["clients"].as_array().into_iter().flatten() {
        if let Some(secret) = client["client_secret"].as_str() {
            output::line(&format!("secret of {}, shown this once: {secret}", cell(&client["client_id"])));
        }
    }
    print_code(&made["admin"], &create.admin, made["issuer"].as_str().unwrap_or_default());
    Ok(())
}

/// A one-time code, if there is one, and what to do with it.
pub fn print_code(made: &Value, username: &str, issuer: &str) {
    let Some(code) = made["code"].as_str() else { return };
    output::line(&format!("one-time code, until {}: {code}", moment(&made["code_expires_at"])));
    output::note(&format!(
        "{username} sets a password with it:  leasehold password {issuer} --username {username}"
    ));
}

async fn list(operator: &Operator<'_>, format: Format) -> Result<(), Failure> {
    let tenants = all(operator).await?;
    match format {
        Format::Json => output::json(&json!(tenants)),
        Format::Text => tenants.iter().for_each(|tenant| output::line(tenant)),
    }
    Ok(())
}

/// The ids of all tenants.
pub async fn all(operator: &Operator<'_>) -> Result<Vec<String>, Failure> {
    let (mut tenants, mut cursor) = (Vec::new(), Value::Null);
    loop {
        let mut event = json!({ "op": "tenant.list" });
        if !cursor.is_null() {
            event["cursor"] = cursor;
        }
        let mut page = operator.run(&event).await?;
        let found = page["tenants"].as_array().into_iter().flatten();
        tenants.extend(found.filter_map(Value::as_str).map(str::to_owned));
        cursor = page["next_cursor"].take();
        if cursor.is_null() {
            tenants.sort();
            return Ok(tenants);
        }
    }
}

async fn show(operator: &Operator<'_>, format: Format, tenant: &str) -> Result<(), Failure> {
    let shown = operator.run(&json!({ "op": "tenant.show", "tenant": tenant })).await?;
    if format == Format::Json {
        output::json(&shown);
        return Ok(());
    }
    output::members([
        ("tenant", cell(&shown["tenant"])),
        ("issuer", cell(&shown["issuer"])),
        ("status", cell(&shown["status"])),
        ("created", moment(&shown["created_at"])),
        ("next key", format!("{}, custody {}", cell(&shown["algorithm"]), cell(&shown["custody"]))),
        ("custody allowed", cell(&shown["allowed_custody"])),
        ("deletion", cell(&shown["deletion"])),
    ]);
    output::line("");
    keys::table(&shown["keys"]).print();
    output::line("");
    let mut policy = Table::new(["POLICY", "VALUE"]);
    for (name, value) in shown["policy"].as_object().into_iter().flatten() {
        policy.row([name.clone(), cell(value)]);
    }
    policy.print();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_json_where_they_can_be() {
        for (text, name, value) in [
            ("idle_seconds=60", "idle_seconds", json!(60)),
            ("spare_key=true", "spare_key", json!(true)),
            ("algorithm=ES256", "algorithm", json!("ES256")),
            ("scopes=[\"a\",\"b\"]", "scopes", json!(["a", "b"])),
            ("note=a=b", "note", json!("a=b")),
            ("empty=", "empty", json!("")),
        ] {
            assert_eq!(member(text), Ok((name.to_owned(), value)));
        }
        assert!(member("=1").is_err() && member("idle_seconds").is_err());
    }
}
