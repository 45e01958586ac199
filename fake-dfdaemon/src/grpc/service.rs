//! What the services of one host share: how a call is let in, hit by faults, and noted.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use serde_json::Value;
use tonic::{Extensions, Response, Status};

use crate::call::connection::Connection;
use crate::call::faults::Phase;
use crate::call::gate::GateGuard;
use crate::call::rate::{RateLimit, Turn};
use crate::call::record::Call;
use crate::call::rpc::Rpc;
use crate::call::{CallContext, RunningCall};
use crate::cluster::{Cluster, Error};
use crate::dfdaemon::HostNumber;
use crate::dfdaemon::blocklist::{Block, Blocked};
use crate::dfdaemon::quirks::Quirk;
use crate::dfdaemon::release::Release;
use crate::dfdaemon::request_limit::{RequestLimit, RequestPermit};
use crate::dfdaemon::statuses;

/// What the daemon refuses before it looks at a task.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    /// Whether what the blocklist names is refused.
    pub(crate) is_blocking: bool,
    pub(crate) requests: RequestLimit,
    pub(crate) rate: RateLimit,
    /// Of the service of peers, which has one of its own.
    pub(crate) rate_of_peers: RateLimit,
}

/// One host, as its services see it.
#[derive(Clone, Debug)]
pub(crate) struct ServedHost {
    pub(crate) calls: Arc<CallContext>,
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) number: HostNumber,
    pub(crate) admission: Admission,
    /// Whether peers are served, not programs.
    pub(crate) is_for_peers: bool,
    /// Set when all listeners of the host are up.
    pub(crate) up: Arc<AtomicBool>,
    /// Where hosts of 1.5 take pieces, once that was bound.
    pub(crate) piece_tcp: Arc<OnceLock<SocketAddr>>,
}

impl ServedHost {
    /// Whether all listeners of the host are up.
    pub(super) fn is_up(&self) -> bool {
        self.up.load(Ordering::Acquire)
    }

    /// Begins a call when the gate lets it in. The fields of its request are what faults and the journal
    /// know of it.
    pub(super) async fn begin(
        &self,
        rpc: Rpc,
        fields: Value,
        extensions: &Extensions,
    ) -> RunningCall {
        let gate = self.calls.gate.enter().await;
        let call = Call::arriving(rpc, self.number.name(), fields);
        self.begin_entered(gate, call, extensions)
    }

    /// The same for a call that has been let in already.
    pub(super) fn begin_entered(
        &self,
        gate: GateGuard,
        call: Call,
        extensions: &Extensions,
    ) -> RunningCall {
        let task = call.task_id();
        let of_task = task.map(|task| self.cluster.scheduler().tag_and_application(task));
        let (of_task, connection) = (of_task.unwrap_or_default(), extensions.get::<Connection>());
        RunningCall::begin(&self.calls, gate, call, &of_task, connection)
    }

    /// Answers a call with the outcome of `work`, unless there are too many.
    pub(super) async fn answer<T>(
        &self,
        call: RunningCall,
        work: impl Future<Output = Result<T, Status>>,
    ) -> Result<Response<T>, Status> {
        self.answer_if(true, call, work).await
    }

    /// Answers a call with the outcome of `work`, however many calls there are.
    pub(super) async fn answer_always<T>(
        &self,
        call: RunningCall,
        work: impl Future<Output = Result<T, Status>>,
    ) -> Result<Response<T>, Status> {
        self.answer_if(false, call, work).await
    }

    /// Runs `work` between the faults before and after.
    async fn answer_if<T>(
        &self,
        is_counted: bool,
        mut call: RunningCall,
        work: impl Future<Output = Result<T, Status>>,
    ) -> Result<Response<T>, Status> {
        let answer = async {
            call.apply_faults(Phase::Before).await?;
            let _permit = match is_counted {
                true => Some(self.admit(&call).await?),
                false => None,
            };
            let answer = work.await?;
            call.apply_faults(Phase::After).await?;
            Ok(answer)
        };
        let answer = answer.await;
        call.answered(answer.as_ref().err()).wait().await;
        answer.map(Response::new)
    }

    /// Lets a call in when it is its turn, unless there are too many.
    pub(super) async fn admit(&self, call: &RunningCall) -> Result<RequestPermit, Status> {
        let mut queued = None;
        while !self.admits_all() {
            match self.admission.rate.turn(call.clock().now(), queued) {
                Turn::Now => break,
                Turn::Later(due, place) => {
                    call.wait_until(due).await?;
                    queued = Some(place);
                }
                Turn::Refused => return Err(statuses::overloaded("too many requests")),
            }
        }
        self.permit()
    }

    pub(super) fn permit(&self) -> Result<RequestPermit, Status> {
        let max = self.cluster.adjusted().max_requests;
        let max = max.filter(|_| !self.admits_all());
        let limit = &self.admission.requests;
        limit
            .permit(max)
            .ok_or_else(|| statuses::overloaded("too many requests"))
    }

    pub(super) fn check_blocked(
        &self,
        blocked: Blocked,
        tag: Option<&str>,
        application: Option<&str>,
    ) -> Result<(), Status> {
        let matches = |block: &Block| block.matches(blocked, tag, application);
        let is_admitted = self.admits_all() || !self.admission.is_blocking;
        if is_admitted || !self.cluster.adjusted().blocks.iter().any(matches) {
            return Ok(());
        }
        Err(statuses::blocked(blocked))
    }

    fn admits_all(&self) -> bool {
        self.cluster.has_quirk(Quirk::NoAdmission) && self.cluster.release() == Release::V0_2
    }

    pub(super) fn status(&self, error: &Error) -> Status {
        error.status(self.cluster.release())
    }
}
