//! What a scheduler knows and decides: tasks and their replicas, where replicas go, and when what is
//! due. Pure: it knows no disk, no network, and no clock: callers pass the time.

pub(super) mod agenda;
pub(super) mod job;
pub(super) mod placement;
pub(super) mod replicas;
pub(super) mod state;
