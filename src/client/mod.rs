//! The client of a daemon: typed calls over a connection that is made anew when it is lost.
//!
//! What an import or an export does around its call (checks, files, verification) lives in
//! `import` and `export`.

pub(crate) mod doctor;
pub(crate) mod retry;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use dfdaemon_api::dfdaemon::v2::{
    DownloadPersistentCacheTaskRequest, StatPersistentCacheTaskRequest,
};
use tokio::sync::Mutex;
use tracing::info;

use crate::content::thread::{finished, on_thread};
use crate::types::attempt::{Attempt, ReplicasSeen};
use crate::types::error::{Error, ErrorKind, Result};
use crate::types::local_task::LocalTask;
use crate::types::options::{Endpoint, ReplicaCount, TaskId, Timeout, ValueError};
use crate::types::task::Task;
use crate::types::task_state::TaskState;
use crate::wire::call::Answer;
use crate::wire::connection::{self, Connection};
use crate::wire::service::Service;
use crate::wire::status::{self, Operation};

/// Nothing tells us of new replicas; the pauses grow, since replicas of large files take long.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A client of a dfdaemon.
///
/// Clones share one connection. When it is lost, the calls that are under way fail with
/// [`ErrorKind::Unavailable`], and the next call makes a new one. A transfer of content has a
/// connection of its own, so that a reader which stalls stops no other call.
///
/// A call ends within the timeout of its request, or of [`Client::with_timeout`], or runs until it
/// ends or is dropped. Dropping a call leaves nothing half-done on this side. Calls run within a
/// tokio runtime that has I/O and time enabled; [`blocking`](crate::blocking) needs none.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let daemon = fake_dfdaemon::FakeDfdaemon::builder().start().await?;
/// # let directory = tempfile::tempdir()?;
/// # let model = directory.path().join("model.bin");
/// # std::fs::write(&model, "content")?;
/// use std::time::Duration;
///
/// use dfcache::{Client, TaskState};
///
/// let client = Client::connect(daemon.endpoint()).await?;
/// let client = client.with_timeout(Duration::from_secs(30));
/// let imported = client.import(&model).await?;
/// let task = client.stat(&imported.task.task_id).await?;
/// assert_eq!(task.state, TaskState::Succeeded);
/// # daemon.stop().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    link: Arc<Link>,
    timeout: Option<Timeout>,
    writes_inline: bool,
    /// Whether only one transfer at a time uses the connection.
    has_own_connection: bool,
}

/// What clones of a client share.
#[derive(Debug)]
struct Link {
    endpoint: Endpoint,
    /// None before the first call.
    made: Mutex<Option<Made>>,
}

/// A connection that was made, and the user that the daemon runs as, if the system tells.
#[derive(Clone, Debug)]
struct Made {
    connection: Connection,
    daemon_user: Option<u32>,
}

impl Client {
    /// Connects to the daemon at `endpoint`: an [`Endpoint`], or the path of a socket.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unavailable`] if there is no socket, or nobody listens at it;
    /// [`ErrorKind::Usage`] if the path cannot be that of a socket.
    pub async fn connect<E>(endpoint: E) -> Result<Self>
    where
        E: TryInto<Endpoint>,
        ValueError: From<E::Error>,
    {
        let client = Self::lazy(endpoint)?;
        client.made().await?;
        Ok(client)
    }

    /// A client that connects when it is first used.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Usage`] if the path cannot be that of a socket.
    pub fn lazy<E>(endpoint: E) -> Result<Self>
    where
        E: TryInto<Endpoint>,
        ValueError: From<E::Error>,
    {
        let endpoint = endpoint.try_into().map_err(ValueError::from)?;
        Ok(Self::new(endpoint))
    }

    fn new(endpoint: Endpoint) -> Self {
        let made = Mutex::default();
        Self {
            link: Arc::new(Link { endpoint, made }),
            timeout: None,
            writes_inline: false,
            has_own_connection: false,
        }
    }

    /// The same client, whose calls end within `timeout` unless their requests have one of their own.
    #[must_use]
    pub fn with_timeout(self, timeout: impl Into<Timeout>) -> Self {
        Self {
            timeout: Some(timeout.into()),
            ..self
        }
    }

    /// The connection, made anew if it is lost.
    async fn made(&self) -> Result<Made> {
        let mut made = self.link.made.lock().await;
        if let Some(made) = made.as_ref().filter(|made| !made.connection.is_closed()) {
            return Ok(made.clone());
        }
        let endpoint = &self.link.endpoint;
        let (connection, daemon_user) = connection::connect(endpoint).await?;
        info!(%endpoint, "connected");
        let new = Made {
            connection,
            daemon_user,
        };
        Ok(made.insert(new).clone())
    }

    /// Waits for the end of a call, at most as long as its request says, or else this client.
    pub(crate) async fn bounded<T>(
        &self,
        timeout: Option<Timeout>,
        attempt: Attempt,
        call: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let Some(timeout) = timeout.or(self.timeout) else {
            return call.await;
        };
        tokio::time::timeout(timeout.duration(), call)
            .await
            .unwrap_or_else(|_| Err(Error::timed_out(attempt, timeout)))
    }

    /// The client of one transfer, with a connection of its own: a reader that stalls fills the window
    /// of its connection, and would stop every other call on it.
    pub(crate) async fn for_transfer(&self) -> Result<Self> {
        if self.writes_inline || self.has_own_connection {
            // Nothing else is on it.
            return Ok(self.clone());
        }
        Self::connect(&self.link.endpoint).await
    }

    /// The client of transfers that follow one another, with a connection of their own.
    pub(crate) async fn for_transfers(&self) -> Result<Self> {
        let client = Self::connect(&self.link.endpoint).await?;
        Ok(Self {
            has_own_connection: true,
            ..client
        })
    }

    /// A client for a thread that does nothing else: it writes files itself, which may block it.
    #[cfg(any(feature = "cli", test))]
    pub(crate) fn writing_inline(self) -> Self {
        Self {
            writes_inline: true,
            ..self
        }
    }

    pub(crate) fn writes_inline(&self) -> bool {
        self.writes_inline
    }

    /// Does work that may block: here if this thread does nothing else, or on a thread of its own.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        if self.writes_inline {
            return work();
        }
        finished(on_thread(name, work)?).await
    }

    /// The state of a task, as the scheduler sees it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if there is no such task, [`ErrorKind::Integrity`] if the
    /// answer is about another one, and the errors of the connection.
    pub async fn stat<I>(&self, task_id: I) -> Result<Task>
    where
        I: TryInto<TaskId>,
        ValueError: From<I::Error>,
    {
        let task_id = task_id.try_into().map_err(ValueError::from)?;
        let attempt = Attempt::Stat(task_id.clone());
        self.bounded(None, attempt, self.state_of(&task_id)).await
    }

    async fn state_of(&self, task_id: &TaskId) -> Result<Task> {
        let request = StatPersistentCacheTaskRequest {
            task_id: task_id.to_string(),
            remote_ip: None,
        };
        let attempt = || Attempt::Stat(task_id.clone());
        let service = self.service().await;
        let service = service.map_err(|error| error.within(attempt()))?;
        let answer = service.stat(&request).await;
        let answer =
            answer.map_err(|status| status::error(&status, Operation::Query, attempt()))?;
        let task = Task::from(answer);
        // A message without fields is an answer too, about no task.
        if task.task_id != *task_id {
            let why = format!("dfdaemon answered about task {:?}", task.task_id.as_str());
            return Err(Error::integrity(why).within(attempt()));
        }
        Ok(task)
    }

    /// Waits until a task has `count` persistent replicas, and returns its state then.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Failure`] if the task's import failed, and those of [`Client::stat`].
    pub async fn wait_for_replicas<I, C>(&self, task_id: I, count: C) -> Result<Task>
    where
        I: TryInto<TaskId>,
        C: TryInto<ReplicaCount>,
        ValueError: From<I::Error> + From<C::Error>,
    {
        let task_id = task_id.try_into().map_err(ValueError::from)?;
        let count = count.try_into().map_err(ValueError::from)?;
        let seen = ReplicasSeen::default();
        self.wait_for_replicas_noting(&task_id, count, seen).await
    }

    /// The same; `seen` gets the number of replicas from each answer.
    pub(crate) async fn wait_for_replicas_noting(
        &self,
        task_id: &TaskId,
        count: ReplicaCount,
        seen: ReplicasSeen,
    ) -> Result<Task> {
        let attempt = Attempt::WaitForReplicas(task_id.clone(), count.get(), seen.clone());
        let wait = async {
            let mut pause = FIRST_PAUSE;
            loop {
                let task = self.state_of(task_id).await?;
                seen.note(task.current_persistent_replica_count);
                if task.current_persistent_replica_count >= count.get() {
                    return Ok(task);
                }
                if task.state == TaskState::Failed {
                    let message = format!("task {task_id} will get no replicas");
                    return Err(
                        Error::new(ErrorKind::Failure, message).because("its import failed")
                    );
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        };
        self.bounded(None, attempt, wait).await
    }

    /// The tasks that the daemon's own host has.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Refused`] from a daemon of release 0.2, which does not know the call, and
    /// the errors of the connection.
    pub async fn list(&self) -> Result<Vec<LocalTask>> {
        let list = async {
            let service = self.service().await;
            let service = service.map_err(|error| error.within(Attempt::List))?;
            let listed = service.list().await;
            listed.map_err(|status| status::error(&status, Operation::Query, Attempt::List))
        };
        self.bounded(None, Attempt::List, list).await
    }

    /// Asks for an export.
    pub(crate) async fn download(
        &self,
        request: &DownloadPersistentCacheTaskRequest,
        operation: Operation,
    ) -> Result<Answer> {
        let answer = self.service().await?.export(request).await;
        answer.map_err(|status| status::cause(&status, operation))
    }

    pub(crate) async fn service(&self) -> Result<Service> {
        Ok(Service(self.made().await?.connection))
    }

    /// The user that the daemon runs as, if the system tells.
    pub(crate) async fn daemon_user(&self) -> Result<Option<u32>> {
        Ok(self.made().await?.daemon_user)
    }
}

#[cfg(test)]
pub(crate) mod testing;

#[cfg(test)]
mod tests;
