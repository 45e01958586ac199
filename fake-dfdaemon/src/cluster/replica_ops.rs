//! Operations on single replicas of a task: make persistent, remove, look at.

use std::fs::File;
use std::io;
use std::ops::Range;

use super::{Cluster, Error, Generation, HostStatus, ReplicaState, ServedPiece, not_found};
use crate::dfdaemon::HostNumber;
use crate::dfdaemon::quirks::Quirk;
use crate::dfdaemon::task_id::TaskId;

impl Cluster {
    /// Makes a host's replica persistent; false does nothing, whatever the id. Blocks on the disk.
    pub(crate) fn update(&self, host: HostNumber, id: &str, persistent: bool) -> Result<(), Error> {
        if !persistent {
            return Ok(());
        }
        if !self.scheduler().has_something(host, id) {
            return Err(Error::LocalTaskNotFound { id: id.to_owned() });
        }
        let is_told = !self.has_quirk(Quirk::UntoldChanges);
        self.mark_persistent(host, id, true, is_told)
    }

    /// Makes a host's whole replica a persistent one, as its scheduler wants it. Blocks on the disk.
    pub(super) fn set_persistent(&self, host: HostNumber, id: &str) -> Result<(), Error> {
        self.mark_persistent(host, id, true, true)
    }

    /// Has a host make what it has of a task persistent for a replica that it has lost, and that its scheduler
    /// takes for a peer of its own.
    pub(super) fn promote_lost(&self, host: HostNumber, id: &str) -> Result<(), Error> {
        self.mark_persistent(host, id, true, false)?;
        self.scheduler().promote_lost(host, id);
        Ok(())
    }

    /// Makes a host's whole replica of a task whose lock is held a persistent one.
    pub(super) fn write_persistent(&self, host: HostNumber, id: &str) -> Result<(), Error> {
        self.write_mark(host, id, true, true)
    }

    /// Makes a host's whole replica a persistent one or an evictable one, and tells its scheduler or
    /// not. Blocks on the disk.
    pub(super) fn mark_persistent(
        &self,
        host: HostNumber,
        id: &str,
        persistent: bool,
        is_told: bool,
    ) -> Result<(), Error> {
        let _locked = self.scheduler().lock_task(id);
        self.write_mark(host, id, persistent, is_told)
    }

    fn write_mark(
        &self,
        host: HostNumber,
        id: &str,
        persistent: bool,
        is_told: bool,
    ) -> Result<(), Error> {
        let record = self.scheduler().with_persistent(host, id, persistent)?;
        self.node(host)?.store().write_record(&record)?;
        self.scheduler().replace_record(host, record, is_told);
        Ok(())
    }

    /// Removes a host's replica. The task stays, and a persistent replica is made again elsewhere
    /// while another one is left, unless no host tells its scheduler of it, with the quirk for it.
    /// Without a replica there is nothing to do. Blocks on the disk.
    pub(crate) fn delete_replica(&self, host: HostNumber, id: &str) -> Result<(), Error> {
        let _locked = self.scheduler().lock_task(id);
        if self.has_quirk(Quirk::UntoldChanges) {
            if self.scheduler().wipe_replica(host, id, false)
                && let Some(id) = TaskId::parse(id)
            {
                self.node(host)?.store().discard(&id);
            }
            return Ok(());
        }
        let removed = self.scheduler().take_replica(host, id);
        removed.map_or(Ok(()), |removed| self.remove_files(host, removed))
    }

    /// Forgets what a dfdaemon forgets that is started again, and its content, with the quirk for that.
    /// Blocks on the disk.
    pub(crate) fn begin_anew(&self, host: HostNumber) -> Result<(), Error> {
        self.scheduler().forget_uploads(host);
        self.node(host)?.store().close_all_kept();
        match self.has_quirk(Quirk::RestartWipes) {
            true => self.wipe(host),
            false => Ok(()),
        }
    }

    /// Takes a host's content away, as a start of a dfdaemon does that keeps none. The scheduler
    /// goes on counting it, unless the host had left. Blocks on the disk.
    pub(crate) fn wipe(&self, host: HostNumber) -> Result<(), Error> {
        let had_left = self.scheduler().host_status(host) == HostStatus::Left;
        for id in self.scheduler().task_ids() {
            let _locked = self.scheduler().lock_task(&id);
            if self.scheduler().wipe_replica(host, &id, had_left) {
                self.node(host)?.store().discard(&id);
            }
        }
        self.node(host)?.store().remove_targets();
        Ok(())
    }

    /// Removes a host's replica that is not what its record says, and has another one made of a good
    /// one. Blocks on the disk.
    pub(super) fn drop_damaged(
        &self,
        host: HostNumber,
        id: &str,
        generation: Generation,
    ) -> Result<(), Error> {
        let _locked = self.scheduler().lock_task(id);
        let removed = self.scheduler().take_replica_of(host, id, generation);
        removed.map_or(Ok(()), |removed| self.remove_files(host, removed))
    }

    /// Removes the files of a replica that was taken out of the books; back into them it goes if the
    /// disk refuses. The task's lock is held.
    pub(super) fn remove_files(
        &self,
        host: HostNumber,
        removed: ReplicaState,
    ) -> Result<(), Error> {
        let id = removed.record.task_id.clone();
        let gone = self.node(host)?.store().remove(&id);
        gone.map_err(|error| {
            self.scheduler().put_back(host, &id, removed);
            Error::from(error)
        })
    }

    /// Removes a task everywhere. Blocks on the disk.
    pub(crate) fn delete_task(&self, id: &str) -> Result<(), Error> {
        let id = TaskId::parse(id).ok_or_else(|| not_found(id))?;
        let _locked = self.scheduler().lock_task(&id);
        if !self.scheduler().has_task(&id) {
            return Err(not_found(&id));
        }
        self.forget_task(&id)
    }

    /// Removes a task whose lock is held, or nothing of it.
    pub(super) fn forget_task(&self, id: &TaskId) -> Result<(), Error> {
        for host in self.scheduler().remove_task(id)? {
            self.node(host)?.store().discard(id);
        }
        Ok(())
    }
}

impl Cluster {
    /// Opens the content for a peer that takes a piece of it. Blocks on the disk.
    pub(crate) fn open_piece(
        &self,
        host: HostNumber,
        id: &str,
        piece: &ServedPiece,
    ) -> Result<File, Error> {
        let id = &TaskId::parse(id).ok_or_else(|| not_found(id))?;
        let file = self.open_to_read(host, id)?;
        check_length(&file, id, piece.content_length)?;
        self.scheduler().count_served(host, id);
        let read = self.to_read(host, id, &file)?;
        Ok(read.unwrap_or(file))
    }

    /// Opens a host's content to read it. Blocks on the disk.
    pub(super) fn open_to_read(&self, host: HostNumber, id: &TaskId) -> Result<File, Error> {
        let store = self.node(host)?.store();
        Ok(match self.has_quirk(Quirk::LinkedLinks) {
            true => store.open_to_read(id)?,
            false => store.open_content(id)?,
        })
    }

    /// What is read instead of a host's content that was opened, if it is another file, with the quirk for
    /// links. Blocks on the disk.
    pub(super) fn to_read(
        &self,
        host: HostNumber,
        id: &TaskId,
        opened: &File,
    ) -> Result<Option<File>, Error> {
        match self.has_quirk(Quirk::LinkedLinks) {
            true => Ok(self.node(host)?.store().to_read(id, opened)?),
            false => Ok(None),
        }
    }

    /// Reads a part of the piece. Blocks on the disk.
    pub(crate) fn read_piece(
        &self,
        host: HostNumber,
        file: &File,
        part: Range<u64>,
    ) -> Result<Vec<u8>, Error> {
        let disk = self.node(host)?.store().disk();
        Ok(disk.read_range(file, part, Vec::new())?)
    }
}

impl Cluster {
    /// Whether content is as long as its record says, unless nobody looks, with the quirk for it. Blocks
    /// on the disk.
    pub(super) fn check_whole(&self, file: &File, id: &str, expected: u64) -> Result<(), Error> {
        match self.has_quirk(Quirk::UnnoticedCuts) {
            true => Ok(()),
            false => check_length(file, id, expected),
        }
    }
}

/// Why content could not be read: it may be shorter than its record says. Blocks on the disk.
pub(super) fn read_error(error: Error, file: &File, id: &str, expected: u64) -> Error {
    match &error {
        Error::Io(io) if io.kind() == io::ErrorKind::UnexpectedEof => {
            check_length(file, id, expected).err().unwrap_or(error)
        }
        _ => error,
    }
}

/// Whether content is as long as its record says. By path an output is a link to the content, and
/// with 1.5 the content is a link to the source: a write to either changes it. Blocks on the disk.
pub(super) fn check_length(file: &File, id: &str, expected: u64) -> Result<(), Error> {
    let found = file.metadata()?.len();
    if found == expected {
        return Ok(());
    }
    let id = id.to_owned();
    Err(Error::ContentLength {
        id,
        expected,
        found,
    })
}
