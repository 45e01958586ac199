//! An export that the daemon writes: into a private directory beside the target where that can
//! be, else to the target itself.
//!
//! The daemon may run as another user and know neither overwriting nor digests; so it always
//! writes a new name, and this side verifies what arrived and lets it take the target's place.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, Weak};

use dfdaemon_api::dfdaemon::v2::DownloadPersistentCacheTaskRequest;
use rustix::io::Errno;
use tracing::info;

use super::local_replica::LocalReplica;
use super::piece_stream::{PieceReport, PieceStream};
use super::{ExportMode, ExportRequest, Exported};
use crate::client::Client;
use crate::content::thread::{finished, on_thread};
use crate::content::{ContentCheck, ContentReader};
use crate::output::disk::Disk;
use crate::output::{PrivateDirectory, Target};
use crate::types::error::{Error, ErrorKind, Result};
use crate::types::remedy::Remedy;
use crate::wire::status::Operation;

pub(super) async fn export(
    client: &Client,
    request: &ExportRequest,
    target: Target,
) -> Result<Exported> {
    let force_hard_link = request.mode == ExportMode::ByHardLink;
    if target.path().to_str().is_none() {
        return Err(not_text(target.path()));
    }
    let check = request.check(client).await?;
    let persistent = LocalReplica::ask(client, request).await.persistent;
    let (beside, daemon_user) = (target.clone(), client.daemon_user().await?);
    let create = move || Ok(PrivateDirectory::create(beside, daemon_user));
    let directory = match client.blocking("create", create).await? {
        Ok(directory) => directory,
        // Where nobody may write, on a read-only file system, dfdaemon is not asked to either.
        Err(source)
            if source.kind() == io::ErrorKind::PermissionDenied
                && is_daemons(&target, daemon_user) =>
        {
            info!(%source, "no private directory beside the output: dfdaemon writes it itself");
            return export_to_target(client, request, persistent, check, &target).await;
        }
        Err(source) => return Err(target.cannot_write(source)),
    };
    let inner = Some(directory.inner());
    let written = write(client, request, persistent, inner, force_hard_link).await;
    let reported = match written {
        Err(WriteRefused::NotPermitted(_)) if is_daemons(&target, daemon_user) => {
            info!("dfdaemon may not write beside the output: it writes it itself");
            drop(directory);
            return export_to_target(client, request, persistent, check, &target).await;
        }
        written => written.map_err(WriteRefused::error)?,
    };
    let sync = target.must_be_synced().then_some(target);
    let opened = directory.open_inner();
    let opened = opened.map_err(|source| not_opened(source, directory.is_in_place()));
    let verified = verify(check, opened, reported, sync).await?;
    Ok(Exported {
        path: Some(directory.commit()?),
        ..verified
    })
}

/// Whether the daemon may be asked to write the target itself, where this side may not: it never replaces
/// a file, and only a directory of its own user is its to write in. Elsewhere a daemon of root would do what
/// this user may not.
fn is_daemons(target: &Target, daemon_user: Option<u32>) -> bool {
    !target.exists() && daemon_user.is_some() && target.owner_of_directory() == daemon_user
}

/// Lets the daemon write the target itself, which does not exist.
///
/// It caches the task first and then only makes a link: a daemon that is killed while it writes
/// would leave a part of the file there, which this side may not be allowed to remove.
async fn export_to_target(
    client: &Client,
    request: &ExportRequest,
    persistent: bool,
    check: Option<ContentCheck>,
    target: &Target,
) -> Result<Exported> {
    let cached = write(client, request, persistent, None, false).await;
    cached.map_err(WriteRefused::error)?.whole?;
    let linked = write(client, request, persistent, Some(target.path()), true).await;
    let reported = linked.map_err(WriteRefused::error)?;
    let opened = target.open_itself();
    let output = UnverifiedOutput {
        target,
        file: opened.as_ref().ok().and_then(|file| file.try_clone().ok()),
    };
    let opened = opened.map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => written_elsewhere(target, source),
        _ => not_opened(source, true),
    });
    let verified = verify(check, opened, reported, None).await?;
    output.accept();
    Ok(Exported {
        path: Some(target.path().to_owned()),
        ..verified
    })
}

/// What is at the target after the daemon said that it wrote it; removed when dropped, unless it was
/// accepted. If the daemon failed or is still writing, the file may not be ours.
struct UnverifiedOutput<'a> {
    target: &'a Target,
    file: Option<File>,
}

impl UnverifiedOutput<'_> {
    fn accept(mut self) {
        self.file = None;
    }
}

impl Drop for UnverifiedOutput<'_> {
    fn drop(&mut self) {
        if let Some(file) = &self.file {
            self.target.remove(file);
        }
    }
}

/// Why the daemon did not write.
enum WriteRefused {
    NotPermitted(Error),
    Failed(Error),
}

impl WriteRefused {
    fn error(self) -> Error {
        match self {
            Self::NotPermitted(error) | Self::Failed(error) => error,
        }
    }
}

fn not_text(path: &Path) -> Error {
    Error::local_file(format!("cannot write {}", path.display()))
        .because("dfdaemon gets the path as text, and this one is not UTF-8")
        .with_remedy(Remedy::Transfer)
}

/// Has the daemon write to `path`, or only cache the task; returns what it said of pieces.
async fn write(
    client: &Client,
    request: &ExportRequest,
    persistent: bool,
    path: Option<&Path>,
    force_hard_link: bool,
) -> std::result::Result<PieceReport, WriteRefused> {
    let text = |path: &Path| path.to_str().map(ToOwned::to_owned);
    let text = |path| text(path).ok_or_else(|| WriteRefused::Failed(not_text(path)));
    let wire = DownloadPersistentCacheTaskRequest {
        output_path: path.map(text).transpose()?,
        force_hard_link,
        ..request.wire(persistent)
    };
    let operation = Operation::ExportByPath { force_hard_link };
    let received = async {
        let stream = PieceStream::open(client, request, wire, operation).await?;
        stream.watch().await
    };
    received.await.map_err(|error: Error| {
        let denied = [Errno::ACCESS, Errno::PERM].map(|errno| Some(errno.raw_os_error()));
        if error.kind() == ErrorKind::LocalFile && denied.contains(&error.raw_os_error()) {
            return WriteRefused::NotPermitted(error);
        }
        WriteRefused::Failed(error)
    })
}

/// Checks what the daemon said of pieces, and length and digest of the file that it wrote, and
/// gets it onto the disk of the target that asks for it. The digests of pieces are left alone:
/// reading the whole file is what a digest of the whole asks for.
async fn verify(
    check: Option<ContentCheck>,
    opened: Result<File>,
    reported: PieceReport,
    sync: Option<Target>,
) -> Result<Exported> {
    reported.whole?;
    let file = opened?;
    let content_length = reported.content_length;
    let metadata = file.metadata().map_err(cannot_read)?;
    if !metadata.is_file() {
        return Err(Error::integrity(
            "what dfdaemon wrote is not a regular file",
        ));
    }
    if metadata.len() != content_length {
        return Err(Error::integrity(format!(
            "dfdaemon wrote {} bytes, but announced {content_length}",
            metadata.len()
        )));
    }
    if check.is_some() || sync.is_some() {
        let wanted = Arc::new(());
        let still_wanted = Arc::downgrade(&wanted);
        let checked = on_thread("content", move || {
            check_content(&file, check, sync, &still_wanted)
        })?;
        finished(checked).await?;
        drop(wanted);
    }
    Ok(Exported {
        path: None,
        content_length,
        piece_count: reported.coverage.piece_count(),
        transferred: false,
    })
}

/// Why the file cannot be opened that the daemon says it wrote. With `in_place`, the directory
/// that it got is still where it was.
fn not_opened(source: io::Error, in_place: bool) -> Error {
    if source.raw_os_error() == Some(Errno::LOOP.raw_os_error()) {
        return Error::integrity("what dfdaemon wrote is not a regular file");
    }
    if source.kind() != io::ErrorKind::NotFound {
        return cannot_read(source);
    }
    if !in_place {
        return Error::local_file("the output's directory was removed during the export")
            .because(source);
    }
    Error::integrity("dfdaemon says that it wrote the file, but it is not there")
        .because(source)
        .with_remedy(Remedy::TransferElsewhere)
}

/// The daemon got the path of the target, which may exist in its file system too.
fn written_elsewhere(target: &Target, source: io::Error) -> Error {
    let shown = target.path().display();
    Error::local_file(format!(
        "dfdaemon says that it wrote {shown}, but it is not there: the file may be left in a file system that only dfdaemon sees"
    ))
    .because(source)
    .with_remedy(Remedy::TransferElsewhere)
}

fn cannot_read(source: io::Error) -> Error {
    Error::local_file("cannot read what dfdaemon wrote")
        .because(source)
        .with_remedy(Remedy::Transfer)
}

/// How much is read at once, in bytes.
const READ_LENGTH: usize = 256 << 10;

/// Gives up as soon as nobody holds `wanted` any more: then the export was dropped.
fn check_content(
    file: &File,
    check: Option<ContentCheck>,
    sync: Option<Target>,
    wanted: &Weak<()>,
) -> Result<()> {
    let is_dropped = || wanted.strong_count() == 0;
    let dropped = || Err(Error::new(ErrorKind::Failure, "the export was dropped"));
    if let Some(mut check) = check {
        let mut content = ContentReader::new(file, READ_LENGTH);
        while let Some(bytes) = content.next_part().map_err(cannot_read)? {
            if is_dropped() {
                return dropped();
            }
            check.update(bytes);
        }
        check.finish()?;
    }
    if is_dropped() {
        return dropped();
    }
    synced(sync, |disk| disk.sync(file))
}

fn synced(target: Option<Target>, sync: impl FnOnce(&Disk) -> io::Result<()>) -> Result<()> {
    target.map_or(Ok(()), |target| {
        sync(target.disk()).map_err(|source| target.cannot_write(source))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_whose_export_was_dropped_is_read_no_further() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, "content").unwrap();
        let wanted = Arc::new(());
        let result = |wanted| {
            let check = ContentCheck::new(Some("crc32:1".parse().unwrap()), None);
            let file = File::open(&path).unwrap();
            check_content(&file, check, None, &wanted)
                .unwrap_err()
                .kind()
        };
        assert_eq!(result(Arc::downgrade(&wanted)), ErrorKind::Integrity);
        assert_eq!(result(Weak::new()), ErrorKind::Failure);
    }
}
