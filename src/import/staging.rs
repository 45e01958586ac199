//! The import of a copy: for a daemon that cannot see the file, must not hard-link it, or where the
//! content comes from a stream.
//!
//! The copy lies in a private directory below one that both sides see under the same path, and is
//! removed whatever happens.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::{Arc, Weak};

use rustix::fs::OFlags;

use super::unchanged::State;
use super::{CheckedImport, ImportRequest, Imported, source};
use crate::client::Client;
use crate::content::thread::{finished, on_thread};
use crate::output::PrivateFile;
use crate::output::copy::copy;
use crate::output::disk::room;
use crate::output::holes;
use crate::types::attempt::Attempt;
use crate::types::error::{Error, ErrorKind, Result};
use crate::types::remedy::Remedy;

/// How much is read from a stream at once, in bytes.
const READ_LENGTH: usize = 1 << 20;

impl Client {
    /// Imports a copy of the file that `request` names. The copy is made in a private directory below
    /// `staging`, which this side and the daemon must see under the same path, and removed afterwards.
    /// The daemon need not see the file itself.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::LocalFile`] if the file cannot be read or changes meanwhile, or if the copy cannot be
    /// written; and as of [`Client::import`].
    pub async fn import_staged(
        &self,
        request: impl Into<ImportRequest>,
        staging: impl AsRef<Path>,
    ) -> Result<Imported> {
        let request = request.into();
        let (timeout, attempt) = (request.timeout, Attempt::Import(request.path.clone()));
        let path = request.path.clone();
        let imported = async {
            let staged = self.stage(request, staging.as_ref(), move |to, wanted| {
                copy_file(&path, to, &wanted)
            });
            let staged = staged.await;
            let staged = staged.map_err(|error| error.within(attempt.clone()))?;
            self.import_copy_of(&staged).await
        };
        self.bounded(timeout, attempt.clone(), imported).await
    }

    /// Imports what `reader` returns until its end. The path of `request` is only used in errors. It is
    /// read on a thread of its own, which may outlive a call that is dropped until its read returns. A
    /// reader that fails imports nothing.
    ///
    /// # Errors
    ///
    /// As of [`Client::import_staged`].
    pub async fn import_reader(
        &self,
        request: impl Into<ImportRequest>,
        reader: impl Read + Send + 'static,
        staging: impl AsRef<Path>,
    ) -> Result<Imported> {
        let request = request.into();
        let (timeout, attempt) = (request.timeout, Attempt::Import(request.path.clone()));
        let imported = async {
            let staged = self.stage_reader(request, reader, staging.as_ref()).await?;
            self.import_copy_of(&staged).await
        };
        self.bounded(timeout, attempt, imported).await
    }

    /// Makes a copy of what `reader` gives, to be imported once or several times.
    pub(crate) async fn stage_reader(
        &self,
        request: ImportRequest,
        reader: impl Read + Send + 'static,
        staging: &Path,
    ) -> Result<Staged> {
        let attempt = Attempt::Import(request.path.clone());
        let staged = self.stage(request, staging, move |to, wanted| {
            copy_stream(reader, to, &wanted)
        });
        staged.await.map_err(|error| error.within(attempt))
    }

    /// Imports a copy.
    pub(crate) async fn import_copy_of(&self, staged: &Staged) -> Result<Imported> {
        let imported = self.import_once(&staged.import).await;
        imported.map_err(|error| {
            let error = match error.kind() {
                ErrorKind::LocalFile => error.with_remedy(Remedy::Other(
                    "dfdaemon must see the staging directory under the same path: mount it into both, or name another one".to_owned(),
                )),
                _ => error,
            };
            error.within(Attempt::Import(staged.import.path.clone()))
        })
    }

    async fn stage(
        &self,
        request: ImportRequest,
        staging: &Path,
        fill: impl FnOnce(&File, Weak<()>) -> Result<()> + Send + 'static,
    ) -> Result<Staged> {
        if let Some(invalid) = request.invalid {
            return Err(invalid.into());
        }
        let staging = std::path::absolute(staging).map_err(source::failed)?;
        let cannot = |source| cannot_stage(&staging, source);
        let (below, user) = (staging.clone(), self.daemon_user().await?);
        let create = move || Ok(PrivateFile::create(&below, user));
        let staged = self.blocking("create", create).await?.map_err(cannot)?;
        let file = staged.file().try_clone().map_err(cannot)?;
        let wanted = Arc::new(());
        let still_wanted = Arc::downgrade(&wanted);
        let shown = staging.clone();
        let filled = on_thread("staging", move || {
            fill(&file, still_wanted).map_err(|error| match error.kind() {
                ErrorKind::LocalFile => error,
                _ => error.within(format!("cannot copy to {}", shown.display())),
            })
        })?;
        finished(filled).await?;
        drop(wanted);
        let metadata = staged.file().metadata().map_err(cannot)?;
        let wire_path = staged.path().to_str().ok_or_else(|| {
            let why =
                "dfdaemon gets the path as text, and that of the staging directory is not UTF-8";
            Error::local_file(why)
        })?;
        let import = CheckedImport {
            path: request.path.clone(),
            wire_path: wire_path.to_owned(),
            before: Some(State::of(&metadata)),
            is_copy: true,
            request,
        };
        Ok(Staged {
            import,
            _file: staged,
        })
    }
}

/// A copy in a directory that the daemon sees too. It is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Staged {
    import: CheckedImport,
    _file: PrivateFile,
}

#[cfg(feature = "cli")]
impl Staged {
    /// Whether a task that is there already is a success.
    pub(crate) fn skip_existing(&mut self, skip_existing: bool) {
        self.import.request.skip_existing = skip_existing;
    }
}

fn copy_file(path: &Path, to: &File, wanted: &Weak<()>) -> Result<()> {
    let from = File::options()
        .read(true)
        // A FIFO must not block.
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(path)
        .map_err(source::failed)?;
    let before = from.metadata().map_err(source::failed)?;
    if before.is_dir() {
        return Err(Error::local_file("it is a directory").with_remedy(Remedy::ImportTree));
    }
    if !before.is_file() {
        return Err(Error::local_file("it is not a regular file"));
    }
    if room(to).is_some_and(|room| room < data_length(&before)) {
        return Err(no_room(io::ErrorKind::StorageFull.into()));
    }
    copy(&from, to, || wanted.strong_count() > 0).map_err(failed)?;
    let after = from.metadata().map_err(source::failed)?;
    if State::of(&after) != State::of(&before) {
        return Err(Error::local_file("it changed while it was copied")
            .hint("import it when nobody writes to it"));
    }
    Ok(())
}

/// What a copy takes: holes take nothing.
fn data_length(metadata: &std::fs::Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt as _;

    metadata.len().min(metadata.blocks().saturating_mul(512))
}

fn copy_stream(mut from: impl Read, to: &File, wanted: &Weak<()>) -> Result<()> {
    let mut buffer = vec![0; READ_LENGTH];
    let mut length = 0;
    while wanted.strong_count() > 0 {
        match from.read(&mut buffer) {
            // There may be a hole at its end.
            Ok(0) => return to.set_len(length).map_err(failed),
            Ok(read) => {
                for data in holes::data(&buffer[..read], length) {
                    let at = length + data.start as u64;
                    to.write_all_at(&buffer[data], at).map_err(failed)?;
                }
                length += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(source::failed(error)),
        }
    }
    Err(Error::new(ErrorKind::Failure, "nobody wants it any more"))
}

fn failed(source: io::Error) -> Error {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            no_room(source)
        }
        _ => source::failed(source),
    }
}

fn no_room(source: io::Error) -> Error {
    Error::local_file("the staging directory has no room for a copy")
        .because(source)
        .hint("free some space there, or name a staging directory on another file system")
}

fn cannot_stage(staging: &Path, source: io::Error) -> Error {
    Error::local_file(format!("cannot stage a copy in {}", staging.display()))
        .because(source)
        .hint("the staging directory must exist, and this user must be able to write there")
}
