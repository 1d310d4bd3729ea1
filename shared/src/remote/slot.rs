//! What is kept of one tenant, or of a name that may be none: its keys, its revocations, and when each was read.

use std::sync::{PoisonError, RwLock};

use super::fetch::{Document, FetchError};
use super::{Polling, Settings};
use crate::clock::Timestamp;
use crate::feed::{Cursor, Feed};
use crate::id::Kid;
use crate::pace::{Need, Pace};
use crate::revoked::Revoked;
use crate::token::verify::Expected;
use crate::token::{KeySet, Refusal, Verified};
use crate::view::{Denied, View};

/// How long keys are used when the answer does not say, in seconds.
const MAX_AGE_SECONDS: u64 = 300;
/// How long they are used at least, whatever the answer says, in milliseconds.
const LEAST_AGE_MILLIS: u64 = 1000;
/// How long after an overflow it is tried again whether all revocations fit into memory, in seconds.
const OVERFLOW_SECONDS: u64 = 300;

/// A slot.
#[derive(Debug, Default)]
pub struct Slot {
    state: RwLock<State>,
    /// Held by the one that fetches keys.
    pub reading_keys: tokio::sync::Mutex<()>,
    /// Held by the one that follows the feed.
    pub reading_revocations: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    keys: Pace,
    revocations: Pace,
    /// What decisions are made by; absent for a name that is no tenant's, or none that is served.
    known: Option<Known>,
}

#[derive(Debug)]
struct Known {
    view: View,
    keys_tag: Option<String>,
    max_age_millis: u64,
    stale_millis: u64,
    following: Following,
}

/// How far the feed was followed.
#[derive(Debug, Default)]
struct Following {
    since: Option<Cursor>,
    tag: Option<String>,
    /// The keys that the feed last named.
    kids: Option<Vec<Kid>>,
    overflowed_at: Option<Timestamp>,
}

impl Slot {
    /// Whether nothing is known of the name, not even that it is no tenant's.
    pub fn is_blank(&self, now: Timestamp, settings: Settings) -> bool {
        self.needs_keys(now, settings) == Need::Read
    }

    /// Whether keys must be fetched.
    pub fn needs_keys(&self, now: Timestamp, settings: Settings) -> Need {
        self.read(|state| {
            let within = |millis: u64| state.keys.is_within(now, millis);
            let Some(known) = &state.known else {
                // A short while ago this was no tenant, or none that is served.
                let settled = within(settings.cool_down_seconds * 1000);
                return if settled { Need::Nothing } else { Need::Read };
            };
            let usable = known.max_age_millis.saturating_add(known.stale_millis);
            state.keys.need(now, known.max_age_millis, usable)
        })
    }

    /// Whether the feed must be asked.
    pub fn needs_revocations(&self, now: Timestamp, settings: Settings) -> Need {
        let Polling::On { poll_seconds, delay_seconds, .. } = settings.polling else { return Need::Nothing };
        self.read(|state| {
            if state.known.is_none() {
                return Need::Nothing;
            }
            state.revocations.need(now, poll_seconds * 1000, delay_seconds * 1000)
        })
    }

    /// Decides by what is known.
    pub fn decide(&self, expected: Expected<'_>, token: &str, now: Timestamp) -> Result<Verified, Refusal> {
        self.read(|state| {
            let known = state.known.as_ref().ok_or(Refusal::Tenant)?;
            known.view.decide(expected, token, now)
        })
    }

    /// Whether this is a tenant that was served when it was last asked for.
    pub fn was_served(&self) -> bool {
        self.read(|state| state.known.is_some())
    }

    /// When keys were fetched.
    pub fn keys_pace(&self) -> Pace {
        self.read(|state| state.keys)
    }

    /// When the feed was asked.
    pub fn revocations_pace(&self) -> Pace {
        self.read(|state| state.revocations)
    }

    /// The tag of the keys.
    pub fn keys_tag(&self) -> Option<String> {
        self.read(|state| state.known.as_ref()?.keys_tag.clone())
    }

    /// Where to go on in the feed, and the tag of what it last answered there.
    pub fn place(&self) -> (Option<Cursor>, Option<String>) {
        self.read(|state| {
            let following = state.known.as_ref().map(|known| &known.following);
            following.map(|following| (following.since.clone(), following.tag.clone())).unwrap_or_default()
        })
    }

    /// Whether the feed names a key that is not among those known.
    pub fn lacks_a_key(&self) -> bool {
        self.read(|state| {
            let Some(Known { view, following: Following { kids: Some(kids), .. }, .. }) = &state.known else {
                return false;
            };
            kids.iter().any(|kid| view.keys.find(kid.as_str()).is_none())
        })
    }

    /// Whether there are more revocations than are held.
    pub fn has_overflowed(&self) -> bool {
        self.read(|state| state.known.as_ref().is_some_and(|known| known.following.overflowed_at.is_some()))
    }

    /// Whether keys may be fetched out of turn, and notes that they are.
    pub fn claim_forced(&self, now: Timestamp, settings: Settings) -> bool {
        self.write(|state| state.keys.claim_forced(now, settings.cool_down_seconds * 1000))
    }

    /// A fetch of keys failed.
    pub fn keys_failed(&self, began: Timestamp) {
        self.write(|state| state.keys.failed(began));
    }

    /// Following the feed failed.
    pub fn revocations_failed(&self, began: Timestamp) {
        self.write(|state| {
            state.revocations.failed(began);
            // Going on exactly behind an entry after a while would miss one that was under way: by its time again.
            if let Some(since) = state.known.as_mut().and_then(|known| known.following.since.as_mut()) {
                since.after = None;
            }
        });
    }

    /// The service says that this is no tenant, or none that is served.
    pub fn not_served(&self, began: Timestamp) {
        self.write(|state| {
            state.known = None;
            state.keys.succeeded(began);
        });
    }

    /// Takes a published set of keys on. What is known stays when the document is none.
    pub fn take_keys(&self, document: &Document, began: Timestamp, settings: Settings) -> Result<(), Denied> {
        let invalid = |cause| Denied::Undecided { reason: "keys", cause: Some(cause) };
        let set = document.body.as_ref().map(|body| KeySet::read(body)).transpose();
        let set = set.map_err(|error| invalid(error.into()))?;
        self.write(|state| {
            let known = match (&mut state.known, set) {
                (Some(known), Some(set)) => {
                    known.view.keys = set.taking_over(&known.view.keys);
                    known
                }
                (Some(known), None) => known,
                (None, Some(keys)) => {
                    let capacity = match settings.polling {
                        Polling::Off => 0,
                        Polling::On { revocations, .. } => revocations,
                    };
                    state.revocations = Pace::default();
                    state.known.insert(Known {
                        view: View { keys, revoked: Revoked::new(capacity) },
                        keys_tag: None,
                        max_age_millis: 0,
                        stale_millis: 0,
                        following: Following::default(),
                    })
                }
                (None, None) => return Err(invalid("304 to who has nothing".into())),
            };
            let max_age = document.max_age_seconds.unwrap_or(MAX_AGE_SECONDS).min(settings.max_age_seconds);
            let stale = document.stale_if_error_seconds.unwrap_or(0).min(settings.stale_if_error_seconds);
            known.max_age_millis = (max_age * 1000).max(LEAST_AGE_MILLIS);
            known.stale_millis = stale * 1000;
            known.keys_tag.clone_from(&document.tag);
            state.keys.succeeded(began);
            Ok(())
        })
    }

    /// After an overflow has lasted long enough, everything is read anew.
    pub fn begin_following(&self, now: Timestamp, settings: Settings) {
        let Polling::On { revocations, .. } = settings.polling else { return };
        self.write(|state| {
            let Some(known) = &mut state.known else { return };
            let over = |at: Timestamp| at > now || at.plus_seconds(OVERFLOW_SECONDS) <= now;
            if known.following.overflowed_at.is_some_and(over) {
                known.view.revoked = Revoked::new(revocations);
                known.following = Following::default();
            }
        });
    }

    /// Takes a page of the feed on; tells whether it is the last.
    pub fn take_page(&self, document: &Document, issuer: &str, began: Timestamp) -> Result<bool, FetchError> {
        let feed = document.body.as_ref().map(|body| serde_json::from_slice::<Feed>(body)).transpose();
        let feed = feed.map_err(|_| FetchError::Failed("not a page of revocations"))?;
        if feed.as_ref().is_some_and(|feed| feed.issuer != issuer) {
            return Err(FetchError::Failed("revocations of another issuer"));
        }
        self.write(|state| {
            let Some(Known { view, following, .. }) = &mut state.known else { return Ok(true) };
            let is_last = match feed {
                // The page that we have, and the last: a page before it would have led on.
                None => true,
                Some(feed) => {
                    view.revoked.raise(feed.epoch);
                    view.revoked.tidy(began);
                    let mut entries = feed.revoked.into_iter().map(Into::into);
                    if entries.try_for_each(|entry| view.revoked.add(&entry, began)).is_err() {
                        following.overflowed_at = following.overflowed_at.or(Some(began));
                    }
                    following.kids = Some(feed.keys);
                    // The tag is one of the address: it counts only where the next request has the same.
                    let stays = following.since.as_ref() == Some(&feed.next);
                    following.tag = document.tag.clone().filter(|_| stays && !feed.more);
                    following.since = Some(feed.next);
                    !feed.more || following.overflowed_at.is_some()
                }
            };
            if let Some(kids) = &following.kids {
                view.keys = view.keys.only(kids);
            }
            if is_last {
                state.revocations.succeeded(began);
            }
            Ok(is_last)
        })
    }

    fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.write().unwrap_or_else(PoisonError::into_inner))
    }
}
