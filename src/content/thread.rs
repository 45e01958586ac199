//! Runs work that may block on a thread of its own.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::output::leftovers::of_this_operation;
use crate::types::error::{Error, ErrorKind, Result};
use crate::types::mutex::Mutex;

/// What a thread does.
pub(super) type Work = Box<dyn FnOnce() + Send>;

/// Threads that have done their work and wait for more: a new one takes longer than all else that an
/// import of a small file calculates. Work that hangs keeps its thread, and nobody else waits for it.
static IDLE: Mutex<Vec<Idle>> = Mutex::new(Vec::new());

/// A thread that waits for work.
struct Idle {
    number: u64,
    work: SyncSender<Work>,
}

/// How many threads wait for work.
const MAX_IDLE: usize = 16;

/// How long a thread waits for work.
const IDLE_FOR: Duration = Duration::from_secs(5);

/// Runs `work` on a thread that does nothing else meanwhile, so that it neither blocks the receiving
/// side nor outlives the process. A thread that is made for it has this name.
pub(crate) fn on_thread<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<oneshot::Receiver<Result<T>>> {
    let (work, receiver) = answered(work);
    start(name, work)?;
    Ok(receiver)
}

/// Work of this operation for another thread, and where its result comes.
pub(super) fn answered<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> (Work, oneshot::Receiver<Result<T>>) {
    let (sender, receiver) = oneshot::channel();
    let work = of_this_operation(move || {
        // Nobody listens any more if the operation was broken off.
        let _ = sender.send(work());
    });
    (Box::new(work), receiver)
}

/// Does work on a thread that does nothing else meanwhile.
pub(super) fn start(name: &str, work: Work) -> Result<()> {
    // The one that worked last, whose memory is at hand.
    let waiting = IDLE.lock().pop();
    let work = match waiting {
        Some(thread) => match thread.work.send(work) {
            Ok(()) => return Ok(()),
            Err(unsent) => unsent.0,
        },
        None => work,
    };
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || work_on(work))
        .map_err(|source| {
            Error::new(ErrorKind::Failure, "cannot start a thread").because(source)
        })?;
    Ok(())
}

/// Does work after work, as long as there is more of it.
fn work_on(mut work: Work) {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let (sender, more) = sync_channel(1);
    loop {
        work();
        {
            let mut idle = IDLE.lock();
            if idle.len() >= MAX_IDLE {
                return;
            }
            let work = sender.clone();
            idle.push(Idle { number, work });
        }
        work = match more.recv_timeout(IDLE_FOR) {
            Ok(work) => work,
            Err(_) if forget(number) => return,
            // Chosen at the last moment: its work is about to come.
            Err(_) => match more.recv() {
                Ok(work) => work,
                Err(_) => return,
            },
        };
    }
}

/// Takes a thread off those that wait. Whether it was among them.
fn forget(number: u64) -> bool {
    let mut idle = IDLE.lock();
    let waiting = idle.iter().position(|thread| thread.number == number);
    waiting.map(|at| idle.remove(at)).is_some()
}

/// What work on a thread came to.
pub(crate) async fn finished<T>(
    end: impl Future<Output = std::result::Result<Result<T>, oneshot::error::RecvError>>,
) -> Result<T> {
    end.await.map_err(|_| thread_died())?
}

pub(crate) fn thread_died() -> Error {
    Error::new(ErrorKind::Failure, "a thread died")
}

#[cfg(test)]
mod tests {
    use std::thread::{self, ThreadId};

    use super::*;

    async fn worker() -> ThreadId {
        finished(on_thread("test", || Ok(thread::current().id())).unwrap())
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn work_that_hangs_or_panics_keeps_nobody_waiting() {
        let (release, hangs) = std::sync::mpsc::channel::<()>();
        let hung = on_thread("test", move || {
            let _ = hangs.recv();
            Ok(thread::current().id())
        });
        let hung = hung.unwrap();
        let died = finished(on_thread::<()>("test", || panic!("on purpose")).unwrap()).await;
        assert!(died.unwrap_err().to_string().contains("a thread died"));
        let mut others = Vec::new();
        for _ in 0..100 {
            others.push(worker().await);
        }
        drop(release);
        let hung = finished(hung).await.unwrap();
        assert!(!others.contains(&hung));
        others.sort_by_key(|id| format!("{id:?}"));
        others.dedup();
        // Other tests take threads too, and leave theirs.
        assert!(others.len() <= 50, "{} threads for 100 works", others.len());
    }
}
