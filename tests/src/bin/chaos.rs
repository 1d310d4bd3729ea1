//! The chaos run: phones, thieves, failing AWS, dying functions, a moving clock. Ends with 1 when a promise was broken.
//!
//! `CHAOS_PHONES` (200), `CHAOS_DAYS` (30), `CHAOS_PER_DAY` (8), `CHAOS_FAULTS` (200 of a thousand calls), `CHAOS_SEED` (1).

use leasehold_tests::chaos::{self, Settings};
use leasehold_tests::settings;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> std::process::ExitCode {
    let settings = Settings {
        phones: settings::number("CHAOS_PHONES", 200),
        days: settings::number("CHAOS_DAYS", 30),
        per_day: settings::number("CHAOS_PER_DAY", 8),
        faults: u32::try_from(settings::number("CHAOS_FAULTS", 200)).unwrap_or(1000),
        seed: settings::number("CHAOS_SEED", 1) as u64,
    };
    let report = chaos::run(settings, |line| println!("{line}")).await;
    print!("{report}");
    if report.broken.is_empty() { std::process::ExitCode::SUCCESS } else { std::process::ExitCode::FAILURE }
}
