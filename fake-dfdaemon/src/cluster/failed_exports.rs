//! What a failed export leaves behind with the quirk for it: a record on its host, a file of full
//! length, and one replica more in the scheduler's count.

use super::{Cluster, Error, ExportRequest, Generation};
use crate::dfdaemon::HostNumber;
use crate::dfdaemon::quirks::Quirk;
use crate::dfdaemon::task_id::TaskId;
use crate::store::{Content, ReplicaRecord, TaskRecord};

impl Cluster {
    /// Leaves the record of an export that failed or waits, and its file, unless the host has the task
    /// from elsewhere. Whether it did. Blocks on the disk.
    pub(super) fn leave_record(
        &self,
        host: HostNumber,
        (id, generation): (&str, Generation),
        record: &ReplicaRecord,
        content: &mut Content,
    ) -> Result<bool, Error> {
        if !self.has_quirk(Quirk::FailedExportsCount) {
            return Ok(false);
        }
        let _locked = self.scheduler().lock_task(id);
        if !self.scheduler().lacks_replica_of(host, id, generation) {
            return Ok(false);
        }
        self.node(host)?.store().place(content, record)?;
        self.scheduler().insert_replica(host, record.clone());
        Ok(true)
    }

    /// Notes that an export has failed that left a record before, unless that is gone. Blocks on the disk.
    pub(super) fn mark_failed(
        &self,
        host: HostNumber,
        (id, generation): (&str, Generation),
    ) -> Result<(), Error> {
        let _locked = self.scheduler().lock_task(id);
        if !self.scheduler().has_part_of(host, id, generation) {
            // A replica that became whole meanwhile has failed too.
            self.scheduler().poison(host, id, generation);
            return Ok(());
        }
        let now = self.scheduler().now_in_seconds();
        let record = ReplicaRecord {
            updated_at: now,
            failed_at: Some(now),
            ..self.scheduler().replica_record(host, id, generation)?
        };
        self.node(host)?.store().write_record(&record)?;
        self.scheduler().mark_transfer(host, record, generation);
        Ok(())
    }

    /// Where a transfer to a host writes: what an export has left there that failed, as it is, with the
    /// quirk for it, or a new file. With the quirk a new one is of full length from the start. Blocks on the disk.
    pub(super) fn content_to_write(
        &self,
        host: HostNumber,
        (id, length): (&TaskId, u64),
        generation: Generation,
    ) -> Result<Content, Error> {
        if let Some(left) = self.left_content(host, id, generation)? {
            return Ok(left);
        }
        let content = self.node(host)?.store().new_content()?;
        if self.has_quirk(Quirk::FailedExportsCount) {
            content.file.set_len(length)?;
        }
        Ok(content)
    }

    /// What an export has left on a host that failed or waits, with the quirk for it.
    pub(super) fn left_content(
        &self,
        host: HostNumber,
        id: &TaskId,
        generation: Generation,
    ) -> Result<Option<Content>, Error> {
        let is_left = self.has_quirk(Quirk::FailedExportsCount)
            && self.scheduler().has_part_of(host, id, generation);
        let store = self.node(host)?.store();
        Ok(is_left.then(|| store.taken_back(id).ok()).flatten())
    }

    /// Leaves what an export does that finds no host to take the task from: it does not count, since the
    /// scheduler had taken it up nowhere. An error is that of a link that has to be made and cannot.
    /// Blocks on the disk.
    pub(super) fn fail_without_parents(
        &self,
        host: HostNumber,
        task: &TaskRecord,
        generation: Generation,
        request: &ExportRequest,
    ) -> Result<(), Error> {
        let id = &task.task_id;
        let runs = self.node(host)?.transfers().is_running(id, generation);
        if !self.has_quirk(Quirk::FailedExportsCount)
            || !self.scheduler().lacks_record_of(host, id, generation, runs)
        {
            return Ok(());
        }
        let now = self.scheduler().now_in_seconds();
        let record = ReplicaRecord {
            task_id: id.clone(),
            task_created_at: task.created_at,
            persistent: request.persistent,
            ttl: task.ttl,
            piece_length: task.piece_length,
            content_length: task.content_length,
            piece_crc32: None,
            created_at: now,
            updated_at: now,
            finished_at: None,
            failed_at: Some(now),
        };
        let mut content = self.content_to_write(host, (id, task.content_length), generation)?;
        let disk = self.node(host)?.store().disk();
        let linked = request
            .output
            .as_ref()
            .map_or(Ok(()), |output| output.link(disk, &content.file));
        let record = ReplicaRecord {
            failed_at: record.failed_at.filter(|_| linked.is_ok()),
            ..record
        };
        self.leave_record(host, (id, generation), &record, &mut content)?;
        linked
    }
}
