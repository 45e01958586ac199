//! Work on files that clients named, on two threads as long as it comes on: more would wake each other and wait for the
//! same locks of a directory. Work that has waited for a while gets a thread of its own, since what is before it
//! may be long, or hang in a file system.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::Instant;

use crate::dfdaemon::mutex::Mutex;

/// How many threads take work by turns. With one, 10,000 small imports take a tenth longer, and with one for each, a
/// fifth.
const LANES: usize = 2;

/// How long work waits for what is before it.
const PATIENCE: Duration = Duration::from_millis(2);

type Work = Box<dyn FnOnce() + Send>;

/// Work, and the threads that do it.
#[derive(Clone, Default)]
pub(super) struct Lanes(Arc<Mutex<Queue>>);

#[derive(Default)]
struct Queue {
    waiting: VecDeque<(Instant, Work)>,
    /// How many threads take it.
    lanes: usize,
    /// How many of them are not waited for, since their work takes long.
    late: usize,
    /// Whether a task looks how long it waits.
    is_watched: bool,
}

impl Lanes {
    /// Does work on a thread, soon.
    pub(super) fn spawn(&self, work: Work) {
        let mut queue = self.0.lock();
        queue.waiting.push_back((Instant::now(), work));
        if queue.lanes < queue.late + LANES {
            self.open_lane(&mut queue);
        } else if !std::mem::replace(&mut queue.is_watched, true) {
            tokio::spawn(self.clone().watch());
        }
    }

    fn open_lane(&self, queue: &mut Queue) {
        queue.lanes += 1;
        let lane = self.clone();
        spawn_blocking(move || {
            while let Some(work) = lane.next() {
                // Its sender is dropped, which ends the wait for it.
                let _ = catch_unwind(AssertUnwindSafe(work));
            }
        });
    }

    /// What has waited longest. Without it, the lane has ended.
    fn next(&self) -> Option<Work> {
        let mut queue = self.0.lock();
        let next = queue.waiting.pop_front();
        if next.is_none() {
            queue.lanes -= 1;
            queue.late = queue.late.min(queue.lanes);
        }
        next.map(|(_, work)| work)
    }

    /// Opens a lane for all that has waited too long, until nothing waits.
    async fn watch(self) {
        loop {
            tokio::time::sleep(PATIENCE).await;
            let mut queue = self.0.lock();
            if queue.waiting.is_empty() {
                queue.is_watched = false;
                return;
            }
            let is_late = |(since, _): &&(Instant, Work)| since.elapsed() >= PATIENCE;
            for _ in 0..queue.waiting.iter().take_while(is_late).count() {
                queue.late += 1;
                self.open_lane(&mut queue);
            }
        }
    }
}

impl fmt::Debug for Lanes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lanes")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::panic::resume_unwind;
    use std::sync::mpsc;
    use std::thread::{self, ThreadId};

    use tokio::sync::oneshot::{self, Receiver};

    use super::*;

    fn thread_of_work(lanes: &Lanes) -> Receiver<ThreadId> {
        let (sender, receiver) = oneshot::channel();
        lanes.spawn(Box::new(move || {
            let _ = sender.send(thread::current().id());
        }));
        receiver
    }

    #[tokio::test]
    async fn work_that_hangs_holds_up_no_other() {
        let lanes = Lanes::default();
        let mut hung = Vec::new();
        for _ in 0..LANES + 3 {
            let (release, hangs) = mpsc::channel::<()>();
            lanes.spawn(Box::new(move || _ = hangs.recv()));
            hung.push(release);
            thread_of_work(&lanes).await.unwrap();
        }
    }

    /// Time stands still while a thread works.
    #[tokio::test(start_paused = true)]
    async fn work_that_comes_on_takes_few_threads_also_where_some_panics() {
        let lanes = Lanes::default();
        let mut held = Vec::new();
        for _ in 0..LANES {
            let (release, waits) = mpsc::channel::<()>();
            lanes.spawn(Box::new(move || _ = waits.recv()));
            held.push(release);
        }
        let mut threads = Vec::new();
        for _ in 0..10 {
            lanes.spawn(Box::new(|| resume_unwind(Box::new("on purpose"))));
            threads.push(thread_of_work(&lanes));
        }
        drop(held);
        let mut all = HashSet::new();
        for thread in threads {
            all.insert(thread.await.unwrap());
        }
        assert!(all.len() <= LANES, "{all:?}");
    }
}
