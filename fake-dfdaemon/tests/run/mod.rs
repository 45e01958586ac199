//! `run` and `ctl`, as a shell and a CI job use the built program.

mod authority;
mod command;
mod ctl;
mod cycles;
mod documents;
mod examples;
mod first_process;
mod log;
mod proxy;
mod sandbox;
mod signals;
mod state;
