//! Access tokens: JWTs by RFC 9068.
//!
//! Header: `typ` is `at+jwt`, `alg` the one algorithm of the key, `kid` its thumbprint; nothing else, ever. Claims: see
//! [`claims::AccessClaims`]. A token carries the epochs of its session; it is good only while they are the tenant's and
//! the user's.

pub mod claims;
pub mod compact;
pub mod identity;
pub mod key_set;
#[cfg(test)]
pub mod testing;
pub mod verify;

pub use claims::{AccessClaims, Epochs};
pub use key_set::KeySet;
pub use verify::{Refusal, Verified, Verifier};
