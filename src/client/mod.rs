//! The client of a daemon: typed calls over one connection.
//!
//! What an import or an export does around its call (checks, files, verification) lives in
//! `import` and `export`.

use dfdaemon_api::dfdaemon::v2::dfdaemon_download_client::DfdaemonDownloadClient;
use dfdaemon_api::dfdaemon::v2::{
    DownloadPersistentCacheTaskRequest, ListLocalPersistentCacheTasksRequest,
    StatPersistentCacheTaskRequest,
};
use tracing::info;

use crate::types::attempt::Attempt;
use crate::types::error::{Error, Result};
use crate::types::options::{Endpoint, TaskId};
use crate::types::task::{LocalTask, Task};
use crate::wire::status::{self, Operation};

use crate::wire::connection::{self, Connection};
use crate::wire::list::ListCodec;
use crate::wire::streaming_call::{self, Answer};

/// A call over a Unix socket needs one too.
const ORIGIN: &str = "http://localhost";

/// The longest answer about one task that is taken, in bytes: paths and tags are far shorter.
const MAX_ANSWER_LENGTH: usize = 4 << 20;

/// The longest list that is taken, in bytes: of a million tasks.
const MAX_LIST_LENGTH: usize = 256 << 20;

/// A connection to a dfdaemon. It is made once, and never again: when it is lost, calls fail with
/// [`crate::ErrorKind::Unavailable`]. Clones share it. A transfer of content has a connection of its
/// own, so that a reader which stalls stops no other call.
///
/// Calls run until they end or are dropped; bound them with `tokio::time::timeout`. Dropping a
/// call leaves nothing half-done on this side.
#[derive(Clone, Debug)]
pub struct Client {
    endpoint: Endpoint,
    connection: Connection,
    daemon_user: Option<u32>,
    may_block: bool,
}

impl Client {
    /// Connects to the daemon at `endpoint`.
    ///
    /// # Errors
    ///
    /// [`crate::ErrorKind::Unavailable`] if there is no socket, or nobody listens at it.
    pub async fn connect(endpoint: &Endpoint) -> Result<Self> {
        let (connection, daemon_user) = connection::connect(endpoint).await?;
        info!(%endpoint, "connected");
        Ok(Self {
            endpoint: endpoint.clone(),
            connection,
            daemon_user,
            may_block: false,
        })
    }

    /// The client of one transfer, with a connection of its own: a reader that stalls fills the window
    /// of its connection, and would stop every other call on it.
    pub(crate) async fn for_transfer(&self) -> Result<Self> {
        if self.may_block {
            // Its thread does nothing else.
            return Ok(self.clone());
        }
        Self::connect(&self.endpoint).await
    }

    /// The same for a thread that does nothing else: writes of files may block it.
    #[cfg(any(feature = "cli", test))]
    pub(crate) fn that_may_block(self) -> Self {
        Self {
            may_block: true,
            ..self
        }
    }

    pub(crate) fn may_block(&self) -> bool {
        self.may_block
    }

    /// The state of a task, as the scheduler sees it.
    ///
    /// # Errors
    ///
    /// [`crate::ErrorKind::NotFound`] if there is no such task, [`crate::ErrorKind::Integrity`] if
    /// the answer is about another one, and whatever a connection can do.
    pub async fn stat(&self, task_id: &TaskId) -> Result<Task> {
        let request = StatPersistentCacheTaskRequest {
            task_id: task_id.to_string(),
            remote_ip: None,
        };
        let response = self.service().stat_persistent_cache_task(request).await;
        let attempt = || Attempt::Stat(task_id.clone());
        let answer =
            response.map_err(|status| status::error(&status, Operation::Question, attempt()))?;
        let task = Task::from(answer.into_inner());
        // A message without fields is an answer too, about no task.
        if task.task_id != task_id.as_str() {
            let why = format!("dfdaemon answered about task {:?}", task.task_id);
            return Err(Error::integrity(why).within(attempt()));
        }
        Ok(task)
    }

    /// The tasks that the daemon's own host has.
    ///
    /// # Errors
    ///
    /// [`crate::ErrorKind::Refused`] from a daemon of release 0.2, which does not know the call,
    /// and whatever a connection can do.
    pub async fn list(&self) -> Result<Vec<LocalTask>> {
        let request = ListLocalPersistentCacheTasksRequest { remote_ip: None };
        self.listed(request)
            .await
            .map_err(|status| status::error(&status, Operation::Question, Attempt::List))
    }

    async fn listed(
        &self,
        request: ListLocalPersistentCacheTasksRequest,
    ) -> std::result::Result<Vec<LocalTask>, tonic::Status> {
        const METHOD: &str = "/dfdaemon.v2.DfdaemonDownload/ListLocalPersistentCacheTasks";
        let mut service = tonic::client::Grpc::with_origin(
            self.connection.clone(),
            http::Uri::from_static(ORIGIN),
        )
        .max_decoding_message_size(MAX_LIST_LENGTH);
        // The connection is always ready; the client demands to be asked.
        service.ready().await.map_err(tonic::Status::from_error)?;
        let method = http::uri::PathAndQuery::from_static(METHOD);
        let request = tonic::Request::new(request);
        let answer = service.unary(request, method, ListCodec).await?;
        Ok(answer.into_inner())
    }

    /// Asks for an export. The answer comes as raw messages: a piece is one message, which is too
    /// long to be collected as the generated client would do.
    pub(crate) async fn download(
        &self,
        request: &DownloadPersistentCacheTaskRequest,
    ) -> std::result::Result<Answer, tonic::Status> {
        const METHOD: &str = "/dfdaemon.v2.DfdaemonDownload/DownloadPersistentCacheTask";
        streaming_call::call(self.connection.clone(), METHOD, request).await
    }

    /// The generated client. What it takes of an answer is bounded: the daemon may be hostile.
    pub(crate) fn service(&self) -> DfdaemonDownloadClient<Connection> {
        let origin = http::Uri::from_static(ORIGIN);
        DfdaemonDownloadClient::with_origin(self.connection.clone(), origin)
            .max_decoding_message_size(MAX_ANSWER_LENGTH)
            .max_encoding_message_size(usize::MAX)
    }

    /// The user that the daemon runs as, if the system tells.
    pub(crate) fn daemon_user(&self) -> Option<u32> {
        self.daemon_user
    }
}

#[cfg(test)]
pub(crate) mod testing;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use dfdaemon_api::common::v2::PersistentCacheTask;
    use tonic::Status;

    use super::*;
    use crate::client::testing::{Answers, ScriptedDaemon};
    use crate::types::error::ErrorKind;

    #[tokio::test]
    async fn stat_and_list_show_what_the_daemon_answers() {
        let daemon = ScriptedDaemon::start(Answers {
            stat: Arc::new(|request| {
                if request.task_id != "7" {
                    let text = format!("persistent cache task {} not found", request.task_id);
                    return Err(Status::internal(format!(
                        "code: 'Some requested entity was not found', message: {text:?}"
                    )));
                }
                Ok(PersistentCacheTask {
                    id: "7".into(),
                    ..PersistentCacheTask::default()
                })
            }),
            ..Answers::default()
        });
        let client = daemon.client().await;
        let task = client.stat(&"7".parse().unwrap()).await.unwrap();
        assert_eq!(task.task_id, "7");
        assert_eq!(client.list().await.unwrap()[0].task_id, "7");
        let error = client.stat(&"8".parse().unwrap()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(error.causes(), ["persistent cache task 8 not found"]);
    }

    #[tokio::test]
    async fn errors_about_long_names_arrive() {
        let daemon = ScriptedDaemon::start(Answers {
            stat: Arc::new(|request| {
                let text = format!("persistent cache task {} not found", request.task_id);
                Err(Status::not_found(text))
            }),
            ..Answers::default()
        });
        let client = daemon.client().await;
        // As long as a path can be, in characters that travel as three.
        let task_id = "%".repeat(4096 * 2).parse().unwrap();
        let error = client.stat(&task_id).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn an_answer_about_another_task_or_none_is_no_answer() {
        for id in ["", "8", "7\n"] {
            let daemon = ScriptedDaemon::start(Answers {
                stat: Arc::new(move |_| {
                    let id = id.into();
                    Ok(PersistentCacheTask {
                        id,
                        ..PersistentCacheTask::default()
                    })
                }),
                ..Answers::default()
            });
            let client = daemon.client().await;
            let error = client.stat(&"7".parse().unwrap()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Integrity, "{id:?}");
        }
    }

    #[tokio::test]
    async fn an_answer_about_one_task_is_no_place_for_megabytes() {
        let task = |id: &str, tag_length| PersistentCacheTask {
            id: id.into(),
            tag: Some("x".repeat(tag_length)),
            ..PersistentCacheTask::default()
        };
        let daemon = ScriptedDaemon::start(Answers {
            stat: Arc::new(move |request| {
                let fits = request.task_id == "7";
                let tag_length = if fits { 1 << 20 } else { MAX_ANSWER_LENGTH };
                Ok(task(&request.task_id, tag_length))
            }),
            ..Answers::default()
        });
        let client = daemon.client().await;
        client.stat(&"7".parse().unwrap()).await.unwrap();
        let error = client.stat(&"8".parse().unwrap()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Integrity, "{error:?}");
    }

    #[tokio::test]
    async fn whatever_is_not_a_listening_socket_is_unavailable_by_name() {
        let directory = tempfile::tempdir().unwrap();
        let stale = directory.path().join("stale.sock");
        drop(std::os::unix::net::UnixListener::bind(&stale).unwrap());
        let file = directory.path().join("file");
        std::fs::write(&file, "").unwrap();
        let missing = directory.path().join("missing");
        for (path, hint) in [
            (&stale, "nobody listens"),
            (&file, "not a socket"),
            (&missing, "no socket is there"),
            (&directory.path().to_owned(), "not a socket"),
        ] {
            let endpoint = Endpoint::new(path).unwrap();
            let error = Client::connect(&endpoint).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unavailable);
            assert!(error.to_string().contains(&endpoint.to_string()));
            let advice = error.remedy().unwrap().to_string();
            assert!(advice.contains(hint), "{advice}");
        }
    }
}
