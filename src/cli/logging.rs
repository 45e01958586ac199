//! The log: a file a day in the log directory, and stderr if asked.
//!
//! A log never fails a command, and says nothing about itself.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustix::fs::OFlags;
use tracing::level_filters::LevelFilter;

use super::log_lines::LogLines;
use crate::cli::common::{LogLevel, Logs};
use crate::output::disk::room;
use crate::types::error::{Error, Result};

const PREFIX: &str = "dfcache";
const SUFFIX: &str = "log";

/// Starts logging for the rest of the process.
pub(crate) fn start(logs: &Logs) {
    let lines = LogLines {
        level: level(logs.log_level),
        file: open(logs),
        on_stderr: logs.on_stderr(),
    };
    if lines.file.is_some() || lines.on_stderr {
        // Fails only if a program that uses the library has a log of its own.
        let _ = tracing::subscriber::set_global_default(lines);
    }
}

fn level(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Trace => LevelFilter::TRACE,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error => LevelFilter::ERROR,
    }
}

fn open(logs: &Logs) -> Option<File> {
    if logs.log_max_files == 0 {
        return None;
    }
    open_in(&logs.log_dir, logs.log_max_files)
        .or_else(|| open_in(&state_directory()?, logs.log_max_files))
}

/// Where logs go, or why they go nowhere.
pub(crate) fn check(logs: &Logs) -> Result<String> {
    let asked = logs.log_dir.display();
    if logs.log_max_files == 0 {
        return Ok("no log file is wanted".to_owned());
    }
    let takes = |directory: &Path| {
        let file = open_in(directory, logs.log_max_files)?;
        // A file can be opened where nothing can be written.
        Some(room(&file) != Some(0))
    };
    match takes(&logs.log_dir) {
        Some(true) => return Ok(format!("logs go to {asked}")),
        Some(false) => {
            return Err(Error::local_file(format!("the file system of {asked} is full"))
                .hint("free some space there, or name another directory with --log-dir; commands work without a log, too"));
        }
        None => {}
    }
    let own = state_directory().filter(|own| takes(own) == Some(true));
    match own {
        Some(own) => Ok(format!(
            "logs go to {}, since this user cannot write in {asked}",
            own.display()
        )),
        None => Err(
            Error::local_file(format!("no log can be written in {asked}"))
                .hint("name another directory with --log-dir; commands work without a log, too"),
        ),
    }
}

/// The log file of today in `directory`, which is made if need be. A log reveals paths and ids:
/// both are this user's alone. The directories above are not: others have their own below them.
fn open_in(directory: &Path, max_files: usize) -> Option<File> {
    let made = DirBuilder::new().mode(0o700).create(directory);
    match made {
        Err(source) if source.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(directory.parent()?).ok()?;
            let made = DirBuilder::new().mode(0o700).create(directory);
            made.or_else(is_there).ok()?;
        }
        made => made.or_else(is_there).ok()?,
    }
    let today = Timestamp::now().strftime("%Y-%m-%d");
    let path = directory.join(format!("{PREFIX}.{today}.{SUFFIX}"));
    let file = open_own(&path).ok()?;
    prune(directory, &path, max_files);
    Some(file)
}

/// No error if another process was first. A file in its place shows when it is used.
fn is_there(error: io::Error) -> io::Result<()> {
    match error.kind() {
        io::ErrorKind::AlreadyExists => Ok(()),
        _ => Err(error),
    }
}

/// Opens a file to be appended to, unless it is somebody else's, or a further name of a file that
/// is no log: its name can be foretold, and others may write to the directory.
fn open_own(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = File::options()
        .create(true)
        .append(true)
        .mode(0o600)
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    let metadata = file.metadata()?;
    let own = metadata.uid() == rustix::process::geteuid().as_raw();
    if metadata.is_file() && own && metadata.nlink() == 1 {
        return Ok(file);
    }
    Err(io::ErrorKind::PermissionDenied.into())
}

/// Removes the oldest log files of this user, but never the `live` one: a clock that was wrong may
/// have left files of days to come.
fn prune(directory: &Path, live: &Path, max_files: usize) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path != live && is_log_file(path))
        .collect();
    // Named by their day, so the oldest come first.
    files.sort();
    let excess = (files.len() + 1).saturating_sub(max_files);
    for file in files.iter().take(excess) {
        let user = rustix::process::geteuid().as_raw();
        let own = |metadata: fs::Metadata| metadata.is_file() && metadata.uid() == user;
        if fs::symlink_metadata(file).is_ok_and(own) {
            let _ = fs::remove_file(file);
        }
    }
}

/// Whether it is named `dfcache.<year>-<month>-<day>.log`.
fn is_log_file(path: &Path) -> bool {
    path.file_name()
        .and_then(|name| name.to_str())
        .and_then(|name| name.strip_prefix(PREFIX)?.strip_prefix('.'))
        .and_then(|name| name.strip_suffix(SUFFIX)?.strip_suffix('.'))
        .is_some_and(|day| {
            day.len() == 10
                && day
                    .bytes()
                    .all(|byte| byte.is_ascii_digit() || byte == b'-')
        })
}

fn state_directory() -> Option<PathBuf> {
    let absolute = |name: &str| {
        let path = PathBuf::from(std::env::var_os(name)?);
        path.is_absolute().then_some(path)
    };
    let state = absolute("XDG_STATE_HOME")
        .or_else(|| Some(absolute("HOME")?.join(".local").join("state")))?;
    Some(state.join("dragonfly").join("dfcache"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logs(log_dir: PathBuf, log_max_files: usize) -> Logs {
        Logs {
            log_level: LogLevel::Info,
            log_dir,
            log_max_files,
            verbose: false,
            console: false,
        }
    }

    #[test]
    fn old_log_files_are_removed_at_the_start_and_others_are_not() {
        let directory = tempfile::tempdir().unwrap();
        let names = [
            "dfcache.2020-01-01.log",
            "dfcache.2020-01-02.log",
            "dfcache.log",
            "other.2020-01-01.log",
        ];
        for name in names {
            fs::write(directory.path().join(name), "").unwrap();
        }
        drop(open(&logs(directory.path().to_owned(), 2)).unwrap());
        let left: Vec<bool> = names
            .iter()
            .map(|name| directory.path().join(name).exists())
            .collect();
        assert_eq!(left, [false, true, true, true]);
    }

    #[test]
    fn the_log_that_is_written_stays_however_many_are_of_days_to_come() {
        let directory = tempfile::tempdir().unwrap();
        for name in [
            "dfcache.2020-01-01.log",
            "dfcache.9998-01-01.log",
            "dfcache.9999-01-01.log",
        ] {
            fs::write(directory.path().join(name), "").unwrap();
        }
        for max_files in [2, 1] {
            let file = open(&logs(directory.path().to_owned(), max_files)).unwrap();
            assert_eq!(file.metadata().unwrap().nlink(), 1);
            assert_eq!(fs::read_dir(directory.path()).unwrap().count(), max_files);
        }
    }

    #[test]
    fn only_the_last_directory_is_private() {
        use std::os::unix::fs::PermissionsExt as _;

        let directory = tempfile::tempdir().unwrap();
        let ordinary = directory.path().join("ordinary");
        fs::create_dir(&ordinary).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let above = directory.path().join("dragonfly");
        let last = above.join("dfcache");
        for _ in 0..2 {
            drop(open_in(&last, 6).unwrap());
            assert_eq!(mode(&above), mode(&ordinary));
            assert_eq!(mode(&last), 0o700);
        }
    }

    #[test]
    fn a_directory_that_cannot_be_is_no_failure() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(open_in(&file.path().join("logs"), 6).is_none());
        assert!(open(&logs(file.path().to_owned(), 0)).is_none());
    }
}
