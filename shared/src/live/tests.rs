//! When a tenant is read, and what becomes of more revocations than memory holds. What is read is told in the black-box
//! tests.

use super::*;
use crate::id::FamilyId;
use crate::keys::KeyRing;
use crate::policy::Policy;
use crate::revocation::Revocation;
use crate::revoked::Entry;
use crate::tenant::Tenant;

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

fn polled(sessions: std::ops::Range<u8>) -> Polled {
    let entry = |n| Entry { at: NOW, revocation: Revocation::Session { sid: FamilyId::from_bytes([n; 16]) } };
    Polled {
        tenant: Tenant::new("acme".parse().unwrap(), Policy::default(), KeyRing::default(), NOW),
        entries: sessions.map(entry).collect(),
        more: false,
    }
}

#[test]
fn a_tenant_is_read_as_the_settings_say() {
    let slot = Slot::default();
    let needed = |after: u64| slot.need(LiveSettings::default(), NOW.plus_seconds(after));
    assert_eq!(needed(0), Need::Read, "never read");
    slot.write(|state| state.take(polled(0..0), NOW, 10));
    assert_eq!([1, 2, 3, 4].map(needed), [Need::Nothing, Need::Refresh, Need::Refresh, Need::Read]);
}

#[test]
fn a_name_that_is_no_tenants_is_looked_up_once_per_cool_down() {
    let slot = Slot::default();
    slot.write(|state| state.pace.succeeded(NOW));
    let needed = |after: u64| slot.need(LiveSettings::default(), NOW.plus_seconds(after));
    assert_eq!((needed(29), needed(30)), (Need::Nothing, Need::Read));
}

#[test]
fn a_reading_goes_on_some_time_before_the_last() {
    let slot = Slot::default();
    let first = slot.begin(NOW, 30);
    assert_eq!(first.at, NOW.minus_seconds(crate::revoked::RETENTION_SECONDS));
    slot.write(|state| state.take(polled(0..1), NOW, 10));
    assert_eq!(slot.begin(NOW.plus_seconds(2), 30).at, NOW.minus_seconds(30));
}

#[test]
fn what_memory_does_not_hold_is_not_forgotten_and_tried_again_later() {
    let slot = Slot::default();
    let overflowed = || slot.write(|state| state.known.as_ref().unwrap().overflowed_at);
    slot.write(|state| state.take(polled(0..3), NOW, 2));
    assert_eq!(overflowed(), Some(NOW), "decisions read for themselves");
    let later = NOW.plus_seconds(10);
    slot.write(|state| state.take(polled(0..0), later, 2));
    assert_eq!(overflowed(), Some(NOW), "fewer new ones do not bring back what was left out");
    let afresh = NOW.plus_seconds(OVERFLOW_SECONDS);
    assert_eq!(slot.begin(afresh, 30), Cursor::begin(None, afresh, 30), "all of it is read again");
    slot.write(|state| state.take(polled(0..2), afresh, 2));
    assert_eq!(overflowed(), None);
    slot.write(|state| state.take(Polled { more: true, ..polled(0..0) }, afresh, 2));
    assert_eq!(overflowed(), Some(afresh), "more than a poll reads is more than memory holds");
}
