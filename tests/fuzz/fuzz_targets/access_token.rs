//! The verifier never panics and never believes what the key did not sign. An input that begins with `+` is signed properly
//! first, so that what lies behind the signature is reached as well.
#![no_main]

use leasehold::token::Verifier;
use leasehold::token::compact::join;
use leasehold::token::verify::UnverifiedSubject;
use leasehold_fuzz::{AUDIENCE, ISSUER, NOW, bench};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let bench = bench();
    let verifier = Verifier { tenant: &bench.tenant, issuer: ISSUER, keys: &bench.keys, audience: AUDIENCE };
    let Some(input) = text.strip_prefix('+') else {
        let _ = UnverifiedSubject::read(text);
        // The corpus holds no token that the key has signed: whatever passes is forged.
        assert!(verifier.verify(text, NOW).is_err(), "a forged token passes");
        return;
    };
    let token = join(input, bench.pair.sign(input.as_bytes()).as_ref());
    if let Ok(verified) = verifier.verify(&token, NOW) {
        let claims = verified.claims();
        assert!(claims.iss == ISSUER && claims.tid == bench.tenant && claims.aud.contains(AUDIENCE));
        assert!(claims.exp > NOW.seconds() && claims.iat <= NOW.seconds() + 60);
    }
});
