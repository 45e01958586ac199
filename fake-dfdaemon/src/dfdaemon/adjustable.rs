//! The settings of a daemon that can change while it runs.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::blocklist::Block;
use super::mutex::Mutex;
use super::quirks::{Quirk, Quirks};

/// How often expired tasks are collected by default.
pub const DEFAULT_GC_INTERVAL: Duration = Duration::from_secs(15 * 60);

/// The settings that can change while a fake runs. Requests and replicas that have begun keep the
/// settings that they began with.
///
/// ```
/// use std::time::Duration;
///
/// use fake_dfdaemon::{AdjustableSettings, FakeDfdaemon, Quirk};
///
/// let daemon = FakeDfdaemon::builder().capacity(1 << 30).start_blocking()?;
/// daemon.change_settings(|settings| {
///     settings.capacity = None;
///     settings.blocks.push("import:tag=x".parse().unwrap());
///     settings.replication_delay = Duration::from_secs(10);
///     settings.quirks.extend([Quirk::TtlLimits]);
/// })?;
/// let settings: AdjustableSettings = daemon.settings();
/// assert_eq!((settings.capacity, settings.blocks.len()), (None, 1));
/// assert_eq!(settings.gc_interval, fake_dfdaemon::DEFAULT_GC_INTERVAL);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AdjustableSettings {
    /// How many bytes each host can store; `None` for as much as the file system.
    pub capacity: Option<u64>,
    /// How many requests a host serves at once; `None` for any number.
    pub max_requests: Option<usize>,
    /// The blocklist.
    pub blocks: Vec<Block>,
    /// The time between an import and the creation of its other replicas.
    pub replication_delay: Duration,
    /// How often expired tasks are collected.
    pub gc_interval: Duration,
    /// The real behaviours that replace the fake's own.
    pub quirks: Quirks,
}

/// The settings are invalid. Nothing has changed.
///
/// ```
/// use std::time::Duration;
///
/// use fake_dfdaemon::{FakeDfdaemon, SettingsError};
///
/// let daemon = FakeDfdaemon::start_blocking()?;
/// let never = daemon.change_settings(|settings| settings.gc_interval = Duration::ZERO);
/// assert_eq!(never, Err(SettingsError::NoInterval));
/// # Ok::<(), fake_dfdaemon::StartError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// A collector that runs all the time.
    #[error("gc_interval: must be longer than 0s")]
    NoInterval,
    /// No TTL would be allowed.
    #[error(
        "quirks: the shortest TTL would be {}, which is longer than the longest, {}",
        humantime::format_duration(*min),
        humantime::format_duration(*max)
    )]
    NoTtl {
        /// The shortest one, which depends on the quirks.
        min: Duration,
        /// The longest one.
        max: Duration,
    },
}

impl Default for AdjustableSettings {
    /// Those of a fake whose builder sets none of them.
    fn default() -> Self {
        Self {
            capacity: None,
            max_requests: None,
            blocks: Vec::new(),
            replication_delay: Duration::ZERO,
            gc_interval: DEFAULT_GC_INTERVAL,
            quirks: Quirks::default(),
        }
    }
}

impl AdjustableSettings {
    /// As the control API shows them.
    pub(crate) fn to_value(&self) -> Value {
        let text = |duration: Duration| humantime::format_duration(duration).to_string();
        let quirks = Quirk::all().filter(|quirk| self.quirks.has(*quirk));
        json!({
            "capacity": self.capacity,
            "max_requests": self.max_requests,
            "block": self.blocks.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "replication_delay": text(self.replication_delay),
            "gc_interval": text(self.gc_interval),
            "quirks": quirks.map(Quirk::name).collect::<Vec<_>>(),
        })
    }
}

/// How they are now.
#[derive(Debug)]
pub(crate) struct Adjusted {
    /// At the start.
    given: Arc<AdjustableSettings>,
    now: Mutex<Arc<AdjustableSettings>>,
}

impl Adjusted {
    pub(crate) fn new(given: AdjustableSettings) -> Self {
        let given = Arc::new(given);
        Self {
            now: Mutex::new(Arc::clone(&given)),
            given,
        }
    }

    pub(crate) fn now(&self) -> Arc<AdjustableSettings> {
        Arc::clone(&self.now.lock())
    }

    /// Changes them, all at once or, after an error, none.
    pub(crate) fn change<E>(
        &self,
        change: impl FnOnce(&mut AdjustableSettings) -> Result<(), E>,
    ) -> Result<Arc<AdjustableSettings>, E> {
        let mut now = self.now.lock();
        let mut changed = AdjustableSettings::clone(&now);
        change(&mut changed)?;
        *now = Arc::new(changed);
        Ok(Arc::clone(&now))
    }

    /// Back to how they were at the start.
    pub(crate) fn start_anew(&self) {
        *self.now.lock() = Arc::clone(&self.given);
    }
}
