//! The beginning of an export: where its content comes from, and the link that is made at once.

use std::sync::Arc;

use dfdaemon_api::piece::PieceLayout;

use super::buffer_pool::BufferPool;
use super::holes::Holes;
use super::output::{Output, OutputContent, parse_digest};
use super::{Export, ExportRequest, Source};
use crate::call::ClusterFaults;
use crate::cluster::scheduler::{Found, given};
use crate::cluster::transfer::Wanted;
use crate::cluster::{Cluster, Error, Lease};
use crate::dfdaemon::HostNumber;
use crate::dfdaemon::quirks::Quirk;
use crate::dfdaemon::task_id::TaskId;
use crate::store::{CancelFlag, TaskRecord, TaskState, Waiting};

impl Cluster {
    /// Begins an export: looks the task up, starts its transfer if this host lacks it, and links
    /// the output. Blocks on the disk.
    pub(crate) fn export(
        self: &Arc<Self>,
        host: HostNumber,
        request: ExportRequest,
        faults: &ClusterFaults,
    ) -> Result<Export, Error> {
        let id = self.check(&request)?;
        let wanted = Wanted {
            persistent: request.persistent,
            held_back: request
                .output
                .as_ref()
                .is_some_and(|output| output.force_hard_link),
            faults: faults.clone(),
        };
        let found = self.source(host, &id, wanted);
        if let Err(Error::Io(_)) = &found {
            self.change_unreadable_replica(host, &id, request.persistent);
        }
        let (task, lease, mut source) = found?;
        match source {
            Source::Nowhere => {
                self.fail_without_parents(host, &task, lease.generation(), &request)?;
            }
            Source::Held { .. } => {
                // Whatever becomes of the export.
                self.scheduler().cure(host, &id, lease.generation());
                if self.has_quirk(Quirk::ExportClearsPersistent) {
                    self.take_flag(host, &id, request.persistent)?;
                }
            }
            Source::Fetched { .. } => {}
        }
        let output = match (request.output, source.file()) {
            (Some(output), Some(file)) => {
                let fault = faults.store.meet();
                let disk = self.node(host)?.store().disk().with_fault(fault);
                let quirks = self.adjusted().quirks;
                let content = OutputContent {
                    file: file.try_clone()?,
                    task_id: task.task_id.clone(),
                    length: task.content_length,
                    link: match self.has_quirk(Quirk::LinkedLinks) {
                        true => self.node(host)?.store().content_link(&id),
                        false => None,
                    },
                };
                match Output::link_at_once(disk, content, output, quirks) {
                    Ok(output) => Some(output),
                    Err(refused) => {
                        if let Source::Fetched { subscription, .. } = source {
                            subscription.refuse();
                        }
                        return Err(refused);
                    }
                }
            }
            _ => None,
        };
        if let Source::Fetched { subscription, .. } = &mut source {
            subscription.begin();
        }
        if let Source::Held { file, .. } = &mut source
            && request.with_content
            && task.content_length > 0
            && let Some(read) = self.to_read(host, &id, file)?
        {
            // The output is made of what is there.
            *file = Arc::new(read);
        }
        let holes = match &source {
            Source::Held { file, .. } => Holes::of(file)?,
            Source::Fetched { .. } | Source::Nowhere => Holes::unknown(),
        };
        let waiting = source
            .file()
            .map_or(Waiting::Possible, |file| Waiting::on(file));
        let cancel = CancelFlag::default();
        Ok(Export {
            task,
            host_id: self.node(host)?.id().to_owned(),
            peer_id: self.node(host)?.new_peer_id(),
            cluster: Arc::clone(self),
            host,
            persistent: request.persistent,
            source,
            buffers: BufferPool::default(),
            holes: Arc::new(holes),
            waiting,
            output,
            _cancels: cancel.drop_guard(),
            cancel,
            lease,
        })
    }

    /// The task's id, if neither it nor the output is invalid. What is wrong is found in the order of a
    /// dfdaemon.
    fn check(&self, request: &ExportRequest) -> Result<TaskId, Error> {
        let id = given(&request.task_id);
        if let Err(Error::EmptyTaskId) = id {
            return id;
        }
        if let Some(output) = &request.output {
            let digest = output.digest.as_deref();
            if let Some(digest) = digest.filter(|_| !self.has_quirk(Quirk::LateDigestCheck)) {
                parse_digest(digest)?;
            }
            self.check_output_place(&output.path)?;
        }
        id
    }

    /// Changes the replica of a host as an export does, although its content cannot be read: a dfdaemon
    /// does so before it opens the content. Blocks on the disk.
    fn change_unreadable_replica(&self, host: HostNumber, id: &TaskId, persistent: bool) {
        // A host without a record has none to change.
        if let Some(generation) = self.scheduler().generation(id) {
            self.scheduler().cure(host, id, generation);
        }
        if self.has_quirk(Quirk::ExportClearsPersistent) {
            let _ = self.take_flag(host, id, persistent);
        }
    }

    /// Makes a replica that a host has persistent or not, as an export there asks. Blocks on the disk.
    pub(super) fn take_flag(
        &self,
        host: HostNumber,
        id: &TaskId,
        persistent: bool,
    ) -> Result<(), Error> {
        // No host reports to the scheduler that its replica has become evictable.
        let is_told = persistent && !self.has_quirk(Quirk::UntoldChanges);
        self.mark_persistent(host, id, persistent, is_told)
    }

    /// Refuses an output below the directory that the daemon happens to run in, and one among its
    /// own files. Blocks on the disk.
    fn check_output_place(&self, path: &std::path::Path) -> Result<(), Error> {
        let why = if !path.is_absolute() {
            "is not absolute"
        } else if self.state_dir().keeps(path) {
            "is among the daemon's own files"
        } else {
            return Ok(());
        };
        let path = path.to_owned();
        Err(Error::OutputPlace { path, why })
    }

    /// The task, and where its content comes from. Blocks on the disk.
    fn source(
        self: &Arc<Self>,
        host: HostNumber,
        id: &TaskId,
        wanted: Wanted,
    ) -> Result<(TaskRecord, Lease, Source), Error> {
        loop {
            let Found {
                task,
                lease,
                held,
                is_served,
            } = self.scheduler().find(host, id)?;
            // Between a look and what follows it, the task may be removed, or be replaced by
            // another import once it has expired. Then it is looked up again.
            let source = if let Some(crc32) = held {
                let opened = self
                    .node(host)?
                    .store()
                    .open_content_of(id, task.content_length);
                if !self
                    .scheduler()
                    .has_replica_of(host, id, lease.generation())
                {
                    continue;
                }
                let file = opened?;
                if let Err(error) = self.check_whole(&file, id, task.content_length) {
                    tracing::warn!(%error, %host, "a replica is dropped");
                    self.drop_damaged(host, id, lease.generation())?;
                    continue;
                }
                Source::Held {
                    file: Arc::new(file),
                    layout: PieceLayout::new(task.content_length, task.piece_length)?,
                    crc32,
                    next: 0,
                }
            } else if is_served || is_empty(&task) || self.has_remote_parents(&task) {
                let fetched = self.fetch(host, id, &wanted);
                if self.scheduler().is_replaced(id, lease.generation()) {
                    continue;
                }
                let subscription = fetched?;
                let file = Arc::new(subscription.file().try_clone()?);
                Source::Fetched { subscription, file }
            } else {
                Source::Nowhere
            };
            return Ok((task, lease, source));
        }
    }
}

/// Whether there is nothing to ask any host for.
fn is_empty(task: &TaskRecord) -> bool {
    task.state == TaskState::Succeeded && task.content_length == 0
}
