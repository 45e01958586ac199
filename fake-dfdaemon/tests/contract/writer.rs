//! A file that does not keep still.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::fs::inotify::WatchFlags;
use testkit::wait::Changes;

/// Writes to a file whenever somebody opens it or has read some of it, until dropped.
pub(crate) struct Writer {
    path: PathBuf,
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Writer {
    pub(crate) fn of(path: &Path) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let file = fs::OpenOptions::new().write(true).open(path).unwrap();
        let looks = Changes::which(path, WatchFlags::OPEN | WatchFlags::ACCESS);
        let thread = thread::spawn(move || {
            for text in 0u64.. {
                looks.block_next("the file is read");
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                file.write_all_at(&text.to_le_bytes(), 0).unwrap();
            }
        });
        let (path, thread) = (path.to_owned(), Some(thread));
        Self { path, stop, thread }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes it.
        let _ = fs::File::open(&self.path);
        let _ = self.thread.take().map(thread::JoinHandle::join);
    }
}
