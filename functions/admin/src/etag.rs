//! Versions on the wire. A tag is a hash over tenant, kind, id and version, so that one of another tenant, or of another
//! thing, never matches.

use http::header::IF_MATCH;
use leasehold::http::Call;
use leasehold::id::TenantId;
use leasehold::secret::sha256;

use crate::problem::Problem;

/// The tag of a version of something.
pub fn of(tenant: &TenantId, kind: &str, id: &str, version: u64) -> String {
    let text = format!("{tenant}#{kind}#{id}#{version}");
    let hash = sha256(text.as_bytes());
    hash.iter().take(12).fold(String::from("\""), |text, byte| text + &format!("{byte:02x}")) + "\""
}

/// Whether the caller's `If-Match` fits the present tag. Absent, it fits.
pub fn check(call: &Call, tag: &str) -> Result<(), Problem> {
    let Some(wanted) = call.header(&IF_MATCH) else { return Ok(()) };
    // A weak tag never matches here (RFC 9110 §13.1.1).
    if wanted.split(',').any(|one| one.trim() == tag || one.trim() == "*") {
        Ok(())
    } else {
        Err(Problem::precondition_failed())
    }
}

/// The same, where the caller must send one.
pub fn require(call: &Call, tag: &str) -> Result<(), Problem> {
    if call.header(&IF_MATCH).is_none() {
        return Err(Problem::precondition_required());
    }
    check(call, tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_of_one_version_of_one_thing_of_one_tenant() {
        let (acme, other): (TenantId, TenantId) = ("acme".parse().unwrap(), "other".parse().unwrap());
        let tag = of(&acme, "user", "u", 1);
        assert_eq!(tag, of(&acme, "user", "u", 1));
        for another in [
            of(&other, "user", "u", 1),
            of(&acme, "client", "u", 1),
            of(&acme, "user", "v", 1),
            of(&acme, "user", "u", 2),
        ] {
            assert_ne!(tag, another);
        }
    }
}
