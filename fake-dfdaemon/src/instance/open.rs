//! The opening of an instance: its state directory, its journal, its cluster, its hosts.

use std::io;
use std::panic::resume_unwind;
use std::sync::{Arc, OnceLock};
use std::thread;

use tokio::runtime::Handle;

use super::Instance;
use super::error::StartError;
use super::host_server::HostServer;
use super::host_tcp::Tcp;
use super::settings::Settings;
use super::snapshot;
use crate::call::CallContext;
use crate::call::clock::Clock;
use crate::call::events::Events;
use crate::call::faults::registry::Faults;
use crate::call::gate::Gate;
use crate::call::journal::{Claimed, Journal};
use crate::call::random::any_seed;
use crate::call::rate::RateLimit;
use crate::cluster::Cluster;
use crate::dfdaemon::HostNumber;
use crate::dfdaemon::release::Release;
use crate::dfdaemon::request_limit::RequestLimit;
use crate::grpc::Admission;
use crate::grpc::connection_limit::ConnectionLimit;
use crate::grpc::socket::SocketError;
use crate::store::state_dir::StateDir;
use crate::store::{Disk, layout};

impl Instance {
    /// Opens the state. Nothing accepts yet, and no job is at work.
    pub(crate) async fn open(settings: Settings) -> Result<Arc<Self>, StartError> {
        settings.check()?;
        let opened = {
            let settings = settings.clone();
            tokio::task::spawn_blocking(move || open_cluster(settings)).await
        };
        let (cluster, calls) = opened.map_err(|error| StartError::Other(error.into()))??;
        Ok(Arc::new(Self {
            started_at: calls.clock.now(),
            hosts: host_servers(&settings, &cluster, &calls)?,
            calls,
            cluster,
            snapshots: tokio::sync::Mutex::default(),
            settings,
            control_tcp: OnceLock::new(),
            runtime: Handle::current(),
        }))
    }
}

fn host_servers(
    settings: &Settings,
    cluster: &Arc<Cluster>,
    calls: &Arc<CallContext>,
) -> Result<Vec<Arc<HostServer>>, StartError> {
    let mut servers = Vec::new();
    let limit = ConnectionLimit::of_process();
    for number in HostNumber::all(settings.cluster.hosts) {
        let endpoint = match settings
            .socket
            .clone()
            .filter(|_| number == HostNumber::FIRST)
        {
            Some(path) => {
                std::path::absolute(&path).map_err(|source| SocketError::Bind { path, source })?
            }
            None => layout::host_socket(cluster.state_dir().path(), number),
        };
        let admission = Admission {
            is_blocking: true,
            requests: RequestLimit::default(),
            rate: RateLimit::new(settings.max_rate),
            rate_of_peers: RateLimit::new(settings.max_rate),
        };
        let mode = settings.socket_mode;
        let tcp = tcp_of(settings, number)?;
        let limit = limit.clone();
        let server = HostServer::new(
            (cluster, calls),
            number,
            admission,
            limit,
            endpoint,
            mode,
            tcp,
        );
        servers.push(Arc::new(server));
    }
    Ok(servers)
}

/// The TCP ports of a host, if it is to have any.
fn tcp_of(settings: &Settings, number: HostNumber) -> Result<Tcp, StartError> {
    let Some(address) = settings.tcp else {
        return Ok(Tcp::default());
    };
    let has_packets = settings.cluster.release == Release::V1_5;
    let ports = Tcp::of_host(address, number, has_packets);
    ports.ok_or_else(|| {
        let hosts = settings.cluster.hosts;
        StartError::Setting(format!(
            "there are not enough ports from {address} on for {hosts} hosts"
        ))
    })
}

type Opened = (Arc<Cluster>, Arc<CallContext>);

/// Blocks on the disk.
fn open_cluster(settings: Settings) -> Result<Opened, StartError> {
    let (release, hosts) = (settings.cluster.release, settings.cluster.hosts);
    let disk = Disk::new(settings.fsync).with_failures(settings.failures);
    let state_dir = match &settings.state_dir {
        Some(path) => StateDir::open(&disk, path, release, hosts)?,
        None => StateDir::temporary(&disk, release, hosts)?,
    };
    let path = settings
        .journal
        .unwrap_or_else(|| layout::journal(state_dir.path()));
    if state_dir.keeps(&path) {
        let source = io::Error::other("the state directory keeps another of its files there");
        return Err(StartError::Journal { path, source });
    }
    let unusable = |source| StartError::Journal {
        path: path.clone(),
        source,
    };
    let journal = Journal::claim(&path, settings.journal_limit).map_err(unusable)?;
    let seed = settings.fault_seed.unwrap_or_else(any_seed);
    let faults = Faults::starting_with(seed, settings.faults, hosts)?;
    let (clock, events, gate) = (
        Clock::new(settings.clock),
        Events::default(),
        Gate::default(),
    );
    let shared = (clock.clone(), events.clone(), gate.clone());
    let state_path = state_dir.path().to_owned();
    let (journal, opened) = read_beside(journal, || {
        snapshot::recover(&disk, &state_path, hosts)?;
        Cluster::open(settings.cluster, shared, disk, state_dir)
    });
    let calls = CallContext {
        faults: Arc::new(faults),
        journal: Arc::new(journal.map_err(unusable)?),
        clock,
        gate,
        waits: crate::call::Waits::default(),
        ahead: crate::call::Ahead::default(),
        events,
        counters: Arc::default(),
        release,
    };
    let cluster = opened.map_err(|source| StartError::State {
        path: state_path,
        source,
    })?;
    Ok((cluster, Arc::new(calls)))
}

/// Reads a journal while other work is done, if it is a long one.
fn read_beside<T>(journal: Claimed, work: impl FnOnce() -> T) -> (io::Result<Journal>, T) {
    if !journal.is_long() {
        return (journal.read(), work());
    }
    thread::scope(|scope| {
        let reading = thread::Builder::new().spawn_scoped(scope, || journal.read());
        let done = work();
        let read =
            reading.and_then(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
        (read, done)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_journal_is_read_while_other_work_is_done() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.jsonl");
        let line = format!("{{\"call\":5,\"more\":\"{}\"}}\n", "x".repeat(10 << 10));
        for (lines, is_long) in [(1, false), (120, true)] {
            std::fs::write(&path, line.repeat(lines)).unwrap();
            let journal = Journal::claim(&path, 10).unwrap();
            assert_eq!(journal.is_long(), is_long);
            let here = thread::current().id();
            let (journal, worked) = read_beside(journal, || thread::current().id());
            assert_eq!((journal.unwrap().number(), worked), (6, here));
        }
    }
}
