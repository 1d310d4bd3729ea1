//! What the tests take from outside: the place of the binaries and the few variables that make runs longer.

use std::path::{Path, PathBuf};

/// The folder that holds the binaries of this build, which test binaries lie below, in `deps`.
pub fn binaries() -> PathBuf {
    let own = std::env::current_exe().expect("the path of this program");
    let folder = own.parent().expect("a folder");
    let below = folder.file_name().is_some_and(|name| name == "deps");
    if below { folder.parent().expect("target/<profile>").to_owned() } else { folder.to_owned() }
}

/// Where the stacks of test runs keep their data and logs.
pub fn scratch() -> PathBuf {
    binaries().join("stacks")
}

/// The root of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the repository")
}

/// Another DynamoDB and another KMS than the embedded ones, for a second opinion: `WITNESS_DYNAMODB_URL`,
/// `WITNESS_KMS_URL`. Both or neither.
#[expect(clippy::disallowed_methods, reason = "see above")]
pub fn witness() -> Option<(String, String)> {
    std::env::var("WITNESS_DYNAMODB_URL").ok().zip(std::env::var("WITNESS_KMS_URL").ok())
}

/// A whole number from the environment, for longer runs than the everyday suite (`ROUNDS=200`).
#[expect(clippy::disallowed_methods, reason = "the one place where the tests read the environment")]
pub fn number(variable: &str, default: usize) -> usize {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// `STACK`: the `seed.json` of a stack that somebody else started, such as one deployed to an emulator of AWS. The tests
/// that share a stack take it; those that need one of their own can't run then.
#[expect(clippy::disallowed_methods, reason = "the one place where the tests read the environment")]
pub fn deployed() -> Option<PathBuf> {
    std::env::var("STACK").ok().filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// `PREVIOUS`: the folder with the binaries of the release before this one, for the tests that run both.
#[expect(clippy::disallowed_methods, reason = "the one place where the tests read the environment")]
pub fn previous() -> Option<PathBuf> {
    std::env::var("PREVIOUS").ok().filter(|path| !path.is_empty()).map(PathBuf::from)
}
