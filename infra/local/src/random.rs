//! Random identifiers and passwords. The only place of the stack that draws randomness for them.

use aws_lc_rs::rand;

/// A random (version 4) UUID, the form of Lambda's request ids.
pub fn uuid() -> String {
    let mut bytes: [u8; 16] = draw();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = u128::from_be_bytes(bytes);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        hex >> 96,
        hex >> 80 & 0xffff,
        hex >> 64 & 0xffff,
        hex >> 48 & 0xffff,
        hex & 0xffff_ffff_ffff
    )
}

/// A short random token, the form of API Gateway's request ids.
pub fn request_id() -> String {
    letters::<16>(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz012345678901")
}

/// A password of 100 bits in an alphabet without look-alikes.
pub fn password() -> String {
    letters::<20>(b"abcdefghijkmnpqrstuvwxyz23456789")
}

/// Alphabets have a length that divides 256, so that every letter is equally likely.
fn letters<const N: usize>(alphabet: &[u8]) -> String {
    draw::<N>().iter().map(|byte| char::from(alphabet[usize::from(*byte) % alphabet.len()])).collect()
}

fn draw<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).expect("the kernel's random source never fails once it is seeded");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuid_has_version_and_variant() {
        let id = uuid();
        assert_eq!(id.len(), 36);
        assert_eq!(id.as_bytes()[14], b'4');
        assert!(matches!(id.as_bytes()[19], b'8' | b'9' | b'a' | b'b'));
        assert_ne!(id, uuid());
    }
}
