//! When a tenant is read, and what becomes of more revocations than memory holds. What is read is told in the black-box
//! tests.

use super::*;
use crate::id::FamilyId;
use crate::keys::KeyRing;
use crate::policy::Policy;
use crate::rest::Rest;
use crate::revocation::Revocation;
use crate::revoked::Entry;
use crate::tenant::{Tenant, TenantStatus};

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

fn polled(sessions: std::ops::Range<u8>) -> Polled {
    let entry = |n| Entry { at: NOW, revocation: Revocation::Session { sid: FamilyId::from_bytes([n; 16]) } };
    Polled {
        tenant: Tenant {
            id: "acme".parse().unwrap(),
            status: TenantStatus::Active,
            epoch: 0,
            policy: Policy::default(),
            ring: KeyRing::default(),
            origins: std::collections::BTreeSet::new(),
            created_at: NOW,
            version: 1,
            rest: Rest::default(),
        },
        entries: sessions.map(entry).collect(),
        more: false,
    }
}

fn millis_later(millis: u64) -> Timestamp {
    Timestamp::from_millis(NOW.millis() + millis)
}

fn needed(slot: &Slot, after_millis: u64) -> &'static str {
    match slot.need(LiveSettings::default(), millis_later(after_millis)) {
        Need::Nothing => "nothing",
        Need::Refresh => "refresh",
        Need::Read => "read",
    }
}

#[test]
fn a_tenant_is_read_when_it_is_due_and_never_relied_on_for_longer_than_the_delay() {
    let slot = Slot::default();
    assert_eq!(needed(&slot, 0), "read", "never read");
    slot.write(|state| state.take(polled(0..0), NOW, 10));
    for (after, need) in [
        (0, "nothing"),
        (1999, "nothing"),
        (2000, "refresh"),
        (3999, "refresh"),
        (4000, "read"), // A reading that is waited for a second in vain would end beyond the delay.
        (60_000, "read"),
    ] {
        assert_eq!(needed(&slot, after), need, "after {after} ms");
    }
    slot.write(|state| state.pace.failed(millis_later(2500)));
    for (after, need) in [(3499, "nothing"), (3500, "refresh"), (4000, "read"), (5000, "read")] {
        assert_eq!(needed(&slot, after), need, "a failure at 2500 ms, after {after} ms");
    }
    slot.write(|state| state.pace.failed(millis_later(4500)));
    assert_eq!(needed(&slot, 4999), "nothing", "just tried, and young enough");
    assert_eq!(needed(&slot, 5000), "read", "just tried, and too old");
    let earlier = Timestamp::from_millis(NOW.millis() - 1);
    assert!(matches!(slot.need(LiveSettings::default(), earlier), Need::Read), "the clock was set back");
}

#[test]
fn a_name_that_is_no_tenants_is_looked_up_once_per_cool_down() {
    let slot = Slot::default();
    slot.write(|state| state.pace.succeeded(NOW));
    assert_eq!((needed(&slot, 29_999), needed(&slot, 30_000)), ("nothing", "read"));
}

#[test]
fn a_reading_goes_on_some_time_before_the_last() {
    let slot = Slot::default();
    let first = slot.begin(NOW, 30);
    assert_eq!(first.at, NOW.minus_seconds(crate::revoked::RETENTION_SECONDS));
    slot.write(|state| state.take(polled(0..1), NOW, 10));
    assert_eq!(slot.begin(millis_later(2000), 30).at, NOW.minus_seconds(30));
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
