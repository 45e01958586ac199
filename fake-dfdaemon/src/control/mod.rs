//! The control API: HTTP and JSON on a Unix socket, and on a TCP address if that is asked for.
//!
//! [`routes`] lists what there is; the OpenAPI document is made from the same list.

mod answer;
mod handlers;
mod openapi;
mod pages;
mod parts;
mod routes;

use std::future::IntoFuture;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use axum::{Router, middleware};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::answer::ApiError;
use self::pages::{LoopbackOnly, refuse_pages};
use crate::builder::StartError;
use crate::daemon::World;
use crate::server::asynchronous;
use crate::socket::{SocketFile, listen_at};

/// How long running requests may take when the daemon stops.
const GRACE: Duration = Duration::from_millis(500);

/// The control API of a running fake. Dropped, it ends.
#[derive(Debug)]
pub(crate) struct ControlServer {
    path: PathBuf,
    tcp: Option<SocketAddr>,
    stopping: CancellationToken,
    serving: Vec<JoinHandle<()>>,
    _file: SocketFile,
}

/// What the handlers act on. The API alone does not keep a fake alive.
#[derive(Clone, Debug)]
struct Api(Weak<World>);

impl Api {
    fn world(&self) -> Result<Arc<World>, ApiError> {
        self.0
            .upgrade()
            .ok_or_else(|| ApiError::conflict("the daemon is stopping"))
    }
}

impl ControlServer {
    pub(crate) async fn start(
        world: &Arc<World>,
        path: PathBuf,
        tcp: Option<SocketAddr>,
        mode: u32,
    ) -> Result<Self, StartError> {
        let other = |error: std::io::Error| StartError::Other(error.into());
        let path = std::path::absolute(path).map_err(other)?;
        let router = routes::router().with_state(Api(Arc::downgrade(world)));
        let stopping = CancellationToken::new();
        let (listener, file) = listen_at(&path, mode)?;
        let listener = asynchronous(listener).map_err(other)?;
        let mut serving = vec![serve(listener, router.clone(), stopping.clone())];
        let mut bound = None;
        if let Some(address) = tcp {
            let failed = |source| StartError::ControlTcp { address, source };
            let listener = TcpListener::bind(address).await.map_err(failed)?;
            let address = listener.local_addr().map_err(failed)?;
            bound = Some(address);
            let loopback = LoopbackOnly(address.ip().is_loopback());
            let router = router.layer(middleware::from_fn_with_state(loopback, refuse_pages));
            serving.push(serve(listener, router, stopping.clone()));
        }
        Ok(Self {
            path,
            tcp: bound,
            stopping,
            serving,
            _file: file,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn tcp(&self) -> Option<SocketAddr> {
        self.tcp
    }

    pub(crate) async fn stop(mut self) {
        self.stopping.cancel();
        for mut serving in std::mem::take(&mut self.serving) {
            if tokio::time::timeout(GRACE, &mut serving).await.is_err() {
                serving.abort();
            }
        }
    }
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        self.stopping.cancel();
        for serving in &self.serving {
            serving.abort();
        }
    }
}

fn serve<L>(listener: L, router: Router, stopping: CancellationToken) -> JoinHandle<()>
where
    L: axum::serve::Listener,
    L::Addr: std::fmt::Debug,
{
    tokio::spawn(async move {
        let served = axum::serve(listener, router)
            .with_graceful_shutdown(stopping.cancelled_owned())
            .into_future()
            .await;
        if let Err(error) = served {
            tracing::warn!(%error, "the control API ended");
        }
    })
}
