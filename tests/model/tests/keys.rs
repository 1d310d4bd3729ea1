//! The key ring searched to the end of the bounds, and what broken orders of work lead to.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Instant;

use leasehold_model::keys::{ABLE, Keys};
use stateright::{Checker as _, Model as _};

const BOUNDS: Keys = Keys { keys: 3, seconds: 7, jobs: 3, at_once: 2, off: &[], amends: true };

fn report(text: &str) {
    // Nobody may be listening, and then there is nobody to tell.
    drop(writeln!(std::io::stderr(), "{text}"));
}

fn story<'a>(
    path: impl IntoIterator<Item = &'a (leasehold_model::keys::Tenant, Option<leasehold_model::keys::Event>)>,
) -> String {
    path.into_iter().fold(String::new(), |mut story, (tenant, event)| {
        let event = event.as_ref().map(|event| format!("{event:?}")).unwrap_or_default();
        write!(story, "\n  {tenant:?}\n    {event}").expect("a String takes everything");
        story
    })
}

fn holds(name: &str, keys: Keys) {
    let begin = Instant::now();
    let search = keys.checker().spawn_bfs().join();
    for (property, path) in search.discoveries().into_iter().filter(|(name, _)| !name.starts_with("reached"))
    {
        report(&format!("{name}: {property}{}", story(&path.into_vec())));
    }
    search.assert_properties();
    report(&format!(
        "model: {name}: {} states, {} transitions, {} deep ({} keys, {} s, {} jobs, {} at once, clocks off by {:?}), {:.1?}",
        search.unique_state_count(),
        search.state_count(),
        search.max_depth(),
        keys.keys,
        keys.seconds,
        keys.jobs,
        keys.at_once,
        keys.off,
        begin.elapsed()
    ));
}

#[test]
fn keys_sign_one_at_a_time_and_only_published_whatever_crashes() {
    holds("keys", BOUNDS);
}

#[test]
fn clocks_that_are_apart_leave_no_tenant_without_a_key_that_can_sign() {
    holds("keys and clocks apart", Keys { off: &[1], keys: 2, seconds: 6, ..BOUNDS });
}

#[test]
fn broken_a_schedule_that_does_not_make_amends_leaves_a_key_that_signs_unable_to() {
    // An admin rolls back to the key while the schedule, whose clock is ahead, puts it away.
    let keys = Keys { off: &[1], keys: 2, seconds: 4, amends: false, ..BOUNDS };
    let found =
        (10..=18).find_map(|depth| keys.checker().target_max_depth(depth).spawn_bfs().join().discovery(ABLE));
    let path = found.map(stateright::Path::into_vec).unwrap_or_default();
    assert!(!path.is_empty(), "nothing found");
    report(&format!("model: no amends: \"{ABLE}\" fails after {} steps{}", path.len() - 1, story(&path)));
}
