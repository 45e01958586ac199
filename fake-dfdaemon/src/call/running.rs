//! A call that is running, and the faults that hit the whole of it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::ahead::Ahead;
use super::clock::{Clock, later};
use super::connection::{Connection, SCHEDULER_ANSWERS_AFTER};
use super::context::{CallContext, note_status};
use super::faults::Phase;
use super::faults::effect::CallEffect;
use super::faults::registry::{Armed, TagAndApplication};
use super::gate::GateGuard;
use super::journal::{SharedCall, Written};
use super::record::Call;
use super::rpc::Rpc;
use super::store_faults::{ClusterFaults, StoreFaults};
use super::transfer_faults::TransferFaults;
use super::waits::Waiting;
use crate::dfdaemon::statuses::{connection_reset, stopping, timed_out};

/// A call that is running: what is known of it, and what only a call under way has, such as the faults that
/// are armed for it. Dropped before it was [`answered`](RunningCall::answered), its client is gone.
#[derive(Debug)]
pub(crate) struct RunningCall {
    calls: Arc<CallContext>,
    /// Until it ends.
    call: Option<Arc<SharedCall>>,
    pub(crate) armed: Vec<Armed>,
    connection: Option<Connection>,
    store_faults: StoreFaults,
    was_reset: CancellationToken,
    gate: GateGuard,
}

impl RunningCall {
    /// Begins a call that has been let in, and came by that connection.
    pub(crate) fn begin(
        calls: &Arc<CallContext>,
        gate: GateGuard,
        mut call: Call,
        of_task: &TagAndApplication,
        connection: Option<&Connection>,
    ) -> Self {
        let (number, armed) = calls.faults.arm(&call, of_task, || calls.journal.number());
        call.call = number;
        call.at = calls.clock.now();
        if let Some(connection) = connection {
            call.metadata = (*connection.metadata).clone();
        }
        calls.events.tell("call-begun", || call.unanswered());
        let store_faults = StoreFaults::among(&armed);
        Self {
            calls: Arc::clone(calls),
            call: Some(calls.journal.running().begin(call)),
            armed,
            connection: connection.cloned(),
            store_faults,
            was_reset: CancellationToken::new(),
            gate,
        }
    }

    /// Is cancelled when the call must be broken off.
    pub(crate) fn ends(&self) -> CancellationToken {
        self.gate.ends()
    }

    /// Is cancelled when a fault has closed the call's connection: the call has no answer to give.
    pub(crate) fn was_reset(&self) -> CancellationToken {
        self.was_reset.clone()
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.calls.clock
    }

    pub(crate) fn ahead(&self) -> &Ahead {
        &self.calls.ahead
    }

    /// Whether its client gives the call less time than a scheduler takes. A real one is elsewhere: it does
    /// not answer before a timer of a millisecond is over.
    pub(crate) fn has_no_time_for_scheduler(&self) -> bool {
        let limit = self
            .connection
            .as_ref()
            .and_then(|connection| connection.limit);
        limit.is_some_and(|limit| limit <= SCHEDULER_ANSWERS_AFTER)
    }

    /// What a call waits for that asks the scheduler: with too little time, for its end.
    pub(crate) fn reach_scheduler(&self) -> impl Future<Output = ()> + use<> {
        let never = self.has_no_time_for_scheduler();
        async move {
            if never {
                std::future::pending().await
            }
        }
    }

    /// Applies the faults that are armed before or after the call's effect.
    pub(crate) async fn apply_faults(&mut self, phase: Phase) -> Result<(), Status> {
        for armed in self.armed_at(phase) {
            self.apply(&armed).await?;
        }
        Ok(())
    }

    /// The faults that are armed for a piece that the call sends to another host.
    pub(crate) fn arm_piece(&self, of_task: &TagAndApplication, piece: u32) -> Vec<Armed> {
        let arm = |call: &mut Call| self.calls.faults.arm_transfer(call, of_task, piece);
        self.call
            .as_ref()
            .map(|call| call.with(arm))
            .unwrap_or_default()
    }

    /// The faults that are armed before or after the call's effect.
    pub(crate) fn armed_at(&self, phase: Phase) -> Vec<Armed> {
        let waiting = self.armed.iter().filter(|armed| armed.is_at(phase));
        waiting.cloned().collect()
    }

    /// Applies a fault, if it is one that hits the call itself.
    pub(crate) async fn apply(&mut self, armed: &Armed) -> Result<(), Status> {
        match armed.action().on_call() {
            Some(effect) => self.apply_effect(armed, effect).await,
            None => Ok(()),
        }
    }

    /// Applies what a fault does to the call itself.
    pub(crate) async fn apply_effect(
        &mut self,
        armed: &Armed,
        effect: CallEffect<'_>,
    ) -> Result<(), Status> {
        match effect {
            CallEffect::Wait(..) => {
                // Read before the firing: a test that sees the firing may move the clock on at once.
                let due = later(self.calls.clock.now(), armed.delay().unwrap_or_default());
                // Noted before it too: a `settle` that follows the firing names what is waited for.
                let _waiting = self.waiting_until(due);
                if self.fire(armed) {
                    let clock = self.calls.clock.clone();
                    return self.wait_for(clock.sleep_until(due)).await;
                }
            }
            CallEffect::Answer(answer) => {
                if self.fire(armed) {
                    return Err(answer.status(&self.host(), self.calls.release));
                }
            }
            CallEffect::Stall => {
                if self.fire(armed) {
                    return self.wait_for(armed.removed().cancelled()).await;
                }
            }
            CallEffect::Reset => {
                if self.fire(armed) {
                    return Err(self.reset().await);
                }
            }
        }
        Ok(())
    }

    /// Closes the connection, and waits for the end that this makes of the call.
    async fn reset(&mut self) -> Status {
        let reset = connection_reset();
        // The journal has the call before the client sees its end.
        self.end(Some(&reset)).wait().await;
        let Some(connection) = &self.connection else {
            // A replica comes by no connection, and nobody would take its call away.
            return reset;
        };
        connection.closes.cancel();
        self.was_reset.cancel();
        self.ends().cancelled_owned().await;
        reset
    }

    /// The name of the host that answers.
    fn host(&self) -> String {
        let name = |call: &Arc<SharedCall>| call.with(|call| call.host.clone());
        self.call.as_ref().map(name).unwrap_or_default()
    }

    /// Waits for a time, unless the call is broken off before.
    pub(crate) async fn wait_until(&self, due: Timestamp) -> Result<(), Status> {
        let _waiting = self.waiting_until(due);
        self.wait_for(self.calls.clock.sleep_until(due)).await
    }

    /// Tells those who settle that the call waits. The schedule tells of replicas.
    fn waiting_until(&self, due: Timestamp) -> Option<Waiting> {
        let (number, what) = self.call.as_ref()?.with(|call| {
            let what = format!(
                "go on with call {} ({} on {})",
                call.call, call.rpc, call.host
            );
            (call.rpc != Rpc::Replicate).then_some((call.call, what))
        })?;
        Some(self.calls.waits.note(number, what, due))
    }

    /// Waits, unless the call is broken off before.
    pub(crate) async fn wait_for(&self, event: impl Future<Output = ()>) -> Result<(), Status> {
        tokio::select! {
            () = event => Ok(()),
            () = self.ends().cancelled_owned() => Err(stopping()),
        }
    }

    /// Counts a firing and notes it, unless the fault may not fire any more.
    pub(crate) fn fire(&mut self, armed: &Armed) -> bool {
        let fires = armed.fire();
        if fires {
            self.note_store_fault();
            self.note_fault(armed);
        }
        fires
    }

    fn note_fault(&mut self, armed: &Armed) {
        if let Some(call) = &self.call {
            call.with(|call| self.calls.note_fault(armed, call));
        }
    }

    /// The faults that the cluster applies in this call.
    pub(crate) fn cluster_faults(&self) -> ClusterFaults {
        ClusterFaults {
            store: self.store_faults.clone(),
            transfer: TransferFaults::new(&self.calls),
        }
    }

    /// Notes the store's fault, if it has fired since. The last of a call's faults is the one that
    /// the journal tells.
    fn note_store_fault(&mut self) {
        if let Some(armed) = self.store_faults.take_fired() {
            self.note_fault(&armed);
        }
    }

    /// Notes the task of an import, once it is known.
    pub(crate) fn note_task(&mut self, id: &str) {
        if let Some(call) = &self.call {
            call.with(|call| call.set_task(id));
        }
    }

    /// Counts a piece that was sent, with this many bytes of content.
    pub(crate) fn count_piece(&mut self, bytes: u64) {
        if let Some(call) = &self.call {
            call.with(|call| {
                call.pieces += 1;
                call.bytes += bytes;
            });
        }
    }

    /// The call has its answer: it goes into the journal. The answer is sent when it is written.
    pub(crate) fn answered(mut self, status: Option<&Status>) -> Written {
        self.end(status)
    }

    fn end(&mut self, status: Option<&Status>) -> Written {
        if let (Some(call), Some(status)) = (&self.call, status) {
            call.with(|call| note_status(call, status));
        }
        self.close(false)
    }

    fn close(&mut self, client_gone: bool) -> Written {
        self.note_store_fault();
        let Some(running) = self.call.take() else {
            return Written::default();
        };
        // Before it is written: who finds it in the journal finds it nowhere else.
        let mut call = self.calls.journal.running().end(&running);
        call.client_gone = client_gone;
        if client_gone {
            "CANCELLED".clone_into(&mut call.status.code);
        }
        self.calls.note_end(&call)
    }
}

impl Drop for RunningCall {
    fn drop(&mut self) {
        let is_late = |connection: &Connection| connection.is_late.load(Ordering::Relaxed);
        if self.connection.as_ref().is_some_and(is_late) {
            let _ = self.end(Some(&timed_out()));
        }
        // Nobody waits for an answer.
        let _ = self.close(true);
    }
}
