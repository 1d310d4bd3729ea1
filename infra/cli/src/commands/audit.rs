//! The audit log.

use std::collections::BTreeSet;
use std::time::Duration;

use clap::Subcommand;
use leasehold::clock;
use serde_json::Value;

use crate::context::Context;
use crate::failure::Failure;
use crate::output::time::parse_span;
use crate::output::{self, Format, cell, moment};
use crate::service::Service;

/// How often the log is asked for what is new.
const EVERY: Duration = Duration::from_secs(2);
/// How far back a new question reaches: events of the same second, and clocks that differ a little.
const OVERLAP_SECONDS: u64 = 10;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print the latest events, the oldest first
    Tail {
        /// How many at most
        #[arg(long, default_value_t = 20, value_name = "N")]
        limit: usize,
        /// Only those of so long ago or later: 90s, 15m, 6h, 7d
        #[arg(long, value_name = "SPAN", value_parser = parse_span)]
        since: Option<u64>,
        /// Wait for more until interrupted
        #[arg(long, short)]
        follow: bool,
    },
}

pub async fn run(context: &mut Context, command: Command) -> Result<(), Failure> {
    let Command::Tail { limit, since, follow } = command;
    let format = context.format();
    let service = context.service()?;
    let since = since.map(|span| clock::now().seconds().saturating_sub(span));
    let mut seen = Seen::default();
    let mut from = since.unwrap_or_else(|| clock::now().seconds());
    let (mut events, _) = events(&service, since, limit).await?;
    loop {
        events.reverse();
        for event in events.iter().filter(|event| seen.is_new(event)) {
            from = from.max(event["at"].as_u64().unwrap_or(0));
            match format {
                // One event a line: a stream has no end at which a document could be closed.
                Format::Json => output::line(&event.to_string()),
                Format::Text => output::line(&sentence(event)),
            }
        }
        if !follow {
            return Ok(());
        }
        tokio::time::sleep(EVERY).await;
        (events, _) = self::events(&service, Some(from.saturating_sub(OVERLAP_SECONDS)), usize::MAX).await?;
    }
}

/// Events from a moment on, the newest first.
async fn events(
    service: &Service<'_>,
    since: Option<u64>,
    limit: usize,
) -> Result<(Vec<Value>, bool), Failure> {
    let query: Vec<_> = since.map(|since| ("since", since.to_string())).into_iter().collect();
    service.list("audit", &query, limit).await
}

/// The ids of the last events, so that none is shown twice.
#[derive(Default)]
struct Seen {
    by_time: BTreeSet<(u64, String)>,
}

impl Seen {
    fn is_new(&mut self, event: &Value) -> bool {
        let at = event["at"].as_u64().unwrap_or(0);
        let is_new = self.by_time.insert((at, event["id"].as_str().unwrap_or_default().to_owned()));
        let newest = self.by_time.last().map_or(0, |(at, _)| *at);
        // Twice the overlap: nothing older is asked for again.
        self.by_time = self.by_time.split_off(&(newest.saturating_sub(2 * OVERLAP_SECONDS), String::new()));
        is_new
    }
}

/// An event on a line.
fn sentence(event: &Value) -> String {
    let word = |value: &Value| Some(value).filter(|value| !value.is_null()).map(cell);
    let pair = |words: [Option<String>; 2]| words.into_iter().flatten().collect::<Vec<_>>().join(" ");
    let outcome = &event["outcome"];
    let refused = pair([word(outcome), word(&event["reason"])]);
    let parts = [
        moment(&event["at"]),
        pair([word(&event["actor"]["kind"]), word(&event["actor"]["id"])]),
        pair([word(&event["action"]), word(&event["target"])]),
        if outcome == "ok" { String::new() } else { refused },
        word(&event["source"]).map_or_else(String::new, |source| format!("from {source}")),
        event["detail"]
            .as_object()
            .filter(|detail| !detail.is_empty())
            .map_or_else(String::new, |_| cell(&event["detail"])),
    ];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("  ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_event_is_a_line() {
        for (event, line) in [
            (
                json!({"id": "1", "at": 1_800_000_000, "actor": {"kind": "user", "id": "usr_1"}, "action": "user.create", "target": "usr_2", "source": "192.0.2.1", "outcome": "ok", "detail": {"members": ["roles"]}}),
                "2027-01-15 08:00:00Z  user usr_1  user.create usr_2  from 192.0.2.1  {\"members\":[\"roles\"]}",
            ),
            (
                json!({"id": "2", "at": 0, "actor": {"kind": "operator"}, "action": "key.promote", "outcome": "refused", "reason": "too_early"}),
                "1970-01-01 00:00:00Z  operator  key.promote  refused too_early",
            ),
        ] {
            assert_eq!(sentence(&event), line);
        }
    }

    #[test]
    fn no_event_is_shown_twice_and_none_is_kept_for_ever() {
        let mut seen = Seen::default();
        let event = |id: &str, at: u64| json!({"id": id, "at": at});
        assert!(seen.is_new(&event("a", 100)) && seen.is_new(&event("b", 100)));
        assert!(!seen.is_new(&event("a", 100)));
        assert!(seen.is_new(&event("c", 110)) && !seen.is_new(&event("b", 100)));
        assert!(seen.is_new(&event("d", 1000)));
        assert_eq!(seen.by_time.len(), 1);
    }
}
