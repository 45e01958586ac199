//! What every other room speaks of: values that are known to be good, tasks, and errors.

pub(crate) mod attempt;
pub(crate) mod endpoint;
pub(crate) mod error;
pub(crate) mod escape;
pub(crate) mod options;
pub(crate) mod remedy;
pub(crate) mod task;
pub(crate) mod task_id;
pub(crate) mod value_error;
