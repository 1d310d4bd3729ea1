//! EventBridge's part: invokes a function with a constant event, once per period. A run that is still going when the
//! next is due is not overtaken, so a slow run cannot pile up.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::{Call, Function, Outcome};

/// Fires until it is dropped; the first time after one period.
pub async fn run(function: Arc<Function>, input: String, period: Duration) {
    let input = Bytes::from(input);
    let mut ticks = interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match function.invoke(Call::new(input.clone())).await {
            Ok(Outcome::Answer(answer)) => {
                tracing::debug!("schedule of {}: {}", function.spec.name, String::from_utf8_lossy(&answer));
            }
            Ok(Outcome::Failed(error)) => {
                tracing::warn!(
                    "schedule of {} failed: {}",
                    function.spec.name,
                    String::from_utf8_lossy(&error)
                );
            }
            Err(error) => tracing::warn!("schedule of {} failed: {error}", function.spec.name),
        }
    }
}
