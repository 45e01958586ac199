//! Memory that a crowd has left behind. What is allocated is elsewhere.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts the threads that work for somebody.
#[derive(Debug, Default)]
pub(crate) struct Workers(AtomicUsize);

impl Workers {
    /// One begins.
    pub(crate) fn begins(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// One ends. With the last, memory that is free goes back to the system.
    pub(crate) fn ends(&self) {
        if self.0.fetch_sub(1, Ordering::Relaxed) == 1 {
            give_back();
        }
    }
}

/// An allocator keeps what is free for whoever wants some next; glibc does for good.
fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it may be called at any time, from any thread, see malloc_trim(3).
    #[allow(unsafe_code)]
    unsafe {
        libc::malloc_trim(0);
    }
}
