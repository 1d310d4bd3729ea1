//! What goes to the terminal: tables for people, JSON for scripts. Results go to standard output, everything said about
//! them to standard error. A reader that has gone ends nothing badly.

pub mod time;

use std::io::{self, IsTerminal as _, Write as _};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use serde_json::Value;

/// Whether people or scripts read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Tables and sentences.
    Text,
    /// One JSON document.
    Json,
}

/// Prints a line of the result.
pub fn line(text: &str) {
    drop(writeln!(io::stdout().lock(), "{text}"));
}

/// Says something about the result.
pub fn note(text: &str) {
    drop(writeln!(io::stderr().lock(), "{text}"));
}

/// Prints a JSON document.
pub fn json(value: &Value) {
    line(&format!("{value:#}"));
}

/// A table with a head, columns as wide as they must be.
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns.
    pub fn new<const N: usize>(head: [&str; N]) -> Self {
        Self { rows: vec![head.map(str::to_owned).into()] }
    }

    /// One more row.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into());
    }

    /// The lines of the table, without blanks at their ends.
    pub fn lines(&self) -> Vec<String> {
        let columns = self.rows.first().map_or(0, Vec::len);
        let width = |text: &String| text.chars().count();
        let widths: Vec<usize> = (0..columns)
            .map(|column| self.rows.iter().filter_map(|row| row.get(column)).map(width).max().unwrap_or(0))
            .collect();
        let padded = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}"));
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        self.rows.iter().map(padded).collect()
    }

    /// Prints the table.
    pub fn print(&self) {
        self.lines().iter().for_each(|text| line(text));
    }
}

/// One thing, member by member.
pub fn members<const N: usize>(pairs: [(&str, String); N]) {
    let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, value) in pairs {
        line(format!("{name:width$}  {value}").trim_end());
    }
}

/// A value as a cell: lists joined, yes and no, a dash for nothing. Control characters, which others may have chosen,
/// do not reach the terminal.
pub fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => plain(text),
        Value::Array(items) if items.is_empty() => "-".to_owned(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(","),
        Value::Object(members) if members.is_empty() => "-".to_owned(),
        Value::Number(_) | Value::Object(_) => plain(&value.to_string()),
    }
}

/// A moment as a cell.
pub fn moment(value: &Value) -> String {
    value.as_u64().map_or_else(|| "-".to_owned(), time::utc)
}

/// A text without control characters, which the terminal would obey.
pub fn plain(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '\u{fffd}' } else { character }).collect()
}

/// A bar that counts to `total` on the terminal, and is silent where there is none.
pub fn progress(total: Option<u64>, unit: &str) -> ProgressBar {
    let target =
        if io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(total, target);
    let template = match total {
        Some(_) => {
            format!("{{bar:30}} {{human_pos}} of {{human_len}} {unit}, {{rate}}, {{eta}} left  {{msg}}")
        }
        None => format!("{{spinner}} {{human_pos}} {unit}, {{rate}}  {{msg}}"),
    };
    let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style.with_key("rate", |state: &ProgressState, text: &mut dyn std::fmt::Write| {
        let _ = write!(text, "{:.0}/s", state.per_sec());
    }));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(["KID", "STATE", ""]);
        table.row(["8Z519".to_owned(), "active".to_owned(), "x".to_owned()]);
        table.row(["é".to_owned(), "-".to_owned(), String::new()]);
        assert_eq!(table.lines(), ["KID    STATE", "8Z519  active  x", "é      -"]);
    }

    #[test]
    fn values_become_cells() {
        for (value, text) in [
            (json!(null), "-"),
            (json!(""), "-"),
            (json!([]), "-"),
            (json!({}), "-"),
            (json!(["a", "b"]), "a,b"),
            (json!(true), "yes"),
            (json!(7), "7"),
            (json!({"a": 1}), r#"{"a":1}"#),
            (json!("a\u{1b}[31mb\n"), "a\u{fffd}[31mb\u{fffd}"),
        ] {
            assert_eq!(cell(&value), text);
        }
        assert_eq!(moment(&json!(1_800_000_000)), "2027-01-15 08:00:00Z");
        assert_eq!(moment(&json!(null)), "-");
    }
}
