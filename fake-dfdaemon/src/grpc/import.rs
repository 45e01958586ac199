//! The answer to an import.

use dfdaemon_api::common::v2::PersistentCacheTask;
use dfdaemon_api::dfdaemon::v2::UploadPersistentCacheTaskRequest;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::message;
use super::service::{Asked, ServedHost};
use crate::call::Call;
use crate::call::faults::Phase;
use crate::call::rpc::Rpc;
use crate::cluster::{Error, ImportRequest};
use crate::dfdaemon::limits::{Blocked, RequestPermit};
use crate::store::CancelFlag;

pub(super) async fn answer(
    host: ServedHost,
    request: Request<UploadPersistentCacheTaskRequest>,
) -> Result<Response<PersistentCacheTask>, Status> {
    let (_, extensions, request) = request.into_parts();
    let fields = message::import_fields(&request);
    let request = message::import_request(request);
    let entered = host.cluster.calls().gate.enter().await;
    let task = task_for_faults(&host, &request, &entered.1).await;
    let asked = Asked {
        task: task.as_deref(),
        tag: request.tag.as_deref(),
        application: request.application.as_deref(),
        request: fields,
    };
    let mut call = host.begin_entered(entered, Rpc::Import, asked, &extensions);
    if let Some(task) = &task {
        call.note_task(task);
    }
    let answer = import(&host, &mut call, request).await;
    call.answered(answer.as_ref().err()).wait().await;
    answer.map(Response::new)
}

/// The id that the import will get, if it is known already or a fault asks for it. The file of an
/// import that will be refused is not read.
async fn task_for_faults(
    host: &ServedHost,
    request: &ImportRequest,
    ends: &CancellationToken,
) -> Option<String> {
    let wanted = host.cluster.calls().faults.look_at_imported_task();
    if request.content_for_id.is_none() && !wanted {
        return None;
    }
    let _permit = admit(host, request).ok()?;
    let request = request.clone();
    let ends = ends.clone().cancelled_owned();
    // Whatever is wrong with the file, the import itself will say it.
    let id = cancellable(ends, |cancel| {
        host.cluster
            .blocking_on_client_file(move |cluster| cluster.task_id_of(&request, &cancel))
    });
    id.await.ok()
}

fn admit(host: &ServedHost, request: &ImportRequest) -> Result<RequestPermit, Status> {
    let permit = host.permit()?;
    let (tag, application) = (request.tag.as_deref(), request.application.as_deref());
    host.check_blocked(Blocked::Import, tag, application)?;
    Ok(permit)
}

async fn import(
    host: &ServedHost,
    call: &mut Call,
    mut request: ImportRequest,
) -> Result<PersistentCacheTask, Status> {
    call.pass(Phase::Before).await?;
    let _permit = admit(host, &request)?;
    request.store_faults = call.store_faults();
    let view = run(host, call, request)
        .await
        .map_err(|error| host.status(&error))?;
    call.note_task(&view.task.task_id);
    let task = message::imported_task(view);
    call.pass(Phase::After).await?;
    Ok(task)
}

async fn run(
    host: &ServedHost,
    call: &Call,
    request: ImportRequest,
) -> Result<crate::cluster::TaskView, Error> {
    let number = host.number;
    let imported = cancellable(call.ends().cancelled_owned(), |cancel| {
        host.cluster
            .blocking_on_client_file(move |cluster| cluster.import(number, &request, &cancel))
    });
    imported.await
}

/// Waits for blocking work, and cancels it when the call is ended or its client goes away.
async fn cancellable<T, F: Future<Output = Result<T, Error>>>(
    ends: impl Future<Output = ()>,
    work: impl FnOnce(CancelFlag) -> F,
) -> Result<T, Error> {
    let cancel = CancelOnDrop(CancelFlag::default());
    let working = work(cancel.0.clone());
    tokio::pin!(working);
    tokio::select! {
        done = &mut working => done,
        () = ends => {
            cancel.0.cancel();
            // It may have ended well in the meantime.
            working.await.map_err(|error| match error {
                Error::Cancelled => Error::Stopping,
                other => other,
            })
        }
    }
}

/// Cancels blocking work when the call that waits for it is dropped: the client went away.
struct CancelOnDrop(CancelFlag);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}
