//! Sessions of the tenant's users.

use clap::Subcommand;
use serde_json::{Value, json};

use crate::ask::{Sure, confirm};
use crate::commands::clients::{bounded, note_more};
use crate::commands::users::id_of;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, Format, Table, cell, moment};
use crate::service::{Call, segment};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List a user's sessions
    List {
        /// User id or login name
        user: String,
        /// How many at most; 0 for all
        #[arg(long, default_value_t = 100, value_name = "N")]
        limit: usize,
    },
    /// End a session of a user, or all of them
    End {
        /// User id or login name
        user: String,
        /// The session; without, all of the user's
        sid: Option<String>,
    },
    /// End every session of every user of the tenant, your own too
    EndAll {
        #[command(flatten)]
        sure: Sure,
    },
}

pub async fn run(context: &mut Context, command: Command) -> Result<(), Failure> {
    let format = context.format();
    let service = context.service()?;
    match command {
        Command::List { user, limit } => {
            let user = id_of(&service, &user).await?;
            let path = format!("users/{}/sessions", segment(&user));
            let (sessions, more) = service.list(&path, &[], bounded(limit)).await?;
            if format == Format::Json {
                output::json(&json!(sessions));
            } else {
                table(&sessions).print();
                note_more(more);
            }
        }
        Command::End { user, sid } => {
            let user = id_of(&service, &user).await?;
            let all = format!("users/{}/sessions", segment(&user));
            let (path, what) = match sid {
                Some(sid) => (format!("{all}/{}", segment(&sid)), "the session has ended"),
                None => (all, "all sessions of the user have ended"),
            };
            service.call(Call::delete(path)).await?;
            output::note(what);
        }
        Command::EndAll { sure } => {
            let tenant = service.issuer.tenant();
            confirm(sure, &format!("This signs every user of {tenant} out, yourself too."), tenant)?;
            service.call(Call::delete("sessions".to_owned())).await?;
            output::note("all sessions of the tenant have ended, yours too: leasehold login");
        }
    }
    Ok(())
}

fn table(sessions: &[Value]) -> Table {
    let mut table = Table::new(["SID", "CLIENT", "VERSION", "DEVICE", "CREATED", "LAST USED", "ENDS"]);
    for session in sessions {
        table.row([
            cell(&session["sid"]),
            cell(&session["client_id"]),
            cell(&session["client_version"]),
            cell(&session["device"]),
            moment(&session["created_at"]),
            moment(&session["last_used_at"]),
            moment(&session["expires_at"]),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_a_table_that_no_device_name_spoils() {
        let sessions = [
            json!({"sid": "s1", "client_id": "app", "device": "ada\u{1b}[2J", "created_at": 0, "last_used_at": 3600, "expires_at": 7200}),
        ];
        assert_eq!(
            table(&sessions).lines()[1],
            "s1   app     -        ada\u{fffd}[2J  1970-01-01 00:00:00Z  1970-01-01 01:00:00Z  1970-01-01 02:00:00Z"
        );
    }
}
