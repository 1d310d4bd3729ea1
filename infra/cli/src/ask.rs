//! Asking the person at the terminal: for secrets, and whether they mean it.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};

use clap::Args;

use crate::failure::Failure;

/// How much of standard input is looked at for a token, in bytes: far more than any token has.
const LONGEST_INPUT: u64 = 65_536;

/// Whether what can't be undone is asked about.
#[derive(Args, Clone, Copy, Debug)]
pub struct Sure {
    /// Do it without asking; for scripts
    #[arg(long)]
    pub yes: bool,
}

/// Lets a person confirm what can't be undone, by typing the name of what is gone afterwards.
pub fn confirm(sure: Sure, what: &str, name: &str) -> Result<(), Failure> {
    if sure.yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(Failure::Usage(format!("{what} It can't be undone; --yes says that you mean it.")));
    }
    let mut terminal = io::stderr().lock();
    drop(write!(terminal, "{what} It can't be undone.\nType {name} to go on: "));
    drop(terminal.flush());
    if line()? == name {
        Ok(())
    } else {
        Err(Failure::Usage("nothing was done: that was another name".to_owned()))
    }
}

/// A secret, typed without echo, or the first line of standard input.
pub fn secret(prompt: &str, from_stdin: bool) -> Result<String, Failure> {
    let secret = if from_stdin {
        line()?
    } else if io::stdin().is_terminal() {
        rpassword::prompt_password(format!("{prompt}: ")).map_err(|error| unread(&error))?
    } else {
        return Err(Failure::Usage(format!(
            "no terminal to ask for the {} on; --password-stdin takes it from standard input",
            prompt.to_lowercase()
        )));
    };
    if secret.is_empty() {
        return Err(Failure::Usage(format!("the {} is empty", prompt.to_lowercase())));
    }
    Ok(secret)
}

/// A token: typed without echo, or all of standard input.
pub fn token() -> Result<String, Failure> {
    let token = if io::stdin().is_terminal() {
        rpassword::prompt_password("Token: ").map_err(|error| unread(&error))?
    } else {
        let mut text = String::new();
        io::stdin().lock().take(LONGEST_INPUT).read_to_string(&mut text).map_err(|error| unread(&error))?;
        text
    };
    let token = token.trim();
    if token.is_empty() {
        return Err(Failure::Usage("no token: it is read from standard input".to_owned()));
    }
    Ok(token.to_owned())
}

/// A new password, typed twice.
pub fn new_password(from_stdin: bool) -> Result<String, Failure> {
    let first = secret("New password", from_stdin)?;
    if !from_stdin && secret("The same again", false)? != first {
        return Err(Failure::Usage("nothing was done: the passwords differ".to_owned()));
    }
    Ok(first)
}

/// A name, typed.
pub fn name(prompt: &str) -> Result<String, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::Usage(format!("no terminal to ask for the {} on", prompt.to_lowercase())));
    }
    let mut terminal = io::stderr().lock();
    drop(write!(terminal, "{prompt}: "));
    drop(terminal.flush());
    line()
}

/// The next line of standard input, without its end.
fn line() -> Result<String, Failure> {
    let mut text = String::new();
    io::stdin().lock().read_line(&mut text).map_err(|error| unread(&error))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

fn unread(error: &io::Error) -> Failure {
    Failure::Other(format!("cannot read from the terminal: {error}"))
}
