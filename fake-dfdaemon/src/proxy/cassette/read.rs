//! A cassette as it is read: hostile until it is checked. Nothing outside its directory is read, and
//! nothing is believed of what it says of its content.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use serde::Deserialize;

use super::content::sha256;
use super::{
    CALLS_FILE, CONTENT_DIRECTORY, Call, CassetteError, ContentRef, FORMAT, HEAD_FILE, Head,
};
use crate::dfdaemon::mutex::Mutex;

/// The longest head and the longest line.
const MAX_HEAD: u64 = 1 << 20;
const MAX_LINE: u64 = 64 << 20;

/// What to do about a cassette that cannot be read.
const RECORD_AGAIN: &str = "mend it, or record the session again";
const OTHER_FORMAT: &str = "record the session again, or replay it with the program that did";
const MEND_LINE: &str = "mend the line, or remove it";

/// What every format has.
#[derive(Deserialize)]
struct Format {
    format: String,
}

/// `calls.jsonl`.
#[derive(Default)]
struct Lines {
    calls: Vec<Call>,
    places: HashMap<u64, u64>,
    is_cut: bool,
}

/// A cassette that was recorded.
#[derive(Debug)]
pub(crate) struct Cassette {
    path: PathBuf,
    pub(crate) head: Head,
    /// In the order in which they began.
    pub(crate) calls: Vec<Call>,
    /// The lines of calls by their numbers.
    places: HashMap<u64, u64>,
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
        let bad_head = |why: String| malformed(&head_path, why, RECORD_AGAIN);
        // Before all else: another format may have other fields.
        let Format { format } =
            serde_json::from_str(&text).map_err(|why| bad_head(why.to_string()))?;
        if format != FORMAT {
            let why = format!("the format is {format:?}, not {FORMAT:?}");
            return Err(malformed(&head_path, why, OTHER_FORMAT));
        }
        let head: Head = serde_json::from_str(&text).map_err(|why| bad_head(why.to_string()))?;
        let Lines {
            mut calls,
            places,
            is_cut,
        } = read_calls(&path.join(CALLS_FILE))?;
        calls.sort_by_key(|call| call.call);
        Ok(Self {
            path: path.to_owned(),
            head,
            calls,
            places,
            is_cut,
            sound: Mutex::default(),
        })
    }

    /// What is wrong with a call, and where it stands.
    pub(crate) fn malformed(&self, call: u64, why: &str) -> CassetteError {
        let line = self.places.get(&call).copied().unwrap_or_default();
        let why = format!("line {line}: call {call}: {why}");
        malformed(&self.path.join(CALLS_FILE), why, MEND_LINE)
    }

    /// The file that holds this content, `None` if only its hash was kept.
    pub(crate) fn content(&self, content: &ContentRef) -> Result<Option<File>, CassetteError> {
        let name = &content.sha256;
        let is_hash = name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        let directory = self.path.join(CONTENT_DIRECTORY);
        if !is_hash {
            let why = format!("{name:?} is not a SHA-256");
            return Err(malformed(&directory, why, RECORD_AGAIN));
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
            return Err(malformed(&path, why, RECORD_AGAIN));
        }
        self.check(name, &path, &file)?;
        Ok(Some(file))
    }

    /// Whether content has the hash that it is named by. Reads all of it, once.
    fn check(&self, name: &str, path: &Path, file: &File) -> Result<(), CassetteError> {
        let mut sound = self.sound.lock();
        if sound.contains(name) {
            return Ok(());
        }
        let hash = sha256(file).map_err(|source| CassetteError::Io {
            path: path.to_owned(),
            source,
        })?;
        if !hash.eq_ignore_ascii_case(name) {
            let why = format!("its SHA-256 is {hash}");
            return Err(malformed(path, why, RECORD_AGAIN));
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
        let why = "it is not a regular file".to_owned();
        return Err(malformed(path, why, RECORD_AGAIN));
    }
    Ok(file)
}

fn read_calls(path: &Path) -> Result<Lines, CassetteError> {
    let io = |source| CassetteError::Io {
        path: path.to_owned(),
        source,
    };
    let mut file = BufReader::new(open_file(CWD, path, path)?);
    let mut lines = Lines::default();
    for number in 1_u64.. {
        let bad_line = |why: &str| malformed(path, format!("line {number}: {why}"), MEND_LINE);
        let mut line = Vec::new();
        let read = (&mut file)
            .take(MAX_LINE)
            .read_until(b'\n', &mut line)
            .map_err(io)?;
        if read == 0 {
            break;
        }
        if line.len() as u64 >= MAX_LINE {
            return Err(bad_line(
                "it is longer than any line that a recorder writes",
            ));
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let call = match serde_json::from_slice::<Call>(&line) {
            Ok(call) => call,
            // A recorder that was killed ends in the middle of a line, an editor perhaps without one.
            Err(why) if why.is_eof() && line.last() != Some(&b'\n') => {
                lines.is_cut = true;
                return Ok(lines);
            }
            Err(why) => return Err(bad_line(&in_line(&why))),
        };
        if let Some(other) = lines.places.insert(call.call, number) {
            let why = format!("call {} is already in line {other}", call.call);
            return Err(bad_line(&why));
        }
        lines.calls.push(call);
    }
    Ok(lines)
}

/// What JSON is wrong with, in a text that is one line.
fn in_line(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    match text.strip_suffix(&place) {
        Some(why) => format!("column {}: {why}", error.column()),
        None => text,
    }
}

fn malformed(path: &Path, why: String, way_out: &'static str) -> CassetteError {
    CassetteError::Malformed {
        path: path.to_owned(),
        why,
        way_out,
    }
}
