//! A refresh token is read only in its one spelling: what parses encodes to the same text.
#![no_main]

use leasehold::refresh::RefreshToken;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(token) = RefreshToken::parse(text) {
        assert_eq!(token.encode().as_str(), text, "two spellings of one token");
    }
});
