//! dfcache against fake-dfdaemon, from outside: the built binary over a temporary Unix socket.
//!
//! Each test has a world of its own: a directory, a home, a daemon. A failing test says where it
//! worked, and leaves the directory there.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    missing_docs,
    unreachable_pub
)]

mod support;

mod bad_endpoints;
mod bad_input;
mod cassettes;
mod ci;
mod crash_points;
mod crowd;
mod deadlines;
mod descriptors;
mod doctor;
mod doctor_causes;
mod documents;
mod environment;
mod exit_codes;
mod export_options;
mod faults;
mod full_disks;
mod holes;
mod hostile_text;
mod hung_files;
mod import_options;
mod interruptions;
mod kills;
mod library;
mod local_replicas;
mod logs;
mod mounts;
mod packaging;
mod progress;
mod readme;
mod releases;
mod retries;
mod round_trip;
mod schema;
mod sessions;
mod soak;
mod staging;
mod stat_options;
mod streams;
mod targets;
mod terminal_lines;
mod threads;
mod trees;
mod users;
mod verify;
mod wording;
