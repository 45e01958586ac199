//! The faults that a daemon was given, and which calls they hit.
//!
//! Whether a fault fires depends on how many calls matched it before, and on the seed: never on
//! time or on what other calls do meanwhile.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::effect::CallEffect;
use super::reach::Reach;
use super::{Action, Fault, FaultError, Phase};
use crate::call::random::Random;
use crate::call::record::Call;
use crate::call::rpc::Rpc;
use crate::dfdaemon::mutex::Mutex;

/// The faults of one daemon.
#[derive(Debug)]
pub(crate) struct Faults {
    seed: u64,
    /// Armed at the start, and when all begins anew.
    at_start: Vec<Arc<Fault>>,
    active: Mutex<Active>,
    /// How many faults there are, sent at every change of the list.
    armed: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct Active {
    last_id: u64,
    faults: Vec<Registered>,
}

#[derive(Debug)]
struct Registered {
    id: u64,
    fault: Arc<Fault>,
    matched: u64,
    fired: Arc<watch::Sender<u64>>,
    removed: CancellationToken,
    /// The hosts whose sockets it has closed.
    closed: BTreeSet<String>,
}

/// What the import of a call's task gave it: faults look for it there as in the request.
#[derive(Clone, Debug, Default)]
pub(crate) struct TagAndApplication {
    pub(crate) tag: Option<String>,
    pub(crate) application: Option<String>,
}

/// A fault that hits a call, if the call gets to where it is armed.
#[derive(Clone, Debug)]
pub(crate) struct Armed {
    pub(crate) id: u64,
    pub(crate) fault: Arc<Fault>,
    /// What is random in it is the same for the same seed, fault and call.
    pub(crate) random: Random,
    fired: Arc<watch::Sender<u64>>,
    removed: CancellationToken,
}

impl Faults {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            at_start: Vec::new(),
            active: Mutex::default(),
            armed: watch::Sender::new(0),
        }
    }

    /// Those that act from the start.
    pub(crate) fn starting_with(
        seed: u64,
        faults: Vec<Fault>,
        reach: impl Into<Reach>,
    ) -> Result<Self, FaultError> {
        let reach = reach.into();
        faults.iter().try_for_each(|fault| reach.check(fault))?;
        let at_start = faults.into_iter().map(Arc::new).collect();
        let faults = Self {
            at_start,
            ..Self::new(seed)
        };
        faults.start_anew();
        Ok(faults)
    }

    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// Adds a fault that can act there, and returns its id.
    pub(crate) fn add(&self, fault: Fault, reach: impl Into<Reach>) -> Result<u64, FaultError> {
        reach.into().check(&fault)?;
        let mut active = self.active.lock();
        let id = active.add(Arc::new(fault));
        self.tell(&active);
        Ok(id)
    }

    /// Removes a fault; calls that it stalls go on. Whether there was one.
    pub(crate) fn remove(&self, id: u64) -> bool {
        let mut active = self.active.lock();
        let before = active.faults.len();
        active.faults.retain(|registered| {
            if registered.id == id {
                registered.removed.cancel();
            }
            registered.id != id
        });
        let is_removed = active.faults.len() < before;
        if is_removed {
            self.tell(&active);
        }
        is_removed
    }

    /// Removes every fault.
    pub(crate) fn clear(&self) {
        let mut active = self.active.lock();
        for registered in active.faults.drain(..) {
            registered.removed.cancel();
        }
        self.tell(&active);
    }

    /// Changes whenever a fault is added or removed.
    #[cfg(feature = "control")]
    pub(crate) fn changes(&self) -> watch::Receiver<usize> {
        self.armed.subscribe()
    }

    fn tell(&self, active: &Active) {
        self.armed.send_replace(active.faults.len());
    }

    /// Removes every fault and arms those of the start, as if no call had matched any yet. Numbers
    /// begin anew: with them, the seed hits the same calls again.
    pub(crate) fn start_anew(&self) {
        let mut active = self.active.lock();
        for registered in active.faults.drain(..) {
            registered.removed.cancel();
        }
        active.last_id = 0;
        for fault in &self.at_start {
            active.add(Arc::clone(fault));
        }
        self.tell(&active);
    }

    /// Removes a fault that was added with this count of firings; another one may have its number
    /// by now.
    pub(super) fn remove_counted(&self, id: u64, fired: &Arc<watch::Sender<u64>>) {
        let is_there = self
            .active
            .lock()
            .faults
            .iter()
            .any(|registered| registered.id == id && Arc::ptr_eq(&registered.fired, fired));
        if is_there {
            self.remove(id);
        }
    }

    /// The faults as JSON: as given, with id and count.
    pub(crate) fn list(&self) -> Vec<Value> {
        self.active
            .lock()
            .faults
            .iter()
            .map(Registered::to_json)
            .collect()
    }

    /// One fault as JSON.
    pub(crate) fn get(&self, id: u64) -> Option<Value> {
        self.active
            .lock()
            .faults
            .iter()
            .find(|registered| registered.id == id)
            .map(Registered::to_json)
    }

    /// How often a fault has fired; 0 if there is no such fault.
    #[cfg(test)]
    pub(crate) fn fired(&self, id: u64) -> u64 {
        let count = self.count_of(id).unwrap_or_default();
        *count.borrow()
    }

    /// What counts how often a fault fires, and tells those who wait for it.
    pub(super) fn count_of(&self, id: u64) -> Option<Arc<watch::Sender<u64>>> {
        let active = self.active.lock();
        let registered = active.faults.iter().find(|registered| registered.id == id);
        registered.map(|registered| Arc::clone(&registered.fired))
    }

    /// Whether any fault looks at the task of an import, which is not known when it arrives.
    pub(crate) fn look_at_imported_task(&self) -> bool {
        self.active.lock().faults.iter().any(|registered| {
            registered.fault.task.is_some()
                && matches!(registered.fault.on, None | Some(Rpc::Import))
        })
    }

    /// Whether any fault looks at pieces on their way between hosts.
    pub(crate) fn look_at_transfers(&self) -> bool {
        let active = self.active.lock();
        let mut on = active.faults.iter().map(|registered| registered.fault.on);
        on.any(|on| on == Some(Rpc::Transfer))
    }

    /// Numbers a call, and tells the faults that are armed for it, in the order in which they
    /// were added. In one step: of two calls at a time, the one with the lower number is the one
    /// that matches first, so that a seed hits the same numbers again.
    pub(crate) fn arm(
        &self,
        call: &Call,
        of_task: &TagAndApplication,
        number: impl FnOnce() -> u64,
    ) -> (u64, Vec<Armed>) {
        let mut active = self.active.lock();
        let number = number();
        let matching = active.faults.iter_mut().filter(|registered| {
            let fault = &registered.fault;
            // Those of pieces are armed a piece at a time.
            fault.on != Some(Rpc::Transfer) && fault.matches(call, of_task)
        });
        let armed = matching.filter_map(|registered| registered.arm(self.seed));
        (number, armed.collect())
    }

    /// The faults that are armed for a piece on its way between hosts. Each piece that one is
    /// about counts as a call for it.
    pub(crate) fn arm_transfer(
        &self,
        transfer: &Call,
        of_task: &TagAndApplication,
        piece: u32,
    ) -> Vec<Armed> {
        let mut active = self.active.lock();
        let seed = self.seed;
        let matching = active.faults.iter_mut().filter(|registered| {
            let fault = &registered.fault;
            fault.on == Some(Rpc::Transfer)
                && fault.piece.is_none_or(|number| number == piece)
                && fault.matches(transfer, of_task)
        });
        matching
            .filter_map(|registered| registered.arm(seed))
            .collect()
    }

    /// The faults that are armed for a connection to a host.
    pub(crate) fn arm_connection(&self, host: &str) -> Vec<Armed> {
        let mut active = self.active.lock();
        let seed = self.seed;
        let matching = active.faults.iter_mut().filter(|registered| {
            // A socket that is closed sees no connection.
            registered.fault.is_of_connections_to(host) && !registered.fault.closes_sockets()
        });
        matching
            .filter_map(|registered| registered.arm(seed))
            .collect()
    }

    /// Whether a fault keeps the sockets of a host closed, and the faults that have not done so to
    /// this host before.
    pub(crate) fn arm_stale(&self, host: &str) -> (bool, Vec<Armed>) {
        let mut active = self.active.lock();
        let seed = self.seed;
        let mut is_stale = false;
        let mut armed = Vec::new();
        for registered in &mut active.faults {
            let fault = &registered.fault;
            if fault.closes_sockets() && fault.is_of_connections_to(host) {
                is_stale = true;
                if registered.closed.insert(host.to_owned()) {
                    armed.extend(registered.arm(seed));
                }
            }
        }
        (is_stale, armed)
    }
}

impl Active {
    fn add(&mut self, fault: Arc<Fault>) -> u64 {
        self.last_id += 1;
        self.faults.push(Registered {
            id: self.last_id,
            fault,
            matched: 0,
            fired: Arc::default(),
            removed: CancellationToken::new(),
            closed: BTreeSet::new(),
        });
        self.last_id
    }
}

impl Registered {
    fn arm(&mut self, seed: u64) -> Option<Armed> {
        self.matched += 1;
        let mut random = Random::of(&[seed, self.id, self.matched]);
        let meant = self.fault.call.is_none_or(|call| call == self.matched);
        let lucky = self
            .fault
            .probability
            .is_none_or(|probability| random.fraction() < probability);
        (meant && lucky).then(|| Armed {
            id: self.id,
            fault: Arc::clone(&self.fault),
            random,
            fired: Arc::clone(&self.fired),
            removed: self.removed.clone(),
        })
    }

    fn to_json(&self) -> Value {
        let mut value = self.fault.to_value();
        if let Some(object) = value.as_object_mut() {
            object.insert("id".to_owned(), self.id.into());
            object.insert("fired".to_owned(), (*self.fired.borrow()).into());
        }
        value
    }
}

impl Fault {
    fn is_of_connections_to(&self, host: &str) -> bool {
        self.on == Some(Rpc::Connect) && self.host.as_deref().is_none_or(|name| name == host)
    }

    fn matches(&self, call: &Call, of_task: &TagAndApplication) -> bool {
        let is = |wanted: &Option<String>, given: Option<&str>| {
            wanted.is_none() || wanted.as_deref() == given
        };
        let is_labelled = |wanted: &Option<String>, field: &str, label: &Option<String>| {
            is(wanted, call.text(field)) || is(wanted, label.as_deref())
        };
        self.on.is_none_or(|on| on == call.rpc)
            && is(&self.host, Some(&call.host))
            && is(&self.task, call.task_id())
            && is_labelled(&self.tag, "tag", &of_task.tag)
            && is_labelled(&self.application, "application", &of_task.application)
    }
}

impl Armed {
    /// Counts a firing. False if the fault was removed or has fired as often as it may.
    pub(crate) fn fire(&self) -> bool {
        let most = self.fault.times.unwrap_or(u64::MAX);
        self.fired.send_if_modified(|fired| {
            let fires = *fired < most && !self.removed.is_cancelled();
            *fired += u64::from(fires);
            fires
        })
    }

    /// Ends when the fault is removed.
    pub(crate) fn removed(&self) -> &CancellationToken {
        &self.removed
    }

    pub(crate) fn action(&self) -> &Action {
        &self.fault.action
    }

    /// How long it holds the call up, if it is a delay: the same whenever it is asked.
    pub(crate) fn delay(&self) -> Option<Duration> {
        let Some(CallEffect::Wait(least, most)) = self.action().on_call() else {
            return None;
        };
        let more = most.saturating_sub(least);
        Some(least + more.mul_f64(self.random.clone().fraction()))
    }

    /// Whether the fault is armed at the call itself, not in its stream.
    pub(crate) fn is_at(&self, phase: Phase) -> bool {
        !self.is_placed() && self.fault.phase.unwrap_or(Phase::Before) == phase
    }

    /// Whether the fault is armed at a piece that is about to be sent. One without a place does
    /// at any.
    pub(crate) fn is_at_piece(&self, number: u32, sent: u64) -> bool {
        self.fault.piece.is_none_or(|piece| piece == number)
            && self.fault.bytes.is_none_or(|bytes| sent >= bytes)
    }

    /// Whether the fault has a place in the stream.
    pub(crate) fn is_placed(&self) -> bool {
        self.fault.piece.is_some() || self.fault.bytes.is_some()
    }
}

#[cfg(test)]
mod tests;
