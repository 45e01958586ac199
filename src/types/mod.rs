//! The types that every other room uses: checked values, tasks, and errors.

pub(crate) mod attempt;
pub(crate) mod endpoint;
pub(crate) mod error;
pub(crate) mod escape;
pub(crate) mod first;
pub(crate) mod local_task;
pub(crate) mod mutex;
pub(crate) mod options;
pub(crate) mod piece_length;
pub(crate) mod remedy;
pub(crate) mod replica_count;
pub(crate) mod task;
pub(crate) mod task_id;
pub(crate) mod task_state;
pub(crate) mod timeout;
pub(crate) mod ttl;
pub(crate) mod value_error;
