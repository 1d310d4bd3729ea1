//! The check of name and password, with its throttle.
//!
//! Whoever asks, it makes the same calls in the same order: one read, then the user and the counters at once, then a
//! hash. An unknown name is looked up under a user id that nobody has, an unknown tenant in a scope that no tenant has,
//! and where there is no password one is hashed all the same. So neither answer, nor time, nor the count of calls tells
//! users from strangers (ASVS 6.3.8). A name that breaks the rules for names is nobody's by public knowledge, and is
//! refused at once.
//!
//! Counters are raised *before* the hash, and a guess that was looked at and was wrong is the only thing that stays
//! counted: neither a right password nor an attempt that we failed ourselves uses a window up.

use leasehold::bytes::Bytes;
use leasehold::client::Client;
use leasehold::clock::Timestamp;
use leasehold::http::{Call, Code, Refusal};
use leasehold::id::{LoginId, UserId};
use leasehold::password::Match;
use leasehold::secret::sha256;
use leasehold::store::{DEVICE_SECONDS, Entered, StoreError, TenantStore, Wanted};
use leasehold::telemetry::{Note, chain};
use leasehold::tenant::Tenant;
use leasehold::throttle::{Counter, CounterKey, Limit, Limits, RetryAfter, address_bucket, decide};
use leasehold::user::User;

use crate::Login;
use crate::request::{Claimed, Proof};

/// How many times as many attempts an address has from known devices: strangers behind the same address must not lock
/// them out, and an address must not try one guessed device text on every account without end.
const KNOWN_SHARE: u32 = 10;

/// How long a known device is not written again, in seconds.
const DEVICE_FRESH_SECONDS: u64 = 86_400;

/// Somebody who proved who they are. Tenant and user are as they were *before* the proof: what comes of it carries
/// their epochs, and is dead if one was raised meanwhile.
#[derive(Debug)]
pub struct Checked {
    /// The way to the tenant's items.
    pub store: TenantStore,
    /// The tenant; served.
    pub tenant: Tenant,
    /// The client; active and authenticated.
    pub client: Client,
    /// The user; active.
    pub user: User,
    /// What to take back.
    pub counters: Counters,
    /// The device to remember, if it is not well remembered already.
    pub new_device: Option<Bytes<32>>,
}

/// The counters of one attempt: see [`leasehold::throttle`] for who shares which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Counters {
    /// From a known device.
    Known {
        /// Its own.
        device: Counter,
        /// That of the source address, which lets [`KNOWN_SHARE`] times as many through from known devices.
        address: Counter,
    },
    /// From anywhere else.
    Stranger {
        /// That of the login name.
        account: Counter,
        /// That of the source address.
        address: Counter,
    },
}

/// Whether the user signed in from this device before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Device {
    Known(Bytes<32>),
    Strange,
}

/// Where an attempt is made, as one read found it.
struct Scene {
    store: TenantStore,
    /// Tenant and client; absent where nobody can sign in.
    open: Option<(Tenant, Client)>,
    /// The user of the name, if it is somebody's.
    user: Option<UserId>,
    device: Device,
    new_device: Option<Bytes<32>>,
}

/// Checks name and password.
///
/// # Errors
/// `invalid_client` for a client that is not one; 429 when too many attempts were made; `invalid_credentials` for every
/// other reason, one and the same.
pub async fn check(
    login: &Login,
    claimed: &Claimed,
    call: &Call,
    note: &mut Note,
) -> Result<Checked, Refusal> {
    let scene = look_around(login, claimed, call, note).await?;
    let Some(username) = &claimed.username else { return Err(refused("username")) };
    let limits = &login.app.config.login_limits;
    let counters = Counters::of(username, scene.device, call.source.as_deref(), limits, call.now);
    let (found, counted) = tokio::join!(
        scene.store.find_user(scene.user.unwrap_or_else(UserId::generate)),
        counters.raise(&scene.store, limits, call.now),
    );
    let user = match (found, counted) {
        (Ok(user), Ok(Ok(()))) => user,
        (_, Ok(Err(too_many))) => return Err(too_many.into()),
        (Err(error), _) | (_, Err(error)) => {
            counters.take_back(&scene.store).await;
            return Err(error.into());
        }
    };
    note.user = user.as_ref().map(|user| user.id.to_string());
    let stored = user.as_ref().and_then(|user| user.password.as_deref());
    let matched = match &claimed.proof {
        Proof::Password(password) => {
            let policy = scene.open.as_ref().map(|(tenant, _)| &tenant.policy);
            let cost = policy.map_or(login.app.config.hashing.cost, |policy| login.cost(policy));
            match login.hasher.verify(password.clone(), stored, cost).await {
                Ok(matched) => matched,
                Err(error) => {
                    counters.take_back(&scene.store).await;
                    return Err(error.into());
                }
            }
        }
        // 256 random bits: no hash to slow guesses down, and nobody's takes the same time as anybody's.
        Proof::Code(code) => {
            let kept = user.as_ref().and_then(|user| user.code.as_ref());
            if kept.is_some_and(|kept| kept.accepts(code, call.now)) { Match::Same } else { Match::Different }
        }
    };
    let Some((tenant, client)) = scene.open else { return Err(refused("tenant")) };
    let Some(user) = user else { return Err(refused("unknown_user")) };
    match matched {
        Match::Different if matches!(claimed.proof, Proof::Code(_)) => Err(refused("wrong_code")),
        Match::Different if user.password.is_none() => Err(refused("no_password")),
        Match::Different => Err(refused("wrong_password")),
        Match::Same if !user.is_active() => Err(refused("user_disabled")),
        Match::Same => {
            let (store, new_device) = (scene.store, scene.new_device);
            Ok(Checked { store, tenant, client, user, counters, new_device })
        }
    }
}

/// One read: the tenant, the client, whose name it is, whether the device is known.
async fn look_around(
    login: &Login,
    claimed: &Claimed,
    call: &Call,
    note: &mut Note,
) -> Result<Scene, Refusal> {
    let tenant = call.tenant().ok_or_else(|| refused("tenant"))?;
    let device = claimed.device.as_ref().map(|device| Bytes::from(sha256(device.as_bytes())));
    let wanted = Wanted {
        client: Some(&claimed.credentials.client_id),
        login: claimed.username.as_ref(),
        device: claimed.username.as_ref().zip(device.as_ref()),
        ..Wanted::default()
    };
    match login.app.store.enter(&tenant, wanted).await? {
        Some(Entered { store, tenant, client, login, device: known, .. }) if tenant.is_active() => {
            note.served = Some(tenant.id.clone());
            let client = claimed.credentials.authenticate_active(client, call, note)?;
            let past = |seen_at: Timestamp, seconds| seen_at.plus_seconds(seconds) <= call.now;
            let known = known.filter(|known| !past(known.seen_at, DEVICE_SECONDS));
            let stale = |seen_at: Timestamp| past(seen_at, DEVICE_FRESH_SECONDS);
            Ok(Scene {
                store,
                open: Some((tenant, client)),
                user: login,
                device: device.filter(|_| known.is_some()).map_or(Device::Strange, Device::Known),
                new_device: device.filter(|_| known.is_none_or(|known| stale(known.seen_at))),
            })
        }
        // A tenant that is not served, and one that does not exist: the same calls, and nobody there.
        closed => {
            let store = closed.map_or_else(|| login.app.store.nobody(), |entered| entered.store);
            Ok(Scene { store, open: None, user: None, device: Device::Strange, new_device: None })
        }
    }
}

/// The one refusal; the reason is for the log alone.
const fn refused(reason: &'static str) -> Refusal {
    Refusal::new(Code::InvalidCredentials, reason)
}

impl Counters {
    fn of(login: &LoginId, device: Device, source: Option<&str>, limits: &Limits, now: Timestamp) -> Self {
        let at = |key| Counter::at(key, limits, now);
        let address = at(CounterKey::Address(address_bucket(source.unwrap_or_default())));
        match device {
            Device::Known(device) => {
                Self::Known { device: at(CounterKey::Device(login.clone(), device)), address }
            }
            Device::Strange => Self::Stranger { account: at(CounterKey::Account(login.clone())), address },
        }
    }

    /// The two counters, each with the limit it is held to.
    fn held(&self, limits: &Limits) -> [(&Counter, Limit); 2] {
        let of = |counter: &Counter| limits.of(&counter.key);
        match self {
            Self::Known { device, address } => {
                let attempts = limits.address.attempts.saturating_mul(KNOWN_SHARE);
                [(device, of(device)), (address, Limit { attempts, ..limits.address })]
            }
            Self::Stranger { account, address } => [(account, of(account)), (address, of(address))],
        }
    }

    /// Counts the attempt, and says whether it may go on.
    async fn raise(
        &self,
        store: &TenantStore,
        limits: &Limits,
        now: Timestamp,
    ) -> Result<Result<(), RetryAfter>, StoreError> {
        let [(first, first_limit), (second, second_limit)] = self.held(limits);
        let (first, second) = tokio::join!(store.raise(first), store.raise(second));
        Ok(longest([decide(first?, first_limit, now), decide(second?, second_limit, now)]))
    }

    /// Takes the counts of this attempt back. A failure is logged and forgotten: a count too many does no lasting harm.
    pub async fn take_back(&self, store: &TenantStore) {
        let (Self::Known { device: first, address: second }
        | Self::Stranger { account: first, address: second }) = self;
        let (first, second) = tokio::join!(store.lower(first), store.lower(second));
        let lowered = first.and(second);
        if let Err(error) = lowered {
            tracing::warn!(cause = chain(&error), "a login's count could not be taken back");
        }
    }
}

/// The longest wait that any of the counters asks for.
fn longest(verdicts: [Result<(), RetryAfter>; 2]) -> Result<(), RetryAfter> {
    let wait = verdicts.into_iter().filter_map(Result::err).map(|RetryAfter(seconds)| seconds).max();
    wait.map_or(Ok(()), |seconds| Err(RetryAfter(seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_device_does_not_share_the_counter_of_the_account() {
        let login: LoginId = "ada".parse().unwrap();
        let (limits, now) = (Limits::default(), Timestamp::from_seconds(1_800_000_000));
        let device = Bytes::from([7; 32]);
        let at = |key| Counter::at(key, &limits, now);
        assert_eq!(
            Counters::of(&login, Device::Known(device), Some("192.0.2.1"), &limits, now),
            Counters::Known {
                device: at(CounterKey::Device(login.clone(), device)),
                address: at(CounterKey::Address("192.0.2.1".to_owned())),
            }
        );
        let stranger = |bucket: &str| Counters::Stranger {
            account: at(CounterKey::Account(login.clone())),
            address: at(CounterKey::Address(bucket.to_owned())),
        };
        let of = |source| Counters::of(&login, Device::Strange, source, &limits, now);
        assert_eq!(of(Some("2001:db8::1")), stranger("2001:db8::/64"));
        assert_eq!(of(None), stranger("unknown"), "an event without a source is not let off");
    }

    #[test]
    fn an_address_lets_more_through_from_known_devices() {
        let login: LoginId = "ada".parse().unwrap();
        let (limits, now) = (Limits::default(), Timestamp::from_seconds(1_800_000_000));
        let held = |device| {
            Counters::of(&login, device, Some("192.0.2.1"), &limits, now).held(&limits)[1].1.attempts
        };
        assert_eq!(held(Device::Strange), limits.address.attempts);
        assert_eq!(held(Device::Known(Bytes::from([7; 32]))), 10 * limits.address.attempts);
    }

    #[test]
    fn the_longest_wait_is_told() {
        let (short, long) = (Err(RetryAfter(3)), Err(RetryAfter(9)));
        assert_eq!(longest([Ok(()), Ok(())]), Ok(()));
        assert_eq!(longest([short, Ok(())]), short);
        assert_eq!(longest([Ok(()), short]), short);
        assert_eq!(longest([short, long]), long);
        assert_eq!(longest([long, short]), long);
    }
}
