//! What a failed export leaves behind with the quirk for it: a record on its host, a file of full
//! length, and one replica more in the scheduler's count.

use super::{Cluster, Error, Generation};
use crate::dfdaemon::quirks::Quirk;
use crate::store::{Content, ReplicaRecord, TaskRecord};

impl Cluster {
    /// Counts an export that begins on a host without the task. It stays counted when it fails.
    pub(super) fn count_export(&self, id: &str, generation: Generation) {
        if self.has_quirk(Quirk::FailedExportsCount)
            && let Some(entry) = self.state().same(id, generation)
        {
            entry.failed_exports += 1;
        }
    }

    /// Counts an export that ended well, or did not begin after all, no more.
    pub(super) fn uncount_export(&self, id: &str, generation: Generation) {
        if self.has_quirk(Quirk::FailedExportsCount)
            && let Some(entry) = self.state().same(id, generation)
        {
            entry.failed_exports = entry.failed_exports.saturating_sub(1);
        }
    }

    /// Leaves the record of an export that failed and its file, unless the host has the task from
    /// elsewhere. Whether it did. Blocks on the disk.
    pub(super) fn leave_failed(
        &self,
        host: usize,
        (id, generation): (&str, Generation),
        record: &ReplicaRecord,
        content: &mut Content,
    ) -> Result<bool, Error> {
        if !self.has_quirk(Quirk::FailedExportsCount) {
            return Ok(false);
        }
        let _locked = self.task_lock(id);
        let has_another = match self.state().same(id, generation) {
            Some(entry) => entry.whole_replica(host).is_some(),
            None => true,
        };
        if has_another {
            return Ok(false);
        }
        content.file.set_len(record.content_length)?;
        self.store(host)?.place(content, record)?;
        self.state().insert_replica(host, record.clone());
        Ok(true)
    }

    /// Marks the copy failed of an export whose pieces came, and whose output could not be made.
    /// Blocks on the disk.
    pub(super) fn fail_copy(
        &self,
        host: usize,
        id: &str,
        generation: Generation,
    ) -> Result<(), Error> {
        if !self.has_quirk(Quirk::FailedExportsCount) {
            return Ok(());
        }
        let _locked = self.task_lock(id);
        let now = self.now_in_seconds();
        let record = {
            let mut state = self.state();
            let entry = state.same(id, generation);
            let Some(replica) = entry.and_then(|entry| entry.whole_replica(host)) else {
                return Ok(());
            };
            ReplicaRecord {
                finished_at: None,
                failed_at: Some(now),
                updated_at: now,
                ..replica.record.clone()
            }
        };
        self.store(host)?.write_record(&record)?;
        let mut state = self.state();
        state.insert_replica(host, record);
        if let Some(entry) = state.same(id, generation) {
            entry.failed_exports += 1;
        }
        Ok(())
    }

    /// Leaves what an export does that finds no host to take the task from. Blocks on the disk.
    pub(super) fn fail_without_parents(
        &self,
        host: usize,
        task: &TaskRecord,
        generation: Generation,
    ) -> Result<(), Error> {
        let id = &task.task_id;
        let has_record = match self.state().same(id, generation) {
            Some(entry) => entry
                .replicas
                .get(host)
                .is_some_and(|copy| copy.record.failed_at.is_none()),
            None => true,
        };
        if has_record || !self.has_quirk(Quirk::FailedExportsCount) {
            return Ok(());
        }
        let now = self.now_in_seconds();
        let record = ReplicaRecord {
            task_id: id.clone(),
            task_created_at: task.created_at,
            persistent: false,
            ttl: task.ttl,
            piece_length: task.piece_length,
            content_length: task.content_length,
            piece_crc32: None,
            created_at: now,
            updated_at: now,
            finished_at: None,
            failed_at: Some(now),
        };
        self.count_export(id, generation);
        let mut content = self.store(host)?.new_content()?;
        self.leave_failed(host, (id, generation), &record, &mut content)?;
        Ok(())
    }
}
