//! Why a stack cannot start, in words that say what to do about it.

use std::io;
use std::path::PathBuf;

use crate::dynamodb::DynamoDbError;
use crate::kms::KmsError;
use crate::template::TemplateError;

/// Why the stack could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Somebody else listens there.
    #[error(
        "port {port} for {what} is taken by another program; choose another with {flag} (0 takes a free one)"
    )]
    PortTaken {
        /// The port.
        port: u16,
        /// Whose port it would be.
        what: &'static str,
        /// The flag that changes it.
        flag: &'static str,
    },
    /// The port cannot be listened on for another reason.
    #[error("cannot listen on port {port} for {what}: {cause}")]
    Bind {
        /// The port.
        port: u16,
        /// Whose port it would be.
        what: &'static str,
        /// Why.
        cause: io::Error,
    },
    /// The data folder cannot be used.
    #[error("cannot use the data folder {}: {cause}", path.display())]
    Data {
        /// The folder.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// Another stack runs in that folder.
    #[error("another stack is running in the data folder {}; stop it or choose another folder with --data", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// The template cannot be used.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// A route or schedule cannot be served.
    #[error("the template's routes cannot be served: {0}")]
    Routes(String),
    /// Functions have not been built.
    #[error("no binaries for {missing} in {}; build them (make build) or name their folder with --bin-dir", folder.display())]
    Binaries {
        /// Short names.
        missing: String,
        /// Where they were looked for.
        folder: PathBuf,
    },
    /// The embedded DynamoDB cannot start.
    #[error("{}", chain(.0))]
    DynamoDb(#[from] DynamoDbError),
    /// The embedded KMS cannot start.
    #[error("{}", chain(.0))]
    Kms(#[from] KmsError),
    /// A function does not get as far as asking for an event.
    #[error("function {label} does not start; its output is in logs/{label}.log in the data folder")]
    Function {
        /// Which instance.
        label: String,
    },
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
