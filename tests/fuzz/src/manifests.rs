//! Manifests of trees: what passes makes a tree that lies below its directory.

use std::collections::BTreeMap;

use dfcache::{ErrorKind, TreeSummary};
use serde_json::Value;

use crate::Target;

/// No file system follows more links.
const MOST_LINKS: usize = 40;

/// The input is a manifest, or none.
#[derive(Debug, Default)]
pub struct Manifests;

impl Target for Manifests {
    const NAME: &str = "manifests";

    fn gets_far(&mut self, input: &[u8]) -> bool {
        let summary = match TreeSummary::of_manifest(input) {
            Ok(summary) => summary,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Integrity);
                assert!(!error.to_string().is_empty());
                return false;
            }
        };
        let manifest: Value = serde_json::from_slice(input).unwrap();
        let entries = manifest["entries"].as_array().unwrap();
        let counted = summary.file_count + summary.directory_count + summary.link_count;
        assert_eq!(counted, entries.len());
        let text = |entry: &Value, field: &str| entry[field].as_str().map(str::to_owned);
        let tree: BTreeMap<String, Option<String>> = entries
            .iter()
            .map(|entry| (text(entry, "path").unwrap(), text(entry, "target")))
            .collect();
        // Each is there once.
        assert_eq!(tree.len(), entries.len());
        for entry in entries {
            let path = text(entry, "path").unwrap();
            let mut above = path.as_str();
            assert!(path.split('/').all(is_name), "{path:?}");
            while let Some((directory, _)) = above.rsplit_once('/') {
                let is_directory = |entry: &Value| entry["kind"] == "directory";
                let known = entries.iter().find(|entry| entry["path"] == directory);
                assert!(known.is_none_or(is_directory), "{path:?}");
                above = directory;
            }
            if let Some(target) = text(entry, "target") {
                let directory = path.rsplit_once('/').map_or("", |(above, _)| above);
                stays_inside(&tree, directory, &target);
            }
        }
        true
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && !name.contains('\0')
}

/// Follows a link as a kernel does: it never is above the tree's directory.
fn stays_inside(tree: &BTreeMap<String, Option<String>>, directory: &str, target: &str) {
    let names = |path: &str| -> Vec<String> {
        let names = path
            .split('/')
            .filter(|name| !name.is_empty() && *name != ".");
        names.map(str::to_owned).collect()
    };
    assert!(!target.starts_with('/'), "{target:?} is absolute");
    let mut place = names(directory);
    let mut left = names(target);
    left.reverse();
    let mut followed = 0;
    while let Some(name) = left.pop() {
        if name == ".." {
            assert!(
                place.pop().is_some(),
                "{target:?} in {directory:?} leads out"
            );
            continue;
        }
        place.push(name);
        if let Some(Some(next)) = tree.get(&place.join("/")) {
            followed += 1;
            if followed > MOST_LINKS {
                return;
            }
            assert!(!next.starts_with('/'), "{next:?} is absolute");
            place.pop();
            left.extend(names(next).into_iter().rev());
        }
    }
}
