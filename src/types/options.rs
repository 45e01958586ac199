//! Values that were parsed and are known to be good: what commands work with.
//!
//! The constants here are the limits that help texts, checks and error messages share. What was
//! typed, and under which names, lives in `cli`.

pub(crate) use super::endpoint::Endpoint;
pub use super::piece_length::PieceLength;
pub use super::replica_count::ReplicaCount;
pub(crate) use super::task_id::TaskId;
pub use super::timeout::{StallTimeout, Timeout};
pub use super::ttl::Ttl;
pub use super::value_error::ValueError;
pub use dfdaemon_api::digest::Digest;

/// A value that was given to a request; the first that is invalid is remembered, and reported
/// when the request is used.
pub(crate) fn taken<V, T>(value: T, invalid: &mut Option<ValueError>) -> Option<V>
where
    T: TryInto<V>,
    ValueError: From<T::Error>,
{
    match value.try_into() {
        Ok(value) => Some(value),
        Err(error) => {
            invalid.get_or_insert(error.into());
            None
        }
    }
}

#[cfg(test)]
mod tests;
