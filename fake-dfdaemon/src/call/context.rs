//! What the calls of one daemon share: clock, faults, journal, events and the like.

use std::sync::Arc;

use serde_json::json;
use tonic::Status;

use super::ahead::Ahead;
use super::clock::Clock;
use super::counters::Counters;
use super::events::Events;
use super::faults::code_name;
use super::faults::registry::{Armed, Faults};
use super::gate::Gate;
use super::journal::{Journal, Written};
use super::record::{Call, CallFault, CallStatus};
use super::waits::Waits;
use crate::dfdaemon::release::Release;

/// What all calls of a daemon share. An [`Instance`](crate::instance::Instance) or a proxy owns it.
#[derive(Debug)]
pub(crate) struct CallContext {
    pub(crate) faults: Arc<Faults>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) clock: Clock,
    pub(crate) gate: Gate,
    pub(crate) waits: Waits,
    pub(crate) ahead: Ahead,
    pub(crate) events: Events,
    pub(crate) counters: Arc<Counters>,
    /// Decides the words of what a dfdaemon passes on.
    pub(crate) release: Release,
}

impl CallContext {
    /// Notes a fault that has hit no call, but a piece on its way, a connection or the sockets of a
    /// host: in the journal, as a call of its own, and to those that follow.
    pub(crate) fn note_firing(&self, armed: &Armed, mut call: Call) {
        call.call = self.journal.number();
        call.at = self.clock.now();
        if let Some(error) = armed.action().noted_status() {
            note_status(&mut call, &error);
        }
        self.note_fault(armed, &mut call);
        // Nobody waits for it to be written.
        let _ = self.note_end(&call);
    }

    /// Tells those that follow that the journal was cleared.
    pub(crate) fn note_cleared_journal(&self) {
        self.events.tell("journal-cleared", || json!({}));
    }

    /// Notes in a call that a fault has hit it, and tells those who follow.
    pub(super) fn note_fault(&self, armed: &Armed, call: &mut Call) {
        let written = armed.fault.to_value();
        let action = written.get("do").cloned().unwrap_or_default();
        self.counters.count_firing(call.rpc, armed.action().name());
        let data = || json!({"id": armed.id, "call": call.call, "do": action});
        self.events.tell("fault-fired", data);
        call.fault = Some(CallFault {
            id: armed.id,
            action,
        });
    }

    /// Notes a call that has ended in the journal, and tells those who follow.
    pub(super) fn note_end(&self, call: &Call) -> Written {
        let written = self.journal.append(call);
        self.counters.count(call);
        self.events.tell("call-ended", || json!(call));
        log(call);
        written
    }
}

/// What a call is answered.
pub(super) fn note_status(call: &mut Call, status: &Status) {
    code_name(status.code()).clone_into(&mut call.status.code);
    status.message().clone_into(&mut call.status.message);
}

/// One line a call, for who wants to see them pass. What a client sent is quoted.
fn log(call: &Call) {
    let task = call.task_id();
    let CallStatus { code, message } = &call.status;
    let error = (!message.is_empty()).then(|| tracing::field::debug(message));
    tracing::info!(
        call = call.call,
        rpc = %call.rpc,
        host = %call.host,
        task = ?task.unwrap_or_default(),
        status = %code,
        error,
        bytes = call.bytes,
        fault = call.fault.as_ref().map(|fault| fault.id),
        client_gone = call.client_gone,
        ms = call.duration_ms,
        "call"
    );
}
