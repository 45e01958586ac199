//! What a client of the scripted daemon talks to.

use std::future::pending;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::pin::Pin;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dfdaemon_api::common::v2::PersistentCacheTask;
use dfdaemon_api::dfdaemon::v2::dfdaemon_download_server::{
    DfdaemonDownload, DfdaemonDownloadServer,
};
use dfdaemon_api::dfdaemon::v2::download_persistent_cache_task_response::Response as Message;
use dfdaemon_api::dfdaemon::v2::{
    DownloadPersistentCacheTaskRequest, DownloadPersistentCacheTaskResponse,
    DownloadPersistentCacheTaskStartedResponse, DownloadPieceFinishedResponse,
    ListLocalPersistentCacheTasksRequest, ListLocalPersistentCacheTasksResponse,
    StatLocalPersistentCacheTaskRequest, StatLocalPersistentCacheTaskResponse,
    StatPersistentCacheTaskRequest, UploadPersistentCacheTaskRequest,
};
use futures_util::stream::{self, Stream, StreamExt as _};
use tokio::sync::Notify;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{Request, Response, Status};

use crate::wait::HANGS;
use crate::{Answers, Requests, Step, not_in_the_script};

#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) answers: Answers,
    pub(crate) requests: Arc<Mutex<Requests>>,
    /// Ends the daemon.
    pub(crate) stop: Arc<Notify>,
    pub(crate) reached: Sender<()>,
}

impl Service {
    /// Serves until it is stopped; then every connection is closed as it is, with the runtime.
    pub(crate) fn serve(self, listener: UnixListener) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let stop = Arc::clone(&self.stop);
        runtime.block_on(async {
            let listener = tokio::net::UnixListener::from_std(listener).unwrap();
            let server = tonic::transport::Server::builder()
                .add_service(DfdaemonDownloadServer::new(self))
                .serve_with_incoming(UnixListenerStream::new(listener));
            tokio::select! {
                served = server => served.unwrap(),
                () = stop.notified() => {}
            }
        });
    }

    fn requests(&self) -> MutexGuard<'_, Requests> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers an import or a stat.
    async fn answer(
        &self,
        answer: Result<PersistentCacheTask, Status>,
    ) -> Result<Response<PersistentCacheTask>, Status> {
        for step in &self.answers.before {
            self.wait(step).await?;
        }
        answer.map(Response::new)
    }

    /// Does what a step does without a message.
    async fn wait(&self, step: &Step) -> Result<(), Status> {
        match step {
            // A test that does not wait has no receiver any more.
            Step::Reached => drop(self.reached.send(())),
            Step::Wait(signal) => signal.notified().await,
            Step::Reset => {
                self.stop.notify_one();
                pending().await
            }
            Step::Stall => {
                // A client that waits longer waits for ever.
                let _ = tokio::time::timeout(HANGS, pending::<()>()).await;
                return Err(Status::internal("the client waits for ever"));
            }
            Step::Hang | Step::Unanswered => pending().await,
            _ => {}
        }
        Ok(())
    }

    /// Takes a step of an export, which writes to `output`: its message, if it has one.
    async fn play(
        self,
        step: Step,
        output: Option<String>,
    ) -> Option<Result<DownloadPersistentCacheTaskResponse, Status>> {
        if let Err(status) = self.wait(&step).await {
            return Some(Err(status));
        }
        let response = match step {
            Step::Started(content_length) => {
                let started = DownloadPersistentCacheTaskStartedResponse { content_length };
                Some(Message::DownloadPersistentCacheTaskStartedResponse(started))
            }
            Step::Piece(piece) => {
                let finished = DownloadPieceFinishedResponse { piece: Some(piece) };
                Some(Message::DownloadPieceFinishedResponse(finished))
            }
            Step::Nothing => None,
            Step::Write(content) => {
                std::fs::write(output.as_deref().map(Path::new).unwrap(), content).unwrap();
                return None;
            }
            Step::Fail(status) => return Some(Err(status)),
            _ => return None,
        };
        Some(Ok(DownloadPersistentCacheTaskResponse {
            host_id: "127.0.0.1-host".to_owned(),
            task_id: "7".to_owned(),
            peer_id: "127.0.0.1-host-peer".to_owned(),
            response,
        }))
    }
}

type Messages =
    Pin<Box<dyn Stream<Item = Result<DownloadPersistentCacheTaskResponse, Status>> + Send>>;

#[tonic::async_trait]
impl DfdaemonDownload for Service {
    async fn upload_persistent_cache_task(
        &self,
        request: Request<UploadPersistentCacheTaskRequest>,
    ) -> Result<Response<PersistentCacheTask>, Status> {
        let request = request.into_inner();
        self.requests().imports.push(request.clone());
        self.answer((self.answers.import)(&request)).await
    }

    type DownloadPersistentCacheTaskStream = Messages;

    async fn download_persistent_cache_task(
        &self,
        request: Request<DownloadPersistentCacheTaskRequest>,
    ) -> Result<Response<Messages>, Status> {
        let request = request.into_inner();
        self.requests().exports.push(request.clone());
        let steps = (self.answers.export)(&request)?;
        if let Some(step @ Step::Unanswered) = steps.first() {
            self.wait(&Step::Reached).await?;
            self.wait(step).await?;
        }
        let service = self.clone();
        let messages = stream::iter(steps)
            .then(move |step| service.clone().play(step, request.output_path.clone()))
            .filter_map(std::future::ready);
        Ok(Response::new(Box::pin(messages)))
    }

    async fn stat_persistent_cache_task(
        &self,
        request: Request<StatPersistentCacheTaskRequest>,
    ) -> Result<Response<PersistentCacheTask>, Status> {
        let request = request.into_inner();
        self.requests().stats.push(request.clone());
        self.answer((self.answers.stat)(&request)).await
    }

    async fn stat_local_persistent_cache_task(
        &self,
        _: Request<StatLocalPersistentCacheTaskRequest>,
    ) -> Result<Response<StatLocalPersistentCacheTaskResponse>, Status> {
        Err(not_in_the_script())
    }

    async fn list_local_persistent_cache_tasks(
        &self,
        _: Request<ListLocalPersistentCacheTasksRequest>,
    ) -> Result<Response<ListLocalPersistentCacheTasksResponse>, Status> {
        let tasks = (self.answers.list)(&())?;
        Ok(Response::new(ListLocalPersistentCacheTasksResponse {
            tasks,
        }))
    }
}
