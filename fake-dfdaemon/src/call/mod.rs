//! One call on its way: the faults that hit it, and what the journal says of it.
//!
//! Every call of a client, and every replica that the scheduler makes, goes through here. What a
//! call does is in the services and the cluster. A call is a [`Call`](record::Call), from its
//! arrival until it stands in the journal; while it runs, a [`RunningCall`] holds it.

mod ahead;
pub mod clock;
pub(crate) mod connection;
mod context;
pub(crate) mod counters;
pub(crate) mod events;
pub(crate) mod faults;
pub(crate) mod gate;
pub(crate) mod journal;
pub(crate) mod json;
pub(crate) mod random;
pub(crate) mod rate;
pub(crate) mod record;
pub(crate) mod rpc;
mod running;
mod store_faults;
pub(crate) mod stream_faults;
mod transfer_faults;
mod waits;

pub(crate) use self::ahead::Ahead;
pub(crate) use self::context::CallContext;
pub(crate) use self::running::RunningCall;
pub(crate) use self::store_faults::{ClusterFaults, StoreFaults};
pub(crate) use self::transfer_faults::TransferFaults;
pub(crate) use self::waits::{Waiting, Waits};
