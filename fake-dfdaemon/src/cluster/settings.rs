//! The settings of a cluster, and which of them can change while it runs.

use std::sync::Arc;
use std::time::Duration;

use super::{Cluster, PeerSettings};
use crate::dfdaemon::adjustable::{AdjustableSettings, Adjusted, SettingsError};
use crate::dfdaemon::limits::{MAX_TTL, TtlLimits, default_min_ttl};
use crate::dfdaemon::quirks::Quirk;
use crate::dfdaemon::release::Release;

/// Hosts by default.
pub const DEFAULT_HOSTS: usize = 3;

/// The settings that a cluster starts with.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) release: Release,
    pub(crate) hosts: usize,
    /// By default one that depends on the quirks.
    pub(crate) min_ttl: Option<Duration>,
    pub(crate) max_ttl: Duration,
    pub(crate) adjustable: AdjustableSettings,
    pub(crate) peers: PeerSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            release: Release::default(),
            hosts: DEFAULT_HOSTS,
            min_ttl: None,
            max_ttl: MAX_TTL,
            adjustable: AdjustableSettings::default(),
            peers: PeerSettings::default(),
        }
    }
}

impl Settings {
    /// Whether a cluster can run with them, and with `adjusted` for those that can change.
    pub(crate) fn check(&self, adjusted: &AdjustableSettings) -> Result<(), SettingsError> {
        if adjusted.gc_interval.is_zero() {
            return Err(SettingsError::NoInterval);
        }
        let TtlLimits { min, max } = self.ttl_limits(adjusted);
        if min > max {
            return Err(SettingsError::NoTtl { min, max });
        }
        Ok(())
    }

    fn ttl_limits(&self, adjusted: &AdjustableSettings) -> TtlLimits {
        let default = || default_min_ttl(adjusted.quirks);
        TtlLimits {
            min: self.min_ttl.unwrap_or_else(default),
            max: self.max_ttl,
        }
    }
}

/// What was given at the start, and what of it has changed since.
#[derive(Debug)]
pub(super) struct Rules {
    given: Settings,
    adjusted: Arc<Adjusted>,
}

impl Rules {
    pub(super) fn new(given: Settings) -> Self {
        let adjusted = Arc::new(Adjusted::new(given.adjustable.clone()));
        Self { given, adjusted }
    }

    pub(super) fn adjusted(&self) -> &Arc<Adjusted> {
        &self.adjusted
    }

    pub(super) fn ttl_limits(&self) -> TtlLimits {
        self.given.ttl_limits(&self.adjusted.now())
    }
}

impl Cluster {
    pub(crate) fn release(&self) -> Release {
        self.rules().given.release
    }

    pub(crate) fn has_quirk(&self, quirk: Quirk) -> bool {
        self.adjusted().quirks.has(quirk)
    }

    /// What a host can hold, in bytes.
    pub(crate) fn capacity(&self) -> Option<u64> {
        self.adjusted().capacity
    }

    /// The settings that can change while it runs, as they are now.
    pub(crate) fn adjusted(&self) -> Arc<AdjustableSettings> {
        self.rules().adjusted.now()
    }

    /// Changes them. What waits for a time goes on waiting; a collector that would come later than
    /// its interval does not.
    pub(crate) fn adjust<E: From<SettingsError>>(
        &self,
        change: impl FnOnce(&mut AdjustableSettings) -> Result<(), E>,
    ) -> Result<Arc<AdjustableSettings>, E> {
        let rules = self.rules();
        let changed = rules.adjusted.change(|settings| {
            change(settings)?;
            Ok::<_, E>(rules.given.check(settings)?)
        })?;
        self.scheduler().collect_within_an_interval();
        for host in self.hosts() {
            self.scheduler().evict_if_full(host);
        }
        self.scheduler().tell_settings();
        Ok(changed)
    }

    /// Lets them be as they were at the start.
    pub(crate) fn adjust_as_given(&self) {
        self.rules().adjusted.start_anew();
        self.scheduler().tell_settings();
    }
}
