//! Signing in and out, and setting a password by a one-time code.

use clap::Args;
use leasehold::clock;
use serde_json::json;

use crate::ask;
use crate::context::Context;
use crate::failure::Failure;
use crate::issuer::Issuer;
use crate::output::{self, Format, Table, time};

/// Sign in as a tenant's admin
///
/// With --local and --as TENANT alone, the local stack's own admin signs in.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Issuer of the tenant: https://…/t/TENANT
    #[arg(value_name = "ISSUER")]
    to: Option<Issuer>,
    /// Login name
    #[arg(long)]
    username: Option<String>,
    /// Take the password from standard input
    #[arg(long)]
    password_stdin: bool,
    /// Rights of the session, if not all that the admin has (repeatable)
    #[arg(long, value_name = "SCOPE")]
    scope: Vec<String>,
}

/// Set a password by the one-time code of a creation or a reset
#[derive(Args, Debug)]
pub struct PasswordArguments {
    /// Issuer of the tenant: https://…/t/TENANT
    #[arg(value_name = "ISSUER")]
    to: Option<Issuer>,
    /// Login name
    #[arg(long)]
    username: String,
    /// The one-time code, if it is not to be asked for
    #[arg(long, value_name = "CODE")]
    code: Option<String>,
    /// Take the new password from standard input
    #[arg(long, requires = "code")]
    password_stdin: bool,
}

pub async fn run(context: &mut Context, arguments: Arguments) -> Result<(), Failure> {
    let Arguments { to, username, password_stdin, scope } = arguments;
    let issuer = target(context, to)?;
    let seeded = context.local.as_ref().and_then(|local| local.user(issuer.tenant(), username.as_deref()));
    let (username, password) = match (username, seeded) {
        (_, Some(seeded)) if !password_stdin => seeded,
        (Some(username), _) => {
            let password = ask::secret("Password", password_stdin)?;
            (username, password)
        }
        (None, _) => (ask::name("Username")?, ask::secret("Password", password_stdin)?),
    };
    let scope = Some(scope.join(" ")).filter(|scope| !scope.is_empty());
    context.global.issuer = Some(issuer);
    let format = context.format();
    let session = context.service()?.sign_in(&username, &password, scope.as_deref()).await?;
    match format {
        Format::Json => output::json(&json!({
            "issuer": session.issuer,
            "username": session.username,
            "scope": session.scope,
            "session_expires_at": session.ends_at,
        })),
        Format::Text => {
            output::line(&format!("{} is signed in to {}", session.username, session.issuer));
            output::line(&format!("rights: {}", session.scope));
        }
    }
    Ok(())
}

pub async fn logout(context: &mut Context) -> Result<(), Failure> {
    let service = context.service()?;
    service.sign_out().await?;
    output::note(&format!("signed out of {}", service.issuer));
    Ok(())
}

pub fn status(context: &mut Context) -> Result<(), Failure> {
    let format = context.format();
    let sessions = context.sessions()?;
    let (all, current) = (sessions.all()?, sessions.current()?);
    let now = clock::now().seconds();
    let is_current = |issuer: &str| current.as_ref().is_some_and(|current| current.as_str() == issuer);
    match format {
        Format::Json => {
            let shown: Vec<_> = all
                .iter()
                .map(|session| {
                    json!({
                        "issuer": session.issuer,
                        "username": session.username,
                        "scope": session.scope,
                        "session_expires_at": session.ends_at,
                        "current": is_current(&session.issuer),
                    })
                })
                .collect();
            output::json(&json!(shown));
        }
        Format::Text if all.is_empty() => output::note("nobody is signed in: leasehold login <issuer>"),
        Format::Text => {
            let mut table = Table::new(["", "ISSUER", "USERNAME", "ENDS IN", "RIGHTS"]);
            for session in &all {
                table.row([
                    if is_current(&session.issuer) { "*".to_owned() } else { String::new() },
                    session.issuer.clone(),
                    session.username.clone(),
                    time::span(session.ends_at.saturating_sub(now)),
                    session.scope.clone(),
                ]);
            }
            table.print();
        }
    }
    Ok(())
}

pub async fn password(context: &mut Context, arguments: PasswordArguments) -> Result<(), Failure> {
    let PasswordArguments { to, username, code, password_stdin } = arguments;
    context.global.issuer = Some(target(context, to)?);
    let code = match code {
        Some(code) => code,
        None => ask::secret("One-time code", false)?,
    };
    let new_password = ask::new_password(password_stdin)?;
    let service = context.service()?;
    service.set_password(&username, &code, &new_password).await?;
    output::note(&format!("the password is set:  leasehold login {} --username {username}", service.issuer));
    Ok(())
}

/// The issuer that a command was given, in one way or another.
fn target(context: &Context, given: Option<Issuer>) -> Result<Issuer, Failure> {
    match given {
        Some(issuer) => Ok(issuer),
        None => context.named_issuer()?.ok_or_else(|| {
            Failure::Usage("which tenant? Its issuer, or --local with --as TENANT".to_owned())
        }),
    }
}
