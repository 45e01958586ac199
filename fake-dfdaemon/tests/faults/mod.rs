//! Faults, as a client of gRPC sees them: each action at each place that it can have, whom they
//! hit, how long they last, and what they leave.

mod calls;
mod chance;
mod connections;
mod damaged;
mod ends;
mod lifetimes;
mod replicas;
mod selectors;
mod stale;
mod store;
mod streams;
mod transfers;
mod world;
