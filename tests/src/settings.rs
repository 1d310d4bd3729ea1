//! What the tests take from outside: the place of the binaries and the few variables that make runs longer.

use std::path::{Path, PathBuf};

/// The folder that holds the binaries of this build: the parent of the test binary's `deps`.
pub fn binaries() -> PathBuf {
    let test = std::env::current_exe().expect("the path of the test binary");
    let deps = test.parent().expect("a folder");
    deps.parent().expect("target/<profile>").to_owned()
}

/// Where the stacks of test runs keep their data and logs.
pub fn scratch() -> PathBuf {
    binaries().join("stacks")
}

/// The root of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the repository")
}

/// A whole number from the environment, for longer runs than the everyday suite (`ROUNDS=200`).
#[expect(clippy::disallowed_methods, reason = "the one place where the tests read the environment")]
pub fn number(variable: &str, default: usize) -> usize {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}
