//! What happens to calls to AWS, and how often: the shares of all faults.

use std::time::Duration;

use super::Settings;
use crate::dice::Dice;
use crate::proxy::{Action, Proxy, Rule};

/// Has this part of a thousand calls fail, in these shares.
pub fn inject(proxy: &Proxy, settings: Settings) {
    let shares = [
        (150, Action::DropBefore),
        (180, Action::DropAfter),
        (120, Action::Duplicate),
        (60, Action::Delay(Duration::from_millis(20))),
        (20, Action::Delay(Duration::from_millis(200))),
        (120, Action::Error("ProvisionedThroughputExceededException")),
        (80, Action::Error("ThrottlingException")),
        (120, Action::Error("InternalServerError")),
        (40, Action::Error("TransactionConflict")),
        (30, Action::BadGateway),
        (20, Action::Garbled),
        (20, Action::Cut),
        (20, Action::HalfProcessed),
        (10, Action::KillBefore),
        (10, Action::KillAfter),
    ];
    let mut left = 1000.0;
    for (number, (share, action)) in shares.into_iter().enumerate() {
        // The first rule that strikes decides: each later one sees only what the earlier ones have let pass.
        let wished = f64::from(settings.faults) * f64::from(share) / 1000.0;
        let often = wished * 1000.0 / left;
        left -= wished;
        let dice = Dice::new(settings.seed, 1_000_000 + number as u64);
        proxy.inject(Rule::any(action).in_thousand(rounded(often), dice));
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 1000")]
fn rounded(often: f64) -> u32 {
    often.round().clamp(0.0, 1000.0) as u32
}
