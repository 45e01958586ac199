//! `library` without the program, the control API and proxies: `make test` runs it so.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod library;
mod support;
