//! What an operator is told when something does not work.

use leasehold::client::InvalidSettings;
use leasehold::id::InvalidId;
use leasehold::kms::KmsError;
use leasehold::password::{HashError, WeakPassword};
use leasehold::policy::OutOfBounds;
use leasehold::steps::StepError;
use leasehold::store::StoreError;
use leasehold::telemetry::chain;
use leasehold::tenant::TooManyAdmins;
use leasehold::user::InvalidProfile;

/// Why an operation was not carried out. Nothing was changed, but for what the message says.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// The input is wrong.
    #[error("{0}")]
    Invalid(String),
    /// There is nothing of this name.
    #[error("{0}")]
    NotFound(&'static str),
    /// There is something of this name, or there was.
    #[error("{0}")]
    AlreadyExists(&'static str),
    /// The password may not be set.
    #[error("{0}")]
    WeakPassword(WeakPassword),
    /// This stage does not let operators set passwords.
    #[error("this stage does not let operators set passwords; its parameter OperatorPasswords allows it")]
    PasswordNotAllowed,
    /// Trouble with the table or KMS that passes.
    #[error("the service is temporarily unavailable; try again")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Trouble that a person must look at.
    #[error("the service failed; see its log")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl OperatorError {
    /// Wrong input.
    pub fn invalid(message: &str) -> Self {
        Self::Invalid(message.to_owned())
    }

    /// The code on the wire.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "invalid_request",
            Self::NotFound(_) => "not_found",
            Self::AlreadyExists(_) => "already_exists",
            Self::WeakPassword(_) => "weak_password",
            Self::PasswordNotAllowed => "password_not_allowed",
            Self::Unavailable(_) => "temporarily_unavailable",
            Self::Failed(_) => "server_error",
        }
    }

    /// The chain of causes of our own trouble, for the log alone.
    pub fn cause(&self) -> Option<String> {
        let (Self::Unavailable(cause) | Self::Failed(cause)) = self else { return None };
        Some(chain(cause.as_ref()))
    }
}

impl From<StoreError> for OperatorError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) | StoreError::Contended => Self::Unavailable(error.into()),
            StoreError::Corrupt { .. } => Self::Failed(error.into()),
        }
    }
}

impl From<KmsError> for OperatorError {
    fn from(error: KmsError) -> Self {
        match error {
            KmsError::Unavailable(_) | KmsError::NotUsable(_) => Self::Unavailable(error.into()),
            KmsError::Unusable(_) => Self::Failed(error.into()),
        }
    }
}

impl From<HashError> for OperatorError {
    fn from(error: HashError) -> Self {
        match error {
            HashError::TooLong => Self::invalid("the password is too long"),
            HashError::Busy | HashError::Stored(_) | HashError::Failed => Self::Unavailable(error.into()),
        }
    }
}

impl From<InvalidId> for OperatorError {
    fn from(error: InvalidId) -> Self {
        Self::Invalid(error.to_string())
    }
}

impl From<OutOfBounds> for OperatorError {
    fn from(error: OutOfBounds) -> Self {
        Self::Invalid(error.to_string())
    }
}

impl From<InvalidProfile> for OperatorError {
    fn from(error: InvalidProfile) -> Self {
        Self::Invalid(error.to_string())
    }
}

impl From<InvalidSettings> for OperatorError {
    fn from(error: InvalidSettings) -> Self {
        Self::Invalid(error.to_string())
    }
}

impl From<StepError> for OperatorError {
    fn from(error: StepError) -> Self {
        match error {
            StepError::Refused(_) | StepError::Custody | StepError::Changed | StepError::Answered => {
                Self::Invalid(error.to_string())
            }
            StepError::NoTenant => Self::NotFound("there is no such tenant"),
            StepError::Store(error) => error.into(),
            StepError::Kms(error) => error.into(),
        }
    }
}

impl From<TooManyAdmins> for OperatorError {
    fn from(error: TooManyAdmins) -> Self {
        Self::Invalid(error.to_string())
    }
}
