//! Passwords: which may be set ([`PasswordPolicy`]), and how they are hashed and verified ([`Hasher`]).
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

mod phc;
mod policy;

pub use phc::{CostOutOfBounds, HashCost, InvalidPhc};
pub use policy::{MAX_PASSWORD_BYTES, PasswordPolicy, WeakPassword};

use std::fmt;
use std::num::NonZero;
use std::sync::{Arc, Mutex, PoisonError};

use argon2::{Algorithm, Argon2, Block, Params, Version};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use crate::secret::{Secret, random, same_bytes};
use phc::{Phc, TAG_LENGTH};

/// How passwords are hashed in this deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashSettings {
    /// What one hash costs.
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
    Stored(#[from] InvalidPhc),
    /// The thread that hashed died, or the parameters were refused after all.
    #[error("hashing failed")]
    Failed,
}

/// How long a caller that was refused as [`HashError::Busy`] is asked to wait.
pub const BUSY_SECONDS: u64 = 2;

/// Hashes and verifies passwords with argon2id, a bounded number at once.
///
/// Made once per process; cloning shares the bounds and the buffers.
#[derive(Clone)]
pub struct Hasher {
    cost: HashCost,
    /// Verified when there is no hash to verify: the same work, and no password matches it.
    dummy: Arc<Phc>,
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
            cost: settings.cost,
            dummy: Arc::new(Phc::new(settings.cost, random(), random())),
            places: Arc::new(Semaphore::new(concurrency + queue)),
            permits: Arc::new(Semaphore::new(concurrency)),
            buffers: Arc::new(Buffers { blocks: settings.cost.blocks(), kept: Mutex::default() }),
        })
    }

    /// Hashes a password to a PHC string, with a new salt.
    ///
    /// # Errors
    /// See [`HashError`]; never `Stored`.
    pub async fn hash(&self, password: Secret<String>) -> Result<String, HashError> {
        let salt: [u8; phc::SALT_LENGTH] = random();
        let tag = self.tag(password, self.cost, salt.to_vec(), TAG_LENGTH).await?;
        let tag = tag.as_slice().try_into().map_err(|_| HashError::Failed)?;
        Ok(Phc::new(self.cost, salt, tag).to_string())
    }

    /// Whether the password is the one the stored hash was made of. Without a stored hash (an unknown user, or one
    /// without a password) the same work is done, and nothing matches.
    ///
    /// The work is that of the stored hash's own parameters: where they differ from the present ones, because a user
    /// has not signed in since they rose, time tells that such a user exists.
    ///
    /// # Errors
    /// See [`HashError`]. A stored hash of unknown form or unbounded cost is an error, not a mismatch.
    pub async fn verify(&self, password: Secret<String>, stored: Option<&str>) -> Result<Match, HashError> {
        let known = stored.map(str::parse::<Phc>).transpose()?;
        let phc = known.as_ref().unwrap_or(&self.dummy);
        let tag = self.tag(password, phc.cost, phc.salt.clone(), phc.tag.len()).await?;
        let same = same_bytes(&tag, &phc.tag);
        Ok(if same && known.is_some() { Match::Same } else { Match::Different })
    }

    /// Whether a stored hash is weaker than the present settings, so that the next correct password should replace it.
    /// One that can't be read is not: it is a fault to report, not to overwrite.
    pub fn needs_rehash(&self, stored: &str) -> bool {
        stored.parse::<Phc>().is_ok_and(|phc| phc.is_weaker_than(self.cost))
    }

    /// The argon2id tag of a password, computed on the blocking pool when its turn comes.
    async fn tag(
        &self,
        password: Secret<String>,
        cost: HashCost,
        salt: Vec<u8>,
        length: usize,
    ) -> Result<Zeroizing<Vec<u8>>, HashError> {
        if password.expose().len() > MAX_PASSWORD_BYTES {
            return Err(HashError::TooLong);
        }
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| HashError::Busy)?;
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| HashError::Failed)?;
        let buffers = Arc::clone(&self.buffers);
        let work = move || {
            let tag = buffers.with(cost.blocks(), |memory| {
                let params =
                    Params::new(cost.memory_kib, cost.iterations, cost.parallelism, Some(length)).ok()?;
                let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
                let mut tag = Zeroizing::new(vec![0_u8; length]);
                argon2
                    .hash_password_into_with_memory(password.expose().as_bytes(), &salt, &mut tag, memory)
                    .ok()?;
                Some(tag)
            });
            // Held to here by the thread itself: a dropped request future must not let another hash in.
            drop((permit, place));
            tag.ok_or(HashError::Failed)
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| HashError::Failed)?
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Hasher").field("cost", &self.cost).finish_non_exhaustive()
    }
}

/// Hash buffers kept from one hash to the next: half of a hash's time would go to page faults of fresh memory. There
/// are never more than hashes that ran at once.
struct Buffers {
    /// The size of a kept buffer.
    blocks: usize,
    kept: Mutex<Vec<Vec<Block>>>,
}

impl Buffers {
    /// Lends a buffer of `blocks` blocks. One of another than the usual size is not kept.
    fn with<T>(&self, blocks: usize, work: impl FnOnce(&mut [Block]) -> T) -> T {
        let kept = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let reused = if blocks == self.blocks { kept().pop() } else { None };
        let mut buffer = reused.unwrap_or_else(|| vec![Block::new(); blocks]);
        let result = work(&mut buffer);
        if blocks == self.blocks {
            kept().push(buffer);
        }
        result
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

    fn hasher(cost: HashCost, concurrency: usize, queue: usize) -> Hasher {
        Hasher::new(HashSettings { cost, concurrency, queue }).unwrap()
    }

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    fn poll_once<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[tokio::test]
    async fn the_password_matches_its_own_hash_exactly() {
        let hasher = hasher(CHEAP, 1, 0);
        let phc = hasher.hash(secret("Correct horse ä ")).await.unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{phc}");
        for (password, expected, why) in [
            ("Correct horse ä ", Match::Same, "the password"),
            ("Correct horse ä", Match::Different, "not trimmed"),
            ("correct horse ä ", Match::Different, "case matters"),
            ("Correct horse a\u{308} ", Match::Different, "not normalised"),
            ("", Match::Different, "nothing is not a password"),
        ] {
            assert_eq!(hasher.verify(secret(password), Some(&phc)).await, Ok(expected), "{why}");
        }
    }

    #[tokio::test]
    async fn long_passwords_are_verified_to_their_last_byte() {
        let hasher = hasher(CHEAP, 1, 0);
        let long = "x".repeat(MAX_PASSWORD_BYTES);
        let phc = hasher.hash(secret(&long)).await.unwrap();
        assert_eq!(hasher.verify(secret(&long), Some(&phc)).await, Ok(Match::Same));
        let other = format!("{}y", &long[1..]);
        assert_eq!(hasher.verify(secret(&other), Some(&phc)).await, Ok(Match::Different));
        assert_eq!(hasher.verify(secret(&format!("{long}x")), Some(&phc)).await, Err(HashError::TooLong));
        assert_eq!(hasher.hash(secret(&format!("{long}x"))).await, Err(HashError::TooLong));
    }

    #[tokio::test]
    async fn the_reference_implementations_hashes_verify() {
        // github.com/P-H-C/phc-winner-argon2, src/test.c: password "password", salt "somesalt".
        let hasher = hasher(CHEAP, 1, 0);
        for phc in [
            "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
            "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc",
            "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
        ] {
            assert_eq!(hasher.verify(secret("password"), Some(phc)).await, Ok(Match::Same), "{phc}");
            assert_eq!(hasher.verify(secret("passwore"), Some(phc)).await, Ok(Match::Different), "{phc}");
        }
    }

    #[tokio::test]
    async fn without_a_hash_the_work_is_done_and_nothing_matches() {
        let hasher = hasher(CHEAP, 1, 0);
        assert_eq!(hasher.verify(secret("anything"), None).await, Ok(Match::Different));
        assert_eq!(hasher.buffers.kept.lock().unwrap().len(), 1, "the hash was computed");
        assert_eq!(hasher.dummy.cost, CHEAP, "with the present cost");
    }

    #[tokio::test]
    async fn a_hash_we_will_not_verify_is_an_error_and_not_a_mismatch() {
        let hasher = hasher(CHEAP, 1, 0);
        for phc in
            ["", "$argon2i$v=19$m=64,t=1,p=1$c29tZXNhbHQ$AAAA", "$argon2id$v=19$m=4294967295,t=1,p=1$a$a"]
        {
            let verdict = hasher.verify(secret("anything"), Some(phc)).await;
            assert!(matches!(verdict, Err(HashError::Stored(_))), "{phc}: {verdict:?}");
            assert!(!hasher.needs_rehash(phc), "{phc}");
        }
    }

    #[tokio::test]
    async fn a_hash_is_renewed_when_the_cost_rises_and_not_when_it_falls() {
        let cheap = hasher(CHEAP, 1, 0);
        let dear = hasher(HashCost { iterations: 2, ..CHEAP }, 1, 0);
        let old = cheap.hash(secret("anything")).await.unwrap();
        let new = dear.hash(secret("anything")).await.unwrap();
        assert!(dear.needs_rehash(&old));
        assert!(!dear.needs_rehash(&new) && !cheap.needs_rehash(&old) && !cheap.needs_rehash(&new));
        assert_eq!(
            dear.verify(secret("anything"), Some(&old)).await,
            Ok(Match::Same),
            "still verified meanwhile"
        );
    }

    #[tokio::test]
    async fn buffers_of_the_usual_size_are_kept_and_no_others() {
        let hasher = hasher(CHEAP, 2, 0);
        let other = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
        for _ in 0..3 {
            hasher.hash(secret("anything")).await.unwrap();
            hasher.verify(secret("anything"), Some(other)).await.unwrap();
        }
        let kept = hasher.buffers.kept.lock().unwrap();
        assert_eq!(kept.iter().map(Vec::len).collect::<Vec<_>>(), [64]);
    }

    #[tokio::test]
    async fn a_full_queue_refuses_at_once_and_serves_those_who_wait() {
        let hasher = hasher(SLOW, 1, 1);
        let mut runs = pin!(hasher.hash(secret("first")));
        let mut waits = pin!(hasher.hash(secret("second")));
        assert!(poll_once(runs.as_mut()).is_pending());
        assert!(poll_once(waits.as_mut()).is_pending());
        let mut refused = pin!(hasher.hash(secret("third")));
        assert_eq!(poll_once(refused.as_mut()), Poll::Ready(Err(HashError::Busy)));
        let (first, second) = tokio::join!(runs, waits);
        assert!(first.is_ok() && second.is_ok());
        assert!(hasher.hash(secret("fourth")).await.is_ok(), "places come back");
    }

    #[tokio::test]
    async fn whoever_hangs_up_keeps_the_place_until_the_hash_is_done() {
        let hasher = hasher(SLOW, 1, 0);
        {
            let mut abandoned = pin!(hasher.hash(secret("first")));
            assert!(poll_once(abandoned.as_mut()).is_pending());
        }
        let mut next = pin!(hasher.hash(secret("second")));
        assert_eq!(poll_once(next.as_mut()), Poll::Ready(Err(HashError::Busy)), "the thread still hashes");
        drop(hasher.places.acquire().await.unwrap());
        assert!(hasher.hash(secret("third")).await.is_ok(), "and gives the place back itself");
    }

    #[tokio::test]
    async fn whoever_hangs_up_while_waiting_leaves_the_queue() {
        let hasher = hasher(SLOW, 1, 1);
        let mut runs = pin!(hasher.hash(secret("first")));
        assert!(poll_once(runs.as_mut()).is_pending());
        {
            let mut abandoned = pin!(hasher.hash(secret("second")));
            assert!(poll_once(abandoned.as_mut()).is_pending());
        }
        let mut next = pin!(hasher.hash(secret("third")));
        assert!(poll_once(next.as_mut()).is_pending(), "waits in the place that was left");
        assert!(runs.await.is_ok() && next.await.is_ok());
    }
}
