//! Operations that use a key's material: sign, verify, encrypt, decrypt, data key pairs, public keys.
//!
//! Each asks in KMS's order: are the members well formed, does the key exist, is it enabled, is it of the right usage,
//! does the algorithm fit. None may use a key before all five.

use std::sync::Arc;

use aws_lc_rs::{
    digest::{self, Digest},
    error::Unspecified,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    cipher::{self, EncryptionContext},
    key::{KeySpec, Material, Secret, Signable, SigningAlgorithm},
    refusal::Refusal,
    store::{Key, Store},
    wire::{Blob, required},
};

const MESSAGE_LIMIT: usize = 4096;
const CIPHERTEXT_LIMIT: usize = 6144;
const SIGNATURE_LIMIT: usize = 6144;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetPublicKey {
    key_id: Option<String>,
}

pub(super) fn get_public_key(store: &Store, input: GetPublicKey) -> Result<Value, Refusal> {
    let key = store.load_key(&required(input.key_id, "keyId")?)?;
    if key.spec == KeySpec::Symmetric {
        return Err(Refusal::Unsupported(format!("{} is not an asymmetric key.", key.arn)));
    }
    key.require_enabled()?;
    Ok(json!({
        "KeyId": key.arn,
        "PublicKey": Blob(key.material.to_public_der().map_err(failed)?),
        "CustomerMasterKeySpec": key.spec.name(),
        "KeySpec": key.spec.name(),
        "KeyUsage": key.spec.usage(),
        "SigningAlgorithms": key.spec.signing_algorithms(),
    }))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Sign {
    key_id: Option<String>,
    message: Option<Blob>,
    message_type: Option<String>,
    signing_algorithm: Option<String>,
}

pub(super) fn sign(store: &Store, input: Sign) -> Result<Value, Refusal> {
    let name = required(input.signing_algorithm, "signingAlgorithm")?;
    let message = required(input.message, "message")?.within("message", MESSAGE_LIMIT)?;
    let key = load_signing_key(store, input.key_id, "Sign")?;
    let algorithm = SigningAlgorithm::for_spec(&name, key.spec)?;
    let over = signable(algorithm, &name, key.spec, input.message_type.as_deref(), message)?;
    let signature = key.material.sign(algorithm, &over).map_err(failed)?;
    Ok(json!({ "KeyId": key.arn, "Signature": Blob(signature), "SigningAlgorithm": name }))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Verify {
    key_id: Option<String>,
    message: Option<Blob>,
    message_type: Option<String>,
    signature: Option<Blob>,
    signing_algorithm: Option<String>,
}

pub(super) fn verify(store: &Store, input: Verify) -> Result<Value, Refusal> {
    let name = required(input.signing_algorithm, "signingAlgorithm")?;
    let message = required(input.message, "message")?.within("message", MESSAGE_LIMIT)?;
    let signature = required(input.signature, "signature")?.within("signature", SIGNATURE_LIMIT)?;
    let key = load_signing_key(store, input.key_id, "Verify")?;
    let algorithm = SigningAlgorithm::for_spec(&name, key.spec)?;
    let over = signable(algorithm, &name, key.spec, input.message_type.as_deref(), message)?;
    if !key.material.verify(algorithm, &over, &signature) {
        return Err(Refusal::InvalidSignature);
    }
    Ok(json!({ "KeyId": key.arn, "SignatureValid": true, "SigningAlgorithm": name }))
}

fn load_signing_key(store: &Store, key_id: Option<String>, operation: &str) -> Result<Arc<Key>, Refusal> {
    let key = store.load_key(&required(key_id, "keyId")?)?;
    key.require_enabled()?;
    if key.spec == KeySpec::Symmetric {
        return Err(wrong_usage(&key, operation));
    }
    Ok(key)
}

fn signable(
    algorithm: SigningAlgorithm,
    name: &str,
    spec: KeySpec,
    message_type: Option<&str>,
    message: Vec<u8>,
) -> Result<Signable, Refusal> {
    match (message_type.unwrap_or("RAW"), algorithm.digest()) {
        ("RAW", Some(hash)) => Ok(Signable::Digest(digest::digest(hash, &message))),
        ("RAW", None) => Ok(Signable::Message(message)),
        ("DIGEST", Some(hash)) => Digest::import_less_safe(&message, hash)
            .map(Signable::Digest)
            .map_err(|_| Refusal::Validation(format!("Digest is invalid length for algorithm {name}."))),
        ("DIGEST", None) => {
            Err(Refusal::Validation(format!("Message type DIGEST is incompatible with algorithm {name}.")))
        }
        ("EXTERNAL_MU", _) => Err(Refusal::Validation(format!(
            "Message type EXTERNAL_MU is incompatible with key spec {}.",
            spec.name()
        ))),
        _ => Err(Refusal::constraint("messageType", "satisfy enum value set: [RAW, DIGEST, EXTERNAL_MU]")),
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Encrypt {
    key_id: Option<String>,
    plaintext: Option<Blob>,
    encryption_context: Option<EncryptionContext>,
    encryption_algorithm: Option<String>,
}

pub(super) fn encrypt(store: &Store, input: Encrypt) -> Result<Value, Refusal> {
    let plaintext = required(input.plaintext, "plaintext")?.within("plaintext", MESSAGE_LIMIT)?;
    let key = store.load_key(&required(input.key_id, "keyId")?)?;
    let secret = encryption_secret(&key, "Encrypt")?;
    check_algorithm(input.encryption_algorithm.as_deref(), &key)?;
    let context = input.encryption_context.unwrap_or_default();
    let blob = cipher::seal(secret, key.id, &context, &plaintext).map_err(failed)?;
    Ok(json!({ "KeyId": key.arn, "CiphertextBlob": Blob(blob), "EncryptionAlgorithm": "SYMMETRIC_DEFAULT" }))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Decrypt {
    key_id: Option<String>,
    ciphertext_blob: Option<Blob>,
    encryption_context: Option<EncryptionContext>,
    encryption_algorithm: Option<String>,
}

pub(super) fn decrypt(store: &Store, input: Decrypt) -> Result<Value, Refusal> {
    let blob =
        required(input.ciphertext_blob, "ciphertextBlob")?.within("ciphertextBlob", CIPHERTEXT_LIMIT)?;
    let named = input.key_id.map(|key_id| store.load_key(&key_id)).transpose()?;
    if let Some(named) = &named {
        encryption_secret(named, "Decrypt")?;
    }
    let maker = cipher::sealed_under(&blob).ok_or(Refusal::InvalidCiphertext)?;
    if named.is_some_and(|named| named.id != maker) {
        return Err(Refusal::IncorrectKey);
    }
    let key = store.find_key(maker).ok_or(Refusal::ForeignCiphertext)?;
    let secret = encryption_secret(&key, "Decrypt")?;
    check_algorithm(input.encryption_algorithm.as_deref(), &key)?;
    let plaintext = cipher::open(secret, &input.encryption_context.unwrap_or_default(), &blob)
        .map_err(|_| Refusal::InvalidCiphertext)?;
    Ok(json!({ "KeyId": key.arn, "Plaintext": Blob(plaintext), "EncryptionAlgorithm": "SYMMETRIC_DEFAULT" }))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GenerateDataKeyPair {
    key_id: Option<String>,
    key_pair_spec: Option<String>,
    encryption_context: Option<EncryptionContext>,
}

pub(super) fn generate_data_key_pair(store: &Store, input: GenerateDataKeyPair) -> Result<Value, Refusal> {
    let spec = KeySpec::parse(&required(input.key_pair_spec, "keyPairSpec")?, "keyPairSpec")?;
    if spec == KeySpec::Symmetric {
        return Err(Refusal::constraint("keyPairSpec", "satisfy enum value set of key pairs"));
    }
    let key = store.load_key(&required(input.key_id, "keyId")?)?;
    let secret = encryption_secret(&key, "GenerateDataKeyPair")?;

    let pair = Material::generate(spec).map_err(failed)?;
    let private = pair.to_private_bytes().map_err(failed)?;
    let context = input.encryption_context.unwrap_or_default();
    let blob = cipher::seal(secret, key.id, &context, &private).map_err(failed)?;
    Ok(json!({
        "KeyId": key.arn,
        "KeyPairSpec": spec.name(),
        "PublicKey": Blob(pair.to_public_der().map_err(failed)?),
        "PrivateKeyPlaintext": Blob(private),
        "PrivateKeyCiphertextBlob": Blob(blob),
    }))
}

fn encryption_secret<'key>(key: &'key Key, operation: &str) -> Result<&'key Secret, Refusal> {
    key.require_enabled()?;
    match &*key.material {
        Material::Symmetric(secret) => Ok(secret),
        Material::Rsa(_) | Material::P256(_) | Material::Ed25519(_) => Err(wrong_usage(key, operation)),
    }
}

fn check_algorithm(name: Option<&str>, key: &Key) -> Result<(), Refusal> {
    match name {
        None | Some("SYMMETRIC_DEFAULT") => Ok(()),
        Some(name @ ("RSAES_OAEP_SHA_1" | "RSAES_OAEP_SHA_256" | "SM2PKE")) => Err(Refusal::InvalidKeyUsage(
            format!("Algorithm {name} is incompatible with key spec {}.", key.spec.name()),
        )),
        Some(_) => Err(Refusal::constraint(
            "encryptionAlgorithm",
            "satisfy enum value set: [SYMMETRIC_DEFAULT, RSAES_OAEP_SHA_1, RSAES_OAEP_SHA_256, SM2PKE]",
        )),
    }
}

fn wrong_usage(key: &Key, operation: &str) -> Refusal {
    let usage = key.spec.usage();
    Refusal::InvalidKeyUsage(format!("{} key usage is {usage} which is not valid for {operation}.", key.arn))
}

fn failed(_: Unspecified) -> Refusal {
    Refusal::Internal("the cryptographic library refused".to_owned())
}
