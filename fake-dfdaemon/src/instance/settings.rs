//! The settings of an instance: the builder and the program fill them in, and they do not change.
//!
//! Each setting is one field, and its default, in the room that needs it: [`AdjustableSettings`] has those
//! that can change while the fake runs, [`cluster::Settings`] the others of hosts and scheduler, [`Settings`] the
//! rest. In one flat struct those of the first two would be fields twice: an import goes down and never
//! up, so these rooms cannot read a struct that names sockets, faults and the journal.
//!
//! [`AdjustableSettings`]: crate::dfdaemon::adjustable::AdjustableSettings

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use super::error::StartError;
use crate::call::clock::ClockMode;
use crate::call::faults::Fault;
use crate::call::journal::DEFAULT_JOURNAL_LIMIT;
use crate::cluster;
use crate::dfdaemon::adjustable::SettingsError;
use crate::store::FailureInjector;

/// The most hosts of one fake.
pub const MAX_HOSTS: usize = 200;

/// Every setting of an instance.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Those of the hosts and the scheduler.
    pub(crate) cluster: cluster::Settings,
    /// By default a temporary directory.
    pub(crate) state_dir: Option<PathBuf>,
    /// The first host's; by default one in the state directory.
    pub(crate) socket: Option<PathBuf>,
    pub(crate) socket_mode: u32,
    pub(crate) clock: ClockMode,
    /// Requests a second, of each host.
    pub(crate) max_rate: Option<usize>,
    pub(crate) fsync: bool,
    pub(crate) faults: Vec<Fault>,
    /// By default another one at each start.
    pub(crate) fault_seed: Option<u64>,
    /// By default a file in the state directory.
    pub(crate) journal: Option<PathBuf>,
    pub(crate) journal_limit: usize,
    /// The control API's socket; by default one in the state directory.
    pub(crate) control: Option<PathBuf>,
    pub(crate) control_tcp: Option<SocketAddr>,
    /// Where the ports of the hosts begin, if they are served on TCP besides.
    pub(crate) tcp: Option<SocketAddr>,
    /// The directory of files that are imported at the start.
    pub(crate) preload: Option<PathBuf>,
    /// What goes wrong with the disk, and at which of its steps.
    pub(crate) failures: Option<Arc<dyn FailureInjector>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            cluster: cluster::Settings::default(),
            state_dir: None,
            socket: None,
            socket_mode: 0o600,
            clock: ClockMode::System,
            max_rate: None,
            fsync: false,
            faults: Vec::new(),
            fault_seed: None,
            journal: None,
            journal_limit: DEFAULT_JOURNAL_LIMIT,
            control: None,
            control_tcp: None,
            tcp: None,
            preload: None,
            failures: None,
        }
    }
}

impl Settings {
    /// Whether they go together.
    pub(super) fn check(&self) -> Result<(), StartError> {
        let cluster::Settings {
            hosts, adjustable, ..
        } = &self.cluster;
        if !(1..=MAX_HOSTS).contains(hosts) {
            let wrong = format!("{hosts} hosts are not possible: a fake has 1 to {MAX_HOSTS}");
            return Err(StartError::Setting(wrong));
        }
        let checked = self.cluster.check(adjustable);
        checked.map_err(|error| StartError::Setting(in_words(error)))
    }
}

/// The error as one of the command line, which has no fields of a request to name.
fn in_words(error: SettingsError) -> String {
    match error {
        SettingsError::NoInterval => {
            "the interval of the garbage collector must be longer than 0s".to_owned()
        }
        SettingsError::NoTtl { min, max } => {
            let (min, max) = (
                humantime::format_duration(min),
                humantime::format_duration(max),
            );
            format!("the shortest TTL, {min}, is longer than the longest, {max}")
        }
    }
}
