//! The library as tests in Rust use it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

mod faults;
mod journal;
mod panic;
#[cfg(feature = "proxy")]
mod proxies;
mod public;
mod settings;
#[cfg(feature = "control")]
mod threads;
