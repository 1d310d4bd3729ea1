//! The refresh family, told once.
//!
//! All refresh tokens of one login form a *family*. Each rotation makes the next *generation*; the family knows the
//! hashes of the current and the previous secret, never a token. A client *presents* a token and the decision is one of
//! *rotate*, *replay* (an honest retry gets the same successor again), *reuse* (taken for theft, the family ends),
//! *dead* or *unknown*. Deciding ([`family::present`]) and changing ([`Family::rotate`], [`Family::replay`],
//! [`Family::confirm`]) are pure; one conditional write carries a change out.
//!
//! | Secret | Who has it |
//! | --- | --- |
//! | secret of a generation | the client; the family has its SHA-256 |
//! | proof of a generation | the client; `proof(n+1) = H(proof(n))`, the family has a hash of the current one |
//! | sealed successor | the family, encrypted under a key that only a holder of the previous secret can derive |

pub mod family;
pub mod presented;
pub mod proof;
pub mod seal;
pub mod token;

pub use family::{Dead, Family, FamilyStatus, Replay, Standing, Stranger, Verdict, present, present_again};
pub use presented::Presented;
pub use token::RefreshToken;
