//! What the functions write: every line goes to a file per instance, as CloudWatch would keep it; the console shows
//! what a person should look at.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

/// What of the functions' output the console shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Console {
    /// Warnings, errors and what is not JSON on standard error (panics).
    Problems,
    /// Everything.
    All,
}

/// Which of a process's two streams a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// The log of one instance.
#[derive(Debug, Clone)]
pub struct Log {
    label: String,
    file: Arc<Mutex<File>>,
    console: Console,
}

impl Log {
    /// Opens `<folder>/<label>.log` for appending.
    pub fn open(folder: &Path, label: String, console: Console) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let file = OpenOptions::new().create(true).append(true).open(folder.join(format!("{label}.log")))?;
        Ok(Self { label, file: Arc::new(Mutex::new(file)), console })
    }

    /// Writes one line of the host's own to file and console.
    pub fn note(&self, line: &str) {
        self.append(line.as_bytes());
        tracing::warn!("[{}] {line}", self.label);
    }

    /// Copies a stream until it ends.
    pub async fn copy(self, stream: impl AsyncRead + Unpin, source: Source) {
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).await.is_ok_and(|count| count > 0) {
            while line.last().is_some_and(u8::is_ascii_whitespace) {
                line.pop();
            }
            self.append(&line);
            if self.console == Console::All || is_problem(&line, source) {
                tracing::warn!("[{}] {}", self.label, String::from_utf8_lossy(&line));
            }
            line.clear();
        }
    }

    fn append(&self, line: &[u8]) {
        let mut whole = Vec::with_capacity(line.len() + 1);
        whole.extend_from_slice(line);
        whole.push(b'\n');
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = file.write_all(&whole) {
            tracing::warn!("[{}] its log cannot be written: {error}", self.label);
        }
    }
}

fn is_problem(line: &[u8], source: Source) -> bool {
    match serde_json::from_slice::<Value>(line) {
        Ok(Value::Object(fields)) => fields
            .get("level")
            .and_then(Value::as_str)
            .is_some_and(|level| ["warn", "error"].iter().any(|name| level.eq_ignore_ascii_case(name))),
        _ => source == Source::Stderr && !line.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn console_shows_what_a_person_should_look_at() {
        let rows = [
            (r#"{"level":"INFO","message":"x"}"#, Source::Stderr, false),
            (r#"{"level":"WARN","message":"x"}"#, Source::Stdout, true),
            (r#"{"level":"error","message":"x"}"#, Source::Stdout, true),
            ("thread 'main' panicked at", Source::Stderr, true),
            ("chatter", Source::Stdout, false),
            ("", Source::Stderr, false),
        ];
        for (line, source, shown) in rows {
            assert_eq!(is_problem(line.as_bytes(), source), shown, "{line}");
        }
    }
}
