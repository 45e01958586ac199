//! How many requests a host serves at once. The limit may change while they run, so they are counted: a
//! semaphore has a number of permits.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts the requests that a host serves, and refuses requests over the limit.
#[derive(Clone, Debug, Default)]
pub(crate) struct RequestLimit {
    running: Arc<AtomicUsize>,
}

/// A permit for one running request, released on drop.
#[derive(Debug)]
pub(crate) struct RequestPermit(Arc<AtomicUsize>);

impl RequestLimit {
    /// `None` if `max` requests are running.
    pub(crate) fn permit(&self, max: Option<usize>) -> Option<RequestPermit> {
        let permit = RequestPermit(Arc::clone(&self.running));
        let running = self.running.fetch_add(1, Ordering::Relaxed);
        max.is_none_or(|max| running < max).then_some(permit)
    }
}

impl Drop for RequestPermit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_too_many_is_refused_until_one_ends() {
        let limit = RequestLimit::default();
        let first = limit.permit(Some(1));
        assert!(first.is_some() && limit.permit(Some(1)).is_none());
        drop(first);
        assert!(limit.permit(Some(1)).is_some());
        assert!(limit.permit(Some(0)).is_none() && limit.permit(None).is_some());
    }
}
