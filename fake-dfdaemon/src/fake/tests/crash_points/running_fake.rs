//! Does the steps of a scenario.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;

use jiff::Timestamp;

use super::place::{OLD, Place, SHORT};
use super::steps::{Expected, Op};
use crate::call::{ClusterFaults, StoreFaults};
use crate::cluster::{Cluster, Error, ExportRequest, ImportRequest, OutputRequest};
use crate::dfdaemon::HostNumber;
use crate::instance::snapshot::SnapshotError;
use crate::store::CancelFlag;
use crate::{DEFAULT_GC_INTERVAL, FakeDfdaemon, HostStatus};
/// A fake that runs, at a place.
pub(super) struct RunningFake<'a> {
    pub(super) place: &'a Place<'a>,
    pub(super) daemon: FakeDfdaemon,
}

impl RunningFake<'_> {
    pub(super) fn cluster(&self) -> &Arc<Cluster> {
        self.daemon.cluster()
    }

    pub(super) fn id(&self, file: usize) -> String {
        let request = self.place.import(file, 1, false);
        let cancel = CancelFlag::default();
        self.cluster().task_id_of(&request, &cancel).unwrap()
    }

    /// Does it, and waits until nothing is under way. An error is what a client gets.
    pub(super) async fn perform(&self, op: Op) -> Result<(), String> {
        let done = self.try_to(op).await;
        self.come_to_rest().await;
        done
    }

    /// Waits until no job is due, and no transfer under way that its export has left alone.
    pub(super) async fn come_to_rest(&self) {
        self.cluster().scheduler().holds_none().await;
        self.daemon.settle().await;
    }

    async fn try_to(&self, op: Op) -> Result<(), String> {
        match op {
            Op::Import {
                host,
                file,
                replicas,
                short,
            } => {
                self.import(host, self.place.import(file, replicas, short))
                    .await
            }
            Op::FailToImport { host, file } => {
                let mut request = self.place.import(file, 1, false);
                request.path = self.place.dir.path().join("too big");
                let big = fs::File::create(&request.path).unwrap();
                big.set_len(self.place.scenario.capacity.unwrap() + 1)
                    .unwrap();
                let refused = self.import(host, request).await.unwrap_err();
                if refused.contains("not enough space") {
                    return Ok(());
                }
                Err(refused)
            }
            Op::Transfer { host, file } => self.export(host, file, None).await,
            Op::Export {
                host,
                file,
                overwrite,
            } => {
                let output = OutputRequest {
                    path: self.place.output(file),
                    force_hard_link: false,
                    overwrite,
                    digest: None,
                };
                self.export(host, file, Some(output)).await
            }
            Op::OldOutput { file } => {
                fs::write(self.place.output(file), OLD).unwrap();
                Ok(())
            }
            Op::Update { host, file } => {
                let id = self.id(file);
                self.work(move |cluster| cluster.update(HostNumber::of(host), &id, true))
                    .await
            }
            Op::DeleteCopy { host, file } => {
                let id = self.id(file);
                self.work(move |cluster| cluster.delete_replica(HostNumber::of(host), &id))
                    .await
            }
            Op::Delete { file } => {
                let id = self.id(file);
                self.work(move |cluster| cluster.delete_task(&id)).await
            }
            Op::Leave(host) => {
                let host = self.daemon.host(host).unwrap();
                if host.status() == HostStatus::Running {
                    host.leave().await;
                }
                Ok(())
            }
            Op::Start(host) => {
                self.daemon.host(host).unwrap().start().await.unwrap();
                Ok(())
            }
            Op::Expire => {
                self.daemon.clock().advance(SHORT).unwrap();
                Ok(())
            }
            Op::Collect => {
                let collected = self.daemon.collect().await;
                collected.map_err(|error| error.to_string())
            }
            Op::Snapshot(name) => only_io_fails(self.daemon.snapshot(&snapshot(name)).await),
            Op::Restore(name) => {
                let before = self.clock_and_hosts();
                let restored = self.daemon.restore(&snapshot(name)).await;
                assert!(restored.is_ok() || self.clock_and_hosts() == before);
                only_io_fails(restored)
            }
            Op::Reset => only_io_fails(self.daemon.reset().await),
        }
    }

    fn clock_and_hosts(&self) -> (Timestamp, Vec<HostStatus>) {
        let hosts = self.daemon.hosts().map(|host| host.status());
        (self.daemon.clock().now(), hosts.collect())
    }

    async fn import(&self, host: usize, request: ImportRequest) -> Result<(), String> {
        let import = move |cluster: &Arc<Cluster>| {
            cluster.import(
                HostNumber::of(host),
                &request,
                &StoreFaults::default(),
                &CancelFlag::default(),
            )
        };
        self.work(import).await.map(drop)
    }

    async fn export(
        &self,
        host: usize,
        file: usize,
        output: Option<OutputRequest>,
    ) -> Result<(), String> {
        let request = ExportRequest {
            task_id: self.id(file),
            persistent: false,
            with_content: false,
            output,
        };
        let begun = self
            .work(move |cluster| {
                cluster.export(HostNumber::of(host), request, &ClusterFaults::default())
            })
            .await;
        let mut export = begun?;
        let mut whole = vec![0; self.place.scenario.lengths[file]];
        let message = |error: Error| self.message(&error);
        while let Some(arrival) = export.next_piece().await.map_err(message)? {
            let range = arrival.range.clone();
            let bytes = export
                .content(range.clone(), range.end)
                .await
                .map_err(message)?;
            let at = usize::try_from(range.start).unwrap();
            whole[at..at + bytes.len()].copy_from_slice(&bytes);
        }
        export.finish().await.map_err(message)?;
        assert!(whole == self.place.content(file), "damaged");
        Ok(())
    }

    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Arc<Cluster>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, String> {
        let done = self.cluster().blocking(work).await;
        done.map_err(|error| self.message(&error))
    }

    fn message(&self, error: &Error) -> String {
        error.status(self.place.scenario.release).to_string()
    }

    /// Brings back every snapshot that there may be, and returns what of `may_be` it can have been.
    pub(super) async fn try_snapshots(&self, mut may_be: Vec<Expected>) -> Vec<Expected> {
        let names: BTreeSet<_> = may_be.iter().flat_map(Expected::snapshots).collect();
        for name in names {
            let restored = self.daemon.restore(&snapshot(name)).await;
            self.come_to_rest().await;
            let is = |expected: &Expected| match &restored {
                Ok(()) if expected.has_snapshot(name) => {
                    self.check(&expected.after(Op::Restore(name)))
                }
                Err(SnapshotError::NotFound { .. }) if !expected.has_snapshot(name) => Ok(()),
                other => Err(format!("snapshot {name}: {other:?}")),
            };
            let checked: Vec<_> = may_be.iter().map(is).collect();
            assert!(checked.iter().any(Result::is_ok), "{checked:#?}");
            let mut checked = checked.iter();
            may_be.retain(|_| checked.next().unwrap().is_ok());
            if restored.is_ok() {
                may_be = may_be
                    .iter()
                    .map(|one| one.after(Op::Restore(name)))
                    .collect();
            }
        }
        may_be
    }

    /// Lets the jobs that failed have another go, and what could not be removed go.
    pub(super) async fn retry_jobs(&self) {
        self.come_to_rest().await;
        self.daemon.clock().advance(DEFAULT_GC_INTERVAL).unwrap();
        self.come_to_rest().await;
        self.daemon.collect().await.unwrap();
        self.come_to_rest().await;
    }
}

fn snapshot(name: usize) -> String {
    format!("s{name}")
}

fn only_io_fails(done: Result<(), SnapshotError>) -> Result<(), String> {
    done.map_err(|error| match error {
        SnapshotError::Io(error) => error.to_string(),
        other => panic!("{other}"),
    })
}
