//! A cassette as it is read: hostile until it is checked. Nothing outside its directory is read, and
//! nothing is believed of what it says of its content.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;

use super::content::sha256;
use super::{
    CALLS_FILE, CONTENT_DIRECTORY, Call, CassetteError, ContentRef, FORMAT, HEAD_FILE, Head,
};

/// The longest head and the longest line.
const MAX_HEAD: u64 = 1 << 20;
const MAX_LINE: u64 = 64 << 20;

/// A cassette that was recorded.
#[derive(Debug)]
pub(crate) struct Cassette {
    path: PathBuf,
    pub(crate) head: Head,
    /// In the order in which they began.
    pub(crate) calls: Vec<Call>,
    /// The last line was cut: the recorder was killed.
    pub(crate) is_cut: bool,
    /// The content that is what its name says.
    sound: Mutex<HashSet<String>>,
}

impl Cassette {
    pub(crate) fn open(path: &Path) -> Result<Self, CassetteError> {
        let head_path = path.join(HEAD_FILE);
        let mut text = String::new();
        open_file(CWD, &head_path, &head_path)?
            .take(MAX_HEAD)
            .read_to_string(&mut text)
            .map_err(|source| CassetteError::Io {
                path: head_path.clone(),
                source,
            })?;
        let head: Head = serde_json::from_str(&text).map_err(|why| malformed(&head_path, why))?;
        if head.format != FORMAT {
            let why = format!("the format is {:?}, not {FORMAT:?}", head.format);
            return Err(malformed(&head_path, why));
        }
        let (mut calls, is_cut) = read_calls(&path.join(CALLS_FILE))?;
        calls.sort_by_key(|call| call.call);
        Ok(Self {
            path: path.to_owned(),
            head,
            calls,
            is_cut,
            sound: Mutex::default(),
        })
    }

    /// The file that holds this content, `None` if only its hash was kept.
    pub(crate) fn content(&self, content: &ContentRef) -> Result<Option<File>, CassetteError> {
        let name = &content.sha256;
        let is_hash = name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        let directory = self.path.join(CONTENT_DIRECTORY);
        if !is_hash {
            return Err(malformed(&directory, format!("{name:?} is no SHA-256")));
        }
        let path = directory.join(name);
        // Through the directory itself: a link in its place would lead elsewhere.
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = rustix::fs::open(&directory, flags, Mode::empty());
        let opened = match opened {
            Err(Errno::NOENT) => return Ok(None),
            opened => opened.map_err(|error| CassetteError::Io {
                path: directory,
                source: error.into(),
            })?,
        };
        let file = match open_file(opened.as_fd(), Path::new(name), &path) {
            Err(CassetteError::Io { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound =>
            {
                return Ok(None);
            }
            opened => opened?,
        };
        let length = file.metadata().map_or(0, |metadata| metadata.len());
        if length != content.length {
            let why = format!("it has {length} bytes, not {}", content.length);
            return Err(malformed(&path, why));
        }
        self.check(name, &path, &file)?;
        Ok(Some(file))
    }

    /// Whether content has the hash that it is named by. Reads all of it, once.
    fn check(&self, name: &str, path: &Path, file: &File) -> Result<(), CassetteError> {
        let mut sound = self.sound.lock().unwrap_or_else(PoisonError::into_inner);
        if sound.contains(name) {
            return Ok(());
        }
        let hash = sha256(file).map_err(|source| CassetteError::Io {
            path: path.to_owned(),
            source,
        })?;
        if !hash.eq_ignore_ascii_case(name) {
            return Err(malformed(path, format!("its SHA-256 is {hash}")));
        }
        sound.insert(name.to_owned());
        Ok(())
    }
}

/// Opens a regular file in a directory, and follows no link that stands in its place. `path` is for
/// errors.
fn open_file(directory: BorrowedFd<'_>, name: &Path, path: &Path) -> Result<File, CassetteError> {
    let io = |source| CassetteError::Io {
        path: path.to_owned(),
        source,
    };
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::openat(directory, name, flags, Mode::empty());
    let file = File::from(file.map_err(|error| io(error.into()))?);
    let kind = file.metadata().map_err(io)?.file_type();
    if !kind.is_file() {
        return Err(malformed(path, "it is no regular file"));
    }
    Ok(file)
}

fn read_calls(path: &Path) -> Result<(Vec<Call>, bool), CassetteError> {
    let io = |source| CassetteError::Io {
        path: path.to_owned(),
        source,
    };
    let mut lines = BufReader::new(open_file(CWD, path, path)?);
    let mut calls: Vec<Call> = Vec::new();
    for number in 1_u64.. {
        let mut line = Vec::new();
        let read = (&mut lines)
            .take(MAX_LINE)
            .read_until(b'\n', &mut line)
            .map_err(io)?;
        if read == 0 {
            break;
        }
        if line.len() as u64 >= MAX_LINE {
            return Err(malformed(path, format!("line {number} is too long")));
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        match serde_json::from_slice::<Call>(&line) {
            Ok(call) => calls.push(call),
            // A recorder that was killed ends in the middle of a line, an editor perhaps without one.
            Err(why) if why.is_eof() && line.last() != Some(&b'\n') => return Ok((calls, true)),
            Err(why) => return Err(malformed(path, format!("line {number}: {why}"))),
        }
    }
    Ok((calls, false))
}

fn malformed(path: &Path, why: impl ToString) -> CassetteError {
    CassetteError::Malformed {
        path: path.to_owned(),
        why: why.to_string(),
    }
}
