//! The daemon's own copy of a task, which an export leaves as it was.
//!
//! A dfdaemon of release 1.5 sets the `persistent` flag of its copy to that of the last export, and
//! gives the copy to no other host after an export with content whose client went away. So the flag
//! is asked for first, and an export with content that does not end well is followed by one that
//! asks for neither content nor an output, which mends the copy.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dfdaemon_api::dfdaemon::v2::{
    DownloadPersistentCacheTaskRequest, StatLocalPersistentCacheTaskRequest,
};
use tokio::sync::Notify;
use tokio::time::timeout;
use tracing::{info, warn};

use super::ExportRequest;
use crate::client::Client;
use crate::types::error::Result;
use crate::wire::status::{self, Operation};

/// How long the daemon may take to tell of its copy. An export does not depend on it.
const TELLS_WITHIN: Duration = Duration::from_secs(5);

/// How long the daemon may take to mend its copy.
const MENDS_WITHIN: Duration = Duration::from_secs(1);

/// What the daemon has of a task before an export. A daemon that does not tell has nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LocalCopy {
    pub(super) persistent: bool,
    is_complete: bool,
}

impl LocalCopy {
    pub(super) async fn ask(client: &Client, request: &ExportRequest) -> Self {
        let asked = StatLocalPersistentCacheTaskRequest {
            task_id: request.task_id.to_string(),
            remote_ip: None,
        };
        let answer = async {
            let mut service = client.service().await.ok()?;
            let answer = service.stat_local_persistent_cache_task(asked).await;
            answer.ok().map(tonic::Response::into_inner)
        };
        match timeout(TELLS_WITHIN, answer).await {
            Ok(Some(copy)) => Self {
                persistent: copy.persistent,
                is_complete: copy.finished_at.is_some(),
            },
            // Release 0.2 does not know the call. Anything else the export itself will meet.
            _ => Self::default(),
        }
    }
}

/// Mends the daemon's copy when it is dropped before the export with content has ended well. It keeps
/// the connection of the export open meanwhile.
#[derive(Debug)]
#[must_use]
pub(super) struct Mender {
    client: Client,
    /// None if there is nothing to mend.
    wire: Option<DownloadPersistentCacheTaskRequest>,
}

impl Mender {
    pub(super) fn new(client: &Client, request: &ExportRequest, copy: LocalCopy) -> Self {
        let wire = || request.wire(copy.persistent);
        Self {
            client: client.clone(),
            wire: copy.is_complete.then(wire),
        }
    }

    /// The export has ended well: there is nothing to mend.
    pub(super) fn disarm(mut self) {
        self.wire = None;
    }
}

impl Drop for Mender {
    fn drop(&mut self) {
        let Some(wire) = self.wire.take() else {
            return;
        };
        let client = self.client.clone();
        // On the same connection: the daemon hears of the end of the export before this.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let running = Running::begin();
        runtime.spawn(async move {
            let _running = running;
            match timeout(MENDS_WITHIN, mend(client, wire)).await {
                Ok(Ok(())) => info!("the daemon's copy was asked for again"),
                failed => warn!(?failed, "the daemon's copy may serve no other host"),
            }
        });
    }
}

async fn mend(client: Client, wire: DownloadPersistentCacheTaskRequest) -> Result<()> {
    let operation = Operation::ExportByTransfer;
    let mut answer = client.download(&wire, operation).await?;
    let next = |status| status::cause(&status, operation);
    while answer.next().await.map_err(next)?.is_some() {}
    Ok(())
}

static RUNNING: AtomicUsize = AtomicUsize::new(0);
static ENDED: Notify = Notify::const_new();

/// A mending that is under way.
struct Running;

impl Running {
    fn begin() -> Self {
        RUNNING.fetch_add(1, Ordering::SeqCst);
        Self
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        RUNNING.fetch_sub(1, Ordering::SeqCst);
        ENDED.notify_waiters();
    }
}

/// Waits until nothing is being mended: a process must not end before, nor its runtime. Each mending
/// ends by itself after a second.
pub(crate) async fn mended() {
    loop {
        let ended = ENDED.notified();
        if RUNNING.load(Ordering::SeqCst) == 0 {
            return;
        }
        ended.await;
    }
}
