//! Settings of the allocator: one heap for all threads, and how much freed memory it keeps.

/// Half of the free memory that the allocator keeps then, in bytes: as much as a connection may send
/// ahead.
const HALF: usize = 8 << 20;

/// Makes all threads allocate from one heap.
///
/// glibc makes a heap for each thread, by half a dozen system calls and page by page: a short command would
/// pay that for the one thread that does its work. Transfers allocate little beside what they copy, so their
/// threads do not wait for each other here.
pub(crate) fn share_heap() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it sets a number that is looked at when a thread first allocates.
    #[allow(unsafe_code)]
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Makes malloc keep freed buffers for reuse.
///
/// glibc returns free memory at the end of a heap to the system, which clears the pages again at their next
/// use. How much glibc keeps follows from the largest mapped block that was freed, see `M_TRIM_THRESHOLD` in
/// mallopt(3). So a block is allocated and freed here; its pages are never touched. Other allocators have
/// rules of their own.
pub(crate) fn retain_freed_buffers() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(HALF)));
}

#[cfg(test)]
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod tests {
    use super::*;

    const PAGE: usize = 4 << 10;
    const PART: usize = 256 << 10;
    const PARTS: usize = 16;

    /// How many pages this thread was given so far.
    fn page_faults() -> usize {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        // Behind the name, which may hold anything, the eighth field.
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        fields.split(' ').nth(7).unwrap().parse().unwrap()
    }

    #[test]
    fn content_comes_in_the_memory_of_what_came_before() {
        let faults = std::thread::spawn(|| {
            retain_freed_buffers();
            for _ in 0..50 {
                let parts: Vec<_> = (0..PARTS)
                    .map(|number| vec![number as u8 | 1; PART])
                    .collect();
                drop(std::hint::black_box(parts));
            }
            page_faults()
        });
        let (faults, once) = (faults.join().unwrap(), PARTS * PART / PAGE);
        assert!(faults < 3 * once, "{faults}, of {once} that are needed");
    }
}
