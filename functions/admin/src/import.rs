//! Users brought along from another system, in chunks of NDJSON: one user a line, with the hash of their password as the
//! other system kept it. Each line is answered for itself, and a chunk can be sent again: a name that is taken is
//! reported as such and left as it is.

use std::collections::BTreeSet;

use http::StatusCode;
use leasehold::audit::Action;
use leasehold::clock::Timestamp;
use leasehold::http::{Reply, body};
use leasehold::id::{LoginId, UserId};
use leasehold::password::{InvalidHash, check_hash};
use leasehold::store::{Commit, Part};
use leasehold::user::{Profile, User, UserStatus};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::ATTEMPTS;
use crate::caller::Caller;
use crate::problem::Problem;

/// How long a chunk may be, in bytes.
const MAX_BODY: usize = 262_144;
/// How many lines a chunk may have.
const MAX_LINES: usize = 200;
/// How many users are written in one transaction: three items each, and the audit event, of at most 100.
const AT_ONCE: usize = 32;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    username: String,
    password_hash: Option<String>,
    #[serde(default)]
    roles: BTreeSet<String>,
    #[serde(default)]
    permissions: BTreeSet<String>,
    scopes: Option<BTreeSet<String>>,
    #[serde(default)]
    claims: Map<String, Value>,
    #[serde(default)]
    status: Option<UserStatus>,
    created_at: Option<u64>,
}

/// What became of a line.
#[derive(Clone, Debug)]
enum Outcome {
    Created(UserId),
    Exists(UserId),
    Refused { code: &'static str, member: Option<&'static str>, reason: Option<&'static str> },
}

/// `POST /users/import`.
pub async fn import(caller: &Caller<'_>) -> Result<Reply, Problem> {
    let text = body::text(caller.call, "application/x-ndjson", MAX_BODY)?;
    let lines: Vec<&str> = text.split('\n').map(str::trim).collect();
    let numbered = lines.iter().enumerate().filter(|(_, line)| !line.is_empty());
    if numbered.clone().count() > MAX_LINES {
        return Err(Problem::invalid("At most 200 lines."));
    }
    let mut outcomes: Vec<(usize, Outcome)> = Vec::new();
    let mut users: Vec<(usize, User)> = Vec::new();
    let mut names: BTreeSet<LoginId> = BTreeSet::new();
    for (at, line) in numbered {
        match read(caller, line) {
            Ok(user) if names.insert(user.login.clone()) => users.push((at, user)),
            Ok(_) => outcomes.push((at, refused("repeated", Some("username")))),
            Err(outcome) => outcomes.push((at, outcome)),
        }
    }
    let refused = outcomes.len();
    for part in users.chunks(AT_ONCE) {
        outcomes.extend(write(caller, part).await?);
    }
    if users.is_empty() {
        let event = caller.event(Action::UserImport).with("created", 0).with("refused", refused);
        caller.store.writes().audit(&event).commit().await?;
    }
    outcomes.sort_by_key(|(at, _)| *at);
    let results: Vec<Value> = outcomes.iter().map(|(at, outcome)| show(*at, outcome)).collect();
    Ok(Reply::json(StatusCode::OK, &json!({ "results": results })))
}

fn refused(code: &'static str, member: Option<&'static str>) -> Outcome {
    Outcome::Refused { code, member, reason: None }
}

/// Says what is wrong with the hash, and nothing that is in it.
fn refused_hash(invalid: InvalidHash) -> Outcome {
    let member = "password_hash";
    Outcome::Refused { code: member, member: Some(member), reason: Some(invalid.code()) }
}

/// The user of a line.
fn read(caller: &Caller<'_>, line: &str) -> Result<User, Outcome> {
    let malformed = || refused("malformed", None);
    if !line.starts_with('{') {
        return Err(malformed());
    }
    let line: Line = serde_json::from_str(line).map_err(|_| malformed())?;
    let login: LoginId = line.username.parse().map_err(|_| refused("username", Some("username")))?;
    let profile = Profile {
        roles: line.roles,
        permissions: line.permissions,
        scopes: line.scopes,
        claims: line.claims,
    };
    profile.check().map_err(|invalid| refused("profile", Some(invalid.member)))?;
    let created_at = line.created_at.map_or(caller.call.now, Timestamp::from_seconds);
    if created_at > caller.call.now {
        return Err(refused("created_at", Some("created_at")));
    }
    if let Some(hash) = &line.password_hash {
        check_hash(hash).map_err(refused_hash)?;
    }
    let status = line.status.unwrap_or(UserStatus::Active);
    let user = User { password: line.password_hash, status, ..User::new(login, profile, created_at) };
    // A file is no place to make admins: whoever wrote it may not be who reads it in.
    if user.admin_rights().is_empty() { Ok(user) } else { Err(refused("admin_role", Some("roles"))) }
}

/// Writes some users, leaving out those whose names are taken.
async fn write(caller: &Caller<'_>, part: &[(usize, User)]) -> Result<Vec<(usize, Outcome)>, Problem> {
    for _ in 0..ATTEMPTS {
        let logins: Vec<&LoginId> = part.iter().map(|(_, user)| &user.login).collect();
        let taken = caller.store.find_logins(&logins).await?;
        let is_taken = |user: &User| taken.iter().find(|(login, _)| *login == user.login).map(|(_, id)| *id);
        let new: Vec<&User> =
            part.iter().map(|(_, user)| user).filter(|user| is_taken(user).is_none()).collect();
        let event = caller
            .event(Action::UserImport)
            .with("created", new.len())
            .with("existed", part.len() - new.len());
        let mut writes = caller.store.writes();
        for user in &new {
            writes = writes.new_user(user);
        }
        match writes.audit(&event).commit().await? {
            Commit::Done => {
                let outcome = |user: &User| is_taken(user).map_or(Outcome::Created(user.id), Outcome::Exists);
                return Ok(part.iter().map(|(at, user)| (*at, outcome(user))).collect());
            }
            // Somebody took a name since it was looked up.
            Commit::Lost(Part::Login | Part::User) => {}
            Commit::Lost(Part::Tenant | Part::Client | Part::Family | Part::Answer | Part::Other) => {
                return Err(Problem::contended());
            }
        }
    }
    Err(Problem::contended())
}

fn show(at: usize, outcome: &Outcome) -> Value {
    let line = at + 1;
    match outcome {
        Outcome::Created(id) => json!({ "line": line, "outcome": "created", "user_id": id }),
        Outcome::Exists(id) => json!({ "line": line, "outcome": "exists", "user_id": id }),
        Outcome::Refused { code, member, reason } => {
            let mut shown = json!({ "line": line, "outcome": "refused", "code": code });
            for (name, value) in [("member", member), ("reason", reason)] {
                if let Some(value) = value {
                    shown[name] = json!(value);
                }
            }
            shown
        }
    }
}
