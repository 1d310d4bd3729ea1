//! The direction of dependencies: pure domain, then adapters, then the edge; the AWS SDK where it belongs.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use leasehold_tests::settings::repository;

/// The rings as `shared/src/lib.rs` lists them, innermost first, by the comments above them.
const RINGS: &[&str] = &["// Pure.", "// Adapters.", "// Edge."];

/// Where the AWS SDK may be named.
const SDK: &[&str] = &["shared/src/store/", "shared/src/kms.rs", "shared/src/reach.rs", "shared/src/app.rs"];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            if path.file_name().is_none_or(|name| name != "target") {
                sources(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn code_of(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).expect("a source file");
    text.lines().filter(|line| !line.trim_start().starts_with("//")).map(str::to_owned).collect()
}

/// The ring of each module.
fn rings() -> BTreeMap<String, usize> {
    let text = fs::read_to_string(repository().join("shared/src/lib.rs")).expect("lib.rs");
    let (mut ring, mut rings) = (None, BTreeMap::new());
    for line in text.lines() {
        ring = RINGS.iter().position(|name| *name == line).or(ring);
        if let Some(module) = line.strip_prefix("pub mod ").and_then(|rest| rest.strip_suffix(';')) {
            rings.insert(module.to_owned(), ring.expect("a ring before its modules"));
        }
    }
    for (ring, name) in RINGS.iter().enumerate() {
        assert!(rings.values().any(|of| *of == ring), "lib.rs has no modules under `{name}`");
    }
    rings
}

/// The modules of the own crate that a line names.
fn named(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    for rest in line.split("crate::").skip(1) {
        let list = rest.strip_prefix('{').map(|list| list.split('}').next().unwrap_or_default());
        let names: Vec<&str> = list.map_or_else(|| vec![rest], |list| list.split(',').collect());
        for name in names {
            let name: String = name.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if name.chars().next().is_some_and(char::is_lowercase) {
                found.push(name);
            }
        }
    }
    found
}

#[test]
fn no_arrow_points_upward_in_the_shared_crate() {
    let root = repository().join("shared/src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let (rings, mut wrong) = (rings(), Vec::new());
    for path in files {
        let relative = path.strip_prefix(&root).expect("below the root");
        let first = relative.components().next().expect("a name").as_os_str().to_string_lossy().into_owned();
        let module = first.trim_end_matches(".rs");
        if module == "lib" {
            continue;
        }
        let Some(&ring) = rings.get(module) else {
            wrong.push(format!("{module} stands in no ring of lib.rs"));
            continue;
        };
        for line in code_of(&path) {
            for used in named(&line) {
                if rings.get(&used).is_some_and(|other| *other > ring) {
                    wrong.push(format!("{}, {}, uses {used}", relative.display(), RINGS[ring]));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_aws_sdk_stays_where_it_belongs() {
    let mut files = Vec::new();
    for folder in ["shared/src", "functions", "infra/cli/src", "infra/local/src"] {
        sources(&repository().join(folder), &mut files);
    }
    let mut wrong = Vec::new();
    for path in files {
        let relative = path.strip_prefix(repository()).expect("in the repository").display().to_string();
        if !SDK.iter().any(|place| relative.starts_with(place))
            && code_of(&path).iter().any(|line| line.contains("aws_sdk_"))
        {
            wrong.push(relative);
        }
    }
    assert!(wrong.is_empty(), "aws_sdk_ in {wrong:?}");
}

#[test]
fn an_api_that_verifies_takes_no_aws_sdk_along() {
    let cargo = option_env!("CARGO").unwrap_or("cargo");
    let tree = ["tree", "--offline", "--package", "leasehold", "--features", "remote", "--edges", "normal"];
    let output = Command::new(cargo)
        .args(tree)
        .args(["--prefix", "none"])
        .current_dir(repository())
        .output()
        .expect("cargo runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("hyper-util"), "the tree was read: {}", String::from_utf8_lossy(&output.stderr));
    let aws: Vec<&str> =
        text.lines().filter(|line| line.starts_with("aws-") && !line.starts_with("aws-lc")).collect();
    assert!(aws.is_empty(), "{aws:?}");
    assert!(!text.contains("lambda"), "and nothing of Lambda");
}

#[test]
fn nothing_scans_the_table() {
    let mut files = Vec::new();
    for folder in ["shared", "functions"] {
        sources(&repository().join(folder), &mut files);
    }
    for path in files {
        let scans = code_of(&path).iter().any(|line| line.contains(".scan()"));
        assert!(!scans, "{}: cost must grow with requests", path.display());
    }
}

#[test]
fn domain_code_reads_no_clock_and_no_environment() {
    let root = repository().join("shared/src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    for path in files {
        let relative = path.strip_prefix(&root).expect("below the root").display().to_string();
        if ["clock.rs", "config.rs", "app.rs"].contains(&relative.as_str()) {
            continue;
        }
        for line in code_of(&path) {
            for banned in ["SystemTime::now", "env::var"] {
                assert!(!line.contains(banned), "{relative}: {banned}");
            }
        }
    }
}
