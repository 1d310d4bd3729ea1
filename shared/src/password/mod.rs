//! Passwords: which may be set ([`PasswordPolicy`]), and how they are hashed and verified ([`Hasher`]). What is stored may
//! be the hash of another system, whose users were brought along: it is verified as it is.
//!
//! Hashing is the one expensive thing that anyone may ask of this service, so it is bounded here: so many at once, so
//! many waiting, then [`HashError::Busy`]. A permit belongs to the thread that hashes, not to the request: whoever
//! hangs up does not free a place for the next hash while the last one still runs.
//!
//! What must never happen here: a password cut, trimmed or normalised (RFC 8265 §4 would; ASVS 6.2.8 forbids it), a
//! password in a log or left behind in memory by our own code, or an allocation whose size a stored text chose.
//!
//! One trace stays, stated: the kept hash buffers hold what the last hash filled them with, until the next one. It
//! can't be read back into a password, only be used to test guesses, by someone who reads this process's memory.

mod argon;
mod bcrypt;
mod buffers;
mod pbkdf2;
mod policy;
mod scrypt;
mod stored;

pub use argon::{CostOutOfBounds, HashCost};
pub use policy::{MAX_PASSWORD_BYTES, PasswordPolicy, WeakPassword};
pub use stored::{InvalidHash, check_hash};

use std::fmt;
use std::num::NonZero;
use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::secret::Secret;
use argon::ArgonHash;
use buffers::Buffers;
use stored::StoredHash;

/// How passwords are hashed in this deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashSettings {
    /// What one hash costs; a tenant may ask for more ([`HashCost::raised_to`]).
    pub cost: HashCost,
    /// How many hashes run at once; 0 counts as 1. Each keeps a buffer of `cost.memory_kib`.
    pub concurrency: usize,
    /// How many more may wait for their turn.
    pub queue: usize,
}

impl Default for HashSettings {
    /// One hash at once for each processor, 64 more in the queue.
    fn default() -> Self {
        let concurrency = std::thread::available_parallelism().map_or(1, NonZero::get);
        Self { cost: HashCost::default(), concurrency, queue: 64 }
    }
}

/// Whether a password is the one that a hash was made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    /// It is.
    Same,
    /// It is not, or there was no hash.
    Different,
}

/// A password was not hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// As many hashes run and wait as may: try again in [`BUSY_SECONDS`].
    #[error("too many passwords are being hashed")]
    Busy,
    /// The password is longer than [`MAX_PASSWORD_BYTES`]; nothing was done with it.
    #[error("the password is too long to be hashed")]
    TooLong,
    /// The stored hash is not one we can or will verify.
    #[error("the stored password hash is not usable")]
    Stored(#[from] InvalidHash),
    /// The thread that hashed died, or the cost was refused after all.
    #[error("hashing failed")]
    Failed,
}

/// How long a caller that was refused as [`HashError::Busy`] is asked to wait.
pub const BUSY_SECONDS: u64 = 2;

/// Hashes passwords with argon2id and verifies them, a bounded number at once.
///
/// Made once per process; cloning shares the bounds and the buffers. What a hash is to cost is the caller's to say with
/// every call: tenants differ.
#[derive(Clone)]
pub struct Hasher {
    /// One for each hash that runs or waits.
    places: Arc<Semaphore>,
    /// One for each hash that runs.
    permits: Arc<Semaphore>,
    buffers: Arc<Buffers>,
}

impl Hasher {
    /// A hasher with these settings. Costs no hash.
    ///
    /// # Errors
    /// The cost lies outside what we would verify ourselves.
    pub fn new(settings: HashSettings) -> Result<Self, CostOutOfBounds> {
        settings.cost.check()?;
        let concurrency = settings.concurrency.clamp(1, Semaphore::MAX_PERMITS / 2);
        let queue = settings.queue.min(Semaphore::MAX_PERMITS / 2);
        Ok(Self {
            places: Arc::new(Semaphore::new(concurrency + queue)),
            permits: Arc::new(Semaphore::new(concurrency)),
            buffers: Arc::default(),
        })
    }

    /// Hashes a password to a PHC string, with a new salt and at this cost.
    ///
    /// # Errors
    /// See [`HashError`]; never `Stored`. A cost out of bounds is `Failed`.
    pub async fn hash(&self, password: Secret<String>, cost: HashCost) -> Result<String, HashError> {
        let hash =
            self.run(password, move |password, buffers| ArgonHash::new(password, cost, buffers)).await?;
        Ok(hash.to_string())
    }

    /// Whether the password is the one the stored hash was made of. Without a stored hash (an unknown user, or one
    /// without a password) the work of `cost` is done, and nothing matches.
    ///
    /// The work is that of the stored hash's own kind and parameters: where they are not the present ones, because a
    /// user has not signed in since the cost changed or the user was brought along, time tells that such a user exists.
    ///
    /// # Errors
    /// See [`HashError`]. A stored hash of unknown form or unbounded cost is an error, not a mismatch.
    pub async fn verify(
        &self,
        password: Secret<String>,
        stored: Option<&str>,
        cost: HashCost,
    ) -> Result<Match, HashError> {
        cost.check().map_err(|CostOutOfBounds| HashError::Failed)?;
        let known = stored.map(str::parse::<StoredHash>).transpose()?;
        let is_somebodys = known.is_some();
        let hash = known.unwrap_or_else(|| StoredHash::Argon(ArgonHash::of_nobody(cost)));
        let same = self.run(password, move |password, buffers| hash.matches(password, cost, buffers)).await?;
        Ok(if same && is_somebodys { Match::Same } else { Match::Different })
    }

    /// Whether a stored hash is anything but argon2id at this cost, so that the next correct password should replace
    /// it. One that can't be read is not: it is a fault to report, not to overwrite.
    pub fn needs_rehash(&self, stored: &str, cost: HashCost) -> bool {
        stored.parse::<StoredHash>().is_ok_and(|hash| !hash.is_current(cost))
    }

    /// Works on a password on the blocking pool, when its turn comes.
    async fn run<T: Send + 'static>(
        &self,
        password: Secret<String>,
        work: impl FnOnce(&[u8], &Buffers) -> Option<T> + Send + 'static,
    ) -> Result<T, HashError> {
        if password.expose().len() > MAX_PASSWORD_BYTES {
            return Err(HashError::TooLong);
        }
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| HashError::Busy)?;
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| HashError::Failed)?;
        let buffers = Arc::clone(&self.buffers);
        let work = move || {
            let done = work(password.expose().as_bytes(), &buffers);
            // Held to here by the thread itself: a dropped request future must not let another hash in.
            drop((permit, place));
            done.ok_or(HashError::Failed)
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| HashError::Failed)?
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Hasher")
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    const CHEAP: HashCost = HashCost { memory_kib: 64, iterations: 1, parallelism: 1 };
    /// Takes tens of milliseconds at least, on any machine.
    const SLOW: HashCost = HashCost { memory_kib: 65_536, iterations: 2, parallelism: 1 };

    fn hasher(concurrency: usize, queue: usize) -> Hasher {
        Hasher::new(HashSettings { concurrency, queue, ..HashSettings::default() }).unwrap()
    }

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    fn poll_once<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[tokio::test]
    async fn the_password_matches_its_own_hash_exactly() {
        let hasher = hasher(1, 0);
        let phc = hasher.hash(secret("Correct horse ä "), CHEAP).await.unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{phc}");
        for (password, expected, why) in [
            ("Correct horse ä ", Match::Same, "the password"),
            ("Correct horse ä", Match::Different, "not trimmed"),
            ("correct horse ä ", Match::Different, "case matters"),
            ("Correct horse a\u{308} ", Match::Different, "not normalised"),
            ("", Match::Different, "nothing is not a password"),
        ] {
            assert_eq!(hasher.verify(secret(password), Some(&phc), CHEAP).await, Ok(expected), "{why}");
        }
    }

    #[tokio::test]
    async fn long_passwords_are_verified_to_their_last_byte() {
        let hasher = hasher(1, 0);
        let long = "x".repeat(MAX_PASSWORD_BYTES);
        let phc = hasher.hash(secret(&long), CHEAP).await.unwrap();
        assert_eq!(hasher.verify(secret(&long), Some(&phc), CHEAP).await, Ok(Match::Same));
        let other = format!("{}y", &long[1..]);
        assert_eq!(hasher.verify(secret(&other), Some(&phc), CHEAP).await, Ok(Match::Different));
        assert_eq!(
            hasher.verify(secret(&format!("{long}x")), Some(&phc), CHEAP).await,
            Err(HashError::TooLong)
        );
        assert_eq!(hasher.hash(secret(&format!("{long}x")), CHEAP).await, Err(HashError::TooLong));
    }

    #[tokio::test]
    async fn what_others_made_verifies_and_is_to_be_replaced() {
        let hasher = hasher(1, 0);
        for (text, password) in [
            ("$argon2i$m=256,t=2,p=1$c29tZXNhbHQ$/U3YPXYsSb3q9XxHvc0MLxur+GP960kN9j7emXX8zwY", "password"),
            ("$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U"),
            ("$pbkdf2$1212$OB.dtnSEXZK8U5cgxU/GYQ$y5LKPOplRmok7CZp/aqVDVg8zGI", "password"),
            (
                "$firebase-scrypt$ln=14,r=8,ss=Bw,sk=jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxU\
                 ECKbm0QsEmYUSDzZvpjeJ9WmXA$42xEC+ixf3L2lw$lSrfV15cpx95/sZS2W9c9Kp6i/LVgQNDNC/qzrCnh1SAyZvqmZqAj\
                 Tdn3aoItz+VHjoZilo78198JAdRuid5lQ",
                "user1password",
            ),
        ] {
            assert_eq!(check_hash(text), Ok(()), "{text}");
            assert_eq!(hasher.verify(secret(password), Some(text), CHEAP).await, Ok(Match::Same), "{text}");
            assert_eq!(
                hasher.verify(secret("another"), Some(text), CHEAP).await,
                Ok(Match::Different),
                "{text}"
            );
            assert!(hasher.needs_rehash(text, CHEAP), "{text}");
        }
    }

    #[tokio::test]
    async fn without_a_hash_the_work_of_the_cost_is_done_and_nothing_matches() {
        for memory_kib in [64, 128] {
            let hasher = hasher(1, 0);
            let cost = HashCost { memory_kib, ..CHEAP };
            assert_eq!(hasher.verify(secret("anything"), None, cost).await, Ok(Match::Different));
            assert_eq!(hasher.buffers.sizes(), [usize::try_from(memory_kib).unwrap()], "a hash was computed");
        }
    }

    #[tokio::test]
    async fn a_hash_we_will_not_verify_is_an_error_and_not_a_mismatch() {
        let hasher = hasher(1, 0);
        for text in
            ["", "$argon2i$v=19$m=64,t=1,p=1$c29tZXNhbHQ$AAAA", "$argon2id$v=19$m=4294967295,t=1,p=1$a$a"]
        {
            let verdict = hasher.verify(secret("anything"), Some(text), CHEAP).await;
            assert!(matches!(verdict, Err(HashError::Stored(_))), "{text}: {verdict:?}");
            assert!(!hasher.needs_rehash(text, CHEAP), "{text}");
            assert!(check_hash(text).is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn nobody_has_a_hash_made_at_a_cost_out_of_bounds() {
        let hasher = hasher(1, 0);
        let beyond = HashCost { memory_kib: u32::MAX, ..CHEAP };
        assert_eq!(hasher.hash(secret("anything"), beyond).await, Err(HashError::Failed));
        assert_eq!(hasher.verify(secret("anything"), None, beyond).await, Err(HashError::Failed));
    }

    #[tokio::test]
    async fn a_hash_is_renewed_when_the_cost_changes() {
        let hasher = hasher(1, 0);
        let dear = HashCost { iterations: 2, ..CHEAP };
        let old = hasher.hash(secret("anything"), CHEAP).await.unwrap();
        let new = hasher.hash(secret("anything"), dear).await.unwrap();
        assert!(!hasher.needs_rehash(&old, CHEAP) && !hasher.needs_rehash(&new, dear));
        assert!(hasher.needs_rehash(&old, dear), "it rose");
        assert!(hasher.needs_rehash(&new, CHEAP), "it fell");
        for text in [&old, &new] {
            let verdict = hasher.verify(secret("anything"), Some(text), dear).await;
            assert_eq!(verdict, Ok(Match::Same), "verified meanwhile");
        }
    }

    #[tokio::test]
    async fn buffers_of_the_usual_size_are_kept_and_no_others() {
        let hasher = hasher(2, 0);
        let other = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
        for _ in 0..3 {
            hasher.hash(secret("anything"), CHEAP).await.unwrap();
            hasher.verify(secret("anything"), Some(other), CHEAP).await.unwrap();
        }
        assert_eq!(hasher.buffers.sizes(), [64]);
    }

    #[tokio::test]
    async fn a_full_queue_refuses_at_once_and_serves_those_who_wait() {
        let hasher = hasher(1, 1);
        let mut runs = pin!(hasher.hash(secret("first"), SLOW));
        let mut waits = pin!(hasher.hash(secret("second"), SLOW));
        assert!(poll_once(runs.as_mut()).is_pending());
        assert!(poll_once(waits.as_mut()).is_pending());
        let mut refused = pin!(hasher.hash(secret("third"), SLOW));
        assert_eq!(poll_once(refused.as_mut()), Poll::Ready(Err(HashError::Busy)));
        let (first, second) = tokio::join!(runs, waits);
        assert!(first.is_ok() && second.is_ok());
        assert!(hasher.hash(secret("fourth"), SLOW).await.is_ok(), "places come back");
    }

    #[tokio::test]
    async fn whoever_hangs_up_keeps_the_place_until_the_hash_is_done() {
        let hasher = hasher(1, 0);
        {
            let mut abandoned = pin!(hasher.hash(secret("first"), SLOW));
            assert!(poll_once(abandoned.as_mut()).is_pending());
        }
        let mut next = pin!(hasher.hash(secret("second"), SLOW));
        assert_eq!(poll_once(next.as_mut()), Poll::Ready(Err(HashError::Busy)), "the thread still hashes");
        drop(hasher.places.acquire().await.unwrap());
        assert!(hasher.hash(secret("third"), SLOW).await.is_ok(), "and gives the place back itself");
    }

    #[tokio::test]
    async fn whoever_hangs_up_while_waiting_leaves_the_queue() {
        let hasher = hasher(1, 1);
        let mut runs = pin!(hasher.hash(secret("first"), SLOW));
        assert!(poll_once(runs.as_mut()).is_pending());
        {
            let mut abandoned = pin!(hasher.hash(secret("second"), SLOW));
            assert!(poll_once(abandoned.as_mut()).is_pending());
        }
        let mut next = pin!(hasher.hash(secret("third"), SLOW));
        assert!(poll_once(next.as_mut()).is_pending(), "waits in the place that was left");
        assert!(runs.await.is_ok() && next.await.is_ok());
    }
}
