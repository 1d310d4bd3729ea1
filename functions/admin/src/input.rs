//! Bodies and parameters of requests. Strict: a member that is not known is a mistake, not something to pass over.

use leasehold::http::{Call, body};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use crate::problem::Problem;

/// How long a page is where nobody says.
const PAGE: u16 = 50;
/// How long a page may be.
const LONGEST_PAGE: u16 = 100;

/// Reads a JSON object.
pub fn json<T: DeserializeOwned>(call: &Call) -> Result<T, Problem> {
    Ok(body::json(call)?)
}

/// Reads a JSON object that may be left out.
pub fn optional_json<T: DeserializeOwned + Default>(call: &Call) -> Result<T, Problem> {
    if call.body.expose().is_empty() { Ok(T::default()) } else { json(call) }
}

/// How many items a page is to have: `?limit=`, 1 to 100.
pub fn limit(call: &Call) -> Result<u16, Problem> {
    let Some(text) = call.query.get("limit") else { return Ok(PAGE) };
    let limit = text.parse().ok().filter(|limit| (1..=LONGEST_PAGE).contains(limit));
    limit.ok_or_else(|| Problem::invalid_member("limit", "1 to 100."))
}

/// A member of a change that can also be taken away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Member<T> {
    /// It is left out: it stays as it is.
    #[default]
    Stays,
    /// It is null: it goes.
    Goes,
    /// It becomes this.
    Becomes(T),
}

impl<T: Clone> Member<T> {
    /// What comes of the member.
    pub fn over(&self, before: Option<&T>) -> Option<T> {
        match self {
            Self::Stays => before.cloned(),
            Self::Goes => None,
            Self::Becomes(value) => Some(value.clone()),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Member<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Self::Goes, Self::Becomes))
    }
}
