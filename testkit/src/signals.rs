//! The signals that programs which a test starts end with.

use std::sync::Arc;
use std::sync::Once;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGINT, SIGQUIT};
use signal_hook::flag::register_conditional_default;

/// Has programs that are started from now on end with SIGINT and SIGQUIT, as they do in a terminal.
///
/// A shell in which the tests run in the background has them ignore both signals, and programs that they
/// start inherit that. A signal that this process handles itself is not ignored in what it starts.
///
/// # Panics
///
/// If the system takes no handler.
pub fn as_in_a_terminal() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for signal in [SIGINT, SIGQUIT] {
            let always = Arc::new(AtomicBool::new(true));
            register_conditional_default(signal, always).unwrap();
        }
    });
}
