//! The making of replicas: one after the other, each a call that faults can hit.

use serde_json::json;
use tonic::Status;

use super::Jobs;
use crate::call::RunningCall;
use crate::call::clock::later;
use crate::call::faults::{Action, Phase};
use crate::call::gate::GateGuard;
use crate::call::record::Call;
use crate::call::rpc::Rpc;
use crate::cluster::scheduler::{Blocked, Job, Step};
use crate::cluster::transfer::Wanted;
use crate::cluster::{Cluster, Error};
use crate::dfdaemon::HostNumber;
use crate::dfdaemon::quirks::Quirk;
use crate::dfdaemon::task_id::TaskId;

impl Jobs {
    /// Makes the persistent replicas that a task lacks.
    pub(super) async fn replicate(&self, id: &TaskId) -> Result<(), Error> {
        let mut only = self
            .cluster
            .has_quirk(Quirk::OneTryReplication)
            .then(|| self.scheduler().only_try(id).into_iter());
        // A state that replaces this one brings jobs of its own.
        let replaced = self.calls.gate.ends();
        let mut asked = Ok(());
        loop {
            let gate = self.calls.gate.enter().await;
            if replaced.is_cancelled() {
                return Ok(());
            }
            let step = match &mut only {
                Some(steps) => steps.next(),
                None => self.scheduler().next_replica(id),
            };
            let taken = match step {
                None => return asked,
                Some(Step::Promote(host)) => {
                    self.promote(host, id, Cluster::set_persistent, &gate).await
                }
                Some(Step::PromoteLost(host)) => {
                    self.promote(host, id, Cluster::promote_lost, &gate).await
                }
                Some(Step::Create(host)) => self.replicate_to(host, id, gate).await,
            };
            if replaced.is_cancelled() {
                return Ok(());
            }
            match &only {
                // Each host is asked, whatever another one says.
                Some(_) => asked = asked.and(taken),
                None => taken?,
            }
        }
    }

    /// Makes one replica: a call that faults can hit, like those of clients.
    async fn replicate_to(
        &self,
        host: HostNumber,
        id: &TaskId,
        gate: GateGuard,
    ) -> Result<(), Error> {
        let fields = json!({"task_id": &**id, "persistent": true});
        let call = Call::arriving(Rpc::Replicate, host.name(), fields);
        let of_task = self.scheduler().tag_and_application(id);
        let mut call = RunningCall::begin(&self.calls, gate, call, &of_task, None);
        let made = self.make_replica(&mut call, host, id).await;
        let _ = call.answered(made.as_ref().err());
        made.map_err(|status| Error::Fault(status.into()))
    }

    async fn make_replica(
        &self,
        call: &mut RunningCall,
        host: HostNumber,
        id: &TaskId,
    ) -> Result<(), Status> {
        self.wait_for_faults(call, Phase::Before, id).await?;
        let wanted = Wanted {
            persistent: true,
            held_back: false,
            faults: call.cluster_faults(),
        };
        let fetched = tokio::select! {
            fetched = self.fetch_replica(host, id, wanted) => fetched,
            () = call.ends().cancelled_owned() => Err(Error::Stopping),
        };
        fetched.map_err(|error| error.status(self.cluster.release()))?;
        self.wait_for_faults(call, Phase::After, id).await
    }

    /// Transfers a task to a host, when it is its turn.
    async fn fetch_replica(
        &self,
        host: HostNumber,
        id: &TaskId,
        wanted: Wanted,
    ) -> Result<(), Error> {
        // A transfer may wait for ever for a poisoned replica, which must not keep others back.
        let takes_turns = !self.cluster.has_quirk(Quirk::PoisonedCopies);
        let job = Job::Replicate(id.clone());
        // A replica that is held up does not keep the cluster from settling.
        let holds_up = |held_up| match held_up {
            Some(event) => self.scheduler().block(&job, Blocked::ForEvent(event)),
            None => self.scheduler().unblock(&job),
        };
        let fetch = || async {
            let (id, wanted) = (id.clone(), wanted.clone());
            let fetched = self
                .cluster
                .blocking(move |cluster| cluster.fetch(host, &id, &wanted));
            fetched.await?.ended(holds_up).await
        };
        self.cluster
            .workers()
            .turns()
            .take(takes_turns, fetch)
            .await
    }

    /// Makes a replica that a host has persistent, when it is its turn.
    async fn promote(
        &self,
        host: HostNumber,
        id: &TaskId,
        how: fn(&Cluster, HostNumber, &str) -> Result<(), Error>,
        gate: &GateGuard,
    ) -> Result<(), Error> {
        let promote = || {
            let id = id.clone();
            self.cluster
                .blocking(move |cluster| how(cluster, host, &id))
        };
        tokio::select! {
            promoted = self.cluster.workers().turns().take(true, promote) => promoted,
            () = gate.ends().cancelled_owned() => Err(Error::Stopping),
        }
    }

    /// Applies faults. A replica that one holds up does not keep the cluster from settling.
    async fn wait_for_faults(
        &self,
        call: &mut RunningCall,
        phase: Phase,
        id: &TaskId,
    ) -> Result<(), Status> {
        let job = Job::Replicate(id.clone());
        for armed in call.armed_at(phase) {
            if let Some(delay) = armed.delay() {
                let due = later(self.scheduler().now(), delay);
                self.scheduler().block(&job, Blocked::Until(due));
            } else if *armed.action() == Action::Stall {
                let removed = armed.removed().clone();
                self.scheduler().block(&job, Blocked::ForEvent(removed));
            }
            let acted = call.apply(&armed).await;
            self.scheduler().unblock(&job);
            acted?;
        }
        Ok(())
    }
}
