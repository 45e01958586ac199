//! An export: a task's pieces in the order that they come, and the output file if one was asked for.

mod begin;
mod buffer_pool;
mod holes;
mod output;

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dfdaemon_api::piece::PieceLayout;

use self::buffer_pool::BufferPool;
use self::holes::{Holes, Part};
use self::output::Output;
pub(crate) use self::output::OutputRequest;
use super::replica_ops::read_error;
use super::transfer::{Arrival, Subscription};
use super::{Cluster, Error, Generation, Lease};
use crate::dfdaemon::HostNumber;
use crate::dfdaemon::quirks::Quirk;
use crate::store::{CancelFlag, CancelOnDrop, TaskRecord, Waiting};

/// What to export, and how.
#[derive(Clone, Debug)]
pub(crate) struct ExportRequest {
    pub(crate) task_id: String,
    /// Whether the replica on this host becomes persistent.
    pub(crate) persistent: bool,
    /// Whether its client gets the content.
    pub(crate) with_content: bool,
    pub(crate) output: Option<OutputRequest>,
}

#[cfg(test)]
impl ExportRequest {
    /// Of a task's content, for a host that keeps the replica no longer than it has to.
    pub(crate) fn of(task_id: &str) -> Self {
        Self {
            task_id: task_id.to_owned(),
            persistent: false,
            with_content: false,
            output: None,
        }
    }
}

/// An export that is running. Dropped, it stops, and takes away what it has not finished.
#[derive(Debug)]
pub(crate) struct Export {
    pub(crate) task: TaskRecord,
    /// `<ip>-<hostname>` of the host that exports.
    pub(crate) host_id: String,
    /// New for every export.
    pub(crate) peer_id: String,
    cluster: Arc<Cluster>,
    host: HostNumber,
    persistent: bool,
    source: Source,
    buffers: BufferPool,
    holes: Arc<Holes>,
    waiting: Waiting,
    output: Option<Output>,
    cancel: CancelFlag,
    /// Stops blocking work of an export that is gone.
    _cancels: CancelOnDrop,
    lease: Lease,
}

#[derive(Debug)]
enum Source {
    /// This host has the whole task.
    Held {
        file: Arc<File>,
        layout: PieceLayout,
        crc32: Option<Arc<[u32]>>,
        next: u32,
    },
    /// This host is getting it.
    Fetched {
        subscription: Subscription,
        file: Arc<File>,
    },
    /// No host has it.
    Nowhere,
}

impl Source {
    fn file(&self) -> Option<&Arc<File>> {
        match self {
            Self::Held { file, .. } | Self::Fetched { file, .. } => Some(file),
            Self::Nowhere => None,
        }
    }
}

impl Export {
    /// The next piece; `None` when all have come.
    pub(crate) async fn next_piece(&mut self) -> Result<Option<Arc<Arrival>>, Error> {
        match &mut self.source {
            Source::Held {
                layout,
                crc32,
                next,
                ..
            } => {
                let number = *next;
                let Some(range) = layout.range(number) else {
                    return Ok(None);
                };
                *next += 1;
                let crc32 = crc32
                    .as_ref()
                    .and_then(|crc32| crc32.get(number as usize).copied());
                let (cost, created_at) = (Some(Duration::ZERO), self.cluster.scheduler().now());
                let parent_id = None;
                Ok(Some(Arc::new(Arrival {
                    number,
                    range,
                    crc32,
                    parent_id,
                    cost,
                    created_at,
                })))
            }
            Source::Fetched { subscription, .. } => {
                let next = subscription.next().await;
                if next.is_err() && self.cluster.has_quirk(Quirk::FailedExportsCount) {
                    self.leave_output();
                }
                next
            }
            Source::Nowhere => Err(Error::PeerNotFound {
                peer_id: self.peer_id.clone(),
            }),
        }
    }

    /// A part of a piece that has come and ends at `piece_end`.
    pub(crate) async fn content(&self, range: Range<u64>, piece_end: u64) -> Result<Bytes, Error> {
        let Some(file) = self.source.file().cloned() else {
            return Ok(Bytes::new());
        };
        if self.holes.part(&range) == Part::Unknown {
            self.look_for_holes(&file, &range, piece_end).await?;
        }
        if let Part::Zeros(zeros) = self.holes.part(&range) {
            return Ok(zeros);
        }
        let mut bytes = self.buffers.take();
        // Most content was written or read lately. To have a thread that may wait read it takes
        // longer than reading it.
        let was_cached = self.cluster.workers().if_not_stopping(|| {
            let disk = self.cluster.node(self.host)?.store().disk();
            Ok(disk.try_read_cached(&file, self.waiting, &range, &mut bytes)?)
        })?;
        if was_cached {
            return Ok(self.buffers.give_back_after(bytes));
        }
        let (host, buffers, held) = (self.host, self.buffers.clone(), self.held());
        let (id, length) = (self.task.task_id.clone(), self.task.content_length);
        self.cluster
            .blocking(move |cluster| {
                let disk = cluster.node(host)?.store().disk();
                let read = disk.read_range(&file, range, bytes);
                let bytes = read.map_err(|error| read_error(error.into(), &file, &id, length));
                if let (Err(Error::ContentLength { .. }), Some(generation)) = (&bytes, held) {
                    cluster.drop_damaged(host, &id, generation)?;
                }
                Ok(buffers.give_back_after(bytes?))
            })
            .await
    }

    /// The file that a part is in, if the kernel can send it from there without waiting for a device.
    pub(crate) fn sent_by_kernel(&self, range: &Range<u64>) -> Result<Option<Arc<File>>, Error> {
        let Some(file) = self.source.file() else {
            return Ok(None);
        };
        if self.holes.part(range) != Part::Data {
            return Ok(None);
        }
        let can_send = self.cluster.workers().if_not_stopping(|| {
            let disk = self.cluster.node(self.host)?.store().disk();
            Ok(disk.can_send(file, self.waiting, range)?)
        })?;
        Ok(can_send.then(|| Arc::clone(file)))
    }

    async fn look_for_holes(
        &self,
        file: &Arc<File>,
        part: &Range<u64>,
        piece_end: u64,
    ) -> Result<(), Error> {
        let (holes, host) = (Arc::clone(&self.holes), self.host);
        let (file, part) = (Arc::clone(file), part.clone());
        let look = move |cluster: &Arc<Cluster>| {
            let disk = cluster.node(host)?.store().disk();
            holes.look(disk, &file, &part, piece_end);
            Ok(())
        };
        self.cluster.blocking(look).await
    }

    /// Counts a piece that is read for a client that wants the content.
    pub(crate) fn count_piece(&self) {
        let (id, generation) = (&self.task.task_id, self.lease.generation());
        self.cluster
            .scheduler()
            .count_uploaded(self.host, id, generation);
    }

    /// Whether the content of a piece is there, with the quirk for content that was cut. Where it is not,
    /// the replica has failed.
    pub(crate) async fn check_piece(&mut self, range: &Range<u64>) -> Result<(), Error> {
        if !self.cluster.has_quirk(Quirk::UnnoticedCuts) {
            return Ok(());
        }
        let Some(file) = self.source.file().cloned() else {
            return Ok(());
        };
        let end = range.end;
        let is_cut = move || file.metadata().is_ok_and(|file| file.len() < end);
        let is_cut = match self.waiting {
            Waiting::Possible => self.cluster.blocking(move |_| Ok(is_cut())).await?,
            Waiting::Never | Waiting::Announced => is_cut(),
        };
        if !is_cut {
            return Ok(());
        }
        if let Some(generation) = self.held() {
            let id = &self.task.task_id;
            self.cluster.scheduler().poison(self.host, id, generation);
        }
        self.leave_output();
        Err(Error::EarlyEof)
    }

    /// How many pieces the task has.
    pub(crate) fn piece_count(&self) -> u32 {
        let task = &self.task;
        PieceLayout::new(task.content_length, task.piece_length).map_or(0, |layout| layout.count())
    }

    /// The generation of the task, if this host had all of it when the export began.
    pub(crate) fn held(&self) -> Option<Generation> {
        let held = matches!(self.source, Source::Held { .. });
        held.then(|| self.lease.generation())
    }

    /// Leaves the output behind, as far as it was made.
    pub(crate) fn leave_output(&mut self) {
        if let Some(output) = &mut self.output {
            output.leave();
        }
    }

    /// Finishes the output, after the last piece.
    pub(crate) async fn finish(mut self) -> Result<(), Error> {
        let (host, persistent) = (self.host, self.persistent);
        let held = matches!(self.source, Source::Held { .. });
        let (output, cancel) = (self.output.take(), self.cancel.clone());
        let (id, generation) = (self.task.task_id.clone(), self.lease.generation());
        let (file, length) = (self.source.file().cloned(), self.task.content_length);
        let by_path = output.is_some();
        let finish = move |cluster: &Arc<Cluster>, cancel: &CancelFlag| {
            if let Some(Err(error)) = file.map(|file| cluster.check_whole(&file, &id, length)) {
                cluster.drop_damaged(host, &id, generation)?;
                return Err(error);
            }
            if cluster.scheduler().is_replaced(&id, generation) {
                // What the host has by now is of another task.
            } else if persistent && !held {
                cluster.set_persistent(host, &id)?;
            } else if persistent && !cluster.has_quirk(Quirk::ExportClearsPersistent) {
                cluster.take_flag(host, &id, true)?;
            }
            cluster.scheduler().cure(host, &id, generation);
            output.map_or(Ok(()), |output| output.finish(cancel))
        };
        if by_path {
            self.cluster.blocking_on_client_file(cancel, finish).await
        } else {
            let finish = move |cluster: &Arc<Cluster>| finish(cluster, &cancel);
            self.cluster.blocking(finish).await
        }
    }

    /// Takes away what an export that is broken off has made. Dropping it does too, but the thread
    /// that does that would wait for the disk.
    pub(crate) async fn abandon(mut self) {
        self.cancel.cancel();
        if let Some(output) = self.output.take() {
            let cluster = Arc::clone(&self.cluster);
            let removed = cluster.blocking_holding((), |_| {
                drop(output);
                Ok(())
            });
            // The client gets the error that ended the export, not an error of the removal.
            let _ = removed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::thread::{self, ThreadId};

    use super::*;
    use crate::FakeDfdaemon;
    use crate::call::ClusterFaults;
    use crate::cluster::ImportRequest;
    use crate::store::{DiskFailure, DiskOp, FailureInjector};

    /// Notes which threads remove files.
    #[derive(Debug, Default)]
    struct Removals(Mutex<Vec<ThreadId>>);

    impl FailureInjector for Removals {
        fn at(&self, step: DiskOp) -> Option<DiskFailure> {
            if step == DiskOp::Remove {
                self.0.lock().unwrap().push(thread::current().id());
            }
            None
        }

        fn skip_syncs(&self) -> bool {
            true
        }
    }

    #[tokio::test]
    async fn an_abandoned_output_is_removed_by_a_thread_that_may_wait() {
        let removals = Arc::new(Removals::default());
        let mut builder = FakeDfdaemon::builder();
        builder.settings.failures = Some(Arc::clone(&removals) as Arc<dyn FailureInjector>);
        let daemon = builder.start().await.unwrap();
        let cluster = Arc::clone(daemon.cluster());
        let file = tempfile::NamedTempFile::new().unwrap();
        let request = ImportRequest::of(file.path());
        let imported = cluster.import_soundly(&request);
        let dir = tempfile::tempdir().unwrap();
        let output = dir.path().join("output");
        let request = ExportRequest {
            task_id: imported.unwrap().task.task_id.to_string(),
            persistent: false,
            with_content: false,
            output: Some(OutputRequest {
                path: output.clone(),
                force_hard_link: true,
                overwrite: false,
                digest: None,
            }),
        };
        let export = cluster
            .export(HostNumber::of(0), request, &ClusterFaults::default())
            .unwrap();
        assert!(output.exists());
        export.abandon().await;
        assert!(!output.exists());
        let removals = removals.0.lock().unwrap().clone();
        assert!(!removals.is_empty() && !removals.contains(&thread::current().id()));
        daemon.stop().await;
    }
}
