//! The runtime that a fake runs on: one thread that moves what is in memory, and others for work that may wait for a
//! disk. The thread that runs it is the program's, or the one in `own_thread`.

use std::io;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::task::spawn_blocking;

/// How long a thread for blocking work stays without work.
const IDLE_FOR: Duration = Duration::from_secs(10);

/// Builds a runtime that always has a thread for blocking work. Where the system gives it no further one, as in a
/// container with a bound for processes, such work waits for that one: tokio panics where there is none at all.
///
/// # Errors
///
/// The system gives no thread, or no descriptors.
pub(crate) fn build(builder: &mut Builder) -> io::Result<Runtime> {
    build_with(builder, IDLE_FOR)
}

fn build_with(builder: &mut Builder, idle_for: Duration) -> io::Result<Runtime> {
    let runtime = builder.enable_all().thread_keep_alive(idle_for).build()?;
    // Asked first, since tokio answers a refusal with a panic; and for one more, since a thread that has ended may
    // be counted for a while.
    let mut asked = Vec::new();
    for _ in 0..2 {
        let (end, ended) = mpsc::channel::<()>();
        let thread = thread::Builder::new().spawn(move || _ = ended.recv())?;
        asked.push((end, thread));
    }
    for (end, thread) in asked {
        drop(end);
        let _ = thread.join();
    }
    let kept = runtime.spawn_blocking(|| ());
    // Idle threads get work by turns. Often enough for one, so seldom that of two each is idle for too long.
    let often = idle_for * 2 / 3;
    runtime.spawn(async move {
        let _ = kept.await;
        loop {
            tokio::time::sleep(often).await;
            let _ = spawn_blocking(|| ()).await;
        }
    });
    Ok(runtime)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Barrier};

    use super::*;

    /// A runtime, and how many threads for blocking work it has. How long they are idle tokio takes from the
    /// machine's clock.
    fn build_counted(idle_for: Duration) -> (Runtime, Arc<AtomicUsize>) {
        let threads = Arc::<AtomicUsize>::default();
        let (begins, ends) = (Arc::clone(&threads), Arc::clone(&threads));
        let mut builder = Builder::new_current_thread();
        builder.on_thread_start(move || _ = begins.fetch_add(1, Ordering::SeqCst));
        builder.on_thread_stop(move || _ = ends.fetch_sub(1, Ordering::SeqCst));
        (build_with(&mut builder, idle_for).unwrap(), threads)
    }

    /// Whether a runtime that is idle for longer than its threads may be ends the last of them.
    fn loses_its_last() -> bool {
        let idle_for = Duration::from_millis(20);
        let (runtime, threads) = build_counted(idle_for);
        runtime.block_on(async {
            spawn_blocking(|| ()).await.unwrap();
            testkit::wait::real_time(3 * idle_for).await;
        });
        threads.load(Ordering::SeqCst) == 0
    }

    #[test]
    fn a_thread_for_blocking_work_stays_while_there_is_none() {
        // A machine that is busy for longer than a thread stays shows nothing.
        assert!((0..50).any(|_| !loses_its_last()));
    }

    #[test]
    fn of_many_threads_for_blocking_work_one_stays() {
        // Long for a machine: a thread that gets work in time is not idle for so long by chance.
        let (runtime, threads) = build_counted(Duration::from_millis(300));
        let all_at_once = Arc::new(Barrier::new(8));
        runtime.block_on(async {
            let wait = || {
                let barrier = Arc::clone(&all_at_once);
                spawn_blocking(move || _ = barrier.wait())
            };
            for waits in [(); 8].map(|()| wait()) {
                waits.await.unwrap();
            }
            // Ten times as long as a thread is idle.
            for _ in 0..150 {
                if threads.load(Ordering::SeqCst) == 1 {
                    return;
                }
                testkit::wait::real_time(Duration::from_millis(20)).await;
            }
            panic!("{} stay", threads.load(Ordering::SeqCst));
        });
    }
}
