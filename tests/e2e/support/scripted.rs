//! A daemon that says what a test tells it to, however odd, and remembers what it was asked.

use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

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
use tokio::runtime::Runtime;
use tokio_stream::wrappers::{ReceiverStream, UnixListenerStream};
use tonic::{Request, Response, Status};

use super::world::{Directory, runtime};

/// What the daemon does next in the stream of an export, or instead of an answer.
#[derive(Clone, Debug)]
pub enum Step {
    Started(u64),
    Piece(Piece),
    /// Writes a file to the path that the request names.
    Write(Vec<u8>),
    /// As the first step: nothing is answered, not even that the export begins.
    Unanswered,
    Fail(Status),
    /// What an import or a stat gets.
    Task(Box<PersistentCacheTask>),
    /// What the daemon's host has.
    Local(StatLocalPersistentCacheTaskResponse),
    /// Lets [`ScriptedDaemon::wait_until_reached`] return.
    Reached,
    /// Nothing any more, until the daemon is gone.
    Hang,
}

/// A piece as a daemon sends it.
pub fn piece(number: u32, offset: u64, content: &[u8]) -> Piece {
    Piece {
        number,
        offset,
        length: content.len() as u64,
        digest: piece_digest(crc32(content)),
        content: Some(content.to_vec().into()),
        ..Piece::default()
    }
}

/// The steps of an honest export of `content`.
pub fn whole(content: &[u8]) -> Vec<Step> {
    let pieces = content.chunks(super::files::PIECE).zip(0..);
    let pieces = pieces.map(|(bytes, number)| {
        let offset = u64::from(number) * super::files::PIECE as u64;
        Step::Piece(piece(number, offset, bytes))
    });
    std::iter::once(Step::Started(content.len() as u64))
        .chain(pieces)
        .collect()
}

/// Requests as they came.
#[derive(Debug, Default)]
pub struct Requests {
    pub imports: Vec<UploadPersistentCacheTaskRequest>,
    pub exports: Vec<DownloadPersistentCacheTaskRequest>,
    pub stats: Vec<StatPersistentCacheTaskRequest>,
}

/// A running daemon; dropped, its connections break without a status.
pub struct ScriptedDaemon {
    pub endpoint: PathBuf,
    requests: Arc<Mutex<Requests>>,
    reached: Receiver<()>,
    _runtime: Runtime,
}

impl ScriptedDaemon {
    /// A daemon that answers every call with these steps. After the last one an export ends; an
    /// import or a stat gets a task with id 7.
    pub fn start(directory: &Directory, steps: Vec<Step>) -> Self {
        let endpoint = directory.beside("scripted.sock");
        let (sender, reached) = channel();
        let requests = Arc::default();
        let service = Service {
            steps,
            requests: Arc::clone(&requests),
            reached: Mutex::new(sender),
        };
        // Of an earlier one in the same directory.
        let _ = std::fs::remove_file(&endpoint);
        // Bound here, so that it is ready when this returns.
        let listener = UnixListener::bind(&endpoint).unwrap();
        listener.set_nonblocking(true).unwrap();
        let runtime = runtime();
        runtime.spawn(async move {
            let listener = tokio::net::UnixListener::from_std(listener).unwrap();
            let service = DfdaemonDownloadServer::new(service);
            let server = tonic::transport::Server::builder().add_service(service);
            let connections = UnixListenerStream::new(listener);
            server.serve_with_incoming(connections).await.unwrap();
        });
        Self {
            endpoint,
            requests,
            reached,
            _runtime: runtime,
        }
    }

    /// Waits for [`Step::Reached`].
    pub fn wait_until_reached(&self) {
        self.reached.recv().unwrap();
    }

    pub fn requests(&self) -> std::sync::MutexGuard<'_, Requests> {
        self.requests.lock().unwrap()
    }
}

struct Service {
    steps: Vec<Step>,
    requests: Arc<Mutex<Requests>>,
    reached: Mutex<Sender<()>>,
}

impl Service {
    fn requests(&self) -> std::sync::MutexGuard<'_, Requests> {
        self.requests.lock().unwrap()
    }

    fn reach(&self) {
        // A test that does not wait has no receiver any more.
        let _ = self.reached.lock().unwrap().send(());
    }

    async fn answer(&self, content_length: u64) -> Result<Response<PersistentCacheTask>, Status> {
        for step in &self.steps {
            match step {
                Step::Fail(status) => return Err(status.clone()),
                Step::Reached => self.reach(),
                Step::Hang | Step::Unanswered => std::future::pending().await,
                Step::Task(task) => return Ok(Response::new(*task.clone())),
                _ => {}
            }
        }
        Ok(Response::new(PersistentCacheTask {
            id: "7".to_owned(),
            state: "Succeeded".to_owned(),
            content_length,
            ..PersistentCacheTask::default()
        }))
    }
}

fn message(message: Message) -> DownloadPersistentCacheTaskResponse {
    DownloadPersistentCacheTaskResponse {
        host_id: "127.0.0.1-host".to_owned(),
        task_id: "7".to_owned(),
        peer_id: "127.0.0.1-host-peer".to_owned(),
        response: Some(message),
    }
}

#[tonic::async_trait]
impl DfdaemonDownload for Service {
    type DownloadPersistentCacheTaskStream =
        ReceiverStream<Result<DownloadPersistentCacheTaskResponse, Status>>;

    async fn upload_persistent_cache_task(
        &self,
        request: Request<UploadPersistentCacheTaskRequest>,
    ) -> Result<Response<PersistentCacheTask>, Status> {
        let request = request.into_inner();
        let length = std::fs::metadata(&request.path).map_or(0, |file| file.len());
        self.requests().imports.push(request);
        self.answer(length).await
    }

    async fn download_persistent_cache_task(
        &self,
        request: Request<DownloadPersistentCacheTaskRequest>,
    ) -> Result<Response<Self::DownloadPersistentCacheTaskStream>, Status> {
        let request = request.into_inner();
        let output = request.output_path.clone();
        self.requests().exports.push(request);
        if let Some(Step::Fail(status)) = self.steps.first() {
            return Err(status.clone());
        }
        if let Some(Step::Unanswered) = self.steps.first() {
            self.reach();
            std::future::pending::<()>().await;
        }
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        let steps = self.steps.clone();
        let reached = self.reached.lock().unwrap().clone();
        tokio::spawn(async move {
            for step in steps {
                let item = match step {
                    Step::Started(content_length) => {
                        let started = DownloadPersistentCacheTaskStartedResponse { content_length };
                        Ok(message(
                            Message::DownloadPersistentCacheTaskStartedResponse(started),
                        ))
                    }
                    Step::Piece(piece) => {
                        let finished = DownloadPieceFinishedResponse { piece: Some(piece) };
                        Ok(message(Message::DownloadPieceFinishedResponse(finished)))
                    }
                    Step::Write(content) => {
                        let path = output.as_deref().map(Path::new).unwrap();
                        std::fs::write(path, content).unwrap();
                        continue;
                    }
                    Step::Fail(status) => Err(status),
                    Step::Reached => {
                        let _ = reached.send(());
                        continue;
                    }
                    Step::Hang | Step::Unanswered => {
                        // Not dropped with this task either: the stream would end well before
                        // the connection is lost.
                        std::mem::forget(sender.clone());
                        std::future::pending().await
                    }
                    Step::Task(_) | Step::Local(_) => continue,
                };
                // A client that went away hears nothing more.
                if sender.send(item).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn stat_persistent_cache_task(
        &self,
        request: Request<StatPersistentCacheTaskRequest>,
    ) -> Result<Response<PersistentCacheTask>, Status> {
        self.requests().stats.push(request.into_inner());
        self.answer(0).await
    }

    async fn stat_local_persistent_cache_task(
        &self,
        _: Request<StatLocalPersistentCacheTaskRequest>,
    ) -> Result<Response<StatLocalPersistentCacheTaskResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn list_local_persistent_cache_tasks(
        &self,
        _: Request<ListLocalPersistentCacheTasksRequest>,
    ) -> Result<Response<ListLocalPersistentCacheTasksResponse>, Status> {
        let tasks = self.steps.iter().filter_map(|step| match step {
            Step::Local(task) => Some(task.clone()),
            _ => None,
        });
        let tasks: Vec<_> = tasks.collect();
        if tasks.is_empty() {
            return Err(Status::unimplemented(""));
        }
        Ok(Response::new(ListLocalPersistentCacheTasksResponse {
            tasks,
        }))
    }
}
