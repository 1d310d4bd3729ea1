//! The commands, a module for each group.

mod admin;
mod audit;
mod clients;
mod explain;
mod health;
mod keys;
mod login;
mod policy;
mod sessions;
mod tenant;
mod users;
mod verify;

use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;

use crate::context::{Context, Global};
use crate::failure::{EXIT_CODES, Failure};
use crate::{doctor, reference};
pub use tenant::all as tenants;

/// Runs Leasehold: tenants as their operator, or one tenant as its admin
///
/// Operators call the operator function over AWS Lambda, with their ordinary AWS credentials; IAM decides. Admins sign in
/// to a tenant and call its admin routes. Both work the same against a deployed stage and against `make run`.
#[derive(Debug, Parser)]
#[command(name = "leasehold", version, max_term_width = 120, after_help = exit_codes())]
pub struct Cli {
    /// Flags of every command.
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    command: Command,
}

fn exit_codes() -> String {
    let lines = EXIT_CODES.map(|(code, meaning)| format!("  {code}  {meaning}"));
    format!("Exit codes:\n{}", lines.join("\n"))
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Operator: create, show, suspend, resume and delete tenants
    Tenant(tenant::Arguments),
    /// Operator: restore the access of a tenant's admin
    Admin(admin::Arguments),
    Doctor(doctor::Arguments),
    Login(login::Arguments),
    /// End the session and forget it
    Logout,
    /// Show who is signed in where
    Status,
    Password(login::PasswordArguments),
    /// Keys of the tenant: list, rotate, promote, roll back, retain, give up
    #[command(subcommand)]
    Keys(keys::Command),
    /// Users of the tenant, their import and export
    #[command(subcommand)]
    Users(users::Command),
    /// Clients of the tenant and their secrets
    #[command(subcommand)]
    Clients(clients::Command),
    /// Sessions of the tenant's users
    #[command(subcommand)]
    Sessions(sessions::Command),
    /// Lifetimes, windows and limits of the tenant
    #[command(subcommand)]
    Policy(policy::Command),
    /// What admins and operators did
    #[command(subcommand)]
    Audit(audit::Command),
    Health(health::Arguments),
    Explain(explain::Arguments),
    Verify(verify::Arguments),
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the reference in Markdown
    #[command(hide = true)]
    Reference,
}

/// Runs a command.
pub async fn run(cli: Cli) -> Result<(), Failure> {
    match cli.command {
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "leasehold", &mut std::io::stdout());
            return Ok(());
        }
        Command::Reference => {
            crate::output::line(reference::markdown(Cli::command()).trim_end());
            return Ok(());
        }
        _ => {}
    }
    let mut context = Context::new(cli.global)?;
    match cli.command {
        Command::Tenant(arguments) => tenant::run(&context, arguments).await,
        Command::Admin(arguments) => admin::run(&context, arguments).await,
        Command::Doctor(arguments) => doctor::run(&context, &arguments).await,
        Command::Login(arguments) => login::run(&mut context, arguments).await,
        Command::Logout => login::logout(&mut context).await,
        Command::Status => login::status(&mut context),
        Command::Password(arguments) => login::password(&mut context, arguments).await,
        Command::Keys(command) => keys::run(&mut context, command).await,
        Command::Users(command) => users::run(&mut context, command).await,
        Command::Clients(command) => clients::run(&mut context, command).await,
        Command::Sessions(command) => sessions::run(&mut context, command).await,
        Command::Policy(command) => policy::run(&mut context, command).await,
        Command::Audit(command) => audit::run(&mut context, command).await,
        Command::Health(arguments) => health::run(&mut context, arguments).await,
        Command::Explain(arguments) => explain::run(&mut context, arguments).await,
        Command::Verify(arguments) => verify::run(&mut context, arguments).await,
        Command::Completions { .. } | Command::Reference => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_of_all_commands_stand_before_or_behind() {
        for line in [
            &["leasehold", "--json", "--local", "tenant", "list"][..],
            &["leasehold", "tenant", "list", "--local", "--json"],
            &["leasehold", "tenant", "--json", "list", "--local=.local"],
        ] {
            let cli = Cli::try_parse_from(line).unwrap();
            assert!(cli.global.json, "{line:?}");
            assert_eq!(cli.global.local.as_deref(), Some(std::path::Path::new(".local")), "{line:?}");
        }
        let other = Cli::try_parse_from(["leasehold", "--local=/tmp/x", "status"]).unwrap();
        assert_eq!(other.global.local.as_deref(), Some(std::path::Path::new("/tmp/x")));
    }

    #[test]
    fn nonsense_is_refused() {
        for line in [
            &["leasehold"][..],
            &["leasehold", "tenant"],
            &["leasehold", "tenant", "create", "acme"],
            &["leasehold", "tenant", "create", "acme", "--admin", "a", "--algorithm", "HS256"],
            &["leasehold", "tenant", "limit", "acme", "--custody", "paper"],
            &["leasehold", "tenant", "list", "--stage", "prod", "--function", "x"],
            &["leasehold", "keys", "rotate", "--custody", "none"],
            &["leasehold", "keys", "list", "--issuer", "http://auth.example/t/acme"],
            &["leasehold", "keys", "list", "--issuer", "https://auth.example/t/acme", "--as", "acme"],
            &["leasehold", "sessions", "list"],
            &["leasehold", "users", "import", "x", "--from", "firebase"],
            &["leasehold", "users", "import", "x", "--in-flight", "0"],
            &["leasehold", "policy", "set"],
            &["leasehold", "policy", "set", "idle_seconds"],
            &["leasehold", "audit", "tail", "--since", "yesterday"],
            &["leasehold", "doctor", "--rate", "-1"],
            &["leasehold", "health", "--hours", "3", "--days", "3"],
            &["leasehold", "health", "--hours", "73"],
            &["leasehold", "explain", "a-token-that-the-shell-would-keep"],
            &["leasehold", "verify", "--at", "7"],
            &["leasehold", "verify", "--jwks", "x", "--no-revocations"],
        ] {
            assert!(Cli::try_parse_from(line).is_err(), "{line:?}");
        }
    }
}
