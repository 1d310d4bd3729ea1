//! Trying a token out with the verifier that the crate gives to APIs, away from the service.
//!
//! It decides by published keys, and says why it does not take a token: never more of it than the reason.

use std::path::{Path, PathBuf};

use clap::Args;
use leasehold::clock::{self, Timestamp};
use leasehold::remote::{OnTrouble, Polling, Remote, Settings};
use leasehold::tenant::split_issuer;
use leasehold::token::verify::{UnverifiedAudience, examine};
use leasehold::token::{AccessClaims, KeySet, Refusal};
use leasehold::view::Denied;
use serde_json::json;

use crate::ask;
use crate::context::Context;
use crate::failure::Failure;
use crate::files;
use crate::issuer::Issuer;
use crate::output::{self, Format, cell, moment};

/// Verify an access token as an API does, by the tenant's published keys, and print its claims or why it is refused
///
/// The token comes from standard input, is asked for without echo, or is the argument, which the shell keeps in its
/// history. With --issuer, or the session's issuer, keys and revocations are fetched; with --jwks nothing is, and an issuer
/// only says what the token must name. A refused token is exit code 9.
#[derive(Args, Debug)]
pub struct Arguments {
    /// The token, if it is not to be read from standard input
    token: Option<String>,
    /// The API that it must be for, if not the first that it names itself
    #[arg(long, value_name = "AUDIENCE")]
    audience: Option<String>,
    /// Verify by the key set in this file
    #[arg(long, value_name = "FILE")]
    jwks: Option<PathBuf>,
    /// Decide as at this moment, in epoch seconds
    #[arg(long, value_name = "SECONDS", requires = "jwks")]
    at: Option<u64>,
    /// Do not ask for revocations: a revoked token is good until it expires
    #[arg(long, conflicts_with = "jwks")]
    no_revocations: bool,
}

pub async fn run(context: &mut Context, arguments: Arguments) -> Result<(), Failure> {
    let format = context.format();
    let Arguments { token, audience, jwks, at, no_revocations } = arguments;
    let decided = if let Some(path) = jwks {
        let issuer = context.named_issuer()?;
        let keys = read(&path)?;
        let token = token.map_or_else(ask::token, Ok)?;
        let now = at.map_or_else(clock::now, Timestamp::from_seconds);
        examine(&token, issuer.as_ref().map(Issuer::as_str), audience.as_deref(), &keys, now)
    } else {
        let issuer = issuer(context)?;
        let token = token.map_or_else(ask::token, Ok)?;
        fetch(&issuer, audience.as_deref(), &token, no_revocations).await?
    };
    match decided {
        Ok(claims) => {
            show(&claims, format);
            Ok(())
        }
        Err(refusal) => {
            if format == Format::Json {
                output::json(&json!({ "verified": false, "reason": refusal.name() }));
            }
            Err(Failure::Refused(format!("{}: {}", refusal.name(), meaning(refusal))))
        }
    }
}

fn issuer(context: &mut Context) -> Result<Issuer, Failure> {
    if let Some(issuer) = context.named_issuer()? {
        return Ok(issuer);
    }
    let current = context.sessions()?.current()?;
    current.ok_or_else(|| Failure::Usage("whose token? --issuer URL, or --jwks FILE".to_owned()))
}

fn read(path: &Path) -> Result<KeySet, Failure> {
    let shown = path.display();
    let document = files::read(path)?.ok_or_else(|| Failure::NotFound(format!("{shown} is not there")))?;
    KeySet::read(&document).map_err(|error| Failure::Usage(format!("{shown}: {error}")))
}

/// Verifies by what the service publishes.
async fn fetch(
    issuer: &Issuer,
    audience: Option<&str>,
    token: &str,
    no_revocations: bool,
) -> Result<Result<AccessClaims, Refusal>, Failure> {
    let (base, tenant) = split_issuer(issuer.as_str())
        .ok_or_else(|| Failure::Usage(format!("{issuer} is not the issuer of a deployment")))?;
    // What names no audience is refused for something else before that is looked at, or for that.
    let named = || UnverifiedAudience::read(token).ok().and_then(|named| named.aud.into_iter().next());
    let audience = audience.map_or_else(|| named().unwrap_or_default(), str::to_owned);
    let polling = if no_revocations { Polling::Off } else { Polling::every_two_seconds(OnTrouble::Refuse) };
    let settings = Settings { polling, timeout_seconds: 10, ..Settings::default() };
    let remote = Remote::new(base, settings).map_err(|error| Failure::Usage(error.to_string()))?;
    match remote.verify(&tenant, &audience, token).await {
        Ok(verified) => Ok(Ok(verified.into_claims())),
        Err(Denied::Refused(refusal)) => Ok(Err(refusal)),
        Err(Denied::Undecided { reason, .. }) => {
            Err(Failure::Unavailable(format!("{issuer} does not give what is needed to decide: {reason}")))
        }
    }
}

fn show(claims: &AccessClaims, format: Format) {
    let claims = json!(claims);
    if format == Format::Json {
        output::json(&json!({ "verified": true, "claims": claims }));
        return;
    }
    let members = claims.as_object().into_iter().flatten();
    for (name, value) in members {
        let shown = match name.as_str() {
            "exp" | "iat" | "nbf" | "auth_time" => format!("{}  {}", cell(value), moment(value)),
            _ => cell(value),
        };
        output::line(&format!("{:12}  {shown}", output::plain(name)));
    }
    output::note("verified: signature, type, issuer, audience and times hold");
}

/// A refusal in words.
const fn meaning(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Malformed => {
            "it is not three canonical base64url parts of JSON with the members of an access token"
        }
        Refusal::Header => "its header is that of another kind of token, or has members that we never set",
        Refusal::UnknownKey => "it names a key that is not in the key set",
        Refusal::Algorithm => "it names another algorithm than its key's",
        Refusal::Signature => "its key did not sign it",
        Refusal::Issuer => "it is of another issuer or tenant",
        Refusal::Audience => "it is not for this API",
        Refusal::Expired => "its time is over",
        Refusal::NotYetValid => "its time has not come; a clock may be wrong",
        Refusal::Tenant => "the tenant does not exist or is not served",
        Refusal::Key => "its key was declared compromised",
        Refusal::Epoch => "its user or tenant was signed out everywhere since, or its user was disabled",
        Refusal::Session => "its session has ended",
    }
}
