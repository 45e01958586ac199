//! Replicas that are due at once are made a few at a time, and tried again where file descriptors were
//! lacking: unlike a call, a replica has no client that would retry.

use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use super::error::Error;
use super::status::is_overload;

/// How many replicas are made at once. Each has a handful of files open, and more of them make a
/// disk no faster.
const REPLICATIONS: usize = 4;

/// How long a replica waits for file descriptors that others give back.
const NO_DESCRIPTORS_FOR: Duration = Duration::from_secs(30);

/// How long it waits before it looks again.
const NO_DESCRIPTORS_POLL: Duration = Duration::from_millis(20);

/// The replicas that may be made at once.
#[derive(Debug)]
pub(super) struct Turns(Semaphore);

impl Turns {
    pub(super) fn new() -> Self {
        Self(Semaphore::new(REPLICATIONS))
    }

    /// Waits for a turn, if there are turns, and attempts something until it fails for another
    /// reason than file descriptors that others hold.
    pub(super) async fn take<F: Future<Output = Result<(), Error>>>(
        &self,
        takes_turns: bool,
        attempt: impl Fn() -> F,
    ) -> Result<(), Error> {
        let _turn = if takes_turns {
            self.0.acquire().await.ok()
        } else {
            None
        };
        let given_up = Instant::now() + NO_DESCRIPTORS_FOR;
        loop {
            match attempt().await {
                Err(Error::Io(error)) if is_overload(&error) && Instant::now() < given_up => {
                    tokio::time::sleep(NO_DESCRIPTORS_POLL).await;
                }
                ended => return ended,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use rustix::io::Errno;

    use crate::FakeDfdaemon;
    use crate::call::ClusterFaults;
    use crate::cluster::{ExportRequest, ImportRequest};
    use crate::dfdaemon::HostNumber;
    use crate::store::{DiskFailure, DiskOp, FailureInjector};

    /// A process whose descriptors are all in use for this many attempts to make a file.
    #[derive(Debug, Default)]
    struct NoDescriptors(AtomicUsize);

    impl FailureInjector for NoDescriptors {
        fn at(&self, step: DiskOp) -> Option<DiskFailure> {
            let less = |left: usize| left.checked_sub(1);
            let lacks = step == DiskOp::Create
                && self
                    .0
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less)
                    .is_ok();
            lacks.then_some(DiskFailure::Fails(Errno::MFILE))
        }

        fn skip_syncs(&self) -> bool {
            true
        }
    }

    /// Whether it is transferred, or an existing replica is made persistent.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_replica_waits_for_descriptors_and_settle_for_the_replica() {
        for is_there in [false, true] {
            let delay = std::time::Duration::from_secs(10);
            let lacking = Arc::new(NoDescriptors::default());
            let builder = FakeDfdaemon::builder().hosts(2).manual_clock();
            let mut builder = builder.replication_delay(delay);
            builder.settings.failures = Some(Arc::clone(&lacking) as Arc<dyn FailureInjector>);
            let daemon = builder.start().await.unwrap();
            let cluster = Arc::clone(daemon.cluster());
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(&file, "content").unwrap();
            let request = ImportRequest {
                persistent_replica_count: 2,
                ..ImportRequest::of(file.path())
            };
            let imported = cluster.import_soundly(&request);
            let id = imported.unwrap().task.task_id;
            if is_there {
                let request = ExportRequest::of(&id);
                let mut export = cluster
                    .export(HostNumber::of(1), request, &ClusterFaults::default())
                    .unwrap();
                while export.next_piece().await.unwrap().is_some() {}
                export.finish().await.unwrap();
            }
            lacking.0.store(3, Ordering::Relaxed);
            daemon.clock().advance(delay).unwrap();
            daemon.settle().await;
            let persistent = cluster
                .scheduler()
                .local(HostNumber::of(1), Some(&id), |replica| {
                    replica.record.persistent
                });
            assert_eq!(persistent, [true], "{is_there}");
            assert_eq!(lacking.0.load(Ordering::Relaxed), 0);
            daemon.stop().await;
        }
    }
}
