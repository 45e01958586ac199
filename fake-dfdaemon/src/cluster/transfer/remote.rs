//! The pieces of a transfer that hosts of other processes send.

use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::time::{Duration, Instant};

use super::parents::Parents;
use super::{Arrival, Fetch};
use crate::cluster::{Cluster, Error};

/// How long to wait for a parent before looking again whether the transfer is wanted.
const POLL: Duration = Duration::from_millis(20);

impl Fetch {
    /// Takes a piece from the first parent of another process that sends it as it should be. Blocks.
    pub(super) fn take_remote_piece(
        &self,
        cluster: &Cluster,
        parents: &mut Parents,
        number: u32,
        range: &Range<u64>,
    ) -> Result<Option<(Arrival, u32)>, Error> {
        let started = Instant::now();
        while let Some(mut parent) = parents.take_remote() {
            let taken = self.while_wanted(cluster, parent.piece(number, range))?;
            match taken {
                Ok((content, crc32)) => {
                    self.file.write_all_at(&content, range.start)?;
                    let arrival = Arrival {
                        number,
                        range: range.clone(),
                        crc32: Some(crc32),
                        parent_id: Some(parent.peer_id.clone()),
                        cost: Some(started.elapsed()),
                        created_at: cluster.scheduler().now(),
                    };
                    parents.put_back_remote(parent);
                    return Ok(Some((arrival, crc32)));
                }
                Err(why) => {
                    let (task, parent) = (&self.task.task_id, &parent.address);
                    tracing::warn!(%task, number, %parent, why, "a parent failed");
                }
            }
        }
        Ok(None)
    }

    fn while_wanted<T>(
        &self,
        cluster: &Cluster,
        work: impl Future<Output = T>,
    ) -> Result<T, Error> {
        let runtime = tokio::runtime::Handle::current();
        runtime.block_on(async {
            tokio::pin!(work);
            loop {
                tokio::select! {
                    done = &mut work => return Ok(done),
                    () = tokio::time::sleep(POLL) => self.check_wanted(cluster)?,
                }
            }
        })
    }
}
