//! Ciphertext blobs: which key made them, and the encryption context they are bound to.
//!
//! Opaque to callers, as KMS's are. A blob must never open under another key, another context, or with its header
//! changed, so all three are authenticated.

use std::collections::BTreeMap;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    error::Unspecified,
    rand,
};
use uuid::Uuid;

use super::key::Secret;

/// Pairs that must be shown again to decrypt. An absent context is an empty one.
pub(super) type EncryptionContext = BTreeMap<String, String>;

const VERSION: u8 = 1;
const HEADER: usize = 1 + 16;
const NONCE: usize = 12;

/// Encrypts `plaintext` under the key with the id `key_id`.
pub(super) fn seal(
    key: &Secret,
    key_id: Uuid,
    context: &EncryptionContext,
    plaintext: &[u8],
) -> Result<Vec<u8>, Unspecified> {
    let mut blob = vec![VERSION];
    blob.extend_from_slice(key_id.as_bytes());
    let authenticated = authenticated(&blob, context);
    let mut nonce = [0; NONCE];
    rand::fill(&mut nonce)?;
    let mut sealed = plaintext.to_vec();
    cipher(key)?.seal_in_place_append_tag(
        Nonce::assume_unique_for_key(nonce),
        Aad::from(authenticated),
        &mut sealed,
    )?;
    blob.extend_from_slice(&nonce);
    blob.extend_from_slice(&sealed);
    Ok(blob)
}

/// The id of the key that made the blob, if it looks like a blob at all.
pub(super) fn sealed_under(blob: &[u8]) -> Option<Uuid> {
    let (&version, rest) = blob.split_first()?;
    (version == VERSION && blob.len() > HEADER + NONCE)
        .then(|| rest.first_chunk::<16>().map(|id| Uuid::from_bytes(*id)))?
}

/// Decrypts a blob of this key made with the same context.
pub(super) fn open(key: &Secret, context: &EncryptionContext, blob: &[u8]) -> Result<Vec<u8>, Unspecified> {
    let (header, rest) = blob.split_at_checked(HEADER).ok_or(Unspecified)?;
    let (nonce, sealed) = rest.split_first_chunk::<NONCE>().ok_or(Unspecified)?;
    let mut sealed = sealed.to_vec();
    let opened = cipher(key)?.open_in_place(
        Nonce::assume_unique_for_key(*nonce),
        Aad::from(authenticated(header, context)),
        &mut sealed,
    )?;
    Ok(opened.to_vec())
}

fn cipher(key: &Secret) -> Result<LessSafeKey, Unspecified> {
    Ok(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key.0)?))
}

/// Each part goes in with its length, so that no two contexts give the same bytes.
fn authenticated(header: &[u8], context: &EncryptionContext) -> Vec<u8> {
    let mut bytes = header.to_vec();
    for part in context.iter().flat_map(|(name, value)| [name, value]) {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    bytes
}
