//! The `dfcache` program; all of it is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    dfcache::run(std::env::args_os(), stdout::is_open())
}

/// Whether stdout was open when the process began.
///
/// Before `main`, Rust opens /dev/null in the place of a closed stdout, where a result is lost
/// without an error. Afterwards nothing tells that apart from a parent's own /dev/null, so it is
/// looked at before.
#[cfg(target_os = "linux")]
mod stdout {
    use std::os::fd::AsFd as _;
    use std::sync::atomic::{AtomicBool, Ordering};

    static IS_OPEN: AtomicBool = AtomicBool::new(true);

    // What is unsafe of it: that the loader calls whatever stands there. It is a function of the
    // kind that the loader expects.
    #[allow(unsafe_code)]
    #[used]
    #[unsafe(link_section = ".init_array")]
    static LOOK: extern "C" fn() = look;

    extern "C" fn look() {
        let is_open = rustix::io::fcntl_getfd(std::io::stdout().as_fd()).is_ok();
        IS_OPEN.store(is_open, Ordering::Relaxed);
    }

    pub(super) fn is_open() -> bool {
        IS_OPEN.load(Ordering::Relaxed)
    }
}

#[cfg(not(target_os = "linux"))]
mod stdout {
    pub(super) fn is_open() -> bool {
        true
    }
}
