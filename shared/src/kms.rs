//! Signing keys in KMS: made, read and used by ARN. In custody `kms` the private half never leaves KMS; in custody
//! `wrapped` KMS makes the pair, gives the private half out encrypted, and decrypts it for the functions that sign.

use std::collections::HashMap;

use aws_sdk_kms::Client;
use aws_sdk_kms::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::{
    DataKeyPairSpec, KeySpec, KeyState, KeyUsageType, MessageType, SigningAlgorithmSpec, Tag,
};

use crate::clock::Timestamp;
use crate::id::TenantId;
use crate::keys::{Algorithm, PublicKey};
use crate::reach::{Reach, ask_for_nothing, was_answered};
use crate::secret::{Secret, sha256};
use crate::token::compact::ecdsa_from_der;
use crate::trouble::Trouble;

/// The tag that names the deployment a key belongs to; roles may sign only with keys of their own.
pub const STAGE_TAG: &str = "leasehold:stage";
/// The tag that names the tenant a key belongs to.
pub const TENANT_TAG: &str = "leasehold:tenant";

/// KMS could not do what was asked. Never turned into a refusal of what the client presented.
#[derive(Debug, thiserror::Error)]
pub enum KmsError {
    /// Trouble on the way to KMS or in it, or the key is not usable there; trying again later may help.
    #[error("KMS is unavailable")]
    Unavailable(#[source] Trouble),
    /// KMS does not know the key, or does not let it be used: a key just made may not be known everywhere yet.
    #[error("KMS does not let the key be used")]
    NotUsable(#[source] Trouble),
    /// KMS answered something that can't be.
    #[error("KMS gave an unusable answer: {0}")]
    Unusable(&'static str),
}

impl KmsError {
    fn unavailable<E: ProvideErrorMetadata, R>(
        operation: &'static str,
    ) -> impl FnOnce(SdkError<E, R>) -> Self {
        move |error| {
            let trouble = Trouble::of(operation, &error);
            match error.code() {
                Some(
                    "NotFoundException"
                    | "DisabledException"
                    | "KMSInvalidStateException"
                    | "KeyUnavailableException",
                ) => Self::NotUsable(trouble),
                _ => Self::Unavailable(trouble),
            }
        }
    }
}

/// KMS as this deployment uses it.
#[derive(Clone, Debug)]
pub struct Kms {
    reach: Reach,
    stage: String,
    wrap_key: Option<String>,
    deletion_window_days: u16,
}

/// A key that was just made.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// How KMS names it.
    pub arn: String,
    /// Its public half.
    pub public: PublicKey,
}

/// A key pair that was just made in custody `wrapped`.
#[derive(Clone, Debug)]
pub struct NewPair {
    /// The KMS key that wraps it.
    pub wrap_key: String,
    /// Its public half.
    pub public: PublicKey,
    /// Its private half, encrypted.
    pub wrapped: Vec<u8>,
}

/// A signing key as KMS knows it.
#[derive(Clone, Debug)]
pub struct FoundKey {
    /// How KMS names it.
    pub arn: String,
    /// Whose it is, by its tag.
    pub tenant: TenantId,
    /// When it was made.
    pub created_at: Timestamp,
    /// Whether it signs.
    pub enabled: bool,
}

impl Kms {
    /// KMS for the deployment of this stage. `wrap_key` is the ARN of the key that wraps others, if there is one;
    /// a deleted key can be brought back for `deletion_window_days` (7 to 30, KMS's own bounds).
    pub const fn new(
        reach: Reach,
        stage: String,
        wrap_key: Option<String>,
        deletion_window_days: u16,
    ) -> Self {
        Self { reach, stage, wrap_key, deletion_window_days }
    }

    /// KMS as far as the credentials of a tenant reach.
    fn of_tenant(&self, tenant: &TenantId) -> Client {
        self.reach.of_tenant(tenant).kms
    }

    /// Opens a connection, as best it can. Without this the first signature pays for the handshakes.
    pub async fn connect(&self) {
        let retries = aws_sdk_kms::config::retry::RetryConfig::disabled();
        let plain = self.reach.whole().kms.list_keys().customize().mutate_request(ask_for_nothing);
        let outcome =
            plain.config_override(aws_sdk_kms::config::Builder::new().retry_config(retries)).send().await;
        tracing::debug!(answered = was_answered(&outcome), "connected to KMS");
    }

    /// Makes a signing key, tagged with stage and tenant: tags set here count at once for authorization, tags added
    /// later only after minutes.
    ///
    /// # Errors
    /// When KMS makes none.
    pub async fn create_key(&self, tenant: &TenantId, algorithm: Algorithm) -> Result<NewKey, KmsError> {
        let tag = |name: &str, value: &str| {
            Tag::builder()
                .tag_key(name)
                .tag_value(value)
                .build()
                .map_err(|_| KmsError::Unusable("a tag it does not take"))
        };
        let made = self
            .of_tenant(tenant)
            .create_key()
            .key_usage(KeyUsageType::SignVerify)
            .key_spec(key_spec(algorithm))
            .description(format!("Leasehold access tokens of {tenant}"))
            .tags(tag(STAGE_TAG, &self.stage)?)
            .tags(tag(TENANT_TAG, tenant.as_str())?)
            .send()
            .await
            .map_err(KmsError::unavailable("CreateKey"))?;
        let arn = made
            .key_metadata
            .and_then(|metadata| metadata.arn)
            .ok_or(KmsError::Unusable("a key without an ARN"))?;
        let public = self.public_key(tenant, &arn, algorithm).await?;
        Ok(NewKey { arn, public })
    }

    /// Makes a key pair whose private half leaves KMS encrypted only, bound to stage and tenant.
    ///
    /// # Errors
    /// When KMS makes none, or the deployment has no key to wrap it.
    pub async fn create_pair(&self, tenant: &TenantId, algorithm: Algorithm) -> Result<NewPair, KmsError> {
        let wrap_key = self.wrap_key.clone().ok_or(KmsError::Unusable("no key that wraps others is set"))?;
        let made = self
            .of_tenant(tenant)
            .generate_data_key_pair_without_plaintext()
            .key_id(&wrap_key)
            .key_pair_spec(pair_spec(algorithm))
            .set_encryption_context(Some(self.context(tenant)))
            .send()
            .await
            .map_err(KmsError::unavailable("GenerateDataKeyPairWithoutPlaintext"))?;
        let der = made.public_key.ok_or(KmsError::Unusable("no public key"))?;
        let public = PublicKey::from_spki(algorithm, der.as_ref())
            .map_err(|_| KmsError::Unusable("a public key of another kind"))?;
        let wrapped = made.private_key_ciphertext_blob.ok_or(KmsError::Unusable("no private key"))?;
        Ok(NewPair { wrap_key, public, wrapped: wrapped.into_inner() })
    }

    /// Decrypts the private half of a tenant's key pair: PKCS #8, DER.
    ///
    /// # Errors
    /// When KMS does not, among others because the pair is another tenant's.
    pub async fn unwrap(
        &self,
        tenant: &TenantId,
        wrap_key: &str,
        wrapped: &[u8],
    ) -> Result<Secret<Vec<u8>>, KmsError> {
        let answer = self
            .of_tenant(tenant)
            .decrypt()
            .key_id(wrap_key)
            .ciphertext_blob(Blob::new(wrapped))
            .set_encryption_context(Some(self.context(tenant)))
            .send()
            .await
            .map_err(KmsError::unavailable("Decrypt"))?;
        let plain = answer.plaintext.ok_or(KmsError::Unusable("no plaintext"))?;
        Ok(Secret::new(plain.into_inner()))
    }

    fn context(&self, tenant: &TenantId) -> HashMap<String, String> {
        HashMap::from([
            (STAGE_TAG.to_owned(), self.stage.clone()),
            (TENANT_TAG.to_owned(), tenant.as_str().to_owned()),
        ])
    }

    async fn public_key(
        &self,
        tenant: &TenantId,
        arn: &str,
        algorithm: Algorithm,
    ) -> Result<PublicKey, KmsError> {
        let answer = self
            .of_tenant(tenant)
            .get_public_key()
            .key_id(arn)
            .send()
            .await
            .map_err(KmsError::unavailable("GetPublicKey"))?;
        let der = answer.public_key.ok_or(KmsError::Unusable("no public key"))?;
        PublicKey::from_spki(algorithm, der.as_ref())
            .map_err(|_| KmsError::Unusable("a public key of another kind"))
    }

    /// Signs, and gives the signature as JWS wants it (RFC 7518 §3). A digest is sent where KMS takes one; Ed25519 signs
    /// the input itself, which is why a signing input stays within 4096 bytes.
    ///
    /// # Errors
    /// When KMS does not sign.
    pub async fn sign(
        &self,
        tenant: &TenantId,
        arn: &str,
        algorithm: Algorithm,
        input: &[u8],
    ) -> Result<Vec<u8>, KmsError> {
        let (message, kind) = match algorithm {
            Algorithm::RS256 | Algorithm::ES256 => (sha256(input).to_vec(), MessageType::Digest),
            Algorithm::EdDsa => (input.to_vec(), MessageType::Raw),
        };
        let answer = self
            .of_tenant(tenant)
            .sign()
            .key_id(arn)
            .signing_algorithm(signing_algorithm(algorithm))
            .message_type(kind)
            .message(Blob::new(message))
            .send()
            .await
            .map_err(KmsError::unavailable("Sign"))?;
        let signature = answer.signature.ok_or(KmsError::Unusable("no signature"))?.into_inner();
        match algorithm {
            Algorithm::RS256 | Algorithm::EdDsa => Ok(signature),
            Algorithm::ES256 => ecdsa_from_der(&signature)
                .map(|fixed| fixed.to_vec())
                .map_err(|_| KmsError::Unusable("an ECDSA signature that is not DER")),
        }
    }

    /// The signing keys of this deployment, by their tags, but for those that are being deleted.
    ///
    /// # Errors
    /// When KMS can't be asked.
    pub async fn list_keys(&self) -> Result<Vec<FoundKey>, KmsError> {
        let client = &self.reach.whole().kms;
        let mut found = Vec::new();
        let mut pages = client.list_keys().into_paginator().items().send();
        while let Some(entry) = pages.next().await {
            let entry = entry.map_err(KmsError::unavailable("ListKeys"))?;
            let Some(arn) = entry.key_arn else { continue };
            let tags = match client.list_resource_tags().key_id(&arn).send().await {
                Ok(answer) => answer.tags.unwrap_or_default(),
                // Keys of others in a shared account, whose policies do not let us look.
                Err(error) if error.code() == Some("AccessDeniedException") => continue,
                Err(error) => return Err(KmsError::unavailable("ListResourceTags")(error)),
            };
            let tag =
                |name: &str| tags.iter().find(|tag| tag.tag_key == name).map(|tag| tag.tag_value.as_str());
            let tenant = tag(TENANT_TAG).and_then(|tenant| tenant.parse::<TenantId>().ok());
            let (Some(tenant), true) = (tenant, tag(STAGE_TAG) == Some(&self.stage)) else { continue };
            let answer = client
                .describe_key()
                .key_id(&arn)
                .send()
                .await
                .map_err(KmsError::unavailable("DescribeKey"))?;
            let Some(metadata) = answer.key_metadata else { continue };
            let usable = matches!(metadata.key_state, Some(KeyState::Enabled | KeyState::Disabled));
            let seconds = metadata.creation_date.and_then(|date| u64::try_from(date.secs()).ok());
            if let (true, Some(seconds)) = (usable, seconds) {
                let created_at = Timestamp::from_seconds(seconds);
                found.push(FoundKey { arn, tenant, created_at, enabled: metadata.enabled });
            }
        }
        Ok(found)
    }

    /// Stops a key from signing; it can be enabled again.
    ///
    /// # Errors
    /// When KMS does not take it.
    pub async fn disable_key(&self, tenant: &TenantId, arn: &str) -> Result<(), KmsError> {
        self.of_tenant(tenant)
            .disable_key()
            .key_id(arn)
            .send()
            .await
            .map_err(KmsError::unavailable("DisableKey"))?;
        Ok(())
    }

    /// Lets a disabled key sign again.
    ///
    /// # Errors
    /// When KMS does not take it.
    pub async fn enable_key(&self, tenant: &TenantId, arn: &str) -> Result<(), KmsError> {
        self.of_tenant(tenant)
            .enable_key()
            .key_id(arn)
            .send()
            .await
            .map_err(KmsError::unavailable("EnableKey"))?;
        Ok(())
    }

    /// Has a key deleted, after the window of the deployment. One whose deletion was scheduled before is fine.
    ///
    /// # Errors
    /// When KMS does not take it.
    pub async fn schedule_deletion(&self, tenant: &TenantId, arn: &str) -> Result<(), KmsError> {
        let answer = self
            .of_tenant(tenant)
            .schedule_key_deletion()
            .key_id(arn)
            .pending_window_in_days(self.deletion_window_days.into())
            .send()
            .await
            .map_err(KmsError::unavailable("ScheduleKeyDeletion"));
        match answer {
            Ok(_) | Err(KmsError::NotUsable(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn key_spec(algorithm: Algorithm) -> KeySpec {
    match algorithm {
        Algorithm::RS256 => KeySpec::Rsa2048,
        Algorithm::ES256 => KeySpec::EccNistP256,
        Algorithm::EdDsa => KeySpec::EccNistEdwards25519,
    }
}

fn pair_spec(algorithm: Algorithm) -> DataKeyPairSpec {
    match algorithm {
        Algorithm::RS256 => DataKeyPairSpec::Rsa2048,
        Algorithm::ES256 => DataKeyPairSpec::EccNistP256,
        Algorithm::EdDsa => DataKeyPairSpec::EccNistEdwards25519,
    }
}

fn signing_algorithm(algorithm: Algorithm) -> SigningAlgorithmSpec {
    match algorithm {
        Algorithm::RS256 => SigningAlgorithmSpec::RsassaPkcs1V15Sha256,
        Algorithm::ES256 => SigningAlgorithmSpec::EcdsaSha256,
        Algorithm::EdDsa => SigningAlgorithmSpec::Ed25519Sha512,
    }
}
