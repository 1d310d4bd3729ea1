//! The stack's clock and its two date formats, so that nothing else here reads the time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Time since the epoch.
#[expect(clippy::disallowed_methods, reason = "the local stack does not depend on the shared crate")]
pub fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Milliseconds since the epoch.
pub fn now_millis() -> u64 {
    u64::try_from(now().as_millis()).unwrap_or(u64::MAX)
}

/// `12/Mar/2020:19:03:58 +0000`, as in `requestContext.time`.
pub fn gateway_time(at: Duration) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let civil = Civil::of(at);
    let month = MONTHS[civil.month - 1];
    let Civil { year, day, hour, minute, second, .. } = civil;
    format!("{day:02}/{month}/{year:04}:{hour:02}:{minute:02}:{second:02} +0000")
}

/// `2020-03-12T19:03:58.123Z`, as in Lambda's own log lines.
pub fn iso_time(at: Duration) -> String {
    let Civil { year, month, day, hour, minute, second } = Civil::of(at);
    let millis = at.subsec_millis();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

struct Civil {
    year: u64,
    month: usize,
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
}

impl Civil {
    /// Proleptic Gregorian calendar from days since the epoch, counted in eras of 400 years that begin in March.
    fn of(at: Duration) -> Self {
        let seconds = at.as_secs();
        let days = seconds / 86_400 + 719_468;
        let (era, day_of_era) = (days / 146_097, days % 146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * day_of_year + 2) / 153;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        Self {
            year: era * 400 + year_of_era + u64::from(month <= 2),
            month: usize::try_from(month).unwrap_or(1),
            day: day_of_year - (153 * from_march + 2) / 5 + 1,
            hour: seconds / 3_600 % 24,
            minute: seconds / 60 % 60,
            second: seconds % 60,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let rows = [
            (0, "01/Jan/1970:00:00:00 +0000"),
            (951_782_399, "28/Feb/2000:23:59:59 +0000"),
            (951_782_400, "29/Feb/2000:00:00:00 +0000"),
            (1_583_348_638, "04/Mar/2020:19:03:58 +0000"),
            (4_102_444_799, "31/Dec/2099:23:59:59 +0000"),
        ];
        for (seconds, expected) in rows {
            assert_eq!(gateway_time(Duration::from_secs(seconds)), expected);
        }
        assert_eq!(iso_time(Duration::from_millis(1_583_348_638_007)), "2020-03-04T19:03:58.007Z");
    }
}
