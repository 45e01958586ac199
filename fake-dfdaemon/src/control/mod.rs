//! The control API: HTTP and JSON on a Unix socket, and on a TCP address if that is asked for.
//!
//! [`routes`] lists what there is; the OpenAPI document is made from the same list.

mod answer;
mod api;
mod browser_guard;
mod connections;
mod events;
mod handlers;
mod journal;
mod metrics;
mod openapi;
mod page;
mod parts;
mod route;
mod routes;
mod settings;
mod tasks;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::middleware;
use tokio::net::TcpListener;

pub(crate) use self::api::Proxied;
use self::api::{Api, Subject};
use self::browser_guard::{LoopbackOnly, guard};
use self::connections::Connections;
use crate::call::CallContext;
use crate::grpc::accepting::asynchronous;
use crate::grpc::connection_limit::{ConnectionLimit, descriptors};
use crate::grpc::socket::{SocketFile, listen_at};
use crate::instance::Instance;
use crate::instance::error::StartError;

/// How long running requests may take when the daemon stops.
const GRACE: Duration = Duration::from_millis(500);

/// The control API of a running fake. Dropped, it ends.
#[derive(Debug)]
pub(crate) struct ControlServer {
    path: PathBuf,
    tcp: Option<SocketAddr>,
    connections: Connections,
    /// Until it is removed.
    file: Option<SocketFile>,
}

impl ControlServer {
    /// Of a fake.
    pub(crate) async fn start(
        instance: &Arc<Instance>,
        path: PathBuf,
        tcp: Option<SocketAddr>,
        mode: u32,
    ) -> Result<Self, StartError> {
        let state = instance.cluster.state_dir().path();
        let (api, calls) = (Subject::Fake(Arc::downgrade(instance)), &instance.calls);
        let server = Self::serve(Api(api), calls, state, (path, tcp, mode)).await?;
        if let Some(address) = server.tcp {
            let _ = instance.control_tcp.set(address);
        }
        Ok(server)
    }

    /// Of a proxy whose own files are in `state`.
    pub(crate) async fn start_of_proxy(
        proxy: &Arc<Proxied>,
        state: &Path,
        (path, tcp, mode): (PathBuf, Option<SocketAddr>, u32),
    ) -> Result<Self, StartError> {
        let api = Api(Subject::Proxy(Arc::clone(proxy)));
        let server = Self::serve(api, &proxy.calls, state, (path, tcp, mode)).await?;
        if let Some(address) = server.tcp {
            let _ = proxy.control_tcp.set(address);
        }
        Ok(server)
    }

    async fn serve(
        api: Api,
        calls: &CallContext,
        state: &Path,
        (path, tcp, mode): (PathBuf, Option<SocketAddr>, u32),
    ) -> Result<Self, StartError> {
        let other = |error: std::io::Error| StartError::Other(error.into());
        let path = std::path::absolute(path).map_err(other)?;
        let router = routes::router(api.is_proxy()).with_state(api);
        let connections = Connections::new(ConnectionLimit::of_control(descriptors()));
        let ends = connections.graceful.clone();
        let telling = events::tell_of_changes(calls, ends);
        connections.running.spawn(telling);
        let (listener, file) = listen_at(&path, mode, state).await?;
        let listener = asynchronous(listener).map_err(other)?;
        connections.serve(listener, router.clone());
        let mut bound = None;
        if let Some(address) = tcp {
            let failed = |source| StartError::ControlTcp { address, source };
            let listener = TcpListener::bind(address).await.map_err(failed)?;
            let address = listener.local_addr().map_err(failed)?;
            bound = Some(address);
            let loopback = LoopbackOnly(address.ip().is_loopback());
            let router = router.layer(middleware::from_fn_with_state(loopback, guard));
            connections.serve(listener, router);
        }
        Ok(Self {
            path,
            tcp: bound,
            connections,
            file: Some(file),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn tcp(&self) -> Option<SocketAddr> {
        self.tcp
    }

    /// Ends at once.
    pub(crate) async fn break_up(mut self) {
        self.remove_name().await;
    }

    async fn remove_name(&mut self) {
        if let Some(file) = self.file.take() {
            file.remove().await;
        }
    }

    pub(crate) async fn stop(mut self) {
        self.remove_name().await;
        self.connections.stop(GRACE).await;
    }
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        self.connections.graceful.cancel();
        self.connections.abrupt.cancel();
    }
}
