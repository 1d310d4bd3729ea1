//! The few events that alarms watch, as metrics: lines on standard output in CloudWatch's embedded metric format, which
//! CloudWatch counts by itself. Everything by route, tenant or client version stays in the log, where a query finds it;
//! as a metric each would cost every month.
//!
//! `infra/metrics.txt` lists them for those who set alarms; a test compares.

use std::io::Write as _;
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::clock::{self, Timestamp};
use crate::config::stage;

/// An event that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// KMS refused a call because of its rate.
    KmsThrottled,
    /// A request gave up because other writers kept coming first.
    WriteConflicts,
    /// A spent refresh token came back and its family was ended.
    Reuse,
    /// A login was over a limit.
    LoginThrottled,
    /// An item in the table did not read as its kind.
    Corrupt,
    /// A step of a scheduled run failed.
    ScheduleFailed,
}

impl Metric {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::KmsThrottled,
        Self::WriteConflicts,
        Self::Reuse,
        Self::LoginThrottled,
        Self::Corrupt,
        Self::ScheduleFailed,
    ];

    /// Its name in CloudWatch.
    pub const fn name(self) -> &'static str {
        match self {
            Self::KmsThrottled => "KmsThrottled",
            Self::WriteConflicts => "WriteConflicts",
            Self::Reuse => "Reuse",
            Self::LoginThrottled => "LoginThrottled",
            Self::Corrupt => "Corrupt",
            Self::ScheduleFailed => "ScheduleFailed",
        }
    }

    /// What the refusal of a request is counted as, by the reason and the cause that its log line names.
    pub fn of_refusal(reason: &str, cause: Option<&str>) -> Option<Self> {
        let throttled = |cause: &str| cause.contains("Throttl") || cause.contains("LimitExceeded");
        match reason {
            "kms" | "kms_key" if cause.is_some_and(throttled) => Some(Self::KmsThrottled),
            "contended" => Some(Self::WriteConflicts),
            "reuse" => Some(Self::Reuse),
            "throttled" => Some(Self::LoginThrottled),
            "corrupt" => Some(Self::Corrupt),
            _ => None,
        }
    }

    /// Counts the event once.
    pub fn count(self) {
        static STAGE: OnceLock<String> = OnceLock::new();
        let line = self.line(STAGE.get_or_init(stage), clock::now());
        // A log that can't be written has nobody who could be told.
        let _unheard = writeln!(std::io::stdout().lock(), "{line}");
    }

    fn line(self, stage: &str, at: Timestamp) -> Value {
        let name = self.name();
        let metric = json!({ "Name": name, "Unit": "Count" });
        let directive = json!({ "Namespace": "Leasehold", "Dimensions": [["stage"]], "Metrics": [metric] });
        json!({ "_aws": { "Timestamp": at.millis(), "CloudWatchMetrics": [directive] }, "stage": stage, name: 1 })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_list_for_those_who_set_alarms_is_complete() {
        let text = include_str!("../../infra/metrics.txt");
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let listed: BTreeSet<&str> = lines.filter_map(|line| line.split_whitespace().next()).collect();
        let ours = Metric::ALL.map(Metric::name).into_iter();
        assert_eq!(listed, ours.chain(crate::health::emf::METRICS).collect());
    }

    #[test]
    fn a_line_is_what_cloudwatch_takes_for_a_metric() {
        let line = Metric::Reuse.line("prod", Timestamp::from_millis(1_800_000_000_123));
        assert_eq!(line["_aws"]["Timestamp"], 1_800_000_000_123_u64);
        let directive = &line["_aws"]["CloudWatchMetrics"][0];
        // Every dimension and every metric that the directive names is a member beside it.
        let dimensions = directive["Dimensions"][0].as_array().unwrap();
        assert!(dimensions.iter().all(|name| line[name.as_str().unwrap()].is_string()));
        for metric in directive["Metrics"].as_array().unwrap() {
            assert_eq!(line[metric["Name"].as_str().unwrap()], 1);
        }
        assert_eq!(line["stage"], "prod");
    }

    #[test]
    fn refusals_are_counted_by_their_reason() {
        for (reason, cause, expected) in [
            ("kms", Some("KMS is unavailable: Sign: ThrottlingException"), Some(Metric::KmsThrottled)),
            ("kms", Some("KMS is unavailable: Sign: timed out"), None),
            ("store", Some("the table is unavailable: PutItem: ThrottlingException"), None),
            ("contended", None, Some(Metric::WriteConflicts)),
            ("reuse", None, Some(Metric::Reuse)),
            ("throttled", None, Some(Metric::LoginThrottled)),
            ("corrupt", Some("corrupt item of kind user"), Some(Metric::Corrupt)),
            ("unknown", None, None),
        ] {
            assert_eq!(Metric::of_refusal(reason, cause), expected, "{reason} {cause:?}");
        }
    }
}
