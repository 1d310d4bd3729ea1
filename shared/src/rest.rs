//! Members of a stored value that this release does not know. Functions of two adjacent releases share the table: what a
//! newer one added is kept when an older one writes the item back, so that a deployment or a rollback loses nothing.

use serde::{Deserialize, Serialize};

/// The members that are carried through, unread.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rest(serde_json::Map<String, serde_json::Value>);

impl Eq for Rest {}

#[cfg(test)]
mod tests {
    use crate::policy::Policy;

    #[test]
    fn a_member_of_a_newer_release_survives() {
        let stored = r#"{"idle_seconds":60,"new_in_next_release":{"a":[1,"b"]}}"#;
        let policy: Policy = serde_json::from_str(stored).unwrap();
        let written = serde_json::to_value(Policy { retry_window_seconds: 5, ..policy }).unwrap();
        assert_eq!(written["new_in_next_release"]["a"][1], "b");
        assert_eq!(written["retry_window_seconds"], 5);
        assert_eq!(written["idle_seconds"], 60);
    }
}
