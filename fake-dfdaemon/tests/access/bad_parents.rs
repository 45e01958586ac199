//! Parents that are not what they should be: a host trusts none, and goes on with another one.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use dfdaemon_api::common::v2::PersistentCacheTask;
use dfdaemon_api::dfdaemon::v2::dfdaemon_upload_server::{DfdaemonUpload, DfdaemonUploadServer};
use dfdaemon_api::dfdaemon::v2::{
    DeletePersistentCacheTaskRequest, DownloadPersistentCachePieceRequest,
    DownloadPersistentCachePieceResponse, DownloadPersistentCacheTaskRequest,
    DownloadPersistentCacheTaskResponse, StatPersistentCacheTaskRequest,
    SyncPersistentCachePiecesRequest, SyncPersistentCachePiecesResponse,
    UpdatePersistentCacheTaskRequest,
};
use dfdaemon_api::digest::metadata_digest;
use fake_dfdaemon::{PeerAddress, Release};
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use hyper_util::rt::{TokioExecutor, TokioIo};
use testkit::wait::HANGS;
use tokio::net::{TcpListener, UnixListener};
use tonic::{Request, Response, Status};
use tower::Service as _;

use crate::access::parents::{Over, far, imported, near, upload};
use crate::support::client::Client;
use crate::support::peer_client::PeerClient;
use crate::support::requests::{export_to, transfer};

/// What is wrong with a parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    StatHangs,
    StatOfAnotherTask,
    StatOfAnotherState,
    StatOfTooManyPieces,
    StatOfABadLayout,
    StatOfAnExpiredTask,
    SyncHangs,
    SyncFails,
    SyncEndsEarly,
    SyncTellsTwice,
    SyncTellsOfNoSuchPiece,
    SyncTellsOfAnotherLength,
    SyncTellsOfAnotherOffset,
    PieceHangs,
    PieceFails,
    PieceIsMissing,
    PieceOfAnotherNumber,
    PieceAtAnotherOffset,
    PieceOfAnotherLength,
    PieceTooShort,
    PieceTooLong,
    PieceMuchTooLong,
    PieceWithoutContent,
    PieceOfAnotherDigest,
    PieceOfAMalformedDigest,
    PieceWithDamagedMetadata,
    PieceVanishes,
}

const ALL: [Wrong; 27] = [
    Wrong::StatHangs,
    Wrong::StatOfAnotherTask,
    Wrong::StatOfAnotherState,
    Wrong::StatOfTooManyPieces,
    Wrong::StatOfABadLayout,
    Wrong::StatOfAnExpiredTask,
    Wrong::SyncHangs,
    Wrong::SyncFails,
    Wrong::SyncEndsEarly,
    Wrong::SyncTellsTwice,
    Wrong::SyncTellsOfNoSuchPiece,
    Wrong::SyncTellsOfAnotherLength,
    Wrong::SyncTellsOfAnotherOffset,
    Wrong::PieceHangs,
    Wrong::PieceFails,
    Wrong::PieceIsMissing,
    Wrong::PieceOfAnotherNumber,
    Wrong::PieceAtAnotherOffset,
    Wrong::PieceOfAnotherLength,
    Wrong::PieceTooShort,
    Wrong::PieceTooLong,
    Wrong::PieceMuchTooLong,
    Wrong::PieceWithoutContent,
    Wrong::PieceOfAnotherDigest,
    Wrong::PieceOfAMalformedDigest,
    Wrong::PieceWithDamagedMetadata,
    Wrong::PieceVanishes,
];

impl Wrong {
    /// Whether it is waited for until time is up.
    fn hangs(self) -> bool {
        format!("{self:?}").ends_with("Hangs")
    }

    /// Whether it takes two pieces, or one of the length of pieces, to be wrong so.
    fn takes_long_content(self) -> bool {
        matches!(
            self,
            Wrong::SyncTellsTwice
                | Wrong::SyncTellsOfNoSuchPiece
                | Wrong::PieceOfAnotherNumber
                | Wrong::PieceOfAnotherLength
                | Wrong::PieceTooShort
                | Wrong::PieceTooLong
                | Wrong::PieceMuchTooLong
                | Wrong::PieceVanishes
        )
    }

    /// Whether it shows before the task is known.
    fn hides_the_task(self) -> bool {
        format!("{self:?}").starts_with("Stat")
    }
}

/// A parent that asks an honest one, and tells something else.
#[derive(Clone)]
struct Bad {
    wrong: Wrong,
    honest: PeerClient,
    /// Closes its connections.
    vanishes: Arc<tokio::sync::Notify>,
}

/// Nothing any more.
async fn hang() {
    std::future::pending().await
}

#[tonic::async_trait]
impl DfdaemonUpload for Bad {
    type DownloadPersistentCacheTaskStream =
        BoxStream<'static, Result<DownloadPersistentCacheTaskResponse, Status>>;
    type SyncPersistentCachePiecesStream =
        BoxStream<'static, Result<SyncPersistentCachePiecesResponse, Status>>;

    async fn stat_persistent_cache_task(
        &self,
        request: Request<StatPersistentCacheTaskRequest>,
    ) -> Result<Response<PersistentCacheTask>, Status> {
        let mut task = self.honest.stat(&request.get_ref().task_id).await?;
        match self.wrong {
            Wrong::StatHangs => hang().await,
            Wrong::StatOfAnotherTask => task.id = "1234".to_owned(),
            Wrong::StatOfAnotherState => task.state = "Uploading".to_owned(),
            Wrong::StatOfTooManyPieces => task.piece_count += 1,
            Wrong::StatOfABadLayout => task.piece_length = 0,
            Wrong::StatOfAnExpiredTask => task.created_at = Some(prost_types::Timestamp::default()),
            _ => {}
        }
        Ok(Response::new(task))
    }

    async fn sync_persistent_cache_pieces(
        &self,
        request: Request<SyncPersistentCachePiecesRequest>,
    ) -> Result<Response<Self::SyncPersistentCachePiecesStream>, Status> {
        let asked = request.into_inner();
        let numbers = &asked.interested_piece_numbers;
        let mut pieces = self.honest.sync(&asked.task_id, numbers).await?;
        // Packets would be those of the honest one.
        pieces.iter_mut().for_each(|piece| piece.tcp_port = None);
        match self.wrong {
            Wrong::SyncHangs => hang().await,
            Wrong::SyncFails => return Err(Status::internal("no")),
            Wrong::SyncEndsEarly => pieces.clear(),
            Wrong::SyncTellsTwice => pieces[1] = pieces[0].clone(),
            Wrong::SyncTellsOfNoSuchPiece => pieces.iter_mut().for_each(|piece| piece.number += 2),
            Wrong::SyncTellsOfAnotherLength => {
                pieces.iter_mut().for_each(|piece| piece.length += 1)
            }
            Wrong::SyncTellsOfAnotherOffset => {
                pieces.iter_mut().for_each(|piece| piece.offset += 1)
            }
            _ => {}
        }
        Ok(Response::new(stream::iter(pieces).map(Ok).boxed()))
    }

    async fn download_persistent_cache_piece(
        &self,
        request: Request<DownloadPersistentCachePieceRequest>,
    ) -> Result<Response<DownloadPersistentCachePieceResponse>, Status> {
        let asked = request.into_inner();
        let mut answer = self
            .honest
            .piece(&asked.task_id, asked.piece_number)
            .await?;
        let piece = answer.piece.as_mut().unwrap();
        let content = piece.content.take().unwrap();
        let mut content = content.to_vec();
        match self.wrong {
            Wrong::PieceHangs => hang().await,
            Wrong::PieceFails => return Err(Status::not_found("no")),
            Wrong::PieceOfAnotherNumber => piece.number = 1 - piece.number,
            Wrong::PieceAtAnotherOffset => piece.offset += 1,
            Wrong::PieceOfAnotherLength => piece.length += 1,
            Wrong::PieceTooShort => content.truncate(content.len() - 1),
            Wrong::PieceTooLong => content.push(0),
            Wrong::PieceMuchTooLong => content.extend_from_slice(&vec![0; 5 << 20]),
            Wrong::PieceWithoutContent => content.clear(),
            Wrong::PieceOfAnotherDigest => piece.digest = "crc32:1".to_owned(),
            Wrong::PieceOfAMalformedDigest => piece.digest = "md5:1".to_owned(),
            Wrong::PieceVanishes => {
                self.vanishes.notify_waiters();
                hang().await;
            }
            _ => {}
        }
        piece.content = Some(content.into());
        let digest = metadata_digest(piece.number, piece.offset, piece.length, &piece.digest);
        answer.digest = Some(match self.wrong {
            Wrong::PieceWithDamagedMetadata => "crc32:1".to_owned(),
            _ => digest,
        });
        if self.wrong == Wrong::PieceIsMissing {
            answer.piece = None;
        }
        Ok(Response::new(answer))
    }

    async fn download_persistent_cache_task(
        &self,
        _: Request<DownloadPersistentCacheTaskRequest>,
    ) -> Result<Response<Self::DownloadPersistentCacheTaskStream>, Status> {
        Err(Status::unimplemented("not asked by hosts"))
    }

    async fn update_persistent_cache_task(
        &self,
        _: Request<UpdatePersistentCacheTaskRequest>,
    ) -> Result<Response<()>, Status> {
        Err(Status::unimplemented("not asked by hosts"))
    }

    async fn delete_persistent_cache_task(
        &self,
        _: Request<DeletePersistentCacheTaskRequest>,
    ) -> Result<Response<()>, Status> {
        Err(Status::unimplemented("not asked by hosts"))
    }
}

impl Bad {
    async fn serve_on<S>(self, stream: S)
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let vanishes = Arc::clone(&self.vanishes);
        let server = DfdaemonUploadServer::new(self).max_encoding_message_size(usize::MAX);
        let service = hyper::service::service_fn(move |request| {
            let mut server = server.clone();
            async move { Ok::<_, Infallible>(server.call(request).await.unwrap()) }
        });
        let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), service);
        tokio::select! {
            _ = connection => {}
            () = vanishes.notified() => {}
        }
    }

    /// Serves until the test ends.
    async fn serve(self, over: Over, dir: &std::path::Path) -> PeerAddress {
        match over {
            Over::Unix => {
                let path = dir.join(format!("{:?}.sock", self.wrong));
                let listener = UnixListener::bind(&path).unwrap();
                tokio::spawn(async move {
                    while let Ok((stream, _)) = listener.accept().await {
                        tokio::spawn(self.clone().serve_on(stream));
                    }
                });
                PeerAddress::Socket(path)
            }
            Over::Tcp => {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let address = listener.local_addr().unwrap();
                tokio::spawn(async move {
                    while let Ok((stream, _)) = listener.accept().await {
                        tokio::spawn(self.clone().serve_on(stream));
                    }
                });
                address.to_string().parse().unwrap()
            }
        }
    }
}

/// That a bad parent alone is none, and that another one helps.
async fn does_not_trust(release: Release, over: Over) {
    let far = far(release).await;
    let dir = tempfile::tempdir().unwrap();
    let long = imported(&far, dir.path(), (4 << 20) + 1).await;
    let short = imported(&far, dir.path(), 1000).await;
    let honest = PeerClient::connect(far.host(0).unwrap().upload_endpoint()).await;
    for wrong in ALL {
        let (id, bytes) = match wrong.takes_long_content() {
            true => &long,
            false => &short,
        };
        // Others are not waited for.
        let timeout = Duration::from_secs(if wrong.hangs() { 1 } else { 3600 });
        let near = || near(release).parent_timeout(timeout);
        let bad = Bad {
            wrong,
            honest: honest.clone(),
            vanishes: Arc::default(),
        };
        let address = bad.serve(over, dir.path()).await;
        let alone = near().parent(address.clone()).start().await.unwrap();
        let client = Client::connect(alone.endpoint()).await;
        let out = dir.path().join(format!("{wrong:?}"));
        let exported = client.export(export_to(id, &out));
        let exported = tokio::time::timeout(HANGS, exported);
        let exported = exported.await.unwrap_or_else(|_| panic!("{wrong:?} hangs"));
        let text = match wrong.hides_the_task() {
            true => format!("persistent cache task {id} not found"),
            false => "no candidate parents found".to_owned(),
        };
        let said = exported.status.message();
        assert!(said.contains(&text), "{wrong:?}: {:?}", exported.status);
        assert!(!out.exists(), "{wrong:?}");
        assert!(client.stat_local(id).await.is_err(), "{wrong:?}");
        let builder = near().parent(address).parent(upload(&far, over));
        let helped = builder.start().await.unwrap();
        let client = Client::connect(helped.endpoint()).await;
        let exported = client.export(transfer(id)).await;
        let status = &exported.status;
        assert_eq!(status.code(), tonic::Code::Ok, "{wrong:?}: {status:?}");
        assert_eq!(exported.content(), *bytes, "{wrong:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn release_0_2_trusts_no_parent_on_a_unix_socket() {
    does_not_trust(Release::V0_2, Over::Unix).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn release_0_2_trusts_no_parent_on_tcp() {
    does_not_trust(Release::V0_2, Over::Tcp).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn release_1_5_trusts_no_parent_on_a_unix_socket() {
    does_not_trust(Release::V1_5, Over::Unix).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn release_1_5_trusts_no_parent_on_tcp() {
    does_not_trust(Release::V1_5, Over::Tcp).await;
}
