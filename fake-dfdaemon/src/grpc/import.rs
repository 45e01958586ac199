//! The answer to an import.

use std::sync::Arc;

use dfdaemon_api::common::v2::PersistentCacheTask;
use dfdaemon_api::dfdaemon::v2::UploadPersistentCacheTaskRequest;
use tokio_util::sync::CancellationToken;
use tonic::{Extensions, Request, Response, Status};

use super::message;
use super::service::ServedHost;
use crate::call::RunningCall;
use crate::call::faults::Phase;
use crate::call::gate::GateGuard;
use crate::call::record::Call;
use crate::call::rpc::Rpc;
use crate::cluster::{Cluster, Error, ImportRequest};
use crate::dfdaemon::blocklist::Blocked;
use crate::dfdaemon::statuses::stopping;
use crate::store::CancelFlag;

pub(super) async fn answer(
    host: ServedHost,
    request: Request<UploadPersistentCacheTaskRequest>,
) -> Result<Response<PersistentCacheTask>, Status> {
    let (_, extensions, request) = request.into_parts();
    let fields = message::import_fields(&request);
    let request = message::import_request(request);
    let gate = host.calls.gate.enter().await;
    let call = Call::arriving(Rpc::Import, host.number.name(), fields);
    let unbegun = Unbegun {
        host: &host,
        arrived: Some((gate, call)),
        extensions: &extensions,
    };
    let task = task_for_faults(&host, &request, unbegun.ends()).await;
    let Some(mut call) = unbegun.begin(task.as_deref()) else {
        return Err(stopping());
    };
    let answer = import(&host, &mut call, request).await;
    call.answered(answer.as_ref().err()).wait().await;
    answer.map(Response::new)
}

/// An import that has arrived, and begins when its task is known: faults may ask for it. One whose
/// client goes away before that begins and ends at once, so that it is in the journal.
struct Unbegun<'a> {
    host: &'a ServedHost,
    /// Until it begins.
    arrived: Option<(GateGuard, Call)>,
    extensions: &'a Extensions,
}

impl Unbegun<'_> {
    /// Cancelled when the call must be broken off.
    fn ends(&self) -> CancellationToken {
        let arrived = self.arrived.as_ref();
        arrived.map(|(gate, _)| gate.ends()).unwrap_or_default()
    }

    fn begin(mut self, task: Option<&str>) -> Option<RunningCall> {
        self.begin_here(task)
    }

    /// `None` if it has begun.
    fn begin_here(&mut self, task: Option<&str>) -> Option<RunningCall> {
        let (gate, mut call) = self.arrived.take()?;
        if let Some(task) = task {
            call.set_task(task);
        }
        Some(self.host.begin_entered(gate, call, self.extensions))
    }
}

impl Drop for Unbegun<'_> {
    fn drop(&mut self) {
        // Dropped without an answer, the call notes how it ended.
        drop(self.begin_here(None));
    }
}

/// The id that the import will get, if it is known already or a fault asks for it. The file of an
/// import that will be refused is not read.
async fn task_for_faults(
    host: &ServedHost,
    request: &ImportRequest,
    ends: CancellationToken,
) -> Option<String> {
    let wanted = host.calls.faults.look_at_imported_task();
    if request.content_for_id.is_none() && !wanted {
        return None;
    }
    let _permit = host.permit().ok()?;
    check_blocked(host, request).ok()?;
    // Whatever is wrong with the file, the import itself will say it.
    id_of(host, request, ends).await.ok()
}

/// The id that an import will get.
async fn id_of(
    host: &ServedHost,
    request: &ImportRequest,
    ends: CancellationToken,
) -> Result<String, Error> {
    let request = request.clone();
    let id = cancellable(ends.cancelled_owned(), |cancel| {
        let id_of =
            move |cluster: &Arc<Cluster>, cancel: &CancelFlag| cluster.task_id_of(&request, cancel);
        host.cluster.blocking_on_client_file(cancel, id_of)
    });
    id.await
}

fn check_blocked(host: &ServedHost, request: &ImportRequest) -> Result<(), Status> {
    let (tag, application) = (request.tag.as_deref(), request.application.as_deref());
    host.check_blocked(Blocked::Import, tag, application)
}

async fn import(
    host: &ServedHost,
    call: &mut RunningCall,
    request: ImportRequest,
) -> Result<PersistentCacheTask, Status> {
    call.apply_faults(Phase::Before).await?;
    let _permit = host.admit(call).await?;
    check_blocked(host, &request)?;
    if call.has_no_time_for_scheduler() {
        // An import whose id cannot be calculated fails before the scheduler is asked.
        id_of(host, &request, call.ends())
            .await
            .map_err(|error| host.status(&error))?;
        call.reach_scheduler().await;
    }
    let view = run(host, call, request)
        .await
        .map_err(|error| host.status(&error))?;
    call.note_task(&view.task.task_id);
    let task = message::imported_task(view);
    call.apply_faults(Phase::After).await?;
    Ok(task)
}

async fn run(
    host: &ServedHost,
    call: &RunningCall,
    request: ImportRequest,
) -> Result<crate::cluster::TaskView, Error> {
    let number = host.number;
    let faults = call.cluster_faults();
    let imported = cancellable(call.ends().cancelled_owned(), |cancel| {
        let import = move |cluster: &Arc<Cluster>, cancel: &CancelFlag| {
            cluster.import(number, &request, &faults.store, cancel)
        };
        host.cluster.blocking_on_client_file(cancel, import)
    });
    imported.await
}

/// Waits for blocking work, and cancels it when the call is ended, or dropped since its client went away.
async fn cancellable<T, F: Future<Output = Result<T, Error>>>(
    ends: impl Future<Output = ()>,
    work: impl FnOnce(CancelFlag) -> F,
) -> Result<T, Error> {
    let cancel = CancelFlag::default();
    let _cancels = cancel.drop_guard();
    let working = work(cancel.clone());
    tokio::pin!(working);
    tokio::select! {
        done = &mut working => done,
        () = ends => {
            cancel.cancel();
            // It may have ended well in the meantime.
            working.await.map_err(|error| match error {
                Error::Cancelled => Error::Stopping,
                other => other,
            })
        }
    }
}
