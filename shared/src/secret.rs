//! Bytes and texts that must not be printed, compared in variable time or left behind in memory; and the only place
//! that draws randomness.

use std::fmt;

use aws_lc_rs::{digest, rand};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// A secret value: not printable, wiped when dropped, compared in constant time.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Secret<T: Zeroize>(T);

impl<T: Zeroize> Secret<T> {
    /// Wraps a value that came from outside or was just drawn.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself. Whoever calls this answers for where it goes.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(***)")
    }
}

impl<const N: usize> PartialEq for Secret<[u8; N]> {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl<const N: usize> Eq for Secret<[u8; N]> {}

impl<'de> serde::Deserialize<'de> for Secret<String> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

/// `N` random bytes from the operating system's generator, through aws-lc.
///
/// # Panics
/// If the operating system can give no randomness: nothing safe could be done without it.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0_u8; N];
    rand::fill(&mut bytes).expect("the kernel's random generator does not fail once it is seeded");
    bytes
}

/// `N` random bytes as lower-case hex, for marks that must be unique and are no secrets.
pub fn random_hex<const N: usize>() -> String {
    random::<N>().iter().fold(String::with_capacity(2 * N), |text, byte| text + &format!("{byte:02x}"))
}

/// SHA-256 of a value that holds at least 128 random bits (ASVS 6.5.2: such a value needs no slow hash).
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0_u8; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}

/// Whether two byte strings are equal, in a time that depends on their lengths alone.
pub fn same_bytes(left: &[u8], right: &[u8]) -> bool {
    left.ct_eq(right).into()
}
