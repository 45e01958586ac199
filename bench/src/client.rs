//! The command lines of a dfcache, ours or the reference client: nothing that either lacks.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;

/// A dfcache.
#[derive(Clone, Debug)]
pub(crate) struct Dfcache {
    pub(crate) program: PathBuf,
    /// Where it logs, so that it does nowhere else; not all releases have the option.
    logs: Option<PathBuf>,
}

impl Dfcache {
    pub(crate) fn new(program: PathBuf, logs: PathBuf) -> Result<Self> {
        let help = Command::new(&program).args(["stat", "--help"]).output();
        let help = help.map_err(|error| format!("cannot run {}: {error}", program.display()))?;
        let has_logs = String::from_utf8_lossy(&help.stdout).contains("--log-dir");
        let logs = has_logs.then_some(logs);
        Ok(Self { program, logs })
    }

    /// An import of one replica.
    pub(crate) fn import(
        &self,
        endpoint: &Path,
        options: &[impl AsRef<OsStr>],
        path: &Path,
    ) -> Command {
        let mut command = self.command("import", endpoint);
        command.args(["--persistent-replica-count", "1"]);
        command.args(options).arg(path);
        command
    }

    pub(crate) fn export(&self, endpoint: &Path, id: &str, output: &Path) -> Command {
        let mut command = self.command("export", endpoint);
        command.arg(id).arg("-O").arg(output);
        command
    }

    pub(crate) fn transfer(&self, endpoint: &Path, id: &str, output: &Path) -> Command {
        let mut command = self.export(endpoint, id, output);
        command.arg("--transfer-from-dfdaemon");
        command
    }

    pub(crate) fn stat(&self, endpoint: &Path, id: &str) -> Command {
        let mut command = self.command("stat", endpoint);
        command.arg(id);
        command
    }

    /// The id that an import would get; ours only.
    pub(crate) fn id(&self, path: &Path) -> Command {
        let mut command = self.bare();
        command.arg("id").arg(path);
        command
    }

    fn command(&self, name: &str, endpoint: &Path) -> Command {
        let mut command = self.bare();
        command.arg(name).arg("--endpoint").arg(endpoint);
        if let Some(logs) = &self.logs {
            command.arg("--log-dir").arg(logs);
        }
        command
    }

    /// Without the settings of whoever runs the suite.
    fn bare(&self) -> Command {
        let mut command = Command::new(&self.program);
        let set = std::env::vars_os().map(|(name, _)| name);
        for name in set.filter(|name| is_ours(name)) {
            command.env_remove(name);
        }
        command
    }
}

fn is_ours(variable: &OsStr) -> bool {
    variable.to_string_lossy().starts_with("DFCACHE_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_does_not_log_to_files_is_not_told_where_to() {
        let takes = |program: &str| {
            let client = Dfcache::new(program.into(), "logs".into()).unwrap();
            let command = client.stat(Path::new("socket"), "7");
            command.get_args().any(|argument| argument == "--log-dir")
        };
        assert!(!takes("echo"));
        let unknown = Dfcache::new("no-such-dfcache".into(), "logs".into());
        assert!(unknown.unwrap_err().to_string().contains("no-such-dfcache"));
    }
}
