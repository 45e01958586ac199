//! A client for programs without an asynchronous runtime: the calls of the asynchronous [`Client`](crate::Client), each of which blocks.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let daemon = fake_dfdaemon::FakeDfdaemon::start_blocking()?;
//! # let socket = daemon.endpoint();
//! # let directory = tempfile::tempdir()?;
//! # let model = directory.path().join("model.bin");
//! # let copy = directory.path().join("copy.bin");
//! # std::fs::write(&model, "content")?;
//! use dfcache::blocking::Client;
//!
//! let client = Client::connect(socket)?;
//! let imported = client.import(&model)?;
//! client.export_to_path(&imported.task.task_id, &copy)?;
//! assert_eq!(std::fs::read(&copy)?, std::fs::read(&model)?);
//! # Ok(())
//! # }
//! ```

mod trees;

use std::future::Future;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll};
use std::thread::JoinHandle;

use tokio::io::AsyncWrite;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::export::{ExportRequest, Exported, Verified, mended};
use crate::import::{ImportRequest, Imported, TaskIdScheme};
use crate::types::endpoint::Endpoint;
use crate::types::error::{Error, ErrorKind, Result};
use crate::types::local_task::LocalTask;
use crate::types::options::{ReplicaCount, Timeout, ValueError};
use crate::types::task::Task;
use crate::types::task_id::TaskId;

pub use trees::diagnose;

/// A client whose calls block the thread that makes them. It has the methods of the asynchronous
/// [`Client`](crate::Client). Clones share a connection, and one thread that serves it.
///
/// Its calls panic within a runtime of tokio, which they would block.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let daemon = fake_dfdaemon::FakeDfdaemon::start_blocking()?;
/// use std::time::Duration;
///
/// use dfcache::ErrorKind;
/// use dfcache::blocking::Client;
///
/// let client = Client::connect(daemon.endpoint())?.with_timeout(Duration::from_secs(30));
/// let error = client.stat("3610204437").unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::NotFound);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    client: crate::Client,
    runtime: Arc<Runtime>,
}

impl Client {
    /// As the asynchronous [`connect`](crate::Client::connect).
    ///
    /// # Errors
    ///
    /// Those of that method, and [`ErrorKind::Failure`] if no thread can be started.
    pub fn connect<E>(endpoint: E) -> Result<Self>
    where
        E: TryInto<Endpoint>,
        ValueError: From<E::Error>,
    {
        let runtime = Runtime::start()?;
        let client = runtime.wait_for(crate::Client::connect(endpoint))?;
        Ok(Self {
            client,
            runtime: Arc::new(runtime),
        })
    }

    /// As the asynchronous [`lazy`](crate::Client::lazy).
    ///
    /// # Errors
    ///
    /// Those of that method, and [`ErrorKind::Failure`] if no thread can be started.
    pub fn lazy<E>(endpoint: E) -> Result<Self>
    where
        E: TryInto<Endpoint>,
        ValueError: From<E::Error>,
    {
        Ok(Self {
            client: crate::Client::lazy(endpoint)?,
            runtime: Arc::new(Runtime::start()?),
        })
    }

    /// As the asynchronous [`with_timeout`](crate::Client::with_timeout).
    #[must_use]
    pub fn with_timeout(self, timeout: impl Into<Timeout>) -> Self {
        Self {
            client: self.client.with_timeout(timeout),
            ..self
        }
    }

    /// As the asynchronous [`import`](crate::Client::import).
    ///
    /// # Errors
    ///
    /// Those of that method.
    pub fn import(&self, request: impl Into<ImportRequest>) -> Result<Imported> {
        self.runtime.wait_for(self.client.import(request))
    }

    /// As the asynchronous [`export_to_path`](crate::Client::export_to_path).
    ///
    /// # Errors
    ///
    /// Those of that method.
    pub fn export_to_path(
        &self,
        request: impl Into<ExportRequest>,
        path: impl Into<PathBuf>,
    ) -> Result<Exported> {
        let export = self.client.export_to_path(request, path);
        self.runtime.wait_for(export)
    }

    /// As the asynchronous [`export_to_writer`](crate::Client::export_to_writer). The writer is used on this thread; while it blocks, the
    /// request's timeout does not apply.
    ///
    /// # Errors
    ///
    /// Those of that method.
    pub fn export_to_writer(
        &self,
        request: impl Into<ExportRequest>,
        writer: impl Write + Unpin,
    ) -> Result<Exported> {
        let export = self.client.export_to_writer(request, OnThisThread(writer));
        self.runtime.wait_for(export)
    }

    /// As the asynchronous [`verify`](crate::Client::verify).
    ///
    /// # Errors
    ///
    /// Those of that method.
    pub fn verify<I>(&self, task_id: I, path: impl AsRef<Path>) -> Result<Verified>
    where
        I: TryInto<TaskId>,
        ValueError: From<I::Error>,
    {
        self.runtime.wait_for(self.client.verify(task_id, path))
    }

    /// As the asynchronous [`stat`](crate::Client::stat).
    ///
    /// # Errors
    ///
    /// Those of that method.
    pub fn stat<I>(&self, task_id: I) -> Result<Task>
    where
        I: TryInto<TaskId>,
        ValueError: From<I::Error>,
    {
        self.runtime.wait_for(self.client.stat(task_id))
    }

    /// As the asynchronous [`wait_for_replicas`](crate::Client::wait_for_replicas).
    ///
    /// # Errors
    ///
    /// Those of that method.
    pub fn wait_for_replicas<I, C>(&self, task_id: I, count: C) -> Result<Task>
    where
        I: TryInto<TaskId>,
        C: TryInto<ReplicaCount>,
        ValueError: From<I::Error> + From<C::Error>,
    {
        let wait = self.client.wait_for_replicas(task_id, count);
        self.runtime.wait_for(wait)
    }

    /// As the asynchronous [`list`](crate::Client::list).
    ///
    /// # Errors
    ///
    /// Those of that method.
    pub fn list(&self) -> Result<Vec<LocalTask>> {
        self.runtime.wait_for(self.client.list())
    }
}

/// As the asynchronous [`task_id`](crate::task_id).
///
/// ```
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("file");
/// # std::fs::write(&path, "content").unwrap();
/// let id = dfcache::blocking::task_id(&path, dfcache::TaskIdScheme::Crc32)?;
/// assert!(id.as_str().parse::<u32>().is_ok());
/// # Ok::<(), dfcache::Error>(())
/// ```
///
/// # Errors
///
/// Those of that method.
pub fn task_id(request: impl Into<ImportRequest>, scheme: TaskIdScheme) -> Result<TaskId> {
    let request = request.into();
    crate::import::id_of(request, scheme)
}

/// A runtime on a thread of its own, which goes on between calls: a connection answers the daemon's
/// pings meanwhile.
#[derive(Debug)]
struct Runtime {
    handle: Handle,
    /// Ends the thread.
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Runtime {
    fn start() -> Result<Self> {
        let cannot = |source: io::Error| {
            Error::new(ErrorKind::Failure, "cannot start a thread").because(source)
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(cannot)?;
        let handle = runtime.handle().clone();
        let (end, ended) = oneshot::channel::<()>();
        let (sender, running) = mpsc::channel();
        let serve = move || {
            runtime.block_on(async {
                let _ = sender.send(());
                let _ = ended.await;
                mended().await;
            });
            // Threads that hang in a system call are left behind.
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name("dfcache".to_owned());
        let thread = thread.spawn(serve).map_err(cannot)?;
        // Before, a call could take the runtime's place.
        let _ = running.recv();
        Ok(Self {
            handle,
            end: Some(end),
            thread: Some(thread),
        })
    }

    fn wait_for<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        self.handle.block_on(call)
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A writer that blocks the thread that polls it.
struct OnThisThread<W>(W);

impl<W: Write + Unpin> AsyncWrite for OnThisThread<W> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            match self.0.write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                written => return Poll::Ready(written),
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.flush())
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(context)
    }
}

#[cfg(test)]
mod tests {
    use fake_dfdaemon::{FakeDfdaemon, Fault, Rpc};

    use super::*;

    #[test]
    fn threads_share_a_client_and_a_writer_need_not_live_for_ever() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        std::fs::write(&file, "content").unwrap();
        let daemon = FakeDfdaemon::start_blocking().unwrap();
        let client = Client::connect(daemon.endpoint()).unwrap();
        let id = client.import(&file).unwrap().task.task_id;
        std::thread::scope(|scope| {
            for number in 0..4 {
                let (client, id, directory) = (client.clone(), &id, directory.path());
                scope.spawn(move || {
                    let mut content = Vec::new();
                    client.export_to_writer(id, &mut content).unwrap();
                    assert_eq!(content, b"content");
                    let copy = directory.join(number.to_string());
                    client.export_to_path(id, &copy).unwrap();
                    client.verify(id, &copy).unwrap();
                    client.wait_for_replicas(id, 1).unwrap();
                    assert_eq!(client.list().unwrap().len(), 1);
                });
            }
        });
    }

    #[test]
    fn a_call_ends_in_time_and_a_client_is_dropped_while_its_daemon_hangs() {
        let daemon = FakeDfdaemon::start_blocking().unwrap();
        let _stall = daemon.fault(Fault::on(Rpc::Stat).stall());
        let client = Client::lazy(daemon.endpoint()).unwrap();
        let client = client.with_timeout(std::time::Duration::from_millis(50));
        let error = client.stat("7").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
    }
}
