//! What every command starts from: the flags that all have, the environment, and who is called.

use std::path::PathBuf;

use clap::Args;

use crate::failure::Failure;
use crate::http::Http;
use crate::issuer::Issuer;
use crate::local::Local;
use crate::operator::{At, Operator};
use crate::output::Format;
use crate::service::Service;
use crate::session::Sessions;
use crate::settings::Settings;

/// Flags of every command.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Everywhere")]
pub struct Global {
    /// Print JSON instead of tables
    #[arg(long, global = true)]
    pub json: bool,
    /// Talk to the local stack with this data folder [of `make run`: .local]
    #[arg(long, global = true, env = "LEASEHOLD_LOCAL", value_name = "FOLDER", num_args = 0..=1, require_equals = true, default_missing_value = ".local")]
    pub local: Option<PathBuf>,
    /// Issuer whose session is used, if not that of the last login
    #[arg(long, global = true, env = "LEASEHOLD_ISSUER", value_name = "URL")]
    pub issuer: Option<Issuer>,
    /// Tenant whose session is used: of the local stack, or the one signed in to
    #[arg(long = "as", global = true, value_name = "TENANT", conflicts_with = "issuer")]
    pub tenant: Option<String>,
}

impl Global {
    /// Whether people or scripts read.
    pub const fn format(&self) -> Format {
        if self.json { Format::Json } else { Format::Text }
    }
}

/// What a command works with.
pub struct Context {
    /// Flags of every command.
    pub global: Global,
    /// The environment.
    pub settings: Settings,
    /// The client.
    pub http: Http,
    /// The local stack, if that is meant.
    pub local: Option<Local>,
    sessions: Option<Sessions>,
}

impl Context {
    /// The context of flags and environment.
    pub fn new(global: Global) -> Result<Self, Failure> {
        let local = global.local.as_deref().map(Local::read).transpose()?;
        let settings = Settings::from_env();
        Ok(Self { global, settings, http: Http::new(), local, sessions: None })
    }

    /// Whether people or scripts read.
    pub const fn format(&self) -> Format {
        self.global.format()
    }

    /// The operator function.
    pub fn operator(&self, at: &At) -> Result<Operator<'_>, Failure> {
        Operator::find(&self.http, &self.settings, self.local.as_ref(), at)
    }

    /// The sessions of this user.
    pub fn sessions(&mut self) -> Result<&Sessions, Failure> {
        if self.sessions.is_none() {
            self.sessions = Some(Sessions::open(self.settings.config()?)?);
        }
        self.sessions.as_ref().ok_or_else(|| Failure::Other("no place for sessions".to_owned()))
    }

    /// The service of the tenant that is meant.
    pub fn service(&mut self) -> Result<Service<'_>, Failure> {
        let issuer = self.named_issuer()?;
        self.sessions()?;
        let sessions =
            self.sessions.as_ref().ok_or_else(|| Failure::Other("no place for sessions".to_owned()))?;
        let issuer = match issuer {
            Some(issuer) => issuer,
            None => match &self.global.tenant {
                Some(tenant) => only_of(sessions, tenant)?,
                None => sessions.current()?.ok_or_else(|| {
                    Failure::NotSignedIn("nobody is signed in: leasehold login <issuer>".to_owned())
                })?,
            },
        };
        Ok(Service::new(&self.http, issuer, sessions))
    }

    /// The issuer that the flags name, if they do.
    pub fn named_issuer(&self) -> Result<Option<Issuer>, Failure> {
        match (&self.global.issuer, &self.local, &self.global.tenant) {
            (Some(issuer), _, _) => Ok(Some(issuer.clone())),
            (None, Some(local), Some(tenant)) => Issuer::of(&local.base_url, tenant)
                .map(Some)
                .map_err(|error| Failure::Usage(format!("--as: {error}"))),
            (None, _, _) => Ok(None),
        }
    }
}

/// The one session of a tenant of this name.
fn only_of(sessions: &Sessions, tenant: &str) -> Result<Issuer, Failure> {
    let all = sessions.all()?;
    let mut found = all.iter().filter_map(|session| session.issuer.parse::<Issuer>().ok());
    let mut of_tenant = found.by_ref().filter(|issuer| issuer.tenant() == tenant);
    match (of_tenant.next(), of_tenant.next()) {
        (Some(issuer), None) => Ok(issuer),
        (Some(_), Some(_)) => {
            Err(Failure::Usage(format!("tenants named {tenant} at several services: --issuer says which")))
        }
        (None, _) => Err(Failure::NotSignedIn(format!("nobody is signed in to a tenant {tenant}"))),
    }
}
