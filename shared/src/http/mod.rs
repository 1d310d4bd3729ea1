//! The HTTP edge that functions share: from a Lambda event to a [`Call`], from a [`Reply`] or a [`Refusal`] to a
//! response. It must never echo input, and never let a cause out.

pub mod body;
pub mod call;
pub mod cors;
pub mod credentials;
pub mod error;
pub mod reply;
pub mod serve;
pub mod signed_in;

pub use call::Call;
pub use error::{ClientAction, Code, Refusal, Refuse, decision};
pub use reply::Reply;
