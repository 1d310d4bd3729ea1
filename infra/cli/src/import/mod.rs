//! Bringing users along from another system, with their password hashes as they are.
//!
//! The lines are read as a stream, sent in chunks that fit a request, several at a time, and answered line by line into a
//! report. A checkpoint beside the report says how far all is done; after an interruption the same command goes on from
//! there. The chunks that were under way then are sent again, which does no harm: a user who exists stays as they are.

mod checkpoint;
mod chunk;
mod firebase;
mod lines;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use futures_util::stream::{self, StreamExt as _};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::files;
use crate::output::{self, Format};
use crate::service::{Call, Service};
use checkpoint::{Checkpoint, Input};
use chunk::{Chunk, Chunks};
use lines::Lines;

/// Where the users come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum From {
    /// A user a line, in the form of the admin API
    Ndjson,
    /// What `firebase auth:export users.json --format=JSON` writes
    Firebase,
}

/// Bring users along from another system, with their password hashes
///
/// A line is {"username", "password_hash"?, "roles"?, "permissions"?, "scopes"?, "claims"?, "status"?, "created_at"?}.
/// Hashes of argon2, scrypt, PBKDF2, bcrypt and Firebase's scrypt are verified as they are, and replaced by argon2id when
/// the user first signs in.
///
/// Interrupted, the same command goes on where it was. Lines that the service refuses are in the report with the reason;
/// the exit code is 8 then.
#[derive(Args, Debug)]
pub struct Arguments {
    /// The file of users
    file: PathBuf,
    /// Its form
    #[arg(long, default_value = "ndjson", requires_if("firebase", "hash_config"))]
    from: From,
    /// Firebase's password hash parameters of the project (Console, Authentication, Users, the menu with three dots)
    #[arg(long, value_name = "FILE")]
    hash_config: Option<PathBuf>,
    /// Claim in which a user's Firebase id is kept
    #[arg(long, value_name = "NAME", requires = "hash_config")]
    uid_claim: Option<String>,
    /// Where the outcome of each line is written [default: FILE.report.ndjson]
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// How many chunks are under way at once
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=16))]
    in_flight: u8,
    /// Begin anew, whatever an earlier run has done
    #[arg(long)]
    restart: bool,
}

/// Runs an import to its end.
pub async fn run(service: &Service<'_>, format: Format, arguments: &Arguments) -> Result<(), Failure> {
    let (path, from) = (arguments.file.clone(), arguments.from);
    let report = arguments.report.clone().unwrap_or_else(|| files::beside(&path, ".report.ndjson"));
    let place = files::beside(&report, ".checkpoint");
    let parameters = match &arguments.hash_config {
        Some(config) if from == From::Firebase => {
            Some(firebase::Parameters::read(config, arguments.uid_claim.as_deref())?)
        }
        Some(_) => return Err(Failure::Usage("--hash-config goes with --from firebase".to_owned())),
        None => None,
    };
    let input = Input::of(&path, service.issuer.as_str())?;
    if arguments.restart {
        files::remove(&place)?;
    }
    let mut done = Checkpoint::load(&place, &input)?;
    let total = lines::count(&path, parameters.as_ref())?;
    if done.lines > 0 {
        output::note(&format!("going on behind line {} of {total}", done.lines));
    }
    let mut file = files::resume(&report, done.report_bytes)?;
    let bar = output::progress(Some(total), "users");
    bar.set_position(done.lines);
    bar.reset_eta();

    let chunks = Chunks::new(Lines::open(&path, parameters, done.lines));
    let sent = stream::iter(chunks).map(|chunk| async move {
        let chunk = chunk?;
        let results = send(service, &chunk).await?;
        Ok::<_, Failure>((chunk, results))
    });
    // In order: a checkpoint says that everything before it is done.
    let mut answered = std::pin::pin!(sent.buffered(usize::from(arguments.in_flight)));
    while let Some(answer) = answered.next().await {
        let (chunk, results) = answer.inspect_err(|_| bar.abandon())?;
        let written = write_report(&mut file, &results, &report)?;
        done.add(chunk.lines(), written, &results);
        done.save(&place)?;
        bar.set_position(done.lines);
        bar.set_message(format!("{} refused", done.refused));
    }
    bar.finish_and_clear();
    file.sync_all().map_err(|error| files::failed("write", &report, &error))?;
    files::remove(&place)?;
    finish(format, &done, &report)
}

/// Sends a chunk and hands back what became of each of its lines, those among them that were never sent.
async fn send(service: &Service<'_>, chunk: &Chunk) -> Result<Vec<Value>, Failure> {
    let mut results = chunk.refused.clone();
    if !chunk.numbers.is_empty() {
        let answer = service.call(Call::import(chunk.body.clone())).await?.json();
        let answered = answer["results"].as_array().filter(|answered| answered.len() == chunk.numbers.len());
        let answered = answered
            .ok_or_else(|| Failure::Other("the service did not answer every line of a chunk".to_owned()))?;
        for result in answered {
            let at = result["line"].as_u64().and_then(|line| usize::try_from(line).ok()?.checked_sub(1));
            let number = at.and_then(|at| chunk.numbers.get(at)).copied();
            let number = number
                .ok_or_else(|| Failure::Other("the service answered a line that was not sent".to_owned()))?;
            let mut result = result.clone();
            result["line"] = number.into();
            results.push(result);
        }
    }
    results.sort_by_key(|result| result["line"].as_u64());
    Ok(results)
}

fn write_report(file: &mut std::fs::File, results: &[Value], path: &Path) -> Result<u64, Failure> {
    let text = results.iter().fold(String::new(), |text, result| text + &result.to_string() + "\n");
    file.write_all(text.as_bytes()).map_err(|error| files::failed("write", path, &error))?;
    Ok(text.len() as u64)
}

fn finish(format: Format, done: &Checkpoint, report: &Path) -> Result<(), Failure> {
    let Checkpoint { lines, created, exists, refused, .. } = *done;
    match format {
        Format::Json => output::json(&json!({
            "lines": lines, "created": created, "exists": exists, "refused": refused,
            "report": report.display().to_string(),
        })),
        Format::Text => output::line(&format!(
            "{lines} lines: {created} created, {exists} there already, {refused} refused; line by line in {}",
            report.display()
        )),
    }
    if refused > 0 {
        return Err(Failure::Partly(format!("{refused} lines were refused; {} says why", report.display())));
    }
    Ok(())
}

/// The line of the report for one that was not even sent.
fn refused(number: u64, code: &str, why: &str) -> Value {
    json!({ "line": number, "outcome": "refused", "code": code, "detail": why })
}
