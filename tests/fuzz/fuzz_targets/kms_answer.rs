//! What KMS answers: public keys and signatures in DER. Only what is of the right kind is taken, in its one form.
#![no_main]

use leasehold::keys::{Algorithm, PublicKey};
use leasehold::token::compact::ecdsa_from_der;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((kind, der)) = input.split_first() else { return };
    let algorithm = match kind % 4 {
        0 => Algorithm::RS256,
        1 => Algorithm::ES256,
        2 => Algorithm::EdDsa,
        _ => {
            let _ = ecdsa_from_der(der);
            return;
        }
    };
    if let Ok(key) = PublicKey::from_spki(algorithm, der) {
        let kid = key.thumbprint(algorithm).expect("a key that was read has a thumbprint");
        key.jwk(&kid, algorithm).expect("and can be published");
    }
});
