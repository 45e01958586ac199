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

/// What was given at the start, and what of it can change while the cluster runs.
#[derive(Debug)]
pub(super) struct Rules {
    release: Release,
    min_ttl: Option<Duration>,
    max_ttl: Duration,
    adjusted: Arc<Adjusted>,
}

impl Rules {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            release: settings.release,
            min_ttl: settings.min_ttl,
            max_ttl: settings.max_ttl,
            adjusted: Arc::new(Adjusted::new(settings.adjustable)),
        }
    }

    pub(super) fn adjusted(&self) -> &Arc<Adjusted> {
        &self.adjusted
    }

    /// Whether a fake can run with them. One that starts checks the same.
    fn check(&self, settings: &AdjustableSettings) -> Result<(), SettingsError> {
        if settings.gc_interval.is_zero() {
            return Err(SettingsError::NoInterval);
        }
        let TtlLimits { min, max } = self.ttl_limits_with(settings);
        if min > max {
            return Err(SettingsError::NoTtl { min, max });
        }
        Ok(())
    }

    pub(super) fn ttl_limits(&self) -> TtlLimits {
        self.ttl_limits_with(&self.adjusted.now())
    }

    fn ttl_limits_with(&self, settings: &AdjustableSettings) -> TtlLimits {
        let default = || default_min_ttl(settings.quirks);
        TtlLimits {
            min: self.min_ttl.unwrap_or_else(default),
            max: self.max_ttl,
        }
    }
}

impl Cluster {
    pub(crate) fn release(&self) -> Release {
        self.rules().release
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
            Ok::<_, E>(rules.check(settings)?)
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
