//! Returns memory to the system after many clients disconnect. Only glibc has to be told: with other allocators
//! nothing is done.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Has threads allocate from as few places as cores can be busy at once, besides that of the first
/// thread: with one less, a state of many tasks takes longer to open. glibc has eight for each core, and
/// each keeps its last free pages for good, see `M_ARENA_MAX` in mallopt(3).
pub(crate) fn share_arenas() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let arenas = i32::try_from(cores + 1).unwrap_or(i32::MAX);
        // SAFETY: it sets a number that is looked at when a thread first allocates.
        #[allow(unsafe_code)]
        unsafe {
            libc::mallopt(libc::M_ARENA_MAX, arenas);
        }
    }
}

/// Counts the threads that are at work.
#[derive(Debug, Default)]
pub(crate) struct Workers(AtomicUsize);

impl Workers {
    /// One begins.
    pub(crate) fn begins(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// One ends. When one is left, which stays, memory that is free goes back to the system.
    pub(crate) fn ends(&self) {
        if self.0.fetch_sub(1, Ordering::Relaxed) == 2 {
            give_back();
        }
    }
}

/// The allocator keeps free memory for the next allocation, for good unless this is called.
fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it may be called at any time, from any thread, see malloc_trim(3).
    #[allow(unsafe_code)]
    unsafe {
        libc::malloc_trim(0);
    }
}
