use std::sync::Mutex;

use super::*;
use crate::output::leftovers::Leftover;
use crate::output::{PrivateDirectory, Target, TemporaryFile};

const SOON: &str = "50ms";

/// How an operation with little time ended.
fn ended<T: Send + Sync + 'static>(
    operation: impl AsyncFnOnce() -> Result<T> + Send + 'static,
) -> Vec<Result<T>> {
    let bounds = Bounds {
        attempt: Attempt::List,
        timeout: SOON.parse().unwrap(),
        jobs: 1,
        streams: false,
    };
    let reports = Arc::new(Mutex::new(Vec::new()));
    let reported = Arc::clone(&reports);
    let report = move |result| {
        reported.lock().unwrap().push(result);
        ExitCode::SUCCESS
    };
    let (leave, left) = mpsc::channel();
    // A thread of its own, as it may hang.
    std::thread::spawn(move || {
        let ends = leave.clone();
        let operation = async move || operation().await;
        run_or_leave(Some(bounds), operation, report, move |_| {
            let _ = leave.send(());
        });
        let _ = ends.send(());
    });
    left.recv().unwrap();
    std::mem::take(&mut *reports.lock().unwrap())
}

#[test]
fn an_operation_that_hangs_is_left_behind_and_what_it_began_is_removed() {
    let (_keep, never) = mpsc::channel::<()>();
    let (sender, removed) = mpsc::channel();
    let ended = ended(async move || {
        let _begun = Leftover::new(move || {
            let _ = sender.send(());
        });
        let _ = never.recv();
        Ok(())
    });
    let [Err(error)] = &ended[..] else {
        panic!("{ended:?}");
    };
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(removed.try_recv(), Ok(()));
}

/// A write that never returns, into a file beside an output.
#[test]
fn a_temporary_file_of_a_write_that_hangs_is_removed() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("out");
    let (_keep, never) = mpsc::channel::<()>();
    let (sender, created) = mpsc::channel();
    let path = directory.path().to_owned();
    let ended = ended(async move || {
        let target = Target::check(&output, false)?;
        let _file = TemporaryFile::create(target.clone())?;
        let private = PrivateDirectory::create(target, None).unwrap();
        std::fs::write(private.inner(), "half").unwrap();
        let _ = sender.send(std::fs::read_dir(path).unwrap().count());
        let _ = never.recv();
        Ok(())
    });
    assert!(ended[0].is_err());
    assert_eq!(created.try_recv(), Ok(2));
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn an_operation_that_is_broken_off_takes_back_what_it_began() {
    struct Begun(mpsc::Sender<()>);
    impl Drop for Begun {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }
    let (sender, taken_back) = mpsc::channel();
    let ended = ended(async move || {
        let _begun = Begun(sender);
        std::future::pending::<Result<()>>().await
    });
    let [Err(error)] = &ended[..] else {
        panic!("{ended:?}");
    };
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(taken_back.try_recv(), Ok(()));
}

#[test]
fn an_operation_that_is_done_before_it_hears_is_done() {
    let (sender, over) = mpsc::channel();
    std::thread::spawn(move || {
        // Longer than it takes to hear, shorter than what is done then is waited for.
        testkit::wait::block_for(Duration::from_millis(200));
        sender.send(7)
    });
    let ended = ended(async move || Ok(over.recv().unwrap()));
    assert!(matches!(ended[..], [Ok(7)]), "{ended:?}");
}

#[test]
fn a_thread_that_dies_is_a_failure() {
    let ended = ended(async move || -> Result<()> { panic!("of this test") });
    let [Err(error)] = &ended[..] else {
        panic!("{ended:?}");
    };
    assert_eq!(error.kind(), ErrorKind::Failure);
}

#[test]
fn a_signal_is_named_and_counted_from_128() {
    for (signal, code, says) in [
        (1, 129, "ended by SIGHUP"),
        (2, 130, "interrupted"),
        (3, 131, "ended by SIGQUIT"),
        (15, 143, "terminated"),
        (40, 168, "ended by signal 40"),
    ] {
        let error = interrupted(signal);
        assert_eq!(exit_code(error.kind()), code);
        assert_eq!(error.to_string(), says);
    }
}
