//! A file that does not keep still.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// How long it may take a writer to get its turn while an import reads.
pub(crate) const COMES_TO_WRITE: Duration = Duration::from_secs(30);

/// Writes to a file all the time, until dropped.
pub(crate) struct Writer {
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Writer {
    pub(crate) fn of(path: &Path) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let file = fs::OpenOptions::new().write(true).open(path).unwrap();
        let mut text = 0u64;
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                text += 1;
                file.write_all_at(&text.to_le_bytes(), 0).unwrap();
                // Leaves the file's lock to who reads it. Whoever yields instead, again and again,
                // waits long for a turn among others that do not.
                thread::sleep(Duration::from_millis(1));
            }
        });
        let thread = Some(thread);
        Self { stop, thread }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(thread::JoinHandle::join);
    }
}
