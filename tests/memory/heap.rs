//! The system's allocator, counting. A crate that also says where each block comes from would be most of what
//! the tests compile for it, and nobody asks.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

static BLOCKS: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);
static HELD: AtomicI64 = AtomicI64::new(0);
static MOST: AtomicI64 = AtomicI64::new(0);

pub(crate) struct Counting;

/// What was allocated since a moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allocated {
    /// Blocks, also those that were given back; one that was resized counts again.
    pub(crate) blocks: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// Bytes that are held now, above those of that moment.
    pub(crate) held: u64,
    /// The same when it was most.
    pub(crate) most: u64,
}

/// A moment.
pub(crate) struct Since {
    blocks: u64,
    bytes: u64,
    held: i64,
}

impl Since {
    /// Now. The most that is held is of the latest such moment.
    pub(crate) fn now() -> Self {
        let held = HELD.load(Relaxed);
        MOST.store(held, Relaxed);
        Self {
            blocks: BLOCKS.load(Relaxed),
            bytes: BYTES.load(Relaxed),
            held,
        }
    }

    pub(crate) fn allocated(&self) -> Allocated {
        let above = |bytes: i64| u64::try_from(bytes - self.held).unwrap_or(0);
        Allocated {
            blocks: BLOCKS.load(Relaxed) - self.blocks,
            bytes: BYTES.load(Relaxed) - self.bytes,
            held: above(HELD.load(Relaxed)),
            most: above(MOST.load(Relaxed)),
        }
    }
}

fn count(new: usize, old: usize) {
    BLOCKS.fetch_add(1, Relaxed);
    BYTES.fetch_add(new as u64, Relaxed);
    let more = new as i64 - old as i64;
    let held = HELD.fetch_add(more, Relaxed) + more;
    MOST.fetch_max(held, Relaxed);
}

// What is unsafe of it is the system's: blocks are passed on as they are.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size, layout.size());
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size() as i64, Relaxed);
        unsafe { System.dealloc(block, layout) }
    }
}
