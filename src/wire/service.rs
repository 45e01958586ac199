//! The calls of a daemon's download service.

use bytes::Bytes;
use dfdaemon_api::common::v2::PersistentCacheTask;
use dfdaemon_api::dfdaemon::v2::{
    DownloadPersistentCacheTaskRequest, ListLocalPersistentCacheTasksRequest,
    StatLocalPersistentCacheTaskRequest, StatLocalPersistentCacheTaskResponse,
    StatPersistentCacheTaskRequest, UploadPersistentCacheTaskRequest,
};
use prost::Message;

use super::call::{Answer, call};
use super::connection::Connection;
use super::grpc::{Code, Status};
use super::list;
use crate::types::local_task::LocalTask;

/// The longest answer about one task that is taken, in bytes: paths and tags are far shorter. The daemon may be hostile.
pub(crate) const MAX_ANSWER_LENGTH: usize = 4 << 20;

/// The longest list that is taken, in bytes: of a million tasks.
const MAX_LIST_LENGTH: usize = 256 << 20;

/// The daemon at the other end of a connection.
#[derive(Debug)]
pub(crate) struct Service(pub(crate) Connection);

impl Service {
    pub(crate) async fn stat(
        &self,
        request: &StatPersistentCacheTaskRequest,
    ) -> Result<PersistentCacheTask, Status> {
        self.one("StatPersistentCacheTask", request.encode_to_vec())
            .await
    }

    pub(crate) async fn import(
        &self,
        request: &UploadPersistentCacheTaskRequest,
    ) -> Result<PersistentCacheTask, Status> {
        self.one("UploadPersistentCacheTask", request.encode_to_vec())
            .await
    }

    pub(crate) async fn stat_local(
        &self,
        request: &StatLocalPersistentCacheTaskRequest,
    ) -> Result<StatLocalPersistentCacheTaskResponse, Status> {
        self.one("StatLocalPersistentCacheTask", request.encode_to_vec())
            .await
    }

    pub(crate) async fn list(&self) -> Result<Vec<LocalTask>, Status> {
        let request = ListLocalPersistentCacheTasksRequest { remote_ip: None };
        let answer = self.call("ListLocalPersistentCacheTasks", request.encode_to_vec());
        answer.await?.message(MAX_LIST_LENGTH, list::decode).await
    }

    /// Asks for an export, which comes in many messages: a piece is one, and too long to be collected.
    pub(crate) async fn export(
        &self,
        request: &DownloadPersistentCacheTaskRequest,
    ) -> Result<Answer, Status> {
        self.call("DownloadPersistentCacheTask", request.encode_to_vec())
            .await
    }

    /// A call that is answered in one message.
    async fn one<M: Message + Default>(&self, name: &str, request: Vec<u8>) -> Result<M, Status> {
        let answer = self.call(name, request).await?;
        answer.message(MAX_ANSWER_LENGTH, decode).await
    }

    async fn call(&self, name: &str, request: Vec<u8>) -> Result<Answer, Status> {
        let method = format!("/dfdaemon.v2.DfdaemonDownload/{name}");
        call(&self.0, &method, &request).await
    }
}

fn decode<M: Message + Default>(message: Bytes) -> Result<M, Status> {
    M::decode(message).map_err(|why| Status::new(Code::Internal, why.to_string()))
}
