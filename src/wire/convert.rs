//! Options as messages carry them.

use crate::options::Timeout;

/// An empty tag or application is none: some daemons would tell them apart.
pub(crate) fn given(text: Option<&String>) -> Option<String> {
    text.filter(|text| !text.is_empty()).cloned()
}

pub(crate) fn wire_timeout(timeout: Timeout) -> Option<prost_types::Duration> {
    prost_types::Duration::try_from(timeout.duration()).ok()
}
