//! A client of one host.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use dfdaemon_api::common::v2::{PersistentCacheTask, Piece, TrafficType};
use dfdaemon_api::dfdaemon::v2::dfdaemon_download_client::DfdaemonDownloadClient;
use dfdaemon_api::dfdaemon::v2::download_persistent_cache_task_response::Response as Event;
use dfdaemon_api::dfdaemon::v2::{
    DownloadPersistentCacheTaskRequest, DownloadPersistentCacheTaskResponse,
    ListLocalPersistentCacheTasksRequest, StatLocalPersistentCacheTaskRequest,
    StatLocalPersistentCacheTaskResponse, StatPersistentCacheTaskRequest,
    SyncPersistentCachePiecesResponse, UploadPersistentCacheTaskRequest,
};
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::UnixStream;
use tokio::task::JoinHandle;
use tonic::body::Body;
use tonic::{Code, Status, Streaming};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tower::BoxError;

/// What an import asks for.
pub type Import = UploadPersistentCacheTaskRequest;
/// What an export asks for.
pub type Export = DownloadPersistentCacheTaskRequest;
/// A host's own record of a task.
pub type LocalTask = StatLocalPersistentCacheTaskResponse;

/// A piece that a host tells another one of.
pub type PieceToTake = SyncPersistentCachePiecesResponse;

/// What the connection may carry ahead of its reader: small, so that who does not read soon stalls.
const WINDOW: u32 = 64 << 10;

/// How long a status may be: one that repeats a long id is long.
const MAX_STATUS: u32 = 4 << 20;

/// One HTTP/2 connection to a host. Clones share it; with the last the connection closes.
#[derive(Clone, Debug)]
pub struct Connection {
    sender: Arc<Mutex<Sender>>,
}

/// None once the connection has ended: a request that comes at that very moment waits, with hyper,
/// as long as there is a sender.
type Sender = Option<SendRequest<Body>>;

impl Connection {
    /// Connects to a socket.
    pub async fn open(endpoint: &Path) -> std::io::Result<Self> {
        let stream = UnixStream::connect(endpoint).await?;
        let (sender, connection) = Builder::new(TokioExecutor::new())
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(4 * WINDOW)
            .max_header_list_size(MAX_STATUS)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(std::io::Error::other)?;
        let sender = Arc::new(Mutex::new(Some(sender)));
        let of_clients = Arc::downgrade(&sender);
        tokio::spawn(async move {
            // Its error reaches every call that is under way.
            let _ = connection.await;
            if let Some(sender) = of_clients.upgrade() {
                *sender.lock().unwrap() = None;
            }
        });
        Ok(Self { sender })
    }

    /// Connects to a socket where somebody listens.
    pub async fn to(endpoint: &Path) -> Self {
        let opened = Self::open(endpoint).await;
        opened.unwrap_or_else(|error| panic!("{}: {error}", endpoint.display()))
    }

    /// Sends a request as it is.
    pub async fn send(&self, request: Request<Body>) -> Result<Response<Incoming>, BoxError> {
        let response = {
            let mut sender = self.sender.lock().unwrap();
            sender.as_mut().map(|sender| sender.send_request(request))
        };
        Ok(response.ok_or("connection closed")?.await?)
    }
}

impl tower::Service<Request<Body>> for Connection {
    type Response = Response<Incoming>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let connection = self.clone();
        Box::pin(async move { connection.send(request).await })
    }
}

/// The URI that calls are sent to; a daemon ignores the authority.
pub fn origin() -> Uri {
    Uri::from_static("http://localhost")
}

/// A client of one host.
#[derive(Clone, Debug)]
pub struct Client(Connection);

impl Client {
    /// A client of the host with this socket.
    pub async fn connect(endpoint: &Path) -> Self {
        Self(Connection::to(endpoint).await)
    }

    /// A client of the host with this socket, if it runs.
    pub async fn try_connect(endpoint: &Path) -> std::io::Result<Self> {
        Connection::open(endpoint).await.map(Self)
    }

    /// The connection below.
    pub fn connection(&self) -> Connection {
        self.0.clone()
    }

    fn service(&self) -> DfdaemonDownloadClient<Connection> {
        DfdaemonDownloadClient::with_origin(self.connection(), origin())
            .max_decoding_message_size(usize::MAX)
    }

    /// Imports.
    pub async fn import(&self, request: Import) -> Result<PersistentCacheTask, Status> {
        let answer = self.service().upload_persistent_cache_task(request).await;
        answer.map(tonic::Response::into_inner)
    }

    /// Imports in the background; aborted, the call is cancelled.
    pub fn begin_import(&self, request: Import) -> JoinHandle<Result<PersistentCacheTask, Status>> {
        let client = self.clone();
        tokio::spawn(async move { client.import(request).await })
    }

    /// Begins an export: the messages are the caller's to read.
    pub async fn begin_export(
        &self,
        request: Export,
    ) -> Result<Streaming<DownloadPersistentCacheTaskResponse>, Status> {
        let answer = self.service().download_persistent_cache_task(request).await;
        answer.map(tonic::Response::into_inner)
    }

    /// Exports, and reads to the end.
    pub async fn export(&self, request: Export) -> Exported {
        match self.begin_export(request).await {
            Ok(messages) => Exported::default().read(messages).await,
            Err(status) => Exported {
                status,
                ..Exported::default()
            },
        }
    }

    /// The scheduler's view of a task.
    pub async fn stat(&self, id: &str) -> Result<PersistentCacheTask, Status> {
        let request = StatPersistentCacheTaskRequest {
            task_id: id.to_owned(),
            ..Default::default()
        };
        let answer = self.service().stat_persistent_cache_task(request).await;
        answer.map(tonic::Response::into_inner)
    }

    /// The host's own record of a task.
    pub async fn stat_local(&self, id: &str) -> Result<LocalTask, Status> {
        let request = StatLocalPersistentCacheTaskRequest {
            task_id: id.to_owned(),
            ..Default::default()
        };
        let mut service = self.service();
        let answer = service.stat_local_persistent_cache_task(request).await;
        answer.map(tonic::Response::into_inner)
    }

    /// The host's own records.
    pub async fn list(&self) -> Result<Vec<LocalTask>, Status> {
        let request = ListLocalPersistentCacheTasksRequest::default();
        let mut service = self.service();
        let answer = service.list_local_persistent_cache_tasks(request).await;
        answer.map(|answer| answer.into_inner().tasks)
    }

    /// Asks for the health of a service.
    pub async fn health(&self, service: &str) -> Result<i32, Status> {
        let mut client = HealthClient::with_origin(self.connection(), origin());
        let request = HealthCheckRequest {
            service: service.to_owned(),
        };
        let answer = client.check(request).await;
        answer.map(|answer| answer.into_inner().status)
    }

    /// Watches the health of a service.
    pub async fn watch_health(&self) -> Result<Streaming<HealthCheckResponse>, Status> {
        let mut client = HealthClient::with_origin(self.connection(), origin());
        let watched = client.watch(HealthCheckRequest::default()).await;
        watched.map(tonic::Response::into_inner)
    }

    /// The ids of the host's own records.
    pub async fn listed(&self) -> Vec<String> {
        let tasks = self.list().await.unwrap();
        tasks.into_iter().map(|task| task.task_id).collect()
    }
}

/// An export that was read to its end.
#[derive(Debug)]
pub struct Exported {
    /// Whether there was a stream at all: what failed at once has none.
    pub opened: bool,
    /// Content length of the *started* message, which came first.
    pub started: Option<u64>,
    /// The pieces as they came.
    pub pieces: Vec<Piece>,
    /// How it ended.
    pub status: Status,
    /// host_id, task_id and peer_id; every message had the same.
    pub ids: Option<(String, String, String)>,
}

impl Default for Exported {
    fn default() -> Self {
        Self {
            opened: false,
            started: None,
            pieces: Vec::new(),
            status: Status::ok(""),
            ids: None,
        }
    }
}

impl Exported {
    /// Reads on to the end of a stream.
    pub async fn read(
        mut self,
        mut messages: Streaming<DownloadPersistentCacheTaskResponse>,
    ) -> Self {
        self.opened = true;
        loop {
            match messages.message().await {
                Ok(Some(message)) => self.take(message),
                Ok(None) => return self,
                Err(status) => return Self { status, ..self },
            }
        }
    }

    /// Takes one message.
    pub fn take(&mut self, message: DownloadPersistentCacheTaskResponse) {
        let ids = (message.host_id, message.task_id, message.peer_id);
        let known = self.ids.get_or_insert_with(|| ids.clone());
        assert_eq!(
            *known, ids,
            "every message of a stream carries the same ids"
        );
        match message.response.expect("a message is one of the two kinds") {
            Event::DownloadPersistentCacheTaskStartedResponse(started) => {
                assert!(self.pieces.is_empty(), "started comes before the pieces");
                let earlier = self.started.replace(started.content_length);
                assert_eq!(earlier, None, "started comes once");
            }
            Event::DownloadPieceFinishedResponse(finished) => {
                assert!(self.started.is_some(), "started comes before the pieces");
                self.pieces
                    .push(finished.piece.expect("a finished piece is one"));
            }
        }
    }

    /// That it ended well.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.status.code(), Code::Ok, "{:?}", self.status);
        self
    }

    /// The pieces' numbers, as they came.
    pub fn numbers(&self) -> Vec<u32> {
        self.pieces.iter().map(|piece| piece.number).collect()
    }

    /// Where the pieces came from.
    pub fn traffic(&self) -> Vec<TrafficType> {
        let traffic = self.pieces.iter();
        traffic
            .map(|piece| piece.traffic_type.expect("set").try_into().unwrap())
            .collect()
    }

    /// The content, put together from the pieces, each of which came once.
    pub fn content(&self) -> Vec<u8> {
        let by_offset: BTreeMap<u64, &Piece> = self
            .pieces
            .iter()
            .map(|piece| (piece.offset, piece))
            .collect();
        assert_eq!(by_offset.len(), self.pieces.len(), "a piece came twice");
        let mut content = Vec::new();
        for (offset, piece) in by_offset {
            assert_eq!(
                offset,
                content.len() as u64,
                "a gap before piece {}",
                piece.number
            );
            let bytes = piece.content.as_ref().expect("content was asked for");
            assert_eq!(bytes.len() as u64, piece.length);
            content.extend_from_slice(bytes);
        }
        content
    }

    /// The peer id of this export.
    pub fn peer_id(&self) -> &str {
        self.ids.as_ref().map_or("", |(_, _, peer)| peer)
    }
}
