//! The wait of a transfer whose parents have neither finished nor failed, with the quirk for those.
//!
//! A dfdaemon asks each parent once what it has. A parent whose record has failed, or that has none, says so. A
//! parent whose record is neither finished nor failed sends each piece when the piece comes to it, and nothing
//! before, whatever becomes of the record.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::Fetch;
use super::parents::Parents;
use crate::call::clock::later;
use crate::cluster::{Cluster, Error};
use crate::store::Content;

/// How long to wait before looking again whether a parent has something.
const POLL: Duration = Duration::from_millis(20);

/// How long a dfdaemon waits for the next piece of a parent.
const PATIENCE: Duration = Duration::from_secs(360);

impl Fetch {
    /// Waits for parents, if there are none but those that have nothing yet. Meanwhile the host has the
    /// record and the file, later exports there go their own way, and others take this one for a parent.
    /// Blocks.
    pub(super) fn wait_for_parents(
        &self,
        cluster: &Arc<Cluster>,
        parents: &mut Parents,
        content: &mut Content,
    ) -> Result<(), Error> {
        if self.layout.count() == 0 || !parents.only_stalled() {
            return Ok(());
        }
        let (host, generation) = (self.key.host, self.key.generation);
        let task = (&*self.key.id, generation);
        // Before anybody sees by the file that it waits, and moves the clock.
        let due = later(cluster.scheduler().now(), PATIENCE);
        let record = self.record(cluster.scheduler(), None);
        if !cluster.leave_record(host, task, &record, content)? {
            return Ok(());
        }
        self.transfers.detach(self);
        let waited = self.wait(cluster, parents, due);
        self.note_hold_up(None);
        waited?;
        let scheduler = cluster.scheduler();
        if !scheduler.has_replica_of(host, &self.key.id, generation) {
            *content = self.take_back(cluster)?;
        }
        Ok(())
    }

    /// The file that was left, if it is still there to be written to. Blocks on the disk.
    fn take_back(&self, cluster: &Cluster) -> Result<Content, Error> {
        let (host, id) = (self.key.host, &self.key.id);
        let there = cluster.node(host)?.store().open_content(id);
        let there = there.and_then(|there| there.metadata());
        let left = self.file.metadata()?;
        let is_left = |there: Metadata| (there.dev(), there.ino()) == (left.dev(), left.ino());
        let left = match there.is_ok_and(is_left) {
            true => cluster.left_content(host, id, self.key.generation)?,
            false => None,
        };
        left.ok_or(Error::NoCandidateParents)
    }

    /// Until they have something, or time is up.
    fn wait(&self, cluster: &Cluster, parents: &mut Parents, due: Timestamp) -> Result<(), Error> {
        while let Some(awaited) = parents.awaited() {
            self.check_wanted(cluster)?;
            if cluster.scheduler().now() >= due {
                break;
            }
            self.note_hold_up(Some(awaited));
            std::thread::sleep(POLL);
        }
        match parents.hosts().is_empty() {
            true => Err(parents.none_left()),
            false => Ok(()),
        }
    }

    /// Notes what the transfer waits for, so that the cluster settles meanwhile.
    fn note_hold_up(&self, awaited: Option<CancellationToken>) {
        self.progress.send_if_modified(|progress| {
            let changes = progress.held_up.is_some() != awaited.is_some();
            progress.held_up = awaited;
            changes
        });
    }
}
