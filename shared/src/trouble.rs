//! What a failed AWS call was, for the log: operation and error code. Never AWS's own message, which names tables, keys
//! and accounts.

use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

/// A failed AWS call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{operation}: {what}")]
pub struct Trouble {
    operation: &'static str,
    what: String,
}

impl Trouble {
    /// What the SDK reports of a call.
    pub fn of<E: ProvideErrorMetadata, R>(operation: &'static str, error: &SdkError<E, R>) -> Self {
        let what = match error {
            SdkError::ServiceError(refusal) => {
                refusal.err().code().unwrap_or("an error without a code").to_owned()
            }
            SdkError::TimeoutError(_) => "timed out".to_owned(),
            SdkError::DispatchFailure(failure) if failure.is_timeout() => "no connection in time".to_owned(),
            SdkError::DispatchFailure(_) => "no connection".to_owned(),
            SdkError::ResponseError(_) => "an unreadable answer".to_owned(),
            _ => "not sent".to_owned(),
        };
        Self { operation, what }
    }

    /// Whether the service refused the call with this code.
    pub fn is(&self, code: &str) -> bool {
        self.what == code
    }

    /// Something else that went wrong with a call.
    pub fn with(operation: &'static str, what: impl Into<String>) -> Self {
        Self { operation, what: what.into() }
    }
}
