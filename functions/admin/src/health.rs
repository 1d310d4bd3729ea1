//! Validation failure rate by client version, release against release.

use http::StatusCode;
use leasehold::health::hour;
use leasehold::health::report::{Bucket, Report};
use leasehold::http::Reply;
use serde_json::json;

use crate::caller::Caller;
use crate::problem::Problem;

/// How many hours are told of where nobody says.
const HOURS: u64 = 24;
/// How many hours, by the hour, are told of at most.
const MOST_HOURS: u64 = 72;
/// How many days, by the day, are told of at most.
const MOST_DAYS: u64 = 31;

/// `GET /health`: the last `?hours=`, by the hour, or the last `?days=`, by the day. The present one is among them, as far
/// as it has come.
pub async fn show(caller: &Caller<'_>) -> Result<Reply, Problem> {
    let number = |name: &'static str, most: u64| {
        let Some(text) = caller.call.query.get(name) else { return Ok(None) };
        let number = text.parse().ok().filter(|number| (1..=most).contains(number));
        number
            .map(Some)
            .ok_or_else(|| Problem::invalid_member(name, "A whole number: 1 to 72 hours, 1 to 31 days."))
    };
    let (hours, days) = (number("hours", MOST_HOURS)?, number("days", MOST_DAYS)?);
    let last = hour(caller.call.now);
    let (bucket, first) = match (hours, days) {
        (Some(_), Some(_)) => return Err(Problem::invalid("Either hours or days.")),
        (None, Some(days)) => (Bucket::Day, (last / 24 + 1).saturating_sub(days) * 24),
        (hours, None) => (Bucket::Hour, (last + 1).saturating_sub(hours.unwrap_or(HOURS))),
    };
    let counted = caller.store.list_counts(first, last).await?;
    let since = leasehold::clock::Timestamp::from_seconds(first * 3600);
    let report = Report::of(&counted, bucket, since, caller.call.now);
    Ok(Reply::json(StatusCode::OK, &json!(report)))
}
