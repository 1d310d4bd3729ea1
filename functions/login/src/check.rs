//! The check of name and password, with its throttle.
//!
//! Whoever asks, it makes the same calls in the same order: one read, then a query and the counters at once, then a
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
use leasehold::refresh::Family;
use leasehold::secret::sha256;
use leasehold::store::{Entered, StoreError, TenantStore, Wanted};
use leasehold::telemetry::Note;
use leasehold::tenant::Tenant;
use leasehold::throttle::{Counter, CounterKey, Limits, RetryAfter, address_bucket, decide};
use leasehold::user::User;

use crate::Login;
use crate::request::Claimed;

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
    /// The user's families.
    pub families: Vec<Family>,
    /// What to take back.
    pub counters: Counters,
    /// The device to remember, if it is not well remembered already.
    pub new_device: Option<Bytes<32>>,
}

/// The counters of one attempt: see [`leasehold::throttle`] for who shares which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Counters {
    /// From a known device: its own.
    Known(Counter),
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
        scene.store.load_user(scene.user.unwrap_or_else(UserId::generate)),
        counters.raise(&scene.store, limits, call.now),
    );
    counted??;
    let (user, families) = found?;
    note.user = user.as_ref().map(|user| user.id.to_string());
    let stored = user.as_ref().and_then(|user| user.password.as_deref());
    let matched = match login.hasher.verify(claimed.password.clone(), stored).await {
        Ok(matched) => matched,
        Err(error) => {
            counters.take_back(&scene.store).await;
            return Err(error.into());
        }
    };
    let Some((tenant, client)) = scene.open else { return Err(refused("tenant")) };
    let Some(user) = user else { return Err(refused("unknown_user")) };
    match matched {
        Match::Different if user.password.is_none() => Err(refused("no_password")),
        Match::Different => Err(refused("wrong_password")),
        Match::Same if !user.is_active() => Err(refused("user_disabled")),
        Match::Same => {
            let (store, new_device) = (scene.store, scene.new_device);
            Ok(Checked { store, tenant, client, user, families, counters, new_device })
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
            let client = claimed.credentials.authenticate_active(client, call, note)?;
            let stale = |seen_at: Timestamp| seen_at.plus_seconds(DEVICE_FRESH_SECONDS) <= call.now;
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
        match device {
            Device::Known(device) => Self::Known(at(CounterKey::Device(login.clone(), device))),
            Device::Strange => Self::Stranger {
                account: at(CounterKey::Account(login.clone())),
                address: at(CounterKey::Address(address_bucket(source.unwrap_or_default()))),
            },
        }
    }

    /// Counts the attempt, and says whether it may go on.
    async fn raise(
        &self,
        store: &TenantStore,
        limits: &Limits,
        now: Timestamp,
    ) -> Result<Result<(), RetryAfter>, StoreError> {
        let verdict = |counter: &Counter, count| decide(count, limits.of(&counter.key), now);
        match self {
            Self::Known(device) => Ok(verdict(device, store.raise(device).await?)),
            Self::Stranger { account, address } => {
                let (by_account, by_address) = tokio::join!(store.raise(account), store.raise(address));
                let verdicts = [verdict(account, by_account?), verdict(address, by_address?)];
                Ok(longest(verdicts))
            }
        }
    }

    /// Takes the counts of this attempt back. A failure is logged and forgotten: a count too many does no lasting harm.
    pub async fn take_back(&self, store: &TenantStore) {
        let lowered = match self {
            Self::Known(device) => store.lower(device).await,
            Self::Stranger { account, address } => {
                let (by_account, by_address) = tokio::join!(store.lower(account), store.lower(address));
                by_account.and(by_address)
            }
        };
        if let Err(error) = lowered {
            tracing::warn!(cause = %error, "a login's count could not be taken back");
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
    fn a_known_device_shares_no_counter_with_strangers() {
        let login: LoginId = "ada".parse().unwrap();
        let (limits, now) = (Limits::default(), Timestamp::from_seconds(1_800_000_000));
        let device = Bytes::from([7; 32]);
        let at = |key| Counter::at(key, &limits, now);
        assert_eq!(
            Counters::of(&login, Device::Known(device), Some("192.0.2.1"), &limits, now),
            Counters::Known(at(CounterKey::Device(login.clone(), device)))
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
    fn the_longest_wait_is_told() {
        let (short, long) = (Err(RetryAfter(3)), Err(RetryAfter(9)));
        assert_eq!(longest([Ok(()), Ok(())]), Ok(()));
        assert_eq!(longest([short, Ok(())]), short);
        assert_eq!(longest([Ok(()), short]), short);
        assert_eq!(longest([short, long]), long);
        assert_eq!(longest([long, short]), long);
    }
}
