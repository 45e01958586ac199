//! What stands between a client and a daemon.

mod crowd;
mod cut;
mod diff;
mod faults;
mod hostile;
mod pass;
mod program;
mod random;
mod raw;
mod record;
mod refused_cassettes;
mod replay;
mod written;
