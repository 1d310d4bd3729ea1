//! How far an import is.

use std::fs;
use std::path::Path;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::failure::Failure;
use crate::files;

/// What is imported to where. A checkpoint is good for this alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    issuer: String,
    bytes: u64,
    modified_millis: u128,
}

impl Input {
    /// A file as it is now.
    pub fn of(path: &Path, issuer: &str) -> Result<Self, Failure> {
        let metadata = fs::metadata(path).map_err(|error| files::failed("read", path, &error))?;
        let modified = metadata.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        Ok(Self {
            issuer: issuer.to_owned(),
            bytes: metadata.len(),
            modified_millis: modified.unwrap_or_default().as_millis(),
        })
    }
}

/// Everything up to here is done and in the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    input: Input,
    /// Lines of the input, blank ones too.
    pub lines: u64,
    /// The length of the report.
    pub report_bytes: u64,
    /// Users that were made.
    pub created: u64,
    /// Users who were there.
    pub exists: u64,
    /// Lines that were refused.
    pub refused: u64,
}

impl Checkpoint {
    /// The checkpoint of an earlier run, or the beginning.
    pub fn load(path: &Path, input: &Input) -> Result<Self, Failure> {
        let Some(text) = files::read(path)? else {
            return Ok(Self {
                input: input.clone(),
                lines: 0,
                report_bytes: 0,
                created: 0,
                exists: 0,
                refused: 0,
            });
        };
        let found: Option<Self> = serde_json::from_slice(&text).ok();
        found.filter(|found| found.input == *input).ok_or_else(|| {
            Failure::Usage(format!(
                "{} is of another import: the file has changed since, or went elsewhere; --restart begins anew",
                path.display()
            ))
        })
    }

    /// Counts a chunk that is done.
    pub fn add(&mut self, lines: u64, report_bytes: u64, results: &[Value]) {
        self.lines += lines;
        self.report_bytes += report_bytes;
        for result in results {
            match result["outcome"].as_str() {
                Some("created") => self.created += 1,
                Some("exists") => self.exists += 1,
                _ => self.refused += 1,
            }
        }
    }

    /// Keeps the checkpoint. What it counts is in the report already.
    pub fn save(&self, path: &Path) -> Result<(), Failure> {
        let text = serde_json::to_vec(self).map_err(|error| Failure::Other(error.to_string()))?;
        files::replace(path, &text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_checkpoint_is_good_for_the_same_file_and_tenant_alone() {
        let folder = std::env::temp_dir().join(format!("leasehold-cli-checkpoint-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (path, place) = (folder.join("users.ndjson"), folder.join("place"));
        std::fs::write(&path, "{}\n").unwrap();
        let input = Input::of(&path, "https://a/t/b").unwrap();
        let mut done = Checkpoint::load(&place, &input).unwrap();
        done.add(
            3,
            90,
            &[json!({"outcome": "created"}), json!({"outcome": "exists"}), json!({"outcome": "refused"})],
        );
        done.save(&place).unwrap();
        let found = Checkpoint::load(&place, &input).unwrap();
        assert_eq!(found, done);
        assert_eq!((found.lines, found.created, found.exists, found.refused), (3, 1, 1, 1));
        let elsewhere = Input::of(&path, "https://a/t/c").unwrap();
        assert!(matches!(Checkpoint::load(&place, &elsewhere), Err(Failure::Usage(_))));
        std::fs::write(&path, "{}\n{}\n").unwrap();
        let changed = Input::of(&path, "https://a/t/b").unwrap();
        assert!(matches!(Checkpoint::load(&place, &changed), Err(Failure::Usage(_))));
        std::fs::write(&place, "half a check").unwrap();
        assert!(matches!(Checkpoint::load(&place, &input), Err(Failure::Usage(_))));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
