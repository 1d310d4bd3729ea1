//! Counts as CloudWatch metrics: lines in the embedded metric format. The version is a member of the line, where a query
//! finds it, and a dimension only for versions that an admin pinned: each dimension is a metric that costs every month.

use serde_json::{Map, Value, json};

use super::{Counts, Place};
use crate::clock::Timestamp;
use crate::id::TenantId;

/// The names of the metrics.
pub const METRICS: [&str; 2] = ["Validations", "ValidationFailures"];

/// What a line is about.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The deployment.
    pub stage: &'a str,
    /// The tenant.
    pub tenant: &'a TenantId,
    /// The row that was counted in.
    pub version: &'a str,
    /// Whether an admin pinned it.
    pub pinned: bool,
}

/// The line of some counts; `None` when there is no validation among them.
pub fn line(subject: Subject<'_>, counts: &Counts, at: Timestamp) -> Option<Value> {
    let tokens = || counts.iter().filter(|(decision, _)| decision.place != Place::Login);
    let validations: u64 = tokens().map(|(_, count)| u64::from(*count)).sum();
    if validations == 0 {
        return None;
    }
    let failed = || tokens().filter(|(decision, _)| decision.reason.is_some());
    let failures: u64 = failed().map(|(_, count)| u64::from(*count)).sum();
    let reasons: Map<String, Value> =
        failed().map(|(decision, count)| (decision.counter(), json!(count))).collect();
    let mut dimensions = vec![vec!["stage"]];
    if subject.pinned {
        dimensions.push(vec!["stage", "tenant", "client_version"]);
    }
    let metrics: Vec<Value> = METRICS.iter().map(|name| json!({ "Name": name, "Unit": "Count" })).collect();
    let directive = json!({ "Namespace": "Leasehold", "Dimensions": dimensions, "Metrics": metrics });
    Some(json!({
        "_aws": { "Timestamp": at.millis(), "CloudWatchMetrics": [directive] },
        "stage": subject.stage,
        "tenant": subject.tenant,
        "client_version": subject.version,
        "Validations": validations,
        "ValidationFailures": failures,
        "reasons": reasons,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::Decision;

    #[test]
    fn a_line_is_what_cloudwatch_takes_for_metrics() {
        let tenant: TenantId = "acme".parse().unwrap();
        let of = |place, reason| Decision { place, reason };
        let counts = Counts::from([
            (of(Place::Verify, None), 7),
            (of(Place::Verify, Some("expired")), 2),
            (of(Place::Login, Some("wrong_password")), 9),
        ]);
        let subject = Subject { stage: "prod", tenant: &tenant, version: "shop/1", pinned: false };
        let line = line(subject, &counts, Timestamp::from_millis(1_800_000_000_123)).unwrap();
        assert_eq!((&line["Validations"], &line["ValidationFailures"]), (&json!(9), &json!(2)));
        assert_eq!(line["reasons"], json!({"verify.expired": 2}));
        // The rules of the format (CloudWatch user guide, "Embedded metric format specification"): a timestamp in
        // milliseconds; a namespace; up to 30 dimensions, each a text member beside the directive; each metric a number
        // beside it.
        assert_eq!(line["_aws"]["Timestamp"], 1_800_000_000_123_u64);
        let directive = &line["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(directive["Namespace"], "Leasehold");
        for set in directive["Dimensions"].as_array().unwrap() {
            assert!(set.as_array().unwrap().iter().all(|name| line[name.as_str().unwrap()].is_string()));
        }
        for metric in directive["Metrics"].as_array().unwrap() {
            assert!(line[metric["Name"].as_str().unwrap()].is_number());
        }
        assert_eq!(directive["Dimensions"], json!([["stage"]]), "a version is no dimension");
        let pinned = Subject { pinned: true, ..subject };
        let line = super::line(pinned, &counts, Timestamp::from_seconds(1)).unwrap();
        let directive = &line["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(directive["Dimensions"], json!([["stage"], ["stage", "tenant", "client_version"]]));
    }

    #[test]
    fn logins_alone_are_no_validations() {
        let tenant: TenantId = "acme".parse().unwrap();
        let counts = Counts::from([(Decision { place: Place::Login, reason: None }, 1)]);
        let subject = Subject { stage: "prod", tenant: &tenant, version: "shop/1", pinned: false };
        assert_eq!(line(subject, &counts, Timestamp::from_seconds(1)), None);
    }
}
