//! What is in a directory that becomes a tree.
//!
//! Links that stay inside the directory stay links; what others lead to becomes part of the tree. The
//! Hugging Face cache is made of both kinds: its snapshots are links to blobs beside them.

use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};

use rustix::io::Errno;

use super::manifest::{self, Entry, Kind, Sha256Digest};
use crate::output::is_temporary_name;
use crate::types::error::{Error, Result};

/// The permission bits that a tree keeps.
const PERMISSIONS: u32 = 0o777;

/// A directory that is being walked.
struct Level {
    /// Below the root, with `/` between names; empty for the root.
    path: String,
    /// Where it is.
    place: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
    /// Whether a link led out of the root to it, or above it.
    outside: bool,
    names: Vec<OsString>,
}

/// What cannot be part of a tree.
#[derive(Debug)]
pub(super) struct Odd {
    /// As [`Entry::path`], with replacement characters for what is not UTF-8.
    pub(super) path: String,
    place: PathBuf,
    /// What it is, as the end of a sentence about it.
    pub(super) why: &'static str,
}

impl Odd {
    /// [`crate::ErrorKind::LocalFile`].
    pub(super) fn into_error(self) -> Error {
        refused(&self.place, format!("it {}", self.why))
    }
}

/// Why a name in the directory becomes no entry.
enum NoEntry {
    Odd(&'static str),
    Unreadable(Error),
}

impl From<Error> for NoEntry {
    fn from(error: Error) -> Self {
        Self::Unreadable(error)
    }
}

/// Everything below `root`, sorted. The ids and hashes of files are not yet known. `odd` is handed what
/// cannot be part of a tree, and may end the walk.
///
/// # Errors
///
/// [`crate::ErrorKind::LocalFile`] if the directory or something in it cannot be read; the errors of `odd`. Blocks.
pub(super) fn walk(root: &Path, odd: &mut dyn FnMut(Odd) -> Result<()>) -> Result<Vec<Entry>> {
    let metadata = fs::metadata(root).map_err(|source| cannot_read(root, source))?;
    if !metadata.is_dir() {
        return Err(refused(root, "it is not a directory".to_owned()));
    }
    let real_root = fs::canonicalize(root).map_err(|source| cannot_read(root, source))?;
    let mut entries = Vec::new();
    let mut levels = vec![level(String::new(), root, &metadata, false)?];
    while let Some(current) = levels.last_mut() {
        let Some(name) = current.names.pop() else {
            levels.pop();
            continue;
        };
        let place = current.place.join(&name);
        let mut path = name.to_string_lossy().into_owned();
        if !current.path.is_empty() {
            path = format!("{}/{path}", current.path);
        }
        let kind = if name.to_str().is_none() {
            Err(NoEntry::Odd(
                "has a name that is not UTF-8, which a manifest needs",
            ))
        } else {
            enter(&real_root, &path, &place, &mut levels)
        };
        match kind {
            Ok(kind) => entries.push(Entry { path, kind }),
            Err(NoEntry::Odd(why)) => odd(Odd { path, place, why })?,
            Err(NoEntry::Unreadable(error)) => return Err(error),
        }
    }
    entries.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    manifest::check_paths(&entries).map_err(|why| refused(root, why))?;
    Ok(entries)
}

/// What is at `place`. A directory becomes one more level.
fn enter(
    real_root: &Path,
    path: &str,
    place: &Path,
    levels: &mut Vec<Level>,
) -> std::result::Result<Kind, NoEntry> {
    let mut outside = levels.last().is_some_and(|level| level.outside);
    let cannot = |source| cannot_read(place, source);
    let mut metadata = fs::symlink_metadata(place).map_err(cannot)?;
    if metadata.is_symlink() {
        if let Some(target) = kept_link(real_root, place, path, outside)? {
            return Ok(Kind::Link { target });
        }
        metadata = fs::metadata(place).map_err(cannot)?;
        outside = true;
    }
    let mode = metadata.permissions().mode() & PERMISSIONS;
    if metadata.is_file() {
        return Ok(Kind::File {
            mode,
            length: metadata.len(),
            task_id: String::new(),
            sha256: Sha256Digest::default(),
        });
    }
    if !metadata.is_dir() {
        return Err(NoEntry::Odd(name_of(&metadata)));
    }
    let identity = (metadata.dev(), metadata.ino());
    if levels.iter().any(|level| level.identity == identity) {
        return Err(NoEntry::Odd("is a link to a directory above it"));
    }
    levels.push(level(path.to_owned(), place, &metadata, outside)?);
    Ok(Kind::Directory { mode })
}

fn level(path: String, place: &Path, metadata: &Metadata, outside: bool) -> Result<Level> {
    let cannot = |source| cannot_read(place, source);
    let mut names = Vec::new();
    for entry in fs::read_dir(place).map_err(cannot)? {
        let name = entry.map_err(cannot)?.file_name();
        // What is being made there, or was left there, by a dfcache.
        if !is_temporary_name(name.as_encoded_bytes()) {
            names.push(name);
        }
    }
    Ok(Level {
        path,
        place: place.to_owned(),
        identity: (metadata.dev(), metadata.ino()),
        outside,
        names,
    })
}

/// What a link that stays in the tree leads to, relative to the directory it is in. None if what it
/// leads to is outside, and has to become part of the tree.
fn kept_link(
    root: &Path,
    place: &Path,
    path: &str,
    outside: bool,
) -> std::result::Result<Option<String>, NoEntry> {
    const NOT_UTF_8: NoEntry = NoEntry::Odd("is a link to a name that is not UTF-8");

    let target = fs::read_link(place).map_err(|source| cannot_read(place, source))?;
    let parent = place.parent().unwrap_or(root);
    let real = match fs::canonicalize(place) {
        Ok(real) => Some(real),
        Err(source) if source.kind() == io::ErrorKind::NotFound => None,
        Err(source) if source.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
            return Err(NoEntry::Odd("is a link that leads back to itself"));
        }
        Err(source) => return Err(cannot_read(place, source).into()),
    };
    // As it stands, if nothing on its way is outside: what is outside has another place in the tree.
    if !outside && stays_inside(root, parent, &target) {
        let text = target.to_str().ok_or(NOT_UTF_8)?;
        return Ok(Some(text.to_owned()));
    }
    let Some(real) = real else {
        return Err(NoEntry::Odd("is a link whose target does not exist"));
    };
    let Ok(inside) = real.strip_prefix(root) else {
        return Ok(None);
    };
    let inside = inside.to_str().ok_or(NOT_UTF_8)?;
    let mut target = "../".repeat(path.matches('/').count());
    target.push_str(inside);
    if inside.is_empty() {
        target.push('.');
    }
    Ok(Some(target))
}

/// Whether a relative link leads to `root` or below it at each of its steps.
fn stays_inside(root: &Path, parent: &Path, target: &Path) -> bool {
    let mut place = parent.to_owned();
    for component in target.components() {
        match component {
            Component::Normal(name) => place.push(name),
            Component::ParentDir => {
                place = match fs::canonicalize(&place) {
                    Ok(real) => real.parent().unwrap_or(root).to_owned(),
                    Err(_) => return false,
                }
            }
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return false,
        }
        let real = match fs::canonicalize(&place) {
            Ok(real) => real,
            // It leads to nothing, and that is inside.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let above = place
                    .parent()
                    .and_then(|above| fs::canonicalize(above).ok());
                let is_link = fs::symlink_metadata(&place).is_ok();
                return !is_link && above.is_some_and(|above| above.starts_with(root));
            }
            Err(_) => return false,
        };
        if !real.starts_with(root) {
            return false;
        }
    }
    true
}

fn name_of(metadata: &Metadata) -> &'static str {
    let kind = metadata.file_type();
    if kind.is_fifo() {
        "is a FIFO"
    } else if kind.is_socket() {
        "is a socket"
    } else {
        "is a device"
    }
}

fn refused(place: &Path, why: String) -> Error {
    Error::local_file(format!("{} cannot be part of a tree", place.display())).because(why)
}

fn cannot_read(place: &Path, source: io::Error) -> Error {
    Error::local_file(format!("cannot read {}", place.display())).because(source)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;
    use crate::types::error::ErrorKind;

    fn refuse(odd: Odd) -> Result<()> {
        Err(odd.into_error())
    }

    fn directory() -> (TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("root");
        fs::create_dir(&root).unwrap();
        (directory, root)
    }

    /// Each path with what it is: `name`, `name/`, or `name -> target`.
    fn shown(root: &Path) -> Vec<String> {
        let entries = walk(root, &mut refuse).unwrap();
        let shown = |entry: &Entry| match &entry.kind {
            Kind::Directory { .. } => format!("{}/", entry.path),
            Kind::File { .. } => entry.path.clone(),
            Kind::Link { target } => format!("{} -> {target}", entry.path),
        };
        entries.iter().map(shown).collect()
    }

    #[test]
    fn files_links_and_empty_directories_are_found_in_order() {
        let (_directory, root) = directory();
        fs::create_dir_all(root.join("b/empty")).unwrap();
        fs::write(root.join("b/file"), "12").unwrap();
        fs::write(root.join("b-"), "").unwrap();
        symlink("b/file", root.join("a")).unwrap();
        symlink("../a", root.join("b/up")).unwrap();
        symlink("..", root.join("b/empty/dots")).unwrap();
        symlink("not/there", root.join("dangling")).unwrap();
        symlink("not-there", root.join("b/dangling")).unwrap();
        fs::create_dir(root.join(format!(".dfcache-{}-{}", "0".repeat(16), "1".repeat(32))))
            .unwrap();
        assert_eq!(
            shown(&root),
            [
                "a -> b/file",
                "b/",
                "b-",
                "b/dangling -> not-there",
                "b/empty/",
                "b/empty/dots -> ..",
                "b/file",
                "b/up -> ../a",
                "dangling -> not/there",
            ]
        );
    }

    #[test]
    fn a_snapshot_of_the_hugging_face_cache_becomes_its_files() {
        let (directory, root) = directory();
        let blobs = directory.path().join("blobs");
        fs::create_dir_all(blobs.join("tree/sub")).unwrap();
        fs::write(blobs.join("abc"), "content").unwrap();
        fs::write(blobs.join("tree/sub/file"), "").unwrap();
        symlink("../../abc", blobs.join("tree/sub/link")).unwrap();
        symlink("../blobs/abc", root.join("model.bin")).unwrap();
        symlink("../blobs/tree", root.join("tree")).unwrap();
        // Out of the root and in again.
        symlink("../root/model.bin", root.join("back")).unwrap();
        symlink(root.join("here"), root.join("absolute")).unwrap();
        fs::write(root.join("here"), "").unwrap();
        symlink(&root, root.join("tree/sub/home")).unwrap();
        symlink(root.join("here"), blobs.join("tree/sub/in")).unwrap();
        assert_eq!(
            shown(&root),
            [
                "absolute -> here",
                "back",
                "here",
                "model.bin",
                "tree/",
                "tree/sub/",
                "tree/sub/file",
                "tree/sub/home -> ../../.",
                "tree/sub/in -> ../../here",
                "tree/sub/link",
            ]
        );
        // The whole cache keeps them as links.
        fs::remove_file(root.join("tree")).unwrap();
        let whole = shown(&directory.path().canonicalize().unwrap());
        assert!(
            whole.contains(&"root/model.bin -> ../blobs/abc".to_owned()),
            "{whole:?}"
        );
    }

    #[test]
    fn what_cannot_be_part_of_a_tree_is_refused_by_name() {
        use std::os::unix::ffi::OsStringExt as _;

        let fifo = |path: &Path| {
            let mode = rustix::fs::Mode::RWXU;
            let kind = rustix::fs::FileType::Fifo;
            rustix::fs::mknodat(rustix::fs::CWD, path, kind, mode, 0).unwrap();
        };
        type Make<'a> = (&'a str, &'a dyn Fn(&Path));
        let make: [Make<'_>; 7] = [
            ("a FIFO", &fifo),
            ("does not exist", &|path| {
                symlink("../../nothing", path).unwrap()
            }),
            ("does not exist", &|path| {
                symlink("/nothing/at/all", path).unwrap()
            }),
            ("a device", &|path| symlink("/dev/null", path).unwrap()),
            ("a directory above it", &|path| {
                symlink("../..", path).unwrap()
            }),
            ("back to itself", &|path| symlink("odd", path).unwrap()),
            ("not UTF-8", &|path| {
                let name = OsString::from_vec(b"odd\xff".to_vec());
                fs::write(path.parent().unwrap().join(name), "").unwrap();
            }),
        ];
        for (why, make) in make {
            let (_directory, root) = directory();
            fs::create_dir(root.join("sub")).unwrap();
            make(&root.join("sub/odd"));
            let error = walk(&root, &mut refuse).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::LocalFile);
            let text = format!("{error} {}", error.causes().join(" "));
            assert!(text.contains("sub/odd") && text.contains(why), "{text}");
        }
        let (directory, _) = directory();
        for path in ["missing", "file"] {
            fs::write(directory.path().join("file"), "").unwrap();
            let error = walk(&directory.path().join(path), &mut refuse).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::LocalFile);
        }
    }
}
