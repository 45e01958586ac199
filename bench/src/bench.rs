//! What every job works with: the settings, a directory, the programs.

use std::cell::Cell;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;
use crate::client::Dfcache;
use crate::daemon::Daemon;
use crate::files;
use crate::interrupt::Directory;
use crate::process::{self, Usage};
use crate::settings::Settings;

/// For an import as it comes.
pub(crate) const NO_OPTIONS: &[&str] = &[];

/// What the names of the jobs have that are done with a daemon that is not ours.
const GIVEN_DAEMON: &str = "given daemon";

/// A run of the suite.
pub(crate) struct Bench {
    pub(crate) settings: Settings,
    directory: Directory,
    pub(crate) dfcache: Dfcache,
    pub(crate) peer: Option<Dfcache>,
    /// Numbers what is imported into a given daemon.
    next: Cell<u64>,
}

impl Bench {
    pub(crate) fn new(settings: Settings) -> Result<Self> {
        let directory = Directory::create(&settings.directory)?;
        let dfcache =
            |program: PathBuf, logs: &str| Dfcache::new(program, directory.path().join(logs));
        Ok(Self {
            dfcache: dfcache(settings.programs.join("dfcache"), "logs")?,
            peer: settings
                .peer
                .dfcache
                .clone()
                .map(|program| dfcache(program, "peer-logs"))
                .transpose()?,
            directory,
            settings,
            next: Cell::new(0),
        })
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Removes all that a job has left.
    pub(crate) fn empty(&self) -> Result<()> {
        for entry in fs::read_dir(self.directory.path())? {
            let path = entry?.path();
            match path.is_dir() {
                true => fs::remove_dir_all(path)?,
                false => fs::remove_file(path)?,
            }
        }
        Ok(())
    }

    /// The file that is imported and exported.
    pub(crate) fn large_file(&self) -> Result<PathBuf> {
        let path = self.path("large");
        files::fill(&path, self.settings.sizes.large, 1)?;
        Ok(path)
    }

    /// A fake of three hosts that holds nothing, with its state in a directory of this name.
    pub(crate) fn daemon(&self, name: &str, options: &[&str]) -> Result<Daemon> {
        Daemon::start(&self.settings.programs, &self.path(name), options)
    }

    /// A program of the suite that does the least there is to do.
    pub(crate) fn limit(&self, job: &str) -> Command {
        let mut command = Command::new(self.settings.programs.join("dfcache-bench-bare"));
        command.arg(job);
        command
    }

    pub(crate) fn measure(&self, command: &Command) -> Result<Usage> {
        process::measure(&self.settings.programs, command)
    }

    /// The same, with what `daemon` spent meanwhile.
    pub(crate) fn measure_with(&self, daemon: &Daemon, command: &Command) -> Result<Usage> {
        let before = daemon.cpu()?;
        let usage = self.measure(command)?;
        Ok(Usage {
            daemon_cpu: Some(daemon.cpu()?.saturating_sub(before)),
            ..usage
        })
    }

    /// Imports with our client, and tells the id.
    pub(crate) fn import(
        &self,
        endpoint: &Path,
        options: &[impl AsRef<OsStr>],
        path: &Path,
    ) -> Result<String> {
        let id = process::output(&mut self.dfcache.import(endpoint, options, path))?;
        Ok(id.trim().to_owned())
    }

    /// A run that counts only if `output` has the bytes of `original`; removes the output.
    pub(crate) fn checked(
        &self,
        original: &Path,
        output: &Path,
        usage: Result<Usage>,
    ) -> Result<Usage> {
        let checked = usage.and_then(|usage| files::check(original, output).map(|()| usage));
        // A run that failed may have made none.
        let _ = fs::remove_file(output);
        checked
    }

    /// Whether a job is to be done and can be.
    pub(crate) fn does(&self, job: &str) -> bool {
        let needs_daemon = job.contains(GIVEN_DAEMON);
        self.settings.wants(job) && (!needs_daemon || self.settings.peer.endpoint.is_some())
    }

    /// The endpoint of a daemon that is not ours, if there is one and the job is to be done.
    pub(crate) fn given_daemon(&self, job: &str) -> Option<&Path> {
        let wanted = self.settings.wants(job);
        self.settings.peer.endpoint.as_deref().filter(|_| wanted)
    }

    /// Options for an import into a daemon that may hold anything, and keeps it for no longer than
    /// the suite may need it.
    pub(crate) fn unique_options(&self) -> Vec<String> {
        let number = self.next.get();
        self.next.set(number + 1);
        let id = format!("{}-{number}", self.directory().display());
        ["--ttl", "30m", "--content-for-calculating-task-id", &id]
            .map(str::to_owned)
            .into()
    }
}
