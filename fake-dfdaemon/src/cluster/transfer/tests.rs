use std::sync::{Mutex, OnceLock, Weak};

use super::*;
use crate::FakeDfdaemon;
use crate::cluster::{Export, ExportRequest, ImportRequest, ReplicaState};
use crate::store::{DiskFailure, DiskOp, FailureInjector};

/// Two hosts, of which the first has a task.
struct Imported {
    daemon: FakeDfdaemon,
    cluster: Arc<Cluster>,
    id: TaskId,
}

impl Imported {
    /// The task has this many bytes. Every step of a disk passes `failures`, if there are any.
    async fn new(length: u64, failures: Option<Arc<dyn FailureInjector>>) -> Self {
        let mut builder = FakeDfdaemon::builder().hosts(2);
        builder.settings.failures = failures;
        let daemon = builder.start().await.unwrap();
        let cluster = Arc::clone(daemon.cluster());
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(length).unwrap();
        let request = ImportRequest::of(file.path());
        let imported = cluster.import_soundly(&request);
        Self {
            daemon,
            cluster,
            id: imported.unwrap().task.task_id,
        }
    }

    /// An export of the task on the second host.
    fn export(&self) -> Export {
        let request = ExportRequest::of(&self.id);
        self.cluster
            .export(HostNumber::of(1), request, &ClusterFaults::default())
            .unwrap()
    }
}

/// However late the transfer gets a thread, and whatever ends before it does.
#[test]
fn a_host_knows_of_a_task_from_the_start_of_its_transfer() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(1)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let imported = Imported::new(0, None).await;
        let cluster = &imported.cluster;
        let known = |cluster: &Cluster| {
            cluster
                .scheduler()
                .local(HostNumber::of(1), None, ReplicaState::is_whole)
        };
        let (free, busy) = std::sync::mpsc::channel::<()>();
        let occupied = tokio::task::spawn_blocking(move || busy.recv());
        let given_up = imported.export();
        assert_eq!(known(cluster), [false]);
        drop(given_up);
        let look = Arc::clone(cluster);
        let between = tokio::task::spawn_blocking(move || known(&look));
        let mut export = imported.export();
        drop(free);
        assert_eq!(between.await.unwrap(), [false]);
        assert!(export.next_piece().await.unwrap().is_none());
        assert_eq!(known(cluster), [true]);
        assert!(occupied.await.unwrap().is_err());
        drop(export);
        imported.daemon.stop().await;
    });
}

/// Looks at every step whether it is taken with the registry locked.
#[derive(Debug, Default)]
struct Watch {
    cluster: OnceLock<Weak<Cluster>>,
    steps: AtomicUsize,
    locked_at: Mutex<Vec<DiskOp>>,
}

impl FailureInjector for Watch {
    fn at(&self, step: DiskOp) -> Option<DiskFailure> {
        let cluster = self.cluster.get().and_then(Weak::upgrade)?;
        self.steps.fetch_add(1, Ordering::Relaxed);
        let is_locked = |host| cluster.node(host).unwrap().transfers().is_locked();
        if cluster.hosts().any(is_locked) {
            self.locked_at.lock().unwrap().push(step);
        }
        None
    }

    fn skip_syncs(&self) -> bool {
        true
    }
}

/// The thread that serves connections takes the lock: it would wait for a disk that hangs.
#[tokio::test]
async fn no_step_of_the_disk_is_taken_with_the_registry_locked() {
    let watch = Arc::new(Watch::default());
    let imported = Imported::new(7, Some(Arc::clone(&watch) as _)).await;
    watch
        .cluster
        .set(Arc::downgrade(&imported.cluster))
        .unwrap();
    let mut export = imported.export();
    while export.next_piece().await.unwrap().is_some() {}
    export.finish().await.unwrap();
    assert!(watch.steps.load(Ordering::Relaxed) > 0);
    assert_eq!(*watch.locked_at.lock().unwrap(), []);
    imported.daemon.stop().await;
}

/// Cuts content when it is about to be copied.
#[derive(Debug, Default)]
struct Cut(OnceLock<std::path::PathBuf>);

impl FailureInjector for Cut {
    fn at(&self, step: DiskOp) -> Option<DiskFailure> {
        if let Some(path) = self.0.get().filter(|_| step == DiskOp::Copy) {
            let content = File::options().write(true).open(path).unwrap();
            content.set_len(1).unwrap();
        }
        None
    }

    fn skip_syncs(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn a_parent_that_is_cut_while_it_serves_is_none_any_more() {
    let cut = Arc::new(Cut::default());
    let imported = Imported::new(7, Some(Arc::clone(&cut) as _)).await;
    let cluster = &imported.cluster;
    let content = cluster
        .node(HostNumber::of(0))
        .unwrap()
        .store()
        .content_path(&imported.id);
    cut.0.set(content).unwrap();
    let mut export = imported.export();
    let failed = export.next_piece().await.unwrap_err();
    assert!(matches!(failed, Error::NoCandidateParents), "{failed}");
    let scheduler = cluster.scheduler();
    assert!(!scheduler.has_replica(HostNumber::of(0), &imported.id));
    drop(export);
    imported.daemon.stop().await;
}

/// Holds the first piece up that is copied, until it is let go.
#[derive(Debug)]
struct Hold {
    reached: Mutex<Option<tokio::sync::oneshot::Sender<()>>>,
    let_go: Mutex<std::sync::mpsc::Receiver<()>>,
}

impl FailureInjector for Hold {
    fn at(&self, step: DiskOp) -> Option<DiskFailure> {
        if step == DiskOp::Copy
            && let Some(reached) = self.reached.lock().unwrap().take()
        {
            reached.send(()).unwrap();
            self.let_go.lock().unwrap().recv().unwrap();
        }
        None
    }

    fn skip_syncs(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn an_export_that_joins_gets_the_piece_in_flight_without_digest_and_cost() {
    let (reached, is_reached) = tokio::sync::oneshot::channel();
    let (go, let_go) = std::sync::mpsc::channel();
    let hold = Arc::new(Hold {
        reached: Mutex::default(),
        let_go: Mutex::new(let_go),
    });
    let imported = Imported::new((4 << 20) + 1, Some(Arc::clone(&hold) as _)).await;
    // The import has copied its file by now.
    *hold.reached.lock().unwrap() = Some(reached);
    let mut first = imported.export();
    is_reached.await.unwrap();
    let mut second = imported.export();
    go.send(()).unwrap();
    let mut known = Vec::new();
    for export in [&mut first, &mut second] {
        let mut pieces = Vec::new();
        while let Some(piece) = export.next_piece().await.unwrap() {
            pieces.push((piece.crc32.is_some(), piece.cost.is_some()));
        }
        known.push(pieces);
    }
    assert_eq!(known[0], [(true, true); 2]);
    assert_eq!(known[1], [(false, false), (true, true)]);
    drop((first, second));
    imported.daemon.stop().await;
}
