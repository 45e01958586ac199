//! Short work that may block, such as a look at a file, on one thread as long as it comes on: one for each would
//! take longer to wake than the work takes. Work that has waited for a while gets a thread of its own, since what is before
//! it may hang in a file system.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::thread::{Work, answered, start};
use crate::types::error::Result;
use crate::types::mutex::Mutex;

/// How long work waits for what is before it.
const PATIENCE: Duration = Duration::from_millis(2);

/// How the threads are named.
const NAME: &str = "file";

static QUEUE: Mutex<Queue> = Mutex::new(Queue {
    waiting: VecDeque::new(),
    lanes: 0,
    late: 0,
    is_watched: false,
});

struct Queue {
    waiting: VecDeque<(Instant, Work)>,
    /// How many threads take it.
    lanes: usize,
    /// How many of them are not waited for, since their work takes long.
    late: usize,
    /// Whether a thread looks how long it waits.
    is_watched: bool,
}

/// Does short work that may block on another thread.
pub(crate) fn briefly<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<oneshot::Receiver<Result<T>>> {
    let (work, receiver) = answered(work);
    let mut queue = QUEUE.lock();
    queue.waiting.push_back((Instant::now(), work));
    if queue.lanes <= queue.late {
        queue.lanes += 1;
        drop(queue);
        start(NAME, Box::new(lane)).inspect_err(|_| QUEUE.lock().lanes -= 1)?;
    } else if !std::mem::replace(&mut queue.is_watched, true) {
        drop(queue);
        start(NAME, Box::new(watch)).inspect_err(|_| QUEUE.lock().is_watched = false)?;
    }
    Ok(receiver)
}

/// Does what waits, until nothing does.
fn lane() {
    while let Some(work) = next() {
        // Its sender is dropped, which ends the wait for it.
        let _ = catch_unwind(AssertUnwindSafe(work));
    }
}

/// What has waited longest. Without it, the lane has ended.
fn next() -> Option<Work> {
    let mut queue = QUEUE.lock();
    let next = queue.waiting.pop_front();
    if next.is_none() {
        queue.lanes -= 1;
        queue.late = queue.late.min(queue.lanes);
    }
    next.map(|(_, work)| work)
}

/// Opens a lane for what has waited too long, until nothing waits.
fn watch() {
    loop {
        std::thread::park_timeout(PATIENCE);
        let mut queue = QUEUE.lock();
        let Some((since, _)) = queue.waiting.front() else {
            queue.is_watched = false;
            return;
        };
        if since.elapsed() >= PATIENCE {
            queue.late = queue.lanes;
            queue.lanes += 1;
            drop(queue);
            let _ = start(NAME, Box::new(lane)).inspect_err(|_| QUEUE.lock().lanes -= 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::content::thread::finished;

    #[tokio::test]
    async fn work_that_hangs_or_panics_holds_up_no_other() {
        let mut hung = Vec::new();
        for number in 0..3 {
            let (release, hangs) = mpsc::channel::<()>();
            let work = briefly(move || Ok(hangs.recv().is_ok())).unwrap();
            hung.push((release, work));
            let died = briefly::<()>(|| std::panic::resume_unwind(Box::new("on purpose"))).unwrap();
            assert!(
                finished(died)
                    .await
                    .unwrap_err()
                    .to_string()
                    .contains("a thread died")
            );
            assert_eq!(
                finished(briefly(move || Ok(number)).unwrap())
                    .await
                    .unwrap(),
                number
            );
        }
        for (release, work) in hung {
            drop(release);
            assert!(!finished(work).await.unwrap());
        }
    }
}
