//! Users of the tenant.

use std::collections::BTreeSet;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use crate::ask::{Sure, confirm};
use crate::commands::clients::{bounded, note_more, split};
use crate::commands::tenant::{member, print_code};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, Format, Table, cell, moment};
use crate::service::{Call, Service, segment};
use crate::{export, import};

/// What a new user has.
#[derive(Args, Debug)]
pub struct Given {
    /// Roles, separated by commas
    #[arg(long, value_name = "LIST")]
    roles: Option<String>,
    /// Permissions, separated by commas
    #[arg(long, value_name = "LIST")]
    permissions: Option<String>,
    /// The only scopes that the user may be granted, separated by commas
    #[arg(long, value_name = "LIST")]
    scopes: Option<String>,
    /// A custom claim (repeatable)
    #[arg(long = "claim", value_name = "NAME=VALUE", value_parser = member)]
    claims: Vec<(String, Value)>,
}

/// What changes. A list replaces the whole; an empty one empties it.
#[derive(Args, Debug)]
pub struct Change {
    #[command(flatten)]
    given: Given,
    /// A role more (repeatable)
    #[arg(long, value_name = "ROLE", conflicts_with = "roles")]
    add_role: Vec<String>,
    /// A role less (repeatable)
    #[arg(long, value_name = "ROLE", conflicts_with = "roles")]
    remove_role: Vec<String>,
    /// A permission more (repeatable)
    #[arg(long, value_name = "PERMISSION", conflicts_with = "permissions")]
    add_permission: Vec<String>,
    /// A permission less (repeatable)
    #[arg(long, value_name = "PERMISSION", conflicts_with = "permissions")]
    remove_permission: Vec<String>,
    /// A custom claim less (repeatable)
    #[arg(long, value_name = "NAME")]
    remove_claim: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the users
    List {
        /// How many at most; 0 for all
        #[arg(long, default_value_t = 100, value_name = "N")]
        limit: usize,
    },
    /// Show a user
    Show {
        /// User id or login name
        user: String,
    },
    /// Add a user; there is a one-time code with which they set their password
    Create {
        /// Login name
        username: String,
        #[command(flatten)]
        given: Given,
    },
    /// Change roles, permissions, scopes or claims of a user
    Update {
        /// User id or login name
        user: String,
        #[command(flatten)]
        change: Change,
    },
    /// Keep a user from signing in, and end their sessions
    Disable {
        /// User id or login name
        user: String,
    },
    /// Let a user sign in again
    Enable {
        /// User id or login name
        user: String,
    },
    /// Delete a user
    Delete {
        /// User id or login name
        user: String,
        #[command(flatten)]
        sure: Sure,
    },
    /// Start a reset: there is a one-time code with which the user sets a new password
    Reset {
        /// User id or login name
        user: String,
    },
    Import(import::Arguments),
    Export(export::Arguments),
}

pub async fn run(context: &mut Context, command: Command) -> Result<(), Failure> {
    let format = context.format();
    let service = context.service()?;
    match command {
        Command::List { limit } => {
            let (users, more) = service.list("users", &[], bounded(limit)).await?;
            if format == Format::Json {
                output::json(&json!(users));
            } else {
                table(&users).print();
                note_more(more);
            }
        }
        Command::Show { user } => {
            let id = id_of(&service, &user).await?;
            print_one(format, &service.call(Call::get(&path(&id), &[])).await?.json());
        }
        Command::Create { username, given } => {
            let mut body = Map::new();
            body.insert("username".to_owned(), username.clone().into());
            given.write_to(&mut body);
            let answer = service.call(Call::create("users".to_owned(), &body.into())).await?.json();
            if format == Format::Json {
                output::json(&answer);
            } else {
                print_one(format, &answer["user"]);
                print_code(&answer, &username, service.issuer.as_str());
            }
        }
        Command::Update { user, change } => {
            let id = id_of(&service, &user).await?;
            let (before, etag) = service.json(Call::get(&path(&id), &[])).await?;
            let body = change.body(&before);
            if body.is_empty() {
                return Err(Failure::Usage("nothing to change was named".to_owned()));
            }
            print_one(format, &service.call(Call::patch(path(&id), &body.into(), &etag)).await?.json());
        }
        Command::Disable { user } => set_status(&service, format, &user, "disabled").await?,
        Command::Enable { user } => set_status(&service, format, &user, "active").await?,
        Command::Delete { user, sure } => {
            let id = id_of(&service, &user).await?;
            confirm(sure, &format!("This deletes user {user} ({id})."), &user)?;
            service.call(Call::delete(path(&id))).await?;
            output::note(&format!("{user} is deleted"));
        }
        Command::Reset { user } => {
            let id = id_of(&service, &user).await?;
            let answer = service.call(Call::create(path(&id) + "/reset", &json!({}))).await?.json();
            if format == Format::Json {
                output::json(&answer);
            } else {
                print_code(&answer, &user, service.issuer.as_str());
            }
        }
        Command::Import(arguments) => return import::run(&service, format, &arguments).await,
        Command::Export(arguments) => return export::run(&service, format, &arguments).await,
    }
    Ok(())
}

/// The id of a user who is named by id or by login name.
pub async fn id_of(service: &Service<'_>, user: &str) -> Result<String, Failure> {
    if user.starts_with("usr_") {
        return Ok(user.to_owned());
    }
    let (found, _) = service.list("users", &[("username", user.to_owned())], 1).await?;
    let id = found.first().and_then(|user| user["user_id"].as_str());
    id.map(str::to_owned).ok_or_else(|| Failure::NotFound(format!("there is no user {user}")))
}

async fn set_status(service: &Service<'_>, format: Format, user: &str, status: &str) -> Result<(), Failure> {
    let id = id_of(service, user).await?;
    let (_, etag) = service.json(Call::get(&path(&id), &[])).await?;
    let call = Call::patch(path(&id), &json!({ "status": status }), &etag);
    print_one(format, &service.call(call).await?.json());
    Ok(())
}

fn path(id: &str) -> String {
    format!("users/{}", segment(id))
}

impl Given {
    fn write_to(self, body: &mut Map<String, Value>) {
        let sets = [("roles", self.roles), ("permissions", self.permissions), ("scopes", self.scopes)];
        for (name, list) in sets {
            if let Some(list) = list {
                body.insert(name.to_owned(), split(&list));
            }
        }
        if !self.claims.is_empty() {
            body.insert("claims".to_owned(), self.claims.into_iter().collect::<Map<_, _>>().into());
        }
    }
}

impl Change {
    /// The members to send, given the user as it is.
    fn body(self, before: &Value) -> Map<String, Value> {
        let mut body = Map::new();
        let claims_given = !self.given.claims.is_empty() || !self.remove_claim.is_empty();
        let added = self.given.claims.clone();
        self.given.write_to(&mut body);
        for (name, add, remove) in [
            ("roles", self.add_role, self.remove_role),
            ("permissions", self.add_permission, self.remove_permission),
        ] {
            if add.is_empty() && remove.is_empty() {
                continue;
            }
            let had = before[name].as_array().into_iter().flatten().filter_map(Value::as_str);
            let mut set: BTreeSet<String> = had.map(str::to_owned).collect();
            set.extend(add);
            set.retain(|item| !remove.contains(item));
            body.insert(name.to_owned(), set.into_iter().collect());
        }
        if claims_given {
            // Claims are one member of the user: those that were not named stay.
            let mut claims = before["claims"].as_object().cloned().unwrap_or_default();
            claims.extend(added);
            claims.retain(|name, _| !self.remove_claim.contains(name));
            body.insert("claims".to_owned(), claims.into());
        }
        body
    }
}

fn table(users: &[Value]) -> Table {
    let mut table = Table::new(["USER", "USERNAME", "STATUS", "PASSWORD", "ROLES", "CREATED"]);
    for user in users {
        table.row([
            cell(&user["user_id"]),
            cell(&user["username"]),
            cell(&user["status"]),
            cell(&user["has_password"]),
            cell(&user["roles"]),
            moment(&user["created_at"]),
        ]);
    }
    table
}

fn print_one(format: Format, user: &Value) {
    if format == Format::Json {
        output::json(user);
        return;
    }
    output::members([
        ("user_id", cell(&user["user_id"])),
        ("username", cell(&user["username"])),
        ("status", cell(&user["status"])),
        ("password", cell(&user["has_password"])),
        ("roles", cell(&user["roles"])),
        ("permissions", cell(&user["permissions"])),
        (
            "scopes",
            if user["scopes"].is_null() { "all of the client's".to_owned() } else { cell(&user["scopes"]) },
        ),
        ("claims", cell(&user["claims"])),
        ("created", moment(&user["created_at"])),
    ]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change() -> Change {
        let given = Given { roles: None, permissions: None, scopes: None, claims: vec![] };
        let none = Vec::new;
        Change {
            given,
            add_role: none(),
            remove_role: none(),
            add_permission: none(),
            remove_permission: none(),
            remove_claim: none(),
        }
    }

    #[test]
    fn a_change_is_made_on_what_is_there() {
        let before =
            json!({"roles": ["a", "b"], "permissions": ["p"], "claims": {"plan": "free", "beta": true}});
        assert_eq!(Value::from(change().body(&before)), json!({}), "nothing was named");
        let roles = Change { add_role: vec!["c".into()], remove_role: vec!["a".into()], ..change() };
        assert_eq!(Value::from(roles.body(&before)), json!({"roles": ["b", "c"]}));
        let mut claims = Change { remove_claim: vec!["beta".into()], ..change() };
        claims.given.claims = vec![("plan".into(), json!("pro"))];
        assert_eq!(Value::from(claims.body(&before)), json!({"claims": {"plan": "pro"}}));
        let mut whole = change();
        whole.given.roles = Some(String::new());
        assert_eq!(Value::from(whole.body(&before)), json!({"roles": []}));
    }

    #[test]
    fn users_are_a_table() {
        let users = [
            json!({"user_id": "usr_1", "username": "ada", "status": "active", "has_password": true, "roles": ["admin", "x"], "created_at": 0}),
        ];
        assert_eq!(
            table(&users).lines(),
            [
                "USER   USERNAME  STATUS  PASSWORD  ROLES    CREATED",
                "usr_1  ada       active  yes       admin,x  1970-01-01 00:00:00Z",
            ]
        );
    }
}
