//! Threads that read the journal's file. They hang if its file system hangs, so there are few of them, and
//! each read has a deadline.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// How many may read the file at once.
const READERS: usize = 32;

/// How long a reader waits for a free thread, and then for its work.
const READ_WITHIN: Duration = Duration::from_secs(10);

/// Those who read, or want to.
#[derive(Clone, Debug)]
pub(crate) struct Readers {
    free: Arc<Semaphore>,
    within: Duration,
}

impl Default for Readers {
    fn default() -> Self {
        Self::new(READERS, READ_WITHIN)
    }
}

impl Readers {
    fn new(at_once: usize, within: Duration) -> Self {
        Self {
            free: Arc::new(Semaphore::new(at_once)),
            within,
        }
    }

    /// Runs work that reads the file, on a thread that may block.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        let hangs = |_| {
            let why = "the journal cannot be read: its file system does not answer";
            io::Error::new(io::ErrorKind::TimedOut, why)
        };
        let reader = timeout(self.within, Arc::clone(&self.free).acquire_owned()).await;
        let reader = reader.map_err(hangs)?.map_err(io::Error::other)?;
        let working = spawn_blocking(move || {
            // Until the work has ended, however long that takes.
            let _reader = reader;
            work()
        });
        let done = timeout(self.within, working).await;
        done.map_err(hangs)?.map_err(io::Error::other)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn work_that_hangs_is_told_and_keeps_few_threads() {
        let readers = Readers::new(2, Duration::from_millis(50));
        let mut holds = Vec::new();
        let mut asked = Vec::new();
        let (begun, mut begins) = tokio::sync::mpsc::unbounded_channel();
        for _ in 0..5 {
            let (hold, held) = mpsc::channel::<()>();
            holds.push(hold);
            let (readers, begun) = (readers.clone(), begun.clone());
            asked.push(tokio::spawn(async move {
                let work = move || {
                    let _ = begun.send(());
                    held.recv().unwrap_err();
                };
                readers.run(work).await
            }));
        }
        drop(begun);
        for asked in asked {
            let why = asked.await.unwrap().unwrap_err();
            assert_eq!(why.kind(), io::ErrorKind::TimedOut);
        }
        drop(holds);
        let mut ran = 0;
        while begins.recv().await.is_some() {
            ran += 1;
        }
        assert_eq!(ran, 2);
        // They are free again when their work has ended.
        readers.run(|| ()).await.unwrap();
    }
}
