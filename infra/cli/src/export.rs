//! Writing all users of the tenant to a file, for leaving or for another deployment.
//!
//! Page by page, with a checkpoint beside the file: after an interruption the same command goes on behind the last page
//! that is whole. The file holds password hashes and is its owner's alone.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::files;
use crate::output::{self, Format};
use crate::service::Service;

/// The members of an import line.
const IMPORTED: [&str; 8] =
    ["username", "password_hash", "roles", "permissions", "scopes", "claims", "status", "created_at"];

/// Write all users to a file, a user a line, with their password hashes
///
/// Interrupted, the same command goes on where it was. Every export is in the audit log.
#[derive(Args, Debug)]
pub struct Arguments {
    /// The file to write
    file: PathBuf,
    /// Leave out what `users import` does not take, such as ids
    #[arg(long)]
    for_import: bool,
    /// Begin anew, whatever an earlier run has done
    #[arg(long)]
    restart: bool,
}

/// Everything up to here is in the file.
#[derive(Serialize, Deserialize)]
struct Checkpoint {
    issuer: String,
    for_import: bool,
    cursor: Option<String>,
    bytes: u64,
    users: u64,
}

/// Runs an export to its end.
pub async fn run(service: &Service<'_>, format: Format, arguments: &Arguments) -> Result<(), Failure> {
    let path = &arguments.file;
    let place = files::beside(path, ".checkpoint");
    let mut done = load(&place, arguments, service.issuer.as_str())?;
    save(&place, &done)?;
    let mut file = files::resume(path, done.bytes)?;
    if done.bytes > 0 {
        output::note(&format!("going on behind {} users", done.users));
    }
    let bar = output::progress(None, "users");
    let query = [("limit", "100".to_owned())];
    loop {
        let page = service.page("export", &query, done.cursor.as_deref()).await;
        let (users, next) = page.inspect_err(|_| bar.abandon())?;
        let text: String = users.iter().map(|user| line(user, arguments.for_import)).collect();
        file.write_all(text.as_bytes())
            .and_then(|()| file.sync_data())
            .map_err(|error| files::failed("write", path, &error))?;
        done.bytes += text.len() as u64;
        done.users += users.len() as u64;
        done.cursor = next;
        bar.set_position(done.users);
        if done.cursor.is_none() {
            break;
        }
        save(&place, &done)?;
    }
    bar.finish_and_clear();
    files::remove(&place)?;
    match format {
        Format::Json => output::json(&json!({ "users": done.users, "file": path.display().to_string() })),
        Format::Text => output::line(&format!("{} users in {}", done.users, path.display())),
    }
    Ok(())
}

/// The checkpoint of an earlier run, or the beginning. A file that is whole, or somebody else's, is not written over.
fn load(place: &Path, arguments: &Arguments, issuer: &str) -> Result<Checkpoint, Failure> {
    let for_import = arguments.for_import;
    let beginning = Checkpoint { issuer: issuer.to_owned(), for_import, cursor: None, bytes: 0, users: 0 };
    if arguments.restart {
        return Ok(beginning);
    }
    let Some(text) = files::read(place)? else {
        if arguments.file.exists() {
            let shown = arguments.file.display();
            return Err(Failure::Conflict(format!("{shown} exists; --restart writes it anew")));
        }
        return Ok(beginning);
    };
    let found = serde_json::from_slice::<Checkpoint>(&text).ok();
    found.filter(|found| found.issuer == issuer && found.for_import == for_import).ok_or_else(|| {
        Failure::Usage(format!("{} is of another export; --restart begins anew", place.display()))
    })
}

fn save(place: &Path, done: &Checkpoint) -> Result<(), Failure> {
    let text = serde_json::to_vec(done).map_err(|error| Failure::Other(error.to_string()))?;
    files::replace(place, &text)
}

fn line(user: &Value, for_import: bool) -> String {
    if !for_import {
        return format!("{user}\n");
    }
    let members = user.as_object().into_iter().flatten();
    let kept: serde_json::Map<_, _> = members
        .filter(|(name, value)| IMPORTED.contains(&name.as_str()) && !value.is_null())
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    format!("{}\n", Value::from(kept))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_for_import_has_what_import_takes() {
        let user = json!({"user_id": "usr_1", "username": "ada", "has_password": true, "password_hash": "$argon2id$…", "roles": [], "scopes": null});
        assert_eq!(line(&user, false), format!("{user}\n"));
        let kept: Value = serde_json::from_str(&line(&user, true)).unwrap();
        assert_eq!(kept, json!({"username": "ada", "password_hash": "$argon2id$…", "roles": []}));
    }
}
