//! The log: a file a day in the log directory, and stderr if asked.
//!
//! A log never fails a command, and says nothing about itself.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustix::fs::OFlags;
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, fmt};

use crate::cli::{LogLevel, Logs};

const PREFIX: &str = "dfcache";
const SUFFIX: &str = "log";

/// Starts logging for the rest of the process.
pub(crate) fn start(logs: &Logs) {
    let file = open(logs).map(|file| {
        fmt::layer()
            .with_ansi(false)
            .log_internal_errors(false)
            .with_writer(file)
    });
    let console = logs.on_stderr().then(|| {
        fmt::layer()
            .with_ansi(false)
            .log_internal_errors(false)
            .with_writer(io::stderr)
    });
    if file.is_none() && console.is_none() {
        return;
    }
    // Ours only: what the libraries below have to say interests nobody.
    let ours = Targets::new().with_target(env!("CARGO_PKG_NAME"), level(logs.log_level));
    // Fails only if a program that uses the library has a log of its own.
    let _ = tracing_subscriber::registry()
        .with(Layer::and_then(file, console).with_filter(ours))
        .try_init();
}

fn level(level: LogLevel) -> Level {
    match level {
        LogLevel::Trace => Level::TRACE,
        LogLevel::Debug => Level::DEBUG,
        LogLevel::Info => Level::INFO,
        LogLevel::Warn => Level::WARN,
        LogLevel::Error => Level::ERROR,
    }
}

fn open(logs: &Logs) -> Option<File> {
    if logs.log_max_files == 0 {
        return None;
    }
    open_in(&logs.log_dir, logs.log_max_files)
        .or_else(|| open_in(&state_directory()?, logs.log_max_files))
}

/// The log file of today in `directory`, which is made if need be. A log reveals paths and ids:
/// both are this user's alone.
fn open_in(directory: &Path, max_files: usize) -> Option<File> {
    let made = DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory);
    made.ok()?;
    let today = Timestamp::now().strftime("%Y-%m-%d");
    let file = open_own(&directory.join(format!("{PREFIX}.{today}.{SUFFIX}"))).ok()?;
    prune(directory, max_files);
    Some(file)
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

/// Removes the oldest log files.
fn prune(directory: &Path, max_files: usize) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| is_log_file(path))
        .collect();
    // Named by their day, so the oldest come first.
    files.sort();
    let excess = files.len().saturating_sub(max_files);
    for file in &files[..excess] {
        let _ = fs::remove_file(file);
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
    fn a_directory_that_cannot_be_is_no_failure() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(open_in(&file.path().join("logs"), 6).is_none());
        assert!(open(&logs(file.path().to_owned(), 0)).is_none());
    }
}
