//! The daemon's own replica of a task, which an export leaves as it was.
//!
//! A dfdaemon of release 1.5 sets the `persistent` flag of its replica to that of the last export, and
//! gives the replica to no other host after an export with content whose client went away. So the flag
//! is asked for first, and an export with content that does not end well is followed by one that
//! asks for neither content nor an output, which mends the replica.

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

/// How long the daemon may take to report its replica. An export does not depend on it.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// How long the daemon may take to mend its replica.
const MENDS_WITHIN: Duration = Duration::from_secs(1);

/// What the daemon has of a task before an export. Of a daemon that does not say, nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LocalReplica {
    pub(super) persistent: bool,
    is_complete: bool,
}

impl LocalReplica {
    pub(super) async fn ask(client: &Client, request: &ExportRequest) -> Self {
        let asked = StatLocalPersistentCacheTaskRequest {
            task_id: request.task_id.to_string(),
            remote_ip: None,
        };
        let answer = async {
            let service = client.service().await.ok()?;
            service.stat_local(&asked).await.ok()
        };
        match timeout(ANSWERS_WITHIN, answer).await {
            Ok(Some(replica)) => Self {
                persistent: replica.persistent,
                is_complete: replica.finished_at.is_some(),
            },
            // Release 0.2 does not know the call. Anything else the export itself will meet.
            _ => Self::default(),
        }
    }
}

/// Mends the daemon's replica when it is dropped before the export with content has ended well. It keeps
/// the connection of the export open meanwhile.
#[derive(Debug)]
#[must_use]
pub(super) struct Mender {
    client: Client,
    /// None if there is nothing to mend.
    wire: Option<DownloadPersistentCacheTaskRequest>,
}

impl Mender {
    pub(super) fn new(client: &Client, request: &ExportRequest, replica: LocalReplica) -> Self {
        let wire = || request.wire(replica.persistent);
        Self {
            client: client.clone(),
            wire: replica.is_complete.then(wire),
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
        // On the same connection: the daemon learns of the end of the export before this.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let running = Running::begin();
        runtime.spawn(async move {
            let _running = running;
            match timeout(MENDS_WITHIN, mend(client, wire)).await {
                Ok(Ok(())) => info!("the daemon's replica was asked for again"),
                failed => warn!(?failed, "the daemon's replica may serve no other host"),
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
