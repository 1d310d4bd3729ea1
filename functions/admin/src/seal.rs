//! Sealing of short texts: cursors and kept answers. AES-256-GCM with a random nonce, bound to a place.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Seals bytes for a place.
pub fn seal(key: &[u8; 32], place: &[u8], bytes: &[u8]) -> String {
    let nonce: [u8; NONCE_LEN] = leasehold::secret::random();
    let mut sealed = bytes.to_vec();
    cipher(key)
        .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(place), &mut sealed)
        .expect("what fits into a request is within the cipher's limit");
    URL_SAFE_NO_PAD.encode([&nonce[..], &sealed].concat())
}

/// Opens what was sealed for a place under this key.
pub fn open(key: &[u8; 32], place: &[u8], text: &str) -> Option<Vec<u8>> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let (nonce, sealed) = bytes.split_first_chunk::<NONCE_LEN>()?;
    let mut sealed = sealed.to_vec();
    let opened = cipher(key)
        .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(place), &mut sealed)
        .ok()?;
    Some(opened.to_vec())
}

fn cipher(key: &[u8; 32]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).expect("the key has the cipher's length"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_key_and_place_open_what_was_sealed() {
        let key = [7; 32];
        let text = seal(&key, b"acme users", b"{}");
        assert_eq!(open(&key, b"acme users", &text), Some(b"{}".to_vec()));
        assert_eq!(open(&[8; 32], b"acme users", &text), None);
        assert_eq!(open(&key, b"other users", &text), None);
        assert_ne!(text, seal(&key, b"acme users", b"{}"), "no two are alike");
        for odd in ["", "A", "AAAA", &text[1..], &format!("{text}A")] {
            assert_eq!(open(&key, b"acme users", odd), None, "{odd}");
        }
    }
}
