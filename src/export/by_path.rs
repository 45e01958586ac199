//! An export that the daemon writes: into a private directory beside the target where that can
//! be, else to the target itself.
//!
//! The daemon may run as another user and know neither overwriting nor digests; so it always
//! writes a new name, and this side verifies what arrived and lets it take the target's place.

use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use dfdaemon_api::dfdaemon::v2::DownloadPersistentCacheTaskRequest;
use tracing::info;

use super::receive::{PieceStream, Watched};
use super::{ExportRequest, Exported};
use crate::client::Client;
use crate::content::{ContentCheck, finished, on_thread};
use crate::disk::Disk;
use crate::error::{Error, ErrorKind, Result};
use crate::output_file::{PrivateDirectory, Target, open_regular};
use crate::status::Operation;

pub(super) async fn export(
    client: &Client,
    request: &ExportRequest,
    target: Target,
    force_hard_link: bool,
) -> Result<Exported> {
    if target.path().to_str().is_none() {
        return Err(not_text(target.path()));
    }
    let directory = match PrivateDirectory::create(target.clone(), client.daemon_user()) {
        Ok(directory) => directory,
        Err(source) if may_be_the_daemons(&source) && !target.exists() => {
            info!(%source, "no private directory beside the output: dfdaemon writes it itself");
            return export_to_target(client, request, &target, force_hard_link).await;
        }
        Err(source) => return Err(target.cannot_write(source)),
    };
    let written = write(client, request, directory.inner(), force_hard_link).await;
    let watched = match written {
        Err(Written::NotPermitted(_)) if !target.exists() => {
            info!("dfdaemon may not write beside the output: it writes it itself");
            drop(directory);
            return export_to_target(client, request, &target, force_hard_link).await;
        }
        written => written.map_err(Written::error)?,
    };
    let sync = target.must_be_synced().then_some(target);
    let verified = verify(request, directory.inner(), watched, sync).await?;
    Ok(Exported {
        path: Some(directory.commit()?),
        ..verified
    })
}

/// Whether a directory that we may not write in could be one that the daemon may.
fn may_be_the_daemons(error: &io::Error) -> bool {
    [
        io::ErrorKind::PermissionDenied,
        io::ErrorKind::ReadOnlyFilesystem,
    ]
    .contains(&error.kind())
}

/// Lets the daemon write the target itself, which does not exist: it never replaces a file.
async fn export_to_target(
    client: &Client,
    request: &ExportRequest,
    target: &Target,
    force_hard_link: bool,
) -> Result<Exported> {
    let path = target.path();
    let written = write(client, request, path, force_hard_link).await;
    let watched = written.map_err(Written::error)?;
    let arrived = Arrived::at(path);
    let verified = verify(request, path, watched, None).await?;
    arrived.accept();
    Ok(verified)
}

/// What is at the target after the daemon said that it wrote it; removed when dropped, unless it
/// was accepted. Whatever is there if the daemon failed or is still at it may be somebody else's.
struct Arrived<'a> {
    path: &'a Path,
    /// Device and inode.
    identity: Option<(u64, u64)>,
}

impl<'a> Arrived<'a> {
    fn at(path: &'a Path) -> Self {
        Self {
            identity: identity(path),
            path,
        }
    }

    fn accept(mut self) {
        self.identity = None;
    }
}

impl Drop for Arrived<'_> {
    fn drop(&mut self) {
        if self.identity.is_some() && identity(self.path) == self.identity {
            let _ = fs::remove_file(self.path);
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let metadata = fs::symlink_metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// Why the daemon did not write.
enum Written {
    NotPermitted(Error),
    Failed(Error),
}

impl Written {
    fn error(self) -> Error {
        match self {
            Self::NotPermitted(error) | Self::Failed(error) => error,
        }
    }
}

fn not_text(path: &Path) -> Error {
    Error::local_file(format!("cannot write {}", path.display()))
        .because("dfdaemon is told the path as text, and this one is not UTF-8")
        .hint("--transfer-from-dfdaemon writes to any path")
}

/// Has the daemon write to `path`; returns what it said of pieces.
async fn write(
    client: &Client,
    request: &ExportRequest,
    path: &Path,
    force_hard_link: bool,
) -> std::result::Result<Watched, Written> {
    let output_path = path.to_str();
    let output_path = output_path.ok_or_else(|| Written::Failed(not_text(path)))?;
    let wire = DownloadPersistentCacheTaskRequest {
        output_path: Some(output_path.to_owned()),
        force_hard_link,
        ..request.wire()
    };
    let operation = Operation::ExportByPath { force_hard_link };
    let received = async {
        let stream = PieceStream::open(client, request, wire, operation).await?;
        stream.watch().await
    };
    received.await.map_err(|error: Error| {
        let reason = error.to_string();
        let denied = reason.ends_with("(os error 13)") || reason.ends_with("(os error 1)");
        if denied && error.kind() == ErrorKind::LocalFile {
            return Written::NotPermitted(error);
        }
        Written::Failed(error)
    })
}

/// Checks what the daemon said of pieces, and length and digest of what it wrote at `path`, and
/// gets it onto the disk of the target that asks for it. The digests of pieces are left alone: reading the whole file
/// is what a digest of the whole asks for.
async fn verify(
    request: &ExportRequest,
    path: &Path,
    watched: Watched,
    sync: Option<Target>,
) -> Result<Exported> {
    watched.whole?;
    let content_length = watched.content_length;
    let metadata = fs::symlink_metadata(path).map_err(|source| not_there(path, source))?;
    if !metadata.is_file() {
        return Err(Error::integrity(
            "dfdaemon wrote something else than a file",
        ));
    }
    if metadata.len() != content_length {
        return Err(Error::integrity(format!(
            "dfdaemon wrote {} bytes, but announced {content_length}",
            metadata.len()
        )));
    }
    let check = request.check();
    if check.is_some() || sync.is_some() {
        let path = path.to_owned();
        let checked = on_thread("content", move || check_content(path, check, sync))?;
        finished(checked).await?;
    }
    Ok(Exported {
        path: Some(path.to_owned()),
        content_length,
        piece_count: watched.coverage.piece_count(),
    })
}

fn not_there(path: &Path, source: io::Error) -> Error {
    if source.kind() != io::ErrorKind::NotFound {
        return Error::local_file(format!("cannot look at {}", path.display())).because(source);
    }
    if path.parent().is_some_and(|parent| !parent.exists()) {
        return Error::local_file("the output's directory vanished meanwhile").because(source);
    }
    Error::integrity("dfdaemon says that it wrote the file, but it is not there")
        .because(source)
        .hint("dfdaemon may see another file system; --transfer-from-dfdaemon gets the content over the socket instead")
}

/// How much is read at once, in bytes.
const READ_LENGTH: usize = 256 << 10;

fn check_content(path: PathBuf, check: Option<ContentCheck>, sync: Option<Target>) -> Result<()> {
    let cannot_read = |source: io::Error| {
        Error::local_file("cannot read what dfdaemon wrote")
            .because(source)
            .hint("--transfer-from-dfdaemon gets the content over the socket instead")
    };
    let file = match open_regular(&path) {
        Ok(file) => file,
        // Not ours to read, so not ours to sync alone: the file system as a whole is.
        Err(source) if check.is_none() && source.kind() == io::ErrorKind::PermissionDenied => {
            let directory = path.parent().unwrap_or(Path::new("/"));
            return synced(sync, |disk| disk.sync_around(directory));
        }
        Err(source) => return Err(cannot_read(source)),
    };
    if let Some(mut check) = check {
        let mut content = &file;
        let mut buffer = vec![0; READ_LENGTH];
        loop {
            let length = content.read(&mut buffer).map_err(cannot_read)?;
            if length == 0 {
                break;
            }
            check.update(&buffer[..length]);
        }
        check.finish()?;
    }
    synced(sync, |disk| disk.sync(&file))
}

fn synced(target: Option<Target>, sync: impl FnOnce(&Disk) -> io::Result<()>) -> Result<()> {
    target.map_or(Ok(()), |target| {
        sync(target.disk()).map_err(|source| target.cannot_write(source))
    })
}
