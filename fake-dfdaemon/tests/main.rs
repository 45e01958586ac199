//! The tests of the fake in one binary: of the library, of the program and of the control API. Not here: `contract`,
//! whose rows are data, and `load`, which `make load` runs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

mod access;
mod control;
mod crash;
mod faults;
mod library;
mod model;
mod overload;
mod process;
mod races;
mod restart;
mod run;
