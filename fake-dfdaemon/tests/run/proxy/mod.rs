//! What stands between a client and a daemon.

mod pass;
mod program;
mod raw;
mod record;
