//! The `login` function: signing in with name and password, and changing the password. A first-party API, never
//! offered as OAuth's password grant (RFC 9700 §2.4).
//!
//! Both routes begin with the same check of name and password (`check`), which throttles, takes the same time and
//! makes the same calls whoever asks, and says one thing for every reason to refuse. It must never let a request learn
//! whether a user exists, hash before an attempt is counted, or end a session because somebody guessed.

mod change;
mod check;
mod request;
mod sign_in;

use leasehold::app::App;
use leasehold::http::{Call, Refusal, Reply, cors};
use leasehold::password::{CostOutOfBounds, HashCost, Hasher};
use leasehold::policy::Policy;
use leasehold::telemetry::Note;

/// The routes this function serves: method and path, as in the template.
pub const ROUTES: &[(&str, &str)] = &[
    ("POST", "/t/{tenant}/login"),
    ("OPTIONS", "/t/{tenant}/login"),
    ("POST", "/t/{tenant}/password"),
    ("OPTIONS", "/t/{tenant}/password"),
];

/// What the function is built of, once, at start.
#[derive(Clone, Debug)]
pub struct Login {
    /// Settings and clients.
    pub app: App,
    hasher: Hasher,
}

impl Login {
    /// The function over these clients.
    ///
    /// # Errors
    /// When the settings ask for a hash that costs more, or less, than argon2id may.
    pub fn new(app: App) -> Result<Self, CostOutOfBounds> {
        let hasher = Hasher::new(app.config.hashing)?;
        Ok(Self { app, hasher })
    }

    /// What a hash of this tenant's users costs.
    fn cost(&self, policy: &Policy) -> HashCost {
        self.app.config.hashing.cost.raised_to(policy)
    }
}

/// Answers a request.
///
/// # Errors
/// The refusal to answer with.
pub async fn handle(login: &Login, call: &Call, note: &mut Note) -> Result<Reply, Refusal> {
    match call.route.as_str() {
        "POST /t/{tenant}/login" => Box::pin(sign_in::sign_in(login, call, note)).await,
        "POST /t/{tenant}/password" => Box::pin(change::change_password(login, call, note)).await,
        route if route.starts_with("OPTIONS ") => cors::preflight(&login.app, call, note).await,
        _ => Err(Refusal::not_found("route")),
    }
}
