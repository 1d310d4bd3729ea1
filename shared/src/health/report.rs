//! From stored counters to what a person reads: validations, failures and their rate by client version, the reasons, and
//! the change against the version before.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Place, versions};
use crate::clock::Timestamp;

/// How many reasons are told of a version.
const TOP_REASONS: usize = 5;

/// The counters of one hour and version, as they are stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hour {
    /// Hours since the epoch.
    pub hour: u64,
    /// The version, [`super::OTHER`] or [`super::NONE`].
    pub version: String,
    /// By the name of the counter.
    pub counts: BTreeMap<String, u64>,
}

/// What the series of a report is divided into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Bucket {
    /// Hours.
    Hour,
    /// Days, by UTC.
    Day,
}

impl Bucket {
    const fn start(self, hour: u64) -> u64 {
        match self {
            Self::Hour => hour * 3600,
            Self::Day => hour / 24 * 86_400,
        }
    }
}

/// A report.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// From when on, in epoch seconds.
    pub since: u64,
    /// Until when, in epoch seconds.
    pub until: u64,
    /// What the series are divided into.
    pub bucket: Bucket,
    /// Over all versions.
    pub total: Totals,
    /// By version, the busiest first.
    pub versions: Vec<Version>,
}

/// What was decided of a version, or of all.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Totals {
    /// Tokens that were decided on: by the authorizer, on routes with an access token, at refresh.
    pub validations: u64,
    /// Those that were refused.
    pub failures: u64,
    /// `failures / validations`; 0 where there are none.
    pub rate: f64,
    /// Logins that were decided on.
    pub logins: u64,
    /// Those that were refused.
    pub login_failures: u64,
}

/// The health of one version.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Version {
    /// `<app>/<version>`, `other` or `none`.
    pub version: String,
    /// Its numbers.
    #[serde(flatten)]
    pub totals: Totals,
    /// Why tokens were refused, the most frequent first.
    pub reasons: Vec<Reason>,
    /// The version of the same app before it, of those in the report.
    pub previous: Option<String>,
    /// Its rate less that of the version before.
    pub change: Option<f64>,
    /// Over time, buckets without anything left out.
    pub series: Vec<Point>,
}

/// A reason and how often it was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// `<place>.<reason>`.
    pub reason: String,
    /// How often.
    pub count: u64,
}

/// One bucket of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Point {
    /// Its start, in epoch seconds.
    pub at: u64,
    /// Tokens that were decided on.
    pub validations: u64,
    /// Those that were refused.
    pub failures: u64,
}

#[derive(Default)]
struct Sums {
    totals: Totals,
    reasons: BTreeMap<String, u64>,
    series: BTreeMap<u64, (u64, u64)>,
}

impl Sums {
    fn add(&mut self, at: u64, counter: &str, count: u64) {
        let (place, reason) = counter.split_once('.').unwrap_or((counter, ""));
        let failed = if reason == "ok" { 0 } else { count };
        if place == Place::Login.name() {
            self.totals.logins += count;
            self.totals.login_failures += failed;
            return;
        }
        self.totals.validations += count;
        self.totals.failures += failed;
        let (validations, failures) = self.series.entry(at).or_default();
        *validations += count;
        *failures += failed;
        if failed > 0 {
            *self.reasons.entry(counter.to_owned()).or_default() += failed;
        }
    }

    fn totals(mut self) -> Totals {
        self.totals.rate = rate(&self.totals);
        self.totals
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52, and a rate is for people")]
fn rate(totals: &Totals) -> f64 {
    if totals.validations == 0 { 0.0 } else { totals.failures as f64 / totals.validations as f64 }
}

impl Report {
    /// The report of stored counters.
    pub fn of(hours: &[Hour], bucket: Bucket, since: Timestamp, until: Timestamp) -> Self {
        let mut total = Sums::default();
        let mut by_version: BTreeMap<&str, Sums> = BTreeMap::new();
        for Hour { hour, version, counts } in hours {
            let at = bucket.start(*hour);
            let sums = by_version.entry(version).or_default();
            for (counter, count) in counts {
                sums.add(at, counter, *count);
                total.add(at, counter, *count);
            }
        }
        let rates: BTreeMap<String, f64> =
            by_version.iter().map(|(version, sums)| ((*version).to_owned(), rate(&sums.totals))).collect();
        let mut versions: Vec<Version> =
            by_version.into_iter().map(|(version, sums)| describe(version, sums, &rates)).collect();
        versions
            .sort_by_key(|version| std::cmp::Reverse((version.totals.validations, version.totals.logins)));
        Self { since: since.seconds(), until: until.seconds(), bucket, total: total.totals(), versions }
    }
}

fn describe(version: &str, sums: Sums, rates: &BTreeMap<String, f64>) -> Version {
    let mut reasons: Vec<Reason> =
        sums.reasons.iter().map(|(reason, count)| Reason { reason: reason.clone(), count: *count }).collect();
    reasons.sort_by_key(|reason| std::cmp::Reverse(reason.count));
    reasons.truncate(TOP_REASONS);
    let points = sums.series.iter().map(|(at, (validations, failures))| Point {
        at: *at,
        validations: *validations,
        failures: *failures,
    });
    let series = points.collect();
    let previous = previous(version, rates.keys().map(String::as_str));
    let change = previous.and_then(|previous| Some(rates.get(version)? - rates.get(previous)?));
    let previous = previous.map(str::to_owned);
    Version { version: version.to_owned(), totals: sums.totals(), reasons, previous, change, series }
}

/// The latest version of the same app that comes before this one.
fn previous<'a>(version: &str, all: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let app = versions::app(version);
    if !version.contains('/') {
        return None;
    }
    all.filter(|other| other.contains('/') && versions::app(other) == app)
        .filter(|other| versions::compare(other, version).is_lt())
        .max_by(|left, right| versions::compare(left, right))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hour(hour: u64, version: &str, counts: &[(&str, u64)]) -> Hour {
        let counts = counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        Hour { hour, version: version.to_owned(), counts }
    }

    #[test]
    fn numbers_add_up_and_versions_are_set_against_the_one_before() {
        let hours = [
            hour(24, "shop/1.9", &[("verify.ok", 90), ("verify.expired", 10)]),
            hour(
                25,
                "shop/1.10",
                &[("verify.ok", 60), ("refresh.ok", 10), ("refresh.reuse", 20), ("verify.expired", 10)],
            ),
            hour(49, "shop/1.10", &[("authorizer.ok", 100), ("login.ok", 5), ("login.wrong_password", 3)]),
            hour(25, "other", &[("verify.unknown_key", 7)]),
        ];
        let (since, until) = (Timestamp::from_seconds(0), Timestamp::from_seconds(200_000));
        let report = Report::of(&hours, Bucket::Day, since, until);
        let total = &report.total;
        assert_eq!((total.validations, total.failures, total.logins, total.login_failures), (307, 47, 8, 3));
        let names: Vec<&str> = report.versions.iter().map(|version| version.version.as_str()).collect();
        assert_eq!(names, ["shop/1.10", "shop/1.9", "other"]);
        let new = &report.versions[0];
        assert_eq!((new.totals.validations, new.totals.failures), (200, 30));
        assert!((new.totals.rate - 0.15).abs() < 1e-9);
        assert_eq!(new.previous.as_deref(), Some("shop/1.9"), "1.10 comes after 1.9");
        assert!((new.change.unwrap() - 0.05).abs() < 1e-9);
        assert_eq!(new.reasons[0], Reason { reason: "refresh.reuse".to_owned(), count: 20 });
        let points = [
            Point { at: 86_400, validations: 100, failures: 30 },
            Point { at: 172_800, validations: 100, failures: 0 },
        ];
        assert_eq!(new.series, points);
        assert_eq!((&report.versions[1].previous, report.versions[2].change), (&None, None));
    }

    #[test]
    fn nothing_counted_is_no_failure() {
        let at = Timestamp::from_seconds(0);
        let report = Report::of(&[], Bucket::Hour, at, at);
        assert_eq!((report.total, report.versions), (Totals::default(), vec![]));
    }
}
