//! How a directory differs from a tree.

use std::collections::BTreeMap;
use std::path::Path;

use super::manifest::{Entry, Kind, directories};
use super::walk::Odd;
use crate::types::error::{Error, Result};

/// How many differences an error names; the others are counted.
const MAX_NAMED: usize = 20;

/// The differences, by their paths: what is said after each path.
#[derive(Debug, Default)]
pub(super) struct Differences(BTreeMap<String, String>);

impl Differences {
    /// What shows without reading a file: names, kinds and lengths. `found` is what is in the directory, and
    /// `odd` what is there and can be in no tree.
    pub(super) fn between(tree: &[Entry], found: &[Entry], odd: Vec<Odd>) -> Self {
        let mut rest: BTreeMap<_, _> = found.iter().map(|entry| (&*entry.path, entry)).collect();
        let mut differences = Self::default();
        for entry in tree {
            let path = &*entry.path;
            let difference = match rest.remove(path) {
                Some(other) => difference(&entry.kind, &other.kind),
                None => Some("is missing".to_owned()),
            };
            if let Some(difference) = difference {
                differences.note(path, difference);
            }
        }
        // A manifest need not list a directory that has something in it.
        for path in directories(tree) {
            if let Some(other) = rest.remove(path)
                && !matches!(other.kind, Kind::Directory { .. })
            {
                let difference = format!("is {}, and a directory in the tree", name(&other.kind));
                differences.note(path, difference);
            }
        }
        for path in rest.into_keys() {
            differences.note(path, "is not in the tree".to_owned());
        }
        for Odd { path, why, .. } in odd {
            differences.note(&path, why.to_owned());
        }
        differences.without_what_is_below()
    }

    pub(super) fn note(&mut self, path: &str, difference: String) {
        self.0.insert(path.to_owned(), difference);
    }

    /// Whether the path differs, or what it is in.
    pub(super) fn cover(&self, path: &str) -> bool {
        self.0.contains_key(path) || self.cover_parent(path)
    }

    fn cover_parent(&self, path: &str) -> bool {
        let mut parents = path.rmatch_indices('/');
        parents.any(|(at, _)| self.0.contains_key(&path[..at]))
    }

    /// Where a whole directory is missing, it alone is named.
    fn without_what_is_below(self) -> Self {
        let mut kept = Self::default();
        // What a path is in stands before it.
        for (path, difference) in self.0 {
            if !kept.cover_parent(&path) {
                kept.0.insert(path, difference);
            }
        }
        kept
    }

    /// # Errors
    ///
    /// [`crate::ErrorKind::Integrity`] if there are any. Each is a cause.
    pub(super) fn into_result(self, path: &Path) -> Result<()> {
        let count = self.0.len();
        let named = self.0.into_iter().take(MAX_NAMED);
        let mut causes: Vec<_> = named.map(|(path, why)| format!("{path} {why}")).collect();
        if count > MAX_NAMED {
            causes.push(format!("{} more places differ", count - MAX_NAMED));
        }
        let innermost = causes.pop();
        let Some(innermost) = innermost else {
            return Ok(());
        };
        let causes = causes.into_iter().rev();
        let error = causes.fold(Error::integrity(innermost), |error, cause| {
            error.within(cause)
        });
        Err(error.within(format!("{} is not the tree", path.display())))
    }
}

/// How what was found differs from what is in the tree. Permissions are not compared.
fn difference(wanted: &Kind, found: &Kind) -> Option<String> {
    match (wanted, found) {
        (Kind::Directory { .. }, Kind::Directory { .. }) => None,
        (Kind::File { length: wanted, .. }, Kind::File { length, .. }) => {
            (length != wanted).then(|| format!("has {length} bytes, and {wanted} in the tree"))
        }
        (Kind::Link { target: wanted }, Kind::Link { target }) => (target != wanted)
            .then(|| format!("is a link to {target}, and to {wanted} in the tree")),
        _ => Some(format!(
            "is {}, and {} in the tree",
            name(found),
            name(wanted)
        )),
    }
}

fn name(kind: &Kind) -> &'static str {
    match kind {
        Kind::Directory { .. } => "a directory",
        Kind::File { .. } => "a file",
        Kind::Link { .. } => "a link",
    }
}

#[cfg(test)]
mod tests {
    use super::super::manifest::Sha256Digest;
    use super::*;
    use crate::types::error::ErrorKind;

    /// Of a line of `name/`, `name->target` and `name=length`; a `name` alone is an empty file.
    fn entries(line: &str) -> Vec<Entry> {
        let entry = |text: &str| {
            let file = |length: u64| Kind::File {
                mode: 0o644,
                length,
                task_id: "7".to_owned(),
                sha256: Sha256Digest::default(),
            };
            let (path, kind) = match text.split_once("->") {
                Some((path, target)) => (
                    path,
                    Kind::Link {
                        target: target.to_owned(),
                    },
                ),
                None => match (text.strip_suffix('/'), text.split_once('=')) {
                    (Some(path), _) => (path, Kind::Directory { mode: 0o755 }),
                    (None, Some((path, length))) => (path, file(length.parse().unwrap())),
                    (None, None) => (text, file(0)),
                },
            };
            Entry {
                path: path.to_owned(),
                kind,
            }
        };
        let mut entries: Vec<_> = line.split_whitespace().map(entry).collect();
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        entries
    }

    fn differences(tree: &str, found: &str) -> Vec<String> {
        let differences = Differences::between(&entries(tree), &entries(found), Vec::new());
        let Err(error) = differences.into_result(Path::new("/d")) else {
            return Vec::new();
        };
        assert_eq!(error.kind(), ErrorKind::Integrity);
        assert_eq!(error.to_string(), "/d is not the tree");
        error.causes()
    }

    #[test]
    fn the_same_names_kinds_and_lengths_are_no_difference() {
        let tree = "a=1 b/ b/c=7 b/l->c e/";
        assert!(differences(tree, tree).is_empty());
        assert!(differences("", "").is_empty());
        // Its directory goes without saying.
        assert!(differences("b/c/d", "b/ b/c/ b/c/d").is_empty());
    }

    #[test]
    fn each_difference_is_named_and_nothing_below_it() {
        let tree = "a=1 b/ b/c=7 b/d/ b/d/e f g/ h->x i/j k";
        let found = "a=2 f/ f/under g h->y i k->a new/ new/under b- b-/under";
        assert_eq!(
            differences(tree, found),
            [
                "a has 2 bytes, and 1 in the tree",
                "b is missing",
                "b- is not in the tree",
                "f is a directory, and a file in the tree",
                "g is a file, and a directory in the tree",
                "h is a link to y, and to x in the tree",
                "i is a file, and a directory in the tree",
                "k is a link, and a file in the tree",
                "new is not in the tree",
            ]
        );
    }

    #[test]
    fn of_many_differences_some_are_named_and_all_are_counted() {
        let tree: String = (100..130).map(|number| format!("f{number} ")).collect();
        let causes = differences(&tree, "");
        assert_eq!(causes.len(), MAX_NAMED + 1);
        assert_eq!(causes[0], "f100 is missing");
        assert_eq!(causes[MAX_NAMED], "10 more places differ");
        assert_eq!(differences("a b", "").len(), 2);
    }

    #[test]
    fn a_difference_covers_what_is_below_it() {
        let differences = Differences::between(&entries("b/ b/c=7 d"), &entries("d"), Vec::new());
        assert!(differences.cover("b") && differences.cover("b/c"));
        assert!(!differences.cover("d") && !differences.cover("b-/c"));
    }
}
