//! Tasks that this scheduler does not know are looked for at the parents of other processes.

use std::sync::Arc;
use std::time::Duration;

use dfdaemon_api::common::v2::PersistentCacheTask;
use dfdaemon_api::dfdaemon::v2::StatPersistentCacheTaskRequest;
use dfdaemon_api::piece::{MIN_PIECE_LENGTH, PieceLayout};
use jiff::Timestamp;

use super::PeerAddress;
use super::client::connect;
use crate::call::clock::later;
use crate::cluster::Cluster;
use crate::dfdaemon::task_id::TaskId;
use crate::store::{TaskRecord, TaskState};

/// The longest piece that is taken from a parent: a message holds it whole, and so does memory.
const LONGEST_PIECE: u64 = 256 << 20;

/// How many pieces a parent can be asked for in one request of at most 4 MiB.
const MOST_PIECES: u32 = 1 << 19;

impl Cluster {
    /// Looks for a task at the parents of other processes, unless there is one with this id. What is
    /// found there is known from then on.
    pub(crate) async fn find_at_parents(self: &Arc<Self>, id: &str) {
        let Some(id) = TaskId::parse(id) else {
            return;
        };
        if self.peers().parents.is_empty() || self.scheduler().knows(&id) {
            return;
        }
        let ends = self.workers().ends();
        tokio::select! {
            () = ends.cancelled() => {}
            () = self.workers().stopping().cancelled() => {}
            () = self.ask_parents(&id) => {}
        }
    }

    /// Whether hosts of other processes may have a task.
    pub(in crate::cluster) fn has_remote_parents(&self, task: &TaskRecord) -> bool {
        task.state == TaskState::Succeeded && !self.peers().parents.is_empty()
    }

    async fn ask_parents(self: &Arc<Self>, id: &TaskId) {
        for parent in &self.peers().parents {
            let asked = tokio::time::timeout(self.peers().timeout, stat(parent, id)).await;
            let found = match asked {
                Ok(Ok(task)) => record(task, id, self.scheduler().now()),
                Ok(Err(why)) => Err(why),
                Err(_) => Err("it does not answer".to_owned()),
            };
            match found {
                Ok(task) => {
                    let learned = self.blocking(move |cluster| cluster.learn(&task)).await;
                    if let Err(error) = learned {
                        tracing::warn!(%id, %error, "a task of a parent cannot be kept");
                    }
                    return;
                }
                Err(why) => tracing::info!(%id, %parent, why, "a parent does not know a task"),
            }
        }
    }

    /// Takes a task in that a parent knows. Blocks on the disk.
    fn learn(&self, task: &TaskRecord) -> Result<(), crate::cluster::Error> {
        let _locked = self.scheduler().lock_task(&task.task_id);
        let old_holders = self.scheduler().learn_task(task)?;
        for host in old_holders {
            self.node(host)?.store().discard(&task.task_id);
        }
        Ok(())
    }
}

async fn stat(parent: &PeerAddress, id: &str) -> Result<PersistentCacheTask, String> {
    let connected = connect(parent, 0).await;
    let (mut client, _) = connected.map_err(|error| error.to_string())?;
    let request = StatPersistentCacheTaskRequest {
        task_id: id.to_owned(),
        ..Default::default()
    };
    let answer = client.stat_persistent_cache_task(request).await;
    let answer = answer.map_err(|status| status.message().to_owned())?;
    Ok(answer.into_inner())
}

/// The record of a task that a parent tells of, if it can be one.
fn record(task: PersistentCacheTask, id: &TaskId, now: Timestamp) -> Result<TaskRecord, String> {
    if *task.id != **id {
        return Err(format!("it tells of task {}", task.id));
    }
    if task.state != TaskState::Succeeded.as_str() {
        return Err(format!("there it is {}", task.state));
    }
    let layout = PieceLayout::new(task.content_length, task.piece_length);
    let layout = layout.map_err(|error| error.to_string())?;
    if layout.count() != task.piece_count || layout.count() > MOST_PIECES {
        return Err(format!("it tells of {} pieces", task.piece_count));
    }
    if !(MIN_PIECE_LENGTH..=LONGEST_PIECE).contains(&task.piece_length) {
        return Err(format!("its pieces have {} bytes", task.piece_length));
    }
    let ttl = task.ttl.and_then(|ttl| Duration::try_from(ttl).ok());
    let ttl = ttl.ok_or("it tells of no TTL")?;
    let time = |time: Option<prost_types::Timestamp>| {
        let time = time.and_then(|time| Timestamp::from_second(time.seconds).ok());
        time.ok_or("it tells of no time")
    };
    let given = |text: Option<String>| text.filter(|text| !text.is_empty()).map(Into::into);
    let record = TaskRecord {
        task_id: id.clone(),
        state: TaskState::Succeeded,
        persistent_replica_count: task.persistent_replica_count,
        tag: given(task.tag),
        application: given(task.application),
        piece_length: task.piece_length,
        content_length: task.content_length,
        ttl,
        created_at: time(task.created_at)?,
        updated_at: time(task.updated_at)?,
    };
    if now >= later(record.created_at, record.ttl) {
        return Err("it has expired".to_owned());
    }
    Ok(record)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task_of(content_length: u64, piece_length: u64) -> PersistentCacheTask {
        PersistentCacheTask {
            id: "7".to_owned(),
            state: TaskState::Succeeded.as_str().to_owned(),
            content_length,
            piece_length,
            piece_count: u32::try_from(content_length.div_ceil(piece_length)).unwrap(),
            ttl: Some(prost_types::Duration {
                seconds: 60,
                nanos: 0,
            }),
            created_at: Some(prost_types::Timestamp::default()),
            updated_at: Some(prost_types::Timestamp::default()),
            ..PersistentCacheTask::default()
        }
    }

    /// What a parent says decides how much memory its pieces take, and their numbers.
    #[test]
    fn a_task_whose_pieces_would_fill_the_memory_is_refused() {
        let most = u64::from(MOST_PIECES);
        for (content, piece, is_taken) in [
            (1, MIN_PIECE_LENGTH, true),
            (1, LONGEST_PIECE, true),
            (MIN_PIECE_LENGTH * most, MIN_PIECE_LENGTH, true),
            (MIN_PIECE_LENGTH * most + 1, MIN_PIECE_LENGTH, false),
            (1, MIN_PIECE_LENGTH - 1, false),
            (u64::from(u32::MAX), 1, false),
            (1, LONGEST_PIECE + 1, false),
            (u64::MAX, u64::MAX, false),
        ] {
            let record = record(
                task_of(content, piece),
                &TaskId::of("7"),
                Timestamp::UNIX_EPOCH,
            );
            assert_eq!(record.is_ok(), is_taken, "{content} {piece}");
        }
    }
}
