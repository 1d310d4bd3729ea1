//! The ring: all keys of one tenant, stored inside the tenant's item, and what each is at a given moment.

use serde::{Deserialize, Serialize};

use super::{Algorithm, Custody, KeyKind, PublicKey};
use crate::clock::{CLOCKS_APART_SECONDS, Timestamp};
use crate::id::Kid;
use crate::rest::Rest;

/// What a key is at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyState {
    /// Published, does not sign yet.
    Pending,
    /// The one that signs.
    Active,
    /// Published, no longer signs.
    Retiring,
    /// No longer published.
    Retired,
    /// Declared compromised: neither published nor signing.
    Compromised,
}

/// One signing key of a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// Its id on the wire.
    pub kid: Kid,
    /// The one algorithm it is used with.
    pub algorithm: Algorithm,
    /// Who holds its private half.
    pub custody: Custody,
    /// Its public half.
    pub public: PublicKey,
    /// The KMS key that signs or, in custody `wrapped`, the one that wraps the private half. Never leaves the service.
    pub arn: String,
    /// Since when it is in the key set.
    pub published_at: Timestamp,
    /// From when it signs; absent while nobody promoted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_from: Option<Timestamp>,
    /// When another key took over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_at: Option<Timestamp>,
    /// When it leaves the key set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retire_at: Option<Timestamp>,
    /// When an admin declared it compromised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compromised_at: Option<Timestamp>,
    /// When its private half was made unable to sign. Written after KMS was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled_at: Option<Timestamp>,
    /// When its end was decided; from then on there is no way back. Written before KMS is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destroying_at: Option<Timestamp>,
    /// Whether an admin keeps its private half from being destroyed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub retained: bool,
    /// What a newer release keeps here.
    #[serde(flatten)]
    pub rest: Rest,
}

impl Key {
    /// A key that was just made: published from now on, and a spare until somebody promotes it.
    pub fn made(kind: KeyKind, kid: Kid, public: PublicKey, arn: String, now: Timestamp) -> Self {
        Self {
            kid,
            algorithm: kind.algorithm,
            custody: kind.custody,
            public,
            arn,
            published_at: now,
            active_from: None,
            superseded_at: None,
            retire_at: None,
            compromised_at: None,
            disabled_at: None,
            destroying_at: None,
            retained: false,
            rest: Rest::default(),
        }
    }

    /// Algorithm and custody.
    pub const fn kind(&self) -> KeyKind {
        KeyKind { algorithm: self.algorithm, custody: self.custody }
    }

    /// What the key is at `now`.
    pub fn state(&self, now: Timestamp) -> KeyState {
        let reached = |moment: Option<Timestamp>| moment.is_some_and(|moment| moment <= now);
        if self.compromised_at.is_some() {
            KeyState::Compromised
        } else if reached(self.retire_at) {
            KeyState::Retired
        } else if reached(self.superseded_at) {
            KeyState::Retiring
        } else if reached(self.active_from) {
            KeyState::Active
        } else {
            KeyState::Pending
        }
    }

    /// What may be shown of the key, to admins and operators: everything but where its private half is. Times are epoch
    /// seconds.
    pub fn show(&self, now: Timestamp) -> serde_json::Value {
        let seconds = |moment: Option<Timestamp>| moment.map(Timestamp::seconds);
        serde_json::json!({
            "kid": self.kid,
            "algorithm": self.algorithm,
            "custody": self.custody,
            "state": self.state(now),
            "published_at": self.published_at.seconds(),
            "active_from": seconds(self.active_from),
            "superseded_at": seconds(self.superseded_at),
            "retire_at": seconds(self.retire_at),
            "compromised_at": seconds(self.compromised_at),
            "disabled_at": seconds(self.disabled_at),
            "destroying_at": seconds(self.destroying_at),
            "retained": self.retained,
        })
    }

    /// Whether a token signed by this key is to be accepted at `now`.
    pub fn is_published(&self, now: Timestamp) -> bool {
        match self.state(now) {
            KeyState::Pending | KeyState::Active | KeyState::Retiring => true,
            KeyState::Retired | KeyState::Compromised => false,
        }
    }
}

/// All keys of a tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyRing {
    pub(super) keys: Vec<Key>,
}

impl KeyRing {
    /// The ring of a new tenant: its first key signs at once, since nobody can have cached a set without it.
    pub fn with_first_key(key: Key) -> Self {
        Self { keys: vec![Key { active_from: Some(key.published_at), ..key }] }
    }

    /// The key that signs at `now`: of those active, the one promoted last.
    pub fn active(&self, now: Timestamp) -> Option<&Key> {
        self.keys.iter().filter(|key| key.state(now) == KeyState::Active).max_by_key(|key| key.active_from)
    }

    /// The key to sign with at `now`: the active one. Where there is none, the one that becomes active next, if that is no
    /// further off than clocks may be apart: a function whose clock is behind that of the function which made a tenant's
    /// first key, or replaced a compromised one, must not refuse everybody meanwhile. It is published like any other.
    pub fn signer(&self, now: Timestamp) -> Option<&Key> {
        let soon = now.plus_seconds(CLOCKS_APART_SECONDS);
        self.active(now).or_else(|| self.planned(now).filter(|key| key.active_from <= Some(soon)))
    }

    /// The keys whose signatures are to be accepted at `now`.
    pub fn published(&self, now: Timestamp) -> impl Iterator<Item = &Key> {
        self.keys.iter().filter(move |key| key.is_published(now))
    }

    /// The key of this id, whatever its state.
    pub fn find(&self, kid: &Kid) -> Option<&Key> {
        self.keys.iter().find(|key| key.kid == *kid)
    }

    /// The key to which the tenant is to switch, if a switch is planned.
    pub fn planned(&self, now: Timestamp) -> Option<&Key> {
        self.keys.iter().find(|key| key.state(now) == KeyState::Pending && key.active_from.is_some())
    }

    /// Every key, whatever its state.
    pub fn iter(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(marks: [Option<u64>; 4]) -> Key {
        let at = |index: usize| marks[index].map(Timestamp::from_seconds);
        let kind = KeyKind { algorithm: Algorithm::EdDsa, custody: Custody::Kms };
        let kid = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs".parse().unwrap();
        let public = PublicKey::Ed25519 { x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo".to_owned() };
        Key {
            active_from: at(0),
            superseded_at: at(1),
            retire_at: at(2),
            compromised_at: at(3),
            ..Key::made(kind, kid, public, "arn".to_owned(), Timestamp::from_seconds(0))
        }
    }

    #[test]
    fn state_follows_from_timestamps_alone() {
        let now = Timestamp::from_seconds(100);
        for (marks, state) in [
            ([None, None, None, None], KeyState::Pending),
            ([Some(101), None, None, None], KeyState::Pending),
            ([Some(100), None, None, None], KeyState::Active),
            ([Some(1), Some(101), None, None], KeyState::Active),
            ([Some(1), Some(100), Some(101), None], KeyState::Retiring),
            ([Some(1), Some(50), Some(100), None], KeyState::Retired),
            ([Some(1), None, None, Some(200)], KeyState::Compromised),
        ] {
            assert_eq!(key(marks).state(now), state, "{marks:?}");
        }
    }

    #[test]
    fn a_key_that_does_not_sign_is_never_active() {
        let now = Timestamp::from_seconds(100);
        for marks in [[None; 4], [Some(1), Some(2), None, None], [Some(1), None, None, Some(50)]] {
            assert_eq!(KeyRing { keys: vec![key(marks)] }.active(now), None);
        }
        assert!(KeyRing { keys: vec![key([Some(1), None, None, None])] }.active(now).is_some());
    }

    #[test]
    fn a_clock_that_is_behind_signs_with_the_key_that_comes_next_and_never_with_one_that_is_out() {
        let now = Timestamp::from_seconds(100);
        let ring =
            |marks: &[[Option<u64>; 4]]| KeyRing { keys: marks.iter().map(|marks| key(*marks)).collect() };
        let signs = |marks: &[[Option<u64>; 4]]| ring(marks).signer(now).and_then(|key| key.active_from);
        let at = |seconds| Some(Timestamp::from_seconds(seconds));
        assert_eq!(signs(&[[Some(220), None, None, None]]), at(220), "a tenant made two minutes from now");
        assert_eq!(signs(&[[Some(221), None, None, None]]), None, "no clock is that far off");
        assert_eq!(
            signs(&[[Some(1), None, None, Some(50)], [Some(101), None, None, None]]),
            at(101),
            "replaced"
        );
        assert_eq!(
            signs(&[[Some(1), None, None, None], [Some(101), None, None, None]]),
            at(1),
            "not before its time"
        );
        assert_eq!(signs(&[[Some(101), None, None, Some(50)]]), None, "compromised");
        assert_eq!(signs(&[[None; 4]]), None, "a spare that nobody promoted");
    }

    #[test]
    fn what_is_shown_of_a_key_is_whole_and_says_nothing_of_where_it_is() {
        let shown = key([Some(1), Some(50), Some(200), None]).show(Timestamp::from_seconds(100));
        let expected = serde_json::json!({
            "kid": "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs", "algorithm": "EdDSA", "custody": "kms",
            "state": "retiring", "published_at": 0, "active_from": 1, "superseded_at": 50, "retire_at": 200,
            "compromised_at": null, "disabled_at": null, "destroying_at": null, "retained": false,
        });
        assert_eq!(shown, expected);
        assert_eq!((Custody::Kms.name(), Custody::Wrapped.name()), ("kms", "wrapped"), "as they are stored");
    }
}
