//! The `leasehold` command line, run as its users run it: with an environment and a config folder of its own.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::http::fail;
use crate::settings;
use crate::stack::Stack;

/// One user's command line.
#[derive(Clone, Debug)]
pub struct Cli {
    folder: PathBuf,
    environment: Vec<(String, String)>,
}

impl Cli {
    /// A user at the machine of a local stack.
    pub fn of(stack: &Stack) -> Self {
        Self::anywhere().env("LEASEHOLD_LOCAL", &stack.data().display().to_string())
    }

    /// A user who names everything.
    pub fn anywhere() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = settings::scratch().join(format!("cli-{}-{n}", std::process::id()));
        drop(fs::remove_dir_all(&folder));
        fs::create_dir_all(&folder).expect("a home folder");
        Self { folder, environment: Vec::new() }
    }

    /// One more variable of the environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The user's home folder.
    pub fn home(&self) -> &Path {
        &self.folder
    }

    /// The user's one session file.
    pub fn session_file(&self) -> PathBuf {
        let folder = self.folder.join(".config/leasehold/sessions");
        let files = fs::read_dir(&folder).expect("a folder of sessions").flatten().map(|entry| entry.path());
        let mut found = files.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
        found.next().unwrap_or_else(|| fail("nobody is signed in"))
    }

    /// Runs a command to its end, with nothing to read.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(arguments, "")
    }

    /// Runs a command to its end, with this to read.
    pub fn run_with(&self, arguments: &[&str], input: &str) -> Ran {
        let mut child = self.start(arguments);
        // A command that reads nothing may have ended already.
        drop(child.stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes())));
        let output = child.wait_with_output().expect("the command ends");
        Ran {
            command: arguments.join(" "),
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Starts a command.
    pub fn start(&self, arguments: &[&str]) -> Child {
        let binary = settings::binaries().join("leasehold");
        assert!(binary.exists(), "{} is missing: cargo build --workspace first", binary.display());
        let mut command = Command::new(binary);
        command.args(arguments).current_dir(&self.folder).env_clear();
        command.env("HOME", &self.folder).env("PATH", "/nowhere");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("the command starts")
    }
}

/// A command that has ended.
#[derive(Clone, Debug)]
pub struct Ran {
    command: String,
    /// Exit code; nothing when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Ran {
    /// Requires an exit code.
    #[track_caller]
    #[expect(
        clippy::return_self_not_must_use,
        reason = "an assertion; what it returns is there to go on with"
    )]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| fail(&format!("no JSON: {self}")))
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "leasehold {} ended with {:?}\n{}\n{}", self.command, self.code, self.out, self.err)
    }
}
