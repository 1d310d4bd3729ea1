//! The chaos run in small: a few phones and days. `make prove` runs it in full.

use leasehold_tests::chaos::{self, Settings};
use leasehold_tests::settings;

use crate::support::report;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn phones_keep_their_sessions_while_a_fifth_of_all_calls_fails_and_functions_die() {
    let settings = Settings {
        phones: settings::number("CHAOS_PHONES", 24),
        days: settings::number("CHAOS_DAYS", 3),
        per_day: 8,
        faults: u32::try_from(settings::number("CHAOS_FAULTS", 200)).unwrap_or(1000),
        seed: settings::number("CHAOS_SEED", 1) as u64,
    };
    let outcome = chaos::run(settings, |_| ()).await;
    report(&[outcome.to_string()]);
    assert!(outcome.broken.is_empty(), "{outcome}");
}
