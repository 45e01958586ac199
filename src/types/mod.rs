//! What every other room speaks of: values that are known to be good, tasks, and errors.

pub(crate) mod attempt;
pub(crate) mod error;
pub(crate) mod escape;
pub mod options;
pub(crate) mod remedy;
pub(crate) mod task;
