//! The library as tests in Rust use it.

mod faults;
mod journal;
mod panic;
#[cfg(feature = "proxy")]
mod proxies;
mod public;
mod settings;
#[cfg(feature = "control")]
mod threads;
