//! The end of a fake while work goes on, and the steps that it takes on the disk.

mod crash_points;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex};

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::store::{DiskFailure, DiskOp, FailureInjector};

/// A disk whose renames are slow once that is switched on.
#[derive(Debug, Default)]
struct Slow {
    armed: AtomicBool,
    reached: tokio::sync::Notify,
    released: Mutex<bool>,
    changed: Condvar,
}

impl Slow {
    fn release(&self) {
        *self.released.lock().unwrap() = true;
        self.changed.notify_all();
    }
}

impl FailureInjector for Slow {
    fn at(&self, step: DiskOp) -> Option<DiskFailure> {
        if step == DiskOp::Rename && self.armed.load(Ordering::Relaxed) {
            self.reached.notify_one();
            let released = self.released.lock().unwrap();
            drop(self.changed.wait_while(released, |released| !*released));
        }
        None
    }

    fn skip_syncs(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn a_stop_waits_for_a_snapshot_that_its_client_left() {
    let slow = Arc::new(Slow::default());
    let mut builder = FakeDfdaemon::builder().hosts(1);
    builder.settings.failures = Some(Arc::clone(&slow) as Arc<dyn FailureInjector>);
    let daemon = builder.start().await.unwrap();
    let dir = daemon.state_dir().to_owned();
    slow.armed.store(true, Ordering::Relaxed);
    tokio::select! {
        _ = daemon.snapshot("one") => unreachable!("it takes for ever"),
        () = slow.reached.notified() => {}
    }
    let mut stop = Box::pin(daemon.stop());
    // Nothing tells of an end that does not come.
    tokio::select! {
        () = &mut stop => panic!("it did not wait"),
        () = testkit::wait::real_time(Duration::from_millis(50)) => {}
    }
    slow.release();
    stop.await;
    assert!(!dir.exists(), "its directory is left");
}

/// Nothing ends a thread that waits for a file system that hangs.
#[tokio::test]
async fn a_call_that_hangs_keeps_neither_a_reset_nor_a_stop_from_ending() {
    let daemon = FakeDfdaemon::builder().start().await.unwrap();
    let cluster = Arc::clone(daemon.cluster());
    let (go_on, hung) = std::sync::mpsc::channel::<()>();
    let (begins, begun) = tokio::sync::oneshot::channel();
    let call = tokio::spawn(async move {
        let hang = move |_: &Arc<Cluster>| {
            begins.send(()).unwrap();
            hung.recv().unwrap_err();
            Ok(())
        };
        cluster.blocking(hang).await
    });
    begun.await.unwrap();
    let refused = daemon.reset().await;
    assert!(matches!(refused, Err(SnapshotError::CallHangs)));
    // Others are let in again.
    let cluster = Arc::clone(daemon.cluster());
    cluster.blocking(|_| Ok(())).await.unwrap();
    let state = daemon.state_dir().to_owned();
    daemon.stop().await;
    assert!(!state.exists());
    drop(go_on);
    call.await.unwrap().unwrap();
}

#[tokio::test]
async fn settling_ends_when_time_is_set_back_before_what_was_due() {
    let hour = Duration::from_secs(3600);
    let builder = FakeDfdaemon::builder().manual_clock().gc_interval(hour);
    let daemon = builder.open_without_sockets().await.unwrap();
    let jobs = daemon.instance().jobs();
    jobs.settle().await;
    let before = daemon.clock().now();
    daemon.clock().advance(hour).unwrap();
    let mut settle = tokio_test::task::spawn(jobs.settle());
    // Nothing else runs in between on this one thread: what is due has not begun.
    tokio_test::assert_pending!(settle.poll());
    daemon.clock().set(before).unwrap();
    let settled = tokio::time::timeout(testkit::wait::HANGS, settle).await;
    assert_eq!(settled.expect("it hangs").len(), 1);
}
