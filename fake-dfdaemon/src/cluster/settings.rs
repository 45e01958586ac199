//! What the cluster is told at its start, and what of it can change while it runs.

use std::sync::Arc;
use std::time::Duration;

use super::Cluster;
use crate::dfdaemon::adjustable::Adjustable;
use crate::dfdaemon::limits::{TtlLimits, default_min_ttl};
use crate::dfdaemon::release::Release;

/// What the cluster is told once, at its start.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) release: Release,
    pub(crate) hosts: usize,
    /// By default one that depends on the quirks.
    pub(crate) min_ttl: Option<Duration>,
    pub(crate) max_ttl: Duration,
    pub(crate) adjustable: Adjustable,
}

impl Cluster {
    /// The settings that can change while it runs, as they are now.
    pub(crate) fn adjusted(&self) -> Arc<Adjustable> {
        self.adjusted.now()
    }

    /// Changes them. What waits for a time goes on waiting; a collector that would come later than
    /// its interval does not.
    pub(crate) fn adjust<E>(
        &self,
        change: impl FnOnce(&mut Adjustable) -> Result<(), E>,
    ) -> Result<Arc<Adjustable>, E> {
        let changed = self.adjusted.change(change)?;
        self.scheduler.collect_within_an_interval();
        for host in 0..self.nodes.len() {
            self.scheduler.evict_if_full(host);
        }
        self.tell_settings();
        Ok(changed)
    }

    /// Lets them be as they were at the start.
    pub(crate) fn adjust_as_given(&self) {
        self.adjusted.start_anew();
        self.tell_settings();
    }

    fn tell_settings(&self) {
        let events = &self.calls.events;
        events.tell("settings", || self.adjusted().to_value());
    }

    pub(super) fn ttl_limits(&self) -> TtlLimits {
        let default = || default_min_ttl(self.adjusted().quirks);
        TtlLimits {
            min: self.min_ttl.unwrap_or_else(default),
            max: self.max_ttl,
        }
    }
}
