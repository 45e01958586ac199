//! A daemon that says what a test tells it to, however odd.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use dfdaemon_api::common::v2::{PersistentCacheTask, Piece};
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
use dfdaemon_api::digest::{crc32, piece_digest};
use futures_util::stream::{self, Stream, StreamExt as _};
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::sync::Notify;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{Request, Response, Status};

use crate::client::Client;
use crate::types::options::Endpoint;

/// What the daemon does next in the stream of an export.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Started(u64),
    Piece(Piece),
    /// A message without a response.
    Nothing,
    Fail(Status),
    /// The connection closes without a status.
    Reset,
    /// Nothing for longer than any test takes; a client that is still there then fails.
    Stall,
    /// Nothing until it is notified.
    Wait(Arc<Notify>),
}

/// A piece as a daemon sends it.
pub(crate) fn piece(number: u32, offset: u64, content: &[u8]) -> Piece {
    Piece {
        number,
        offset,
        length: content.len() as u64,
        digest: piece_digest(crc32(content)),
        content: Some(Bytes::copy_from_slice(content)),
        ..Piece::default()
    }
}

type Script<Q, A> = Arc<dyn Fn(&Q) -> A + Send + Sync>;

/// What the daemon answers.
#[derive(Clone)]
pub(crate) struct Answers {
    pub(crate) import:
        Script<UploadPersistentCacheTaskRequest, Result<PersistentCacheTask, Status>>,
    pub(crate) export: Script<DownloadPersistentCacheTaskRequest, Result<Vec<Step>, Status>>,
    pub(crate) stat: Script<StatPersistentCacheTaskRequest, Result<PersistentCacheTask, Status>>,
}

impl Default for Answers {
    fn default() -> Self {
        let nothing = || Status::unimplemented("not in the script");
        Self {
            import: Arc::new(move |_| Err(nothing())),
            export: Arc::new(move |_| Err(nothing())),
            stat: Arc::new(move |_| Err(nothing())),
        }
    }
}

/// A running daemon; gone when dropped.
pub(crate) struct ScriptedDaemon {
    pub(crate) endpoint: Endpoint,
    /// The exports that were asked for.
    pub(crate) exports: Arc<Mutex<Vec<DownloadPersistentCacheTaskRequest>>>,
    _directory: TempDir,
    stop: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
}

impl ScriptedDaemon {
    pub(crate) fn start(answers: Answers) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("daemon.sock");
        let stop = Arc::new(Notify::new());
        let exports = Arc::default();
        let service = Service {
            answers,
            stop: Arc::clone(&stop),
            exports: Arc::clone(&exports),
        };
        // Bound before the thread starts, so that it is ready when this returns.
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        listener.set_nonblocking(true).unwrap();
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || serve(listener, service, &stopped));
        Self {
            endpoint: Endpoint::new(path).unwrap(),
            exports,
            _directory: directory,
            stop,
            thread: Some(thread),
        }
    }

    /// A daemon that answers every export with these steps.
    pub(crate) fn exporting(steps: Vec<Step>) -> Self {
        Self::start(Answers {
            export: Arc::new(move |_| Ok(steps.clone())),
            ..Answers::default()
        })
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(&self.endpoint).await.unwrap()
    }
}

impl Drop for ScriptedDaemon {
    fn drop(&mut self) {
        self.stop.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Serves until told to stop; then every connection is closed as it is, with the runtime.
fn serve(listener: std::os::unix::net::UnixListener, service: Service, stop: &Notify) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let listener = UnixListener::from_std(listener).unwrap();
        let server = tonic::transport::Server::builder()
            .add_service(DfdaemonDownloadServer::new(service))
            .serve_with_incoming(UnixListenerStream::new(listener));
        tokio::select! {
            served = server => served.unwrap(),
            () = stop.notified() => {}
        }
    });
}

struct Service {
    answers: Answers,
    stop: Arc<Notify>,
    exports: Arc<Mutex<Vec<DownloadPersistentCacheTaskRequest>>>,
}

type Messages =
    Pin<Box<dyn Stream<Item = Result<DownloadPersistentCacheTaskResponse, Status>> + Send>>;

#[tonic::async_trait]
impl DfdaemonDownload for Service {
    async fn upload_persistent_cache_task(
        &self,
        request: Request<UploadPersistentCacheTaskRequest>,
    ) -> Result<Response<PersistentCacheTask>, Status> {
        (self.answers.import)(request.get_ref()).map(Response::new)
    }

    type DownloadPersistentCacheTaskStream = Messages;

    async fn download_persistent_cache_task(
        &self,
        request: Request<DownloadPersistentCacheTaskRequest>,
    ) -> Result<Response<Messages>, Status> {
        let request = request.into_inner();
        let steps = (self.answers.export)(&request);
        self.exports.lock().unwrap().push(request);
        let stop = Arc::clone(&self.stop);
        let messages = stream::iter(steps?).then(move |step| play(step, Arc::clone(&stop)));
        Ok(Response::new(Box::pin(messages)))
    }

    async fn stat_persistent_cache_task(
        &self,
        request: Request<StatPersistentCacheTaskRequest>,
    ) -> Result<Response<PersistentCacheTask>, Status> {
        (self.answers.stat)(request.get_ref()).map(Response::new)
    }

    async fn stat_local_persistent_cache_task(
        &self,
        _: Request<StatLocalPersistentCacheTaskRequest>,
    ) -> Result<Response<StatLocalPersistentCacheTaskResponse>, Status> {
        Err(Status::unimplemented("not in the script"))
    }

    async fn list_local_persistent_cache_tasks(
        &self,
        _: Request<ListLocalPersistentCacheTasksRequest>,
    ) -> Result<Response<ListLocalPersistentCacheTasksResponse>, Status> {
        Ok(Response::new(ListLocalPersistentCacheTasksResponse {
            tasks: vec![StatLocalPersistentCacheTaskResponse {
                task_id: "7".into(),
                ..Default::default()
            }],
        }))
    }
}

async fn play(
    step: Step,
    stop: Arc<Notify>,
) -> Result<DownloadPersistentCacheTaskResponse, Status> {
    let response = match step {
        Step::Started(content_length) => Some(Message::DownloadPersistentCacheTaskStartedResponse(
            DownloadPersistentCacheTaskStartedResponse { content_length },
        )),
        Step::Piece(piece) => Some(Message::DownloadPieceFinishedResponse(
            DownloadPieceFinishedResponse { piece: Some(piece) },
        )),
        Step::Nothing => None,
        Step::Wait(signal) => {
            signal.notified().await;
            None
        }
        Step::Fail(status) => return Err(status),
        Step::Reset => {
            stop.notify_one();
            std::future::pending().await
        }
        Step::Stall => {
            tokio::time::sleep(Duration::from_secs(10)).await;
            return Err(Status::internal("the client waits for ever"));
        }
    };
    Ok(DownloadPersistentCacheTaskResponse {
        response,
        ..DownloadPersistentCacheTaskResponse::default()
    })
}
