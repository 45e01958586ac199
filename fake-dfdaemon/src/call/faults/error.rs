//! Why a fault is not accepted.

/// The fault specification is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FaultError(String);

impl FaultError {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}
