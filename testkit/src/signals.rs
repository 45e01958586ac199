//! The signals that programs which a test starts end with.

use std::sync::Arc;
use std::sync::Once;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGUSR2};
use signal_hook::flag::register_conditional_default;

/// Has programs that are started from now on end with the signals that they end with in a terminal.
///
/// A shell in which the tests run in the background has them ignore SIGINT and SIGQUIT, nohup SIGHUP, and perf
/// SIGUSR2; programs that they start inherit that. A signal that this process handles itself is not ignored in what it starts.
///
/// # Panics
///
/// If the system takes no handler.
pub fn as_in_a_terminal() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for signal in [SIGHUP, SIGINT, SIGQUIT, SIGUSR2] {
            let always = Arc::new(AtomicBool::new(true));
            register_conditional_default(signal, always).unwrap();
        }
    });
}
