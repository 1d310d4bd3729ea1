//! Why a token is refused, as the service sees it.

use clap::Args;
use serde_json::{Value, json};

use crate::ask;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, Format, cell, moment};
use crate::service::Call;

/// Say which check refuses an access or refresh token of the tenant, since when and by whom
///
/// The token comes from standard input, or is asked for without echo, so that it stays out of the shell's history. Nothing
/// is changed by asking. Needs `admin:sessions`; who ended a session is told to holders of `admin:audit` too.
#[derive(Args, Debug)]
pub struct Arguments {
    /// The API that refused the token
    #[arg(long, value_name = "AUDIENCE")]
    audience: Option<String>,
}

pub async fn run(context: &mut Context, arguments: Arguments) -> Result<(), Failure> {
    let format = context.format();
    let service = context.service()?;
    let mut body = json!({ "token": ask::token()? });
    if let Some(audience) = arguments.audience {
        body["audience"] = json!(audience);
    }
    let (told, _) = service.json(Call::step("explain".to_owned(), &body)).await?;
    match format {
        Format::Json => output::json(&told),
        Format::Text => lines(&told).iter().for_each(|text| output::line(text)),
    }
    Ok(())
}

fn lines(told: &Value) -> Vec<String> {
    let kind = cell(&told["kind"]).replace('_', " ");
    let verdict =
        if told["good"] == true { "good".to_owned() } else { format!("refused: {}", cell(&told["reason"])) };
    let mut lines = vec![format!("{kind}, {verdict}")];
    if let Some(about) = told["about"].as_object() {
        let told = about.iter().map(|(name, value)| match name.as_str() {
            "iat" | "exp" => format!("{name} {}", moment(value)),
            _ => format!("{name} {}", cell(value)),
        });
        lines.push(told.collect::<Vec<_>>().join("  "));
    }
    let checks = told["checks"].as_array().map(Vec::as_slice).unwrap_or_default();
    let width = checks.iter().map(|check| cell(&check["check"]).chars().count()).max().unwrap_or(0);
    for check in checks {
        let mark = match check["outcome"].as_str() {
            Some("ok") => "ok",
            Some("failed") => "NO",
            _ => "-",
        };
        let name = cell(&check["check"]);
        lines.push(format!("  {mark:2}  {name:width$}  {}", cell(&check["detail"])));
        let more: Vec<String> = [since(check), by(check)].into_iter().flatten().collect();
        if !more.is_empty() {
            lines.push(format!("      {:width$}  {}", "", more.join(", ")));
        }
    }
    if let Some(effect) = told["refresh"]["effect"].as_str() {
        lines.push(output::plain(effect));
    }
    match told["audit_log"].as_str() {
        Some("not_allowed") => lines.push("By whom is told to who holds admin:audit.".to_owned()),
        Some("too_long") => lines.push("The audit log is too long to be searched back to then.".to_owned()),
        _ => {}
    }
    lines
}

fn since(check: &Value) -> Option<String> {
    check["since"].as_u64().map(|seconds| format!("since {}", output::time::utc(seconds)))
}

fn by(check: &Value) -> Option<String> {
    let by = check["by"].as_object()?;
    let who = match by["actor"]["id"].as_str() {
        Some(id) => format!("user {}", output::plain(id)),
        None => cell(&by["actor"]["kind"]),
    };
    Some(format!("by {who} ({} at {})", cell(&by["action"]), moment(&by["at"])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_explained_line_by_line_and_nothing_reaches_the_terminal_raw() {
        let told = json!({
            "kind": "access_token", "good": false, "reason": "session",
            "about": {"sub": "usr_1", "sid": "s1", "client_id": "app", "exp": 0},
            "checks": [
                {"check": "form", "outcome": "ok", "detail": "Three parts."},
                {"check": "session", "outcome": "failed", "reason": "session", "detail": "Ended\u{1b}[2J.", "since": 0,
                 "by": {"at": 0, "action": "session.end", "actor": {"kind": "user", "id": "usr_2"}}},
                {"check": "audience", "outcome": "skipped", "detail": "No API was named."},
            ],
            "audit_log": "searched",
        });
        let wanted = [
            "access token, refused: session",
            "client_id app  exp 1970-01-01 00:00:00Z  sid s1  sub usr_1",
            "  ok  form      Three parts.",
            "  NO  session   Ended\u{fffd}[2J.",
            "                since 1970-01-01 00:00:00Z, by user usr_2 (session.end at 1970-01-01 00:00:00Z)",
            "  -   audience  No API was named.",
        ];
        assert_eq!(lines(&told), wanted);
        let good =
            json!({"kind": "refresh_token", "good": true, "checks": [], "refresh": {"effect": "Fine."}});
        assert_eq!(lines(&good), ["refresh token, good", "Fine."]);
    }
}
