//! Snapshots and resets of a running instance. How a state is kept on the disk is in `snapshot`.

use std::io;
use std::sync::Arc;

use serde_json::json;

use super::Instance;
use super::host::Host;
use super::snapshot::{self, Kept, SnapshotError, SnapshotMetadata};
use crate::cluster::{Cluster, HostStatus};

impl Instance {
    pub(crate) async fn take_snapshot(&self, name: &str) -> Result<(), SnapshotError> {
        let _alone = self.snapshots.lock().await;
        let metadata = self.metadata();
        let kept = name.to_owned();
        self.on_disk(move |cluster| snapshot::take(cluster, &kept, &metadata))
            .await?;
        self.tell_snapshot(name, "taken");
        Ok(())
    }

    fn tell_snapshot(&self, name: &str, state: &str) {
        let events = &self.calls.events;
        events.tell("snapshots", || json!({"name": name, "state": state}));
    }

    pub(crate) async fn snapshots(&self) -> Result<Vec<Kept>, SnapshotError> {
        let _alone = self.snapshots.lock().await;
        self.on_disk(snapshot::list).await
    }

    pub(crate) async fn remove_snapshot(&self, name: &str) -> Result<(), SnapshotError> {
        let _alone = self.snapshots.lock().await;
        let kept = name.to_owned();
        self.on_disk(move |cluster| snapshot::remove(cluster, &kept))
            .await?;
        self.tell_snapshot(name, "removed");
        Ok(())
    }

    fn metadata(&self) -> SnapshotMetadata {
        SnapshotMetadata {
            now: self.calls.clock.now(),
            hosts: self.hosts.iter().map(|host| Host(host).status()).collect(),
        }
    }

    pub(crate) async fn restore(&self, name: &str) -> Result<(), SnapshotError> {
        let _alone = self.snapshots.lock().await;
        let name = name.to_owned();
        // What takes long comes first: calls go on meanwhile.
        let prepare = move |cluster: &Cluster| {
            let metadata = snapshot::metadata(cluster, &name)?;
            snapshot::prepare(cluster, Some(&name))?;
            Ok(metadata)
        };
        let metadata = self.on_disk(prepare).await?;
        let alone = self.calls.gate.close().await;
        let _alone = alone.ok_or(SnapshotError::CallHangs)?;
        self.replace_state(metadata).await
    }

    pub(crate) async fn reset(self: &Arc<Self>) -> Result<(), SnapshotError> {
        let _alone = self.snapshots.lock().await;
        let hosts = vec![HostStatus::Running; self.hosts.len()];
        let metadata = SnapshotMetadata {
            now: self.started_at,
            hosts,
        };
        // Before anything goes: what cannot come back is a reason to refuse.
        let calls = &self.calls;
        calls.journal.check_answers()?;
        let looked = self.look_at_preload().await;
        looked.map_err(|error| SnapshotError::NoPreload(Box::new(error)))?;
        self.on_disk(|cluster| snapshot::prepare(cluster, None))
            .await?;
        let alone = self.calls.gate.close().await;
        let _alone = alone.ok_or(SnapshotError::CallHangs)?;
        self.replace_state(metadata).await?;
        calls.faults.start_anew();
        self.cluster.adjust_as_given();
        let journal = Arc::clone(&calls.journal);
        self.on_disk(move |_| Ok(journal.start_anew()?)).await?;
        calls.note_cleared_journal();
        self.import_preloaded().await.map_err(Box::new)?;
        self.follow_faults().await.map_err(Box::new)?;
        Ok(())
    }

    /// Puts what was prepared in the place of the state. No call is running.
    async fn replace_state(&self, metadata: SnapshotMetadata) -> Result<(), SnapshotError> {
        // Moved time, and hosts that come, would start what only the state lacks that goes.
        self.cluster.scheduler().forget_jobs();
        let before = self.metadata();
        let mut replaced = self.become_as(metadata).await;
        if replaced.is_ok() {
            replaced = self.on_disk(snapshot::bring_back).await;
        }
        if replaced.is_err() {
            if let Err(error) = self.become_as(before).await {
                tracing::error!(%error, "clock and hosts are not as they were");
            }
            let schedule = |cluster: &Cluster| {
                cluster.scheduler().reschedule_all();
                Ok(())
            };
            // The error before it is the one to tell.
            let _ = self.on_disk(schedule).await;
        }
        replaced
    }

    async fn become_as(&self, metadata: SnapshotMetadata) -> Result<(), SnapshotError> {
        // System time is not ours to move.
        let _ = self.calls.clock.set(metadata.now);
        for (host, status) in self.hosts.iter().zip(metadata.hosts) {
            Host(host).restore_status(status).await.map_err(Box::new)?;
        }
        Ok(())
    }

    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Cluster) -> Result<T, SnapshotError> + Send + 'static,
    ) -> Result<T, SnapshotError> {
        let work = self.cluster.blocking_on_all(|cluster| work(cluster)).await;
        work.unwrap_or_else(|error| Err(io::Error::other(error).into()))
    }
}
