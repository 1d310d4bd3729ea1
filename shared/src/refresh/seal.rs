//! The sealed successor: the secret of the current generation, encrypted under a key derived from the secret of the
//! previous one. Whoever retries with the previous token brings the key that opens the answer; a dump of the table
//! gives nothing, and there is no server-side key to rotate.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use zeroize::Zeroizing;

use crate::bytes::Bytes;
use crate::id::{FamilyId, TenantId};
use crate::secret::Secret;

/// Nonce, encrypted secret, tag.
pub const SEALED: usize = NONCE_LEN + 32 + 16;

/// The sealed successor can't be opened: the item was damaged or put together by somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the sealed successor does not open")]
pub struct Unopenable;

/// Where a successor belongs; bound into key and tag, so that it can't be moved to another place.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The tenant.
    pub tenant: &'a TenantId,
    /// The family.
    pub family: FamilyId,
    /// The generation of the successor.
    pub generation: u32,
}

impl Place<'_> {
    fn describe(&self) -> Vec<u8> {
        let mut text = b"leasehold refresh successor 1\0".to_vec();
        text.extend_from_slice(self.tenant.as_str().as_bytes());
        text.push(0);
        text.extend_from_slice(self.family.as_bytes());
        text.extend_from_slice(&self.generation.to_be_bytes());
        text
    }
}

/// Seals the successor's secret under the previous secret. `nonce` is random.
pub fn seal(
    place: Place<'_>,
    previous: &Secret<[u8; 32]>,
    successor: &Secret<[u8; 32]>,
    nonce: [u8; NONCE_LEN],
) -> Bytes<SEALED> {
    let place = place.describe();
    let mut sealed = [0_u8; SEALED];
    let (head, rest) = sealed.split_at_mut(NONCE_LEN);
    let (body, tail) = rest.split_at_mut(32);
    head.copy_from_slice(&nonce);
    body.copy_from_slice(successor.expose());
    let tag = key(previous, &place)
        .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(&place), body)
        .expect("32 bytes are within the cipher's limit");
    tail.copy_from_slice(tag.as_ref());
    Bytes::from(sealed)
}

/// Opens a sealed successor with the previous secret.
///
/// # Errors
/// [`Unopenable`] when anything of it was changed.
pub fn open(
    place: Place<'_>,
    previous: &Secret<[u8; 32]>,
    sealed: &Bytes<SEALED>,
) -> Result<Secret<[u8; 32]>, Unopenable> {
    let place = place.describe();
    let mut bytes = Zeroizing::new([0_u8; SEALED]);
    bytes.copy_from_slice(sealed.as_ref());
    let (head, body) = bytes.split_at_mut(NONCE_LEN);
    let nonce = Nonce::try_assume_unique_for_key(head).map_err(|_| Unopenable)?;
    let plain =
        key(previous, &place).open_in_place(nonce, Aad::from(&place), body).map_err(|_| Unopenable)?;
    let mut secret = [0_u8; 32];
    secret.copy_from_slice(plain.get(..32).ok_or(Unopenable)?);
    Ok(Secret::new(secret))
}

struct KeyLength;

impl KeyType for KeyLength {
    fn len(&self) -> usize {
        32
    }
}

fn key(previous: &Secret<[u8; 32]>, place: &[u8]) -> LessSafeKey {
    let mut bytes = Zeroizing::new([0_u8; 32]);
    Salt::new(HKDF_SHA256, b"")
        .extract(previous.expose())
        .expand(&[place], KeyLength)
        .and_then(|okm| okm.fill(bytes.as_mut_slice()))
        .expect("HKDF gives 32 bytes");
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, bytes.as_slice()).expect("the key has 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_previous_secret_opens_it_and_only_in_its_place() {
        let (acme, globex): (TenantId, TenantId) = ("acme".parse().unwrap(), "globex".parse().unwrap());
        let family = FamilyId::from_bytes([5; 16]);
        let (previous, successor) = (Secret::new([1; 32]), Secret::new([2; 32]));
        let place = Place { tenant: &acme, family, generation: 4 };
        let sealed = seal(place, &previous, &successor, [7; NONCE_LEN]);

        assert_eq!(open(place, &previous, &sealed), Ok(successor.clone()));
        assert_eq!(open(place, &successor, &sealed), Err(Unopenable));
        let elsewhere = [
            Place { tenant: &globex, ..place },
            Place { family: FamilyId::from_bytes([6; 16]), ..place },
            Place { generation: 5, ..place },
        ];
        for place in elsewhere {
            assert_eq!(open(place, &previous, &sealed), Err(Unopenable), "{place:?}");
        }
        for at in 0..SEALED {
            let mut changed = [0_u8; SEALED];
            changed.copy_from_slice(sealed.as_ref());
            changed[at] ^= 1;
            assert_eq!(open(place, &previous, &Bytes::from(changed)), Err(Unopenable), "byte {at}");
        }
    }
}
