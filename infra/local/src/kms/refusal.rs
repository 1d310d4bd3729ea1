//! KMS's errors, each with the name, the status and the words a client sees.
//!
//! It must never carry key material or plaintext: the words go to the client's log.

/// Why a call was refused. The text is the `message` of the answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("{0}")]
    NotFound(String),
    #[error("{arn} is disabled.")]
    Disabled { arn: String },
    #[error("{0}")]
    InvalidState(String),
    #[error("{0}")]
    Validation(String),
    #[error("{0}")]
    InvalidKeyUsage(String),
    #[error("{0}")]
    Unsupported(String),
    #[error("{0}")]
    Tag(String),
    #[error("Could not deserialize Marker")]
    InvalidMarker,
    #[error("")]
    InvalidSignature,
    #[error("")]
    InvalidCiphertext,
    #[error("The key ID in the request does not identify a CMK that can perform this operation.")]
    IncorrectKey,
    #[error(
        "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you \
         are not allowed to access."
    )]
    ForeignCiphertext,
    #[error("{0}")]
    Serialization(String),
    #[error("")]
    UnknownOperation,
    #[error("Missing Authentication Token")]
    Unsigned,
    #[error("the embedded KMS failed: {0}")]
    Internal(String),
}

impl Refusal {
    /// The `__type` of the answer.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "NotFoundException",
            Self::Disabled { .. } => "DisabledException",
            Self::InvalidState(_) => "KMSInvalidStateException",
            Self::Validation(_) => "ValidationException",
            Self::InvalidKeyUsage(_) => "InvalidKeyUsageException",
            Self::Unsupported(_) => "UnsupportedOperationException",
            Self::Tag(_) => "TagException",
            Self::InvalidMarker => "InvalidMarkerException",
            Self::InvalidSignature => "KMSInvalidSignatureException",
            Self::InvalidCiphertext => "InvalidCiphertextException",
            Self::IncorrectKey => "IncorrectKeyException",
            Self::ForeignCiphertext => "AccessDeniedException",
            Self::Serialization(_) => "SerializationException",
            Self::UnknownOperation => "UnknownOperationException",
            Self::Unsigned => "MissingAuthenticationTokenException",
            Self::Internal(_) => "KMSInternalException",
        }
    }

    /// The words KMS's request validation uses for a member that breaks a rule.
    pub(super) fn constraint(member: &str, rule: &str) -> Self {
        Self::Validation(format!(
            "1 validation error detected: Value at '{member}' failed to satisfy constraint: Member must {rule}"
        ))
    }
}
