//! How the tour looks. Tokens are shortened: even a demo's output gets pasted somewhere.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::StatusCode;

/// Why the tour ended early.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Opens a step.
pub fn step(title: &str, shows: &str) {
    static NUMBER: AtomicUsize = AtomicUsize::new(1);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    line(&format!("\n{number}. {title}: {shows}"));
}

/// A request and its status.
pub fn call(method: &str, url: &str, status: StatusCode) {
    line(&format!("   {method:<4} {url}  {}", status.as_u16()));
}

/// A token, shortened.
pub fn token(name: &str, token: &str) {
    let (head, tail) =
        (token.get(..12).unwrap_or(token), token.get(token.len().saturating_sub(6)..).unwrap_or(""));
    line(&format!("        {name:<16} {head}…{tail} ({} characters)", token.len()));
}

/// A fact.
pub fn note(text: &str) {
    line(&format!("        {text}"));
}

/// An expectation: shown when it holds, the end of the tour when it does not.
pub fn check(holds: bool, what: &str) -> Result<(), Failure> {
    if holds {
        line(&format!("     ok {what}"));
        return Ok(());
    }
    Err(format!("expected: {what}").into())
}

/// A line of the tour; a reader that has gone does not matter.
pub fn line(text: &str) {
    drop(writeln!(std::io::stdout(), "{text}"));
}
