//! Validation failure rate by client version: a table for the terminal, a page for everybody else.

mod page;

use std::path::PathBuf;

use clap::Args;
use serde::Deserialize;

use crate::context::Context;
use crate::failure::Failure;
use crate::files;
use crate::output::{self, Format, Table, plain};
use crate::service::Call;

/// How many columns a sparkline has at most.
const COLUMNS: usize = 24;
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Show how many tokens are refused by client version, release against release
///
/// The table has a column of failure rates over time for each version, on one scale; `·` stands for no traffic. Needs
/// `admin:audit`.
#[derive(Args, Debug)]
pub struct Arguments {
    /// The last hours, by the hour: 1 to 72, 24 if neither is said
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=72), conflicts_with = "days")]
    hours: Option<u64>,
    /// The last days, by the day: 1 to 31
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=31))]
    days: Option<u64>,
    /// Write a report to this file, as one HTML page that needs nothing else
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// What the service reports. Lenient: a later release may tell more.
#[derive(Debug, Deserialize)]
struct Report {
    since: u64,
    until: u64,
    bucket: String,
    total: Totals,
    versions: Vec<Version>,
}

#[derive(Debug, Deserialize)]
struct Totals {
    validations: u64,
    failures: u64,
    rate: f64,
    logins: u64,
    login_failures: u64,
}

#[derive(Debug, Deserialize)]
struct Version {
    #[serde(rename = "version")]
    name: String,
    #[serde(flatten)]
    totals: Totals,
    reasons: Vec<Reason>,
    previous: Option<String>,
    change: Option<f64>,
    series: Vec<Point>,
}

#[derive(Debug, Deserialize)]
struct Reason {
    reason: String,
    count: u64,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
struct Point {
    at: u64,
    validations: u64,
    failures: u64,
}

impl Point {
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52, and a rate is for people")]
    fn rate(self) -> Option<f64> {
        (self.validations > 0).then(|| self.failures as f64 / self.validations as f64)
    }
}

impl Report {
    const fn step(&self) -> u64 {
        if self.is_by_day() { 86_400 } else { 3600 }
    }

    const fn is_by_day(&self) -> bool {
        matches!(self.bucket.as_bytes(), b"day")
    }

    /// A version over the whole time, at most so many points, those without traffic included.
    fn points(&self, version: &Version, most: usize) -> Vec<Point> {
        // The service tells of 72 hours or 31 days at most; an answer beyond that is not believed.
        let span = self.until.saturating_sub(self.since) / self.step() + 1;
        let buckets = usize::try_from(span).unwrap_or(usize::MAX).min(100);
        let width = buckets.div_ceil(most.max(1)).max(1);
        let start = |column: usize| self.since + (column * width) as u64 * self.step();
        let mut points: Vec<Point> = (0..buckets.div_ceil(width))
            .map(|column| Point { at: start(column), ..Point::default() })
            .collect();
        for point in &version.series {
            let bucket = point.at.saturating_sub(self.since) / self.step();
            let column = usize::try_from(bucket).unwrap_or(usize::MAX) / width;
            if let Some(kept) = points.get_mut(column) {
                kept.validations = kept.validations.saturating_add(point.validations);
                kept.failures = kept.failures.saturating_add(point.failures);
            }
        }
        points
    }

    fn table(&self) -> Table {
        let head = ["VERSION", "VALIDATIONS", "FAILED", "RATE", "CHANGE", "OVER TIME", "WHY"];
        let mut table = Table::new(head);
        let series: Vec<_> = self.versions.iter().map(|version| self.points(version, COLUMNS)).collect();
        let rates = series.iter().flatten().filter_map(|point| point.rate());
        let top = rates.fold(0.0_f64, f64::max);
        for (version, points) in self.versions.iter().zip(&series) {
            let totals = &version.totals;
            let why =
                version.reasons.iter().take(2).map(|why| format!("{} {}", plain(&why.reason), why.count));
            table.row([
                plain(&version.name),
                totals.validations.to_string(),
                totals.failures.to_string(),
                percent(totals.rate),
                change(version),
                sparkline(points, top),
                why.collect::<Vec<_>>().join(", "),
            ]);
        }
        table
    }

    fn sentence(&self) -> String {
        let Totals { validations, failures, rate, logins, login_failures } = &self.total;
        format!(
            "{failures} of {validations} tokens refused ({}), {login_failures} of {logins} logins, since {}",
            percent(*rate),
            output::time::utc(self.since)
        )
    }
}

pub async fn run(context: &mut Context, arguments: Arguments) -> Result<(), Failure> {
    let format = context.format();
    let service = context.service()?;
    let number = |name, number: Option<u64>| number.map(|number: u64| (name, number.to_string()));
    let query: Vec<_> =
        [number("hours", arguments.hours), number("days", arguments.days)].into_iter().flatten().collect();
    let (answer, _) = service.json(Call::get("health", &query)).await?;
    let unread = |_| Failure::Other("the service answered a report that is none".to_owned());
    let report = Report::deserialize(&answer).map_err(unread)?;
    if let Some(path) = &arguments.html {
        files::replace(path, page::html(&report, service.issuer.tenant()).as_bytes())?;
        output::note(&format!("the report is in {}", path.display()));
    }
    match format {
        Format::Json => output::json(&answer),
        Format::Text if arguments.html.is_some() => {}
        Format::Text => {
            output::line(&report.sentence());
            if !report.versions.is_empty() {
                report.table().print();
            }
        }
    }
    Ok(())
}

fn percent(rate: f64) -> String {
    format!("{:.1} %", rate * 100.0)
}

/// The change against the version before, in percentage points.
fn change(version: &Version) -> String {
    match (version.change, &version.previous) {
        (Some(change), Some(previous)) => format!("{:+.1} on {}", change * 100.0, plain(previous)),
        _ => "-".to_owned(),
    }
}

/// Failure rates over time, on a scale that ends at `top`.
fn sparkline(points: &[Point], top: f64) -> String {
    let mark = |point: &Point| match point.rate() {
        None => '·',
        Some(rate) => {
            let share = if top > 0.0 { (rate / top).clamp(0.0, 1.0) } else { 0.0 };
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 7")]
            let level = (share * 7.0).ceil() as usize;
            LEVELS[level.min(LEVELS.len() - 1)]
        }
    };
    points.iter().map(mark).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    pub(super) fn report(version: &str) -> Report {
        let totals =
            json!({"validations": 300, "failures": 60, "rate": 0.2, "logins": 5, "login_failures": 1});
        let mut new = totals.clone();
        new["version"] = json!(version);
        new["reasons"] =
            json!([{"reason": "refresh.reuse", "count": 50}, {"reason": "verify.expired", "count": 10}]);
        new["previous"] = json!("shop/1.9");
        new["change"] = json!(0.15);
        new["series"] = json!([{"at": 0, "validations": 100, "failures": 50}, {"at": 7200, "validations": 200, "failures": 10}]);
        let mut old = totals.clone();
        old["version"] = json!("shop/1.9");
        old["rate"] = json!(0.05);
        for (name, value) in [
            ("reasons", json!([])),
            ("previous", json!(null)),
            ("change", json!(null)),
            ("series", json!([])),
        ] {
            old[name] = value;
        }
        let whole =
            json!({"since": 0, "until": 10_000, "bucket": "hour", "total": totals, "versions": [new, old]});
        serde_json::from_value(whole).expect("a report")
    }

    #[test]
    fn a_report_is_a_table_with_a_line_over_time() {
        let lines = report("shop/1.10\u{1b}").table().lines();
        assert_eq!(
            lines,
            [
                "VERSION     VALIDATIONS  FAILED  RATE    CHANGE             OVER TIME  WHY",
                "shop/1.10\u{fffd}  300          60      20.0 %  +15.0 on shop/1.9  █·▂        refresh.reuse 50, verify.expired 10",
                "shop/1.9    300          60      5.0 %   -                  ···",
            ]
        );
        assert_eq!(
            report("x/1").sentence(),
            "60 of 300 tokens refused (20.0 %), 1 of 5 logins, since 1970-01-01 00:00:00Z"
        );
    }

    #[test]
    fn long_times_are_drawn_together_and_no_answer_is_too_long() {
        let mut long = report("x/1");
        long.until = 71 * 3600 + 5;
        let points = long.points(&long.versions[0], COLUMNS);
        assert_eq!((points.len(), points[0].validations, points[0].failures), (24, 300, 60));
        long.until = u64::MAX;
        assert!(long.points(&long.versions[0], COLUMNS).len() <= COLUMNS);
        long.since = u64::MAX;
        assert_eq!(long.points(&long.versions[0], COLUMNS).len(), 1);
    }

    #[test]
    fn no_failure_at_all_is_a_flat_line() {
        let quiet = Point { at: 0, validations: 5, failures: 0 };
        assert_eq!(sparkline(&[quiet, Point::default(), quiet], 0.0), "▁·▁");
    }
}
