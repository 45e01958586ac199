//! Why a fault is not accepted.

/// The fault specification is invalid.
///
/// ```
/// use fake_dfdaemon::{Fault, FaultError};
///
/// let error: FaultError = "stat:explode".parse::<Fault>().unwrap_err();
/// assert!(error.to_string().contains("explode"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FaultError(String);

impl FaultError {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}
