//! An import, up to its end: what is asked, what is stored, what the id is. How the file itself is
//! looked at is in [`self::source`], how a task that was started ends in [`self::upload`].

mod source;
#[cfg(test)]
mod tests;
mod upload;

use std::fs::Metadata;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dfdaemon_api::piece::{PieceLayout, chosen_piece_length};
use dfdaemon_api::task_id::Parameters;
use jiff::Timestamp;

use self::source::Source;
use self::upload::{StartedUpload, StoredContent};
use super::{Cluster, Error, Reservation, TaskView, not_found};
use crate::call::StoreFaults;
use crate::dfdaemon::HostNumber;
use crate::dfdaemon::limits::check_fields;
use crate::dfdaemon::quirks::Quirk;
use crate::dfdaemon::task_id::TaskId;
use crate::store::{CancelFlag, Disk, ReplicaRecord, TaskRecord, TaskState, id_of, ingest};

/// What to import, and how.
#[derive(Clone, Debug)]
pub(crate) struct ImportRequest {
    pub(crate) path: PathBuf,
    /// If given, the task id is computed from this alone.
    pub(crate) content_for_id: Option<String>,
    pub(crate) persistent_replica_count: u64,
    pub(crate) tag: Option<String>,
    pub(crate) application: Option<String>,
    /// In bytes.
    pub(crate) piece_length: Option<u64>,
    pub(crate) ttl: RequestedTtl,
}

/// The TTL of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RequestedTtl {
    /// None was given.
    Absent,
    /// Below zero: the text of the daemon's error.
    Negative(String),
    Given(Duration),
}

impl Cluster {
    /// Imports a file on a host. Blocks on the disk, where the call's faults act; ends early if cancelled.
    ///
    /// The file is read once. Unless its id is given by the request it is not known before the
    /// content is stored, so only then is the task started at the scheduler; a client sees the
    /// same refusals in the same order as from a daemon that reads the file twice.
    pub(crate) fn import(
        self: &Arc<Self>,
        host: HostNumber,
        request: &ImportRequest,
        faults: &StoreFaults,
        cancel: &CancelFlag,
    ) -> Result<TaskView, Error> {
        if request.content_for_id.is_some() {
            // The id is known without a look at the file.
            check_sign(&request.ttl)?;
        }
        let special_files = self.has_quirk(Quirk::SpecialFiles);
        let source = Source::open(request, special_files, cancel)?;
        let ttl = self.ttl(request)?;
        let length = source.length();
        let piece_length = request
            .piece_length
            .unwrap_or_else(|| chosen_piece_length(length));
        let count = request.persistent_replica_count;
        check_fields(count, piece_length, ttl, self.rules().ttl_limits())?;
        let layout = PieceLayout::new(length, piece_length)?;
        let new = NewTask {
            host,
            request,
            faults,
            layout,
            ttl,
        };
        let known = match &request.content_for_id {
            Some(content) => Some(self.release().scheme().of_content(content)),
            // What the scheduler refuses is refused before a disk fails.
            None if faults.any() => Some(self.id_of_source(&new, &source, cancel)?),
            None => None,
        };
        match known {
            Some(id) => {
                let begun = self.begin(&new, &id)?;
                let stored = self
                    .reserve(host, length)
                    .and_then(|reservation| self.store_source(&new, &source, reservation, cancel));
                begun.end(stored, cancel)
            }
            None => {
                let reservation = match self.reserve(host, length) {
                    Ok(reservation) => reservation,
                    Err(no_space) => {
                        let id = self.id_of_source(&new, &source, cancel)?;
                        return self.begin(&new, &id)?.end(Err(no_space), cancel);
                    }
                };
                let stored = self.store_source(&new, &source, reservation, cancel)?;
                let id = self.id_of_stored(&new, &source, &stored, cancel)?;
                let begun = self.begin(&new, &id)?;
                begun.end(Ok(stored), cancel)
            }
        }
    }

    /// The id that an import gets, without importing. Blocks on the disk.
    pub(crate) fn task_id_of(
        &self,
        request: &ImportRequest,
        cancel: &CancelFlag,
    ) -> Result<String, Error> {
        let scheme = self.release().scheme();
        if let Some(content) = &request.content_for_id {
            return Ok(scheme.of_content(content));
        }
        let source = Source::open(request, false, cancel)?;
        let layout = PieceLayout::new(source.length(), chosen_piece_length(source.length()))?;
        let disk = Disk::new(false);
        let id = id_of(
            &disk,
            &source.file,
            scheme,
            layout,
            None,
            request.parameters(),
            cancel,
        );
        id.map_err(|error| source.read_error(error))
    }

    /// The TTL asked for, or the release's own.
    fn ttl(&self, request: &ImportRequest) -> Result<Duration, Error> {
        check_sign(&request.ttl)?;
        match request.ttl {
            RequestedTtl::Given(ttl) => Ok(ttl),
            RequestedTtl::Negative(_) | RequestedTtl::Absent => {
                self.release().default_ttl().ok_or(Error::NoTtl)
            }
        }
    }

    /// Brings the source's bytes into the host's store, by hard link where the release does that.
    fn store_source(
        self: &Arc<Self>,
        new: &NewTask<'_>,
        source: &Source,
        reservation: Reservation,
        cancel: &CancelFlag,
    ) -> Result<StoredContent, Error> {
        source.check_readable()?;
        let store = self.node(new.host)?.store();
        let fault = new.faults.meet();
        let disk = store.disk().with_fault(fault);
        let sound = fault.is_none();
        let links = self.release().imports_by_hard_link() && source.is_regular() && sound;
        let link = source.link().filter(|_| self.has_quirk(Quirk::LinkedLinks));
        let linked = links.then(|| match link {
            Some(link) => store.linked_link(link, &source.file),
            None => store.linked_content(&source.file),
        });
        let (content, crc32) = match linked {
            Some(Ok(content)) => (content, None),
            Some(Err(_)) | None => {
                disk.check_writable()?;
                let content = store.new_content()?;
                let crc32 = ingest(&disk, &source.file, Some(&content.file), new.layout, cancel);
                (
                    content,
                    Some(crc32.map_err(|error| source.read_error(error))?),
                )
            }
        };
        self.check_unchanged(source)?;
        if let Some(crc32) = &crc32 {
            self.check_read(source, source.opened_as(), crc32, || {
                let again = ingest(&disk, &source.file, None, new.layout, cancel);
                again.map_err(|error| source.read_error(error))
            })?;
        }
        Ok(StoredContent {
            content,
            crc32,
            reservation,
        })
    }

    fn id_of_stored(
        &self,
        new: &NewTask<'_>,
        source: &Source,
        stored: &StoredContent,
        cancel: &CancelFlag,
    ) -> Result<String, Error> {
        let disk = self.node(new.host)?.store().disk();
        let (file, crc32) = (&stored.content.file, stored.crc32.as_deref());
        let scheme = self.release().scheme();
        let linked_as = file.metadata()?;
        let read = || {
            let id = id_of(
                disk,
                file,
                scheme,
                new.layout,
                crc32,
                new.request.parameters(),
                cancel,
            );
            id.map_err(|error| source.read_error(error))
        };
        let id = read()?;
        if stored.crc32.is_none() {
            // A linked file is the source itself, and has only now been read.
            self.check_unchanged(source)?;
            self.check_read(source, &linked_as, &id, read)?;
        }
        Ok(id)
    }

    fn check_read<T: PartialEq>(
        &self,
        source: &Source,
        before: &Metadata,
        was_read: &T,
        read: impl Fn() -> Result<T, Error>,
    ) -> Result<(), Error> {
        // Of a FIFO nothing is left to be read again.
        if self.has_quirk(Quirk::UnnoticedChanges) || !source.is_regular() {
            return Ok(());
        }
        source.check_read(before, was_read, read)
    }

    fn check_unchanged(&self, source: &Source) -> Result<(), Error> {
        if self.has_quirk(Quirk::UnnoticedChanges) {
            return Ok(());
        }
        source.check_unchanged()
    }

    /// The id of a file that there is no room for.
    fn id_of_source(
        &self,
        new: &NewTask<'_>,
        source: &Source,
        cancel: &CancelFlag,
    ) -> Result<String, Error> {
        let disk = self.node(new.host)?.store().disk();
        let read = ingest(disk, &source.file, None, new.layout, cancel).and_then(|crc32| {
            let scheme = self.release().scheme();
            id_of(
                disk,
                &source.file,
                scheme,
                new.layout,
                Some(&crc32),
                new.request.parameters(),
                cancel,
            )
        });
        read.map_err(|error| source.read_error(error))
    }

    /// Starts a task at the scheduler, in place of an expired or a failed one with its id.
    fn begin(self: &Arc<Self>, new: &NewTask<'_>, id: &str) -> Result<StartedUpload, Error> {
        // No scheme makes another one.
        let id = &TaskId::parse(id).ok_or_else(|| not_found(id))?;
        let _locked = self.scheduler().lock_task(id);
        let created_at = self.scheduler().now_in_seconds();
        let task = new.task_record(id, created_at);
        let replica = new.replica_record(id, created_at);
        let started = self.scheduler().start_task(&task, new.host, replica)?;
        // The files of the task before belong to no task now.
        for holder in &started.old_holders {
            self.node(*holder)?.store().discard(id);
        }
        Ok(StartedUpload {
            cluster: Arc::clone(self),
            host: new.host,
            task,
            started,
            ended: false,
        })
    }

    /// Makes sure that content still fits a host, and keeps the room for it. Blocks on the disk.
    pub(super) fn reserve(&self, host: HostNumber, length: u64) -> Result<Reservation, Error> {
        let store = self.node(host)?.store();
        self.scheduler()
            .reserve(host, length, || store.free_space())
    }
}

/// Refuses a TTL below zero, which a daemon does before it looks at the scheduler's limits.
fn check_sign(ttl: &RequestedTtl) -> Result<(), Error> {
    match ttl {
        RequestedTtl::Negative(why) => Err(Error::NegativeTtl(why.clone())),
        RequestedTtl::Given(_) | RequestedTtl::Absent => Ok(()),
    }
}

/// A task to be, before its id is known.
struct NewTask<'a> {
    host: HostNumber,
    request: &'a ImportRequest,
    faults: &'a StoreFaults,
    layout: PieceLayout,
    ttl: Duration,
}

impl ImportRequest {
    /// The least that can be asked for: one replica, for a minute.
    #[cfg(test)]
    pub(crate) fn of(path: &std::path::Path) -> Self {
        Self {
            path: path.to_owned(),
            content_for_id: None,
            persistent_replica_count: 1,
            tag: None,
            application: None,
            piece_length: None,
            ttl: RequestedTtl::Given(Duration::from_secs(60)),
        }
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            tag: self.tag.as_deref(),
            application: self.application.as_deref(),
            piece_length: self.piece_length,
        }
    }
}

#[cfg(test)]
impl Cluster {
    /// Imports on the first host, in a call that no fault hits.
    pub(crate) fn import_soundly(
        self: &Arc<Self>,
        request: &ImportRequest,
    ) -> Result<TaskView, Error> {
        let faults = StoreFaults::default();
        self.import(HostNumber::FIRST, request, &faults, &CancelFlag::default())
    }
}

impl NewTask<'_> {
    fn task_record(&self, id: &TaskId, created_at: Timestamp) -> TaskRecord {
        TaskRecord {
            task_id: id.clone(),
            state: TaskState::Uploading,
            persistent_replica_count: self.request.persistent_replica_count,
            tag: self.request.tag.as_deref().map(Into::into),
            application: self.request.application.as_deref().map(Into::into),
            piece_length: self.layout.piece_length(),
            content_length: self.layout.content_length(),
            ttl: self.ttl,
            created_at,
            updated_at: created_at,
        }
    }

    fn replica_record(&self, id: &TaskId, created_at: Timestamp) -> ReplicaRecord {
        ReplicaRecord {
            task_id: id.clone(),
            task_created_at: created_at,
            persistent: true,
            ttl: self.ttl,
            piece_length: self.layout.piece_length(),
            content_length: self.layout.content_length(),
            piece_crc32: None,
            created_at,
            updated_at: created_at,
            finished_at: None,
            failed_at: None,
        }
    }
}
