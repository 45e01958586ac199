//! The faults of a call's pieces that are on their way between hosts, as the transfer that the call began sees them.

use std::sync::Arc;

use jiff::Timestamp;

use super::context::CallContext;
use super::faults::registry::{Armed, TagAndApplication};
use super::record::Call;
use super::waits::Waiting;

/// Arms, fires and notes the faults of a transfer. By default there are none.
#[derive(Clone, Debug, Default)]
pub(crate) struct TransferFaults(Option<Arc<CallContext>>);

impl TransferFaults {
    pub(super) fn new(calls: &Arc<CallContext>) -> Self {
        Self(Some(Arc::clone(calls)))
    }

    /// The faults for a piece. The call that stands for it is made if there may be some.
    pub(crate) fn arm(
        &self,
        piece: u32,
        call: impl FnOnce() -> (Call, TagAndApplication),
    ) -> Vec<Armed> {
        let calls = self.0.as_ref();
        let Some(calls) = calls.filter(|calls| calls.faults.look_at_transfers()) else {
            return Vec::new();
        };
        let (call, of_task) = call();
        calls.faults.arm_transfer(&call, &of_task, piece)
    }

    /// Whether a fault hits the piece that a call stands for, which is noted then.
    pub(crate) fn fires(&self, armed: &Armed, call: impl FnOnce() -> Call) -> bool {
        let fires = armed.fire();
        if let Some(calls) = self.0.as_ref().filter(|_| fires) {
            calls.note_firing(armed, call());
        }
        fires
    }

    /// Tells those who settle that a transfer waits, until what is returned is dropped.
    pub(crate) fn note_wait(&self, what: String, due: Timestamp) -> Option<Waiting> {
        let calls = self.0.as_ref()?;
        Some(calls.waits.note_other(what, due))
    }
}
