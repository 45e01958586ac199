//! `dfcache doctor`: its options, the round trip, and the checks of this side's directories. The checks of the
//! daemon are in `client/doctor`.

use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytesize::ByteSize;
use clap::{Args, ValueHint};

use super::common::Common;
use super::report::Outcome;
use super::{logging, paths};
use crate::client::Client;
use crate::client::doctor::{Check, diagnose};
use crate::content::thread::{finished, on_thread};
use crate::export::ExportRequest;
use crate::import::ImportRequest;
use crate::output::PrivateFile;
use crate::output::disk::room;
use crate::types::error::{Error, ErrorKind, Result};
use crate::types::options::Timeout;

const EXAMPLES: &str = "\
Examples:
  dfcache doctor
  dfcache doctor --round-trip --staging-dir /var/run/dragonfly";

/// How much content goes there and back, in bytes.
const ROUND_TRIP: u64 = 1 << 20;

/// Find out what is wrong between this user and dfdaemon
///
/// One line a check, ✓ or ✗ with what to do: whether the endpoint is a socket, which user listens,
/// whether dfdaemon answers, which release it resembles, whether it reaches its scheduler, and whether
/// logs can be written. The exit code is 1 if a check fails.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DoctorArguments {
    /// Import and export a megabyte too
    ///
    /// Random content, for five minutes and with one replica. It is written to --staging-dir, or
    /// without it to the directory for temporary files.
    #[arg(long)]
    round_trip: bool,

    /// Check that imports can stage copies in this directory
    #[arg(long, value_name = "DIR", value_parser = paths::path(), value_hint = ValueHint::DirPath)]
    staging_dir: Option<PathBuf>,

    /// How long all checks may take
    #[arg(long, allow_hyphen_values = true, value_name = "TIMEOUT", default_value = Timeout::DEFAULT_STAT, help_heading = "Connection")]
    pub(crate) timeout: Timeout,

    #[command(flatten)]
    pub(crate) common: Common,
}

/// How long a directory may take to be written to.
const WRITTEN_WITHIN: Duration = Duration::from_secs(5);

/// Runs a check of a directory, which may hang there.
async fn within(
    directory: &Path,
    check: impl FnOnce() -> Result<String> + Send + 'static,
) -> Result<String> {
    let checked = finished(on_thread("check", check)?);
    tokio::time::timeout(WRITTEN_WITHIN, checked)
        .await
        .unwrap_or_else(|_| {
            let seconds = WRITTEN_WITHIN.as_secs();
            let message = format!(
                "nothing could be written in {} within {seconds}s",
                directory.display()
            );
            Err(Error::new(ErrorKind::Timeout, message)
                .hint("its file system hangs: name another directory"))
        })
}

/// Writes a copy of a few bytes, and removes it again.
fn can_stage(staging: &Path, daemon_user: Option<u32>) -> Result<String> {
    let cannot = |source: io::Error| {
        let hint = match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                "free some space there, or name another directory"
            }
            _ => "the directory must exist, and this user must be able to write there",
        };
        Error::local_file(format!("cannot stage a copy in {}", staging.display()))
            .because(source)
            .hint(hint)
    };
    let staged = PrivateFile::create(staging, daemon_user).map_err(cannot)?;
    staged.file().write_all(&[7; 4096]).map_err(cannot)?;
    let room = room(staged.file()).map_or_else(String::new, |room| {
        format!(", {} free", ByteSize::b(room).display().iec())
    });
    Ok(format!(
        "copies can be staged in {}{room}",
        staging.display()
    ))
}

impl DoctorArguments {
    /// Runs the command.
    pub(super) async fn run(&self) -> Result<Outcome> {
        let (mut checks, client) = diagnose(&self.common.connection.endpoint).await;
        let logs = self.common.logs.clone();
        let directory = logs.log_dir.clone();
        let logs = within(&directory, move || logging::check(&logs)).await;
        checks.push(Check::new("log_dir", logs));
        let user = match &client {
            Some(client) => client.daemon_user().await.ok().flatten(),
            None => None,
        };
        if let Some(staging) = self.staging_dir.clone() {
            let directory = staging.clone();
            let staged = within(&directory, move || can_stage(&staging, user)).await;
            // Only an import shows that.
            let staged = match self.round_trip {
                true => staged,
                false => staged.map(|text| {
                    format!("{text}; --round-trip finds out whether dfdaemon sees them")
                }),
            };
            checks.push(Check::new("staging_dir", staged));
        }
        if let Some(client) = client.filter(|_| self.round_trip) {
            checks.push(Check::new("round_trip", self.round_trip(&client).await));
        }
        Ok(Outcome::Diagnosed(checks))
    }

    async fn round_trip(&self, client: &Client) -> Result<String> {
        let mut content = Vec::new();
        std::fs::File::open("/dev/urandom")
            .and_then(|random| random.take(ROUND_TRIP).read_to_end(&mut content))
            .map_err(|source| Error::local_file("cannot read /dev/urandom").because(source))?;
        let staging = self.staging_dir.clone();
        let staging = staging.unwrap_or_else(std::env::temp_dir);
        let request = ImportRequest::new("a megabyte")
            .ttl(Duration::from_secs(300))
            .persistent_replica_count(1);
        let reader = io::Cursor::new(content.clone());
        let imported = client.import_reader(request, reader, staging).await?;
        let task_id = imported.task.task_id;
        let mut received = Vec::new();
        let export = ExportRequest::new(&task_id);
        client.export_to_writer(&export, &mut received).await?;
        if received != content {
            return Err(Error::integrity(format!(
                "task {task_id} came back with another content"
            )));
        }
        Ok(format!("a megabyte went there and back as task {task_id}"))
    }
}
