//! Values of requests in the form that messages carry.

use crate::types::options::Timeout;

pub(crate) fn wire_timeout(timeout: Timeout) -> Option<prost_types::Duration> {
    prost_types::Duration::try_from(timeout.duration()).ok()
}
