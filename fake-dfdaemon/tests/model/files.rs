//! The files that are imported, and the ids that they get.
//!
//! A shell can make them too: what `seq` prints, cut off.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use dfdaemon_api::task_id::{Parameters, TaskIdHasher};
use fake_dfdaemon::Release;

/// What files hold, in bytes; the last one fits no host.
pub(crate) const LENGTHS: [usize; 4] = [0, 7, (4 << 20) + 1, 33 << 20];
pub(crate) const TOO_BIG: usize = 3;
pub(crate) const CAPACITY: u64 = 32 << 20;

/// Ids that tasks compete for.
pub(crate) const NAMES: [&str; 3] = ["a", "b", "c"];

/// The number that a file's content begins with.
pub(crate) fn first_number(file: usize) -> usize {
    1_000_000 * (file + 1)
}

/// What a file holds: written once in a process, since cases ask for it many times.
pub(crate) fn bytes(file: usize) -> &'static [u8] {
    static WRITTEN: [OnceLock<Vec<u8>>; LENGTHS.len()] = [const { OnceLock::new() }; LENGTHS.len()];
    WRITTEN[file].get_or_init(|| written(file))
}

fn written(file: usize) -> Vec<u8> {
    let mut text = String::with_capacity(LENGTHS[file] + 8);
    let mut number = first_number(file);
    while text.len() < LENGTHS[file] {
        writeln!(text, "{number}").unwrap();
        number += 1;
    }
    text.truncate(LENGTHS[file]);
    text.into_bytes()
}

/// Makes them all. The one that is too big has no content to speak of.
pub(crate) fn make(dir: &Path) {
    for (file, length) in LENGTHS.into_iter().enumerate() {
        let path = dir.join(name(file));
        if file == TOO_BIG {
            let empty = fs::File::create(path).unwrap();
            empty.set_len(length as u64).unwrap();
        } else {
            fs::write(path, bytes(file)).unwrap();
        }
    }
}

pub(crate) fn name(file: usize) -> String {
    format!("file-{file}")
}

/// A task that operations are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// With the id of a name.
    Named(usize),
    /// With the id of a file's bytes.
    Content(usize),
    /// That nobody imported.
    Unknown,
}

impl Target {
    /// What an import of a file makes.
    pub(crate) fn of(file: usize, name: Option<usize>) -> Self {
        name.map_or(Self::Content(file), Self::Named)
    }

    pub(crate) fn id(self, release: Release) -> String {
        let scheme = crate::support::content::scheme(release);
        match self {
            Self::Named(name) => scheme.of_content(NAMES[name]),
            Self::Content(file) => {
                let mut hasher = TaskIdHasher::new(scheme);
                hasher.update(bytes(file));
                hasher.finish(Parameters::default())
            }
            Self::Unknown => "404".to_owned(),
        }
    }
}
