//! The commands that stand between a client and a dfdaemon, from the command line to their end.

mod error;
mod options;

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use rustix::process::Signal;
use serde_json::{Value, json};

pub(crate) use self::error::ProxyError;
pub(crate) use self::options::ProxyCommand;
use self::options::{Diff, Format, Listen, Looked, Proxy, Record, Replay};
use super::child::{prepare, wait_for};
use super::log;
use super::ready_file::ReadyFile;
use super::signals::{SIGNALLED, Signals};
use crate::dfdaemon::release::Release;
use crate::grpc::listener::asynchronous;
use crate::grpc::socket::{SocketFile, listen_at};
use crate::proxy::{
    CassetteRecorder, ProxiedCalls, ProxyServer, ReplayClients, Replayer, Serve, Upstream, diff,
};
use crate::store::Disk;
use crate::store::state_dir::StateDir;

/// The socket's name in a temporary directory.
const SOCKET: &str = "proxy.sock";

/// What stands for the host in the journal: what answers.
const UPSTREAM: &str = "upstream";
const CASSETTE: &str = "cassette";

/// Does what a command line says.
pub(crate) async fn execute(command: &ProxyCommand) -> Result<ExitCode, ProxyError> {
    match command {
        ProxyCommand::Proxy(Proxy {
            upstream,
            calls,
            listen,
        }) => proxy(upstream, listen, calls, &[]).await,
        ProxyCommand::Record(options) => record(options).await,
        ProxyCommand::Replay(options) => replay(options).await,
        ProxyCommand::Diff(options) => differences(options).await,
    }
}

async fn proxy(
    upstream: &Path,
    listen: &Listen,
    looked: &Looked,
    command: &[OsString],
) -> Result<ExitCode, ProxyError> {
    // Before anything is made that a signal would leave behind.
    let mut signals = Signals::listen()?;
    let upstream = std::path::absolute(upstream)?;
    let place = Place::make(listen, looked, UPSTREAM)?;
    let clients = Arc::new(Upstream {
        path: upstream.clone(),
        tap: None,
        calls: place.calls.clone(),
    });
    let mut running = place.listen(listen, clients)?;
    let own = json!({ "upstream": upstream });
    let ran = running.until_the_end("proxy", own, command, &mut signals);
    let ran = ran.await;
    running.stop().await;
    ran
}

async fn record(options: &Record) -> Result<ExitCode, ProxyError> {
    let (listen, looked) = (&options.listen, &options.calls);
    let Some(cassette) = &options.cassette else {
        return proxy(&options.upstream, listen, looked, &options.command).await;
    };
    // Before anything is made that a signal would leave behind.
    let mut signals = Signals::listen()?;
    let upstream = std::path::absolute(&options.upstream)?;
    let cassette = std::path::absolute(cassette)?;
    let place = Place::make(listen, looked, UPSTREAM)?;
    let recorder = CassetteRecorder::start(&cassette, &upstream, options.settings())?;
    let clients = Arc::new(Upstream {
        path: upstream.clone(),
        tap: Some(recorder.tap()),
        calls: place.calls.clone(),
    });
    let mut running = place.listen(listen, clients)?;
    let own = json!({"upstream": upstream, "cassette": cassette});
    let ran = running.until_the_end("record", own, &options.command, &mut signals);
    let ran = ran.await;
    running.stop().await;
    let outcome = tokio::select! {
        outcome = recorder.finish() => outcome,
        // A file system may hang.
        _ = signals.next() => {
            return Err(ProxyError::Incomplete { source: io::ErrorKind::Interrupted.into() });
        }
    };
    if let Some(source) = outcome.failed {
        return Err(ProxyError::Incomplete { source });
    }
    log::say(&format!(
        "fake-dfdaemon: {} calls are in {}\n",
        outcome.calls,
        cassette.display()
    ));
    ran
}

async fn replay(options: &Replay) -> Result<ExitCode, ProxyError> {
    // Before anything is made that a signal would leave behind.
    let mut signals = Signals::listen()?;
    let cassette = std::path::absolute(&options.cassette)?;
    let place = Place::make(&options.listen, &options.calls, CASSETTE)?;
    let replayer = Replayer::load(&cassette, options.settings()?)?;
    let clients = Arc::new(ReplayClients {
        replayer: Arc::clone(&replayer),
        calls: place.calls.clone(),
    });
    let mut running = place.listen(&options.listen, clients)?;
    let own = json!({"cassette": cassette, "calls": replayer.calls()});
    let ran = running.until_the_end("replay", own, &options.command, &mut signals);
    let ran = ran.await;
    running.stop().await;
    let misses = replayer.misses();
    if misses > 0 {
        log::say(&format!(
            "fake-dfdaemon: {misses} calls were not in the cassette\n"
        ));
    }
    ran
}

async fn differences(options: &Diff) -> Result<ExitCode, ProxyError> {
    let mut signals = Signals::listen()?;
    let cassette = std::path::absolute(&options.cassette)?;
    let report = tokio::select! {
        report = diff(&cassette, options.settings()?) => report?,
        signal = signals.next() => return Ok(exit_code_of(signal)),
    };
    let told = match options.format {
        Format::Text => report.text(),
        Format::Json => report.json(),
    };
    print(told.as_bytes())?;
    Ok(match report.differences.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// As a shell gives it for a command that died by the signal.
fn exit_code_of(signal: Signal) -> ExitCode {
    ExitCode::from(u8::try_from(SIGNALLED + signal.as_raw()).unwrap_or(u8::MAX))
}

/// Where a proxy keeps what it needs, and what it does to calls. Nothing accepts yet.
struct Place {
    /// Where the socket is, if it was not said, and what a command needs. Removed last.
    state: StateDir,
    ready_file: Option<ReadyFile>,
    calls: Option<ProxiedCalls>,
}

/// A proxy that accepts.
struct Running {
    server: ProxyServer,
    socket: SocketFile,
    endpoint: PathBuf,
    place: Place,
}

impl Place {
    /// `host` stands for what answers.
    fn make(listen: &Listen, looked: &Looked, host: &'static str) -> Result<Self, ProxyError> {
        // What is stale goes before anything else: nobody is to take it for this proxy's.
        let ready_file = claim(listen.ready_file.as_deref())?;
        let state = StateDir::temporary(&Disk::new(false), Release::default(), 0)?;
        let settings = looked.settings();
        let calls = settings.map(|settings| ProxiedCalls::open(settings, host, state.path()));
        Ok(Self {
            calls: calls.transpose()?,
            state,
            ready_file,
        })
    }

    fn listen(self, listen: &Listen, clients: impl Serve) -> Result<Running, ProxyError> {
        let endpoint = match &listen.socket {
            Some(path) => std::path::absolute(path)?,
            None => self.state.path().join(SOCKET),
        };
        let (listener, socket) = listen_at(&endpoint, listen.socket_mode, self.state.path())?;
        let listener = asynchronous(listener)?;
        let server = ProxyServer::start(listener, clients);
        Ok(Running {
            server,
            socket,
            endpoint,
            place: self,
        })
    }
}

impl Running {
    /// The ready line: with fields of the command's own.
    fn ready(&self, role: &str, own: Value) -> Value {
        let mut ready = json!({"event": "ready", "role": role, "endpoint": self.endpoint});
        if let (Value::Object(ready), Value::Object(own)) = (&mut ready, own) {
            ready.extend(own);
            if let Some(calls) = &self.place.calls {
                ready.insert("fault_seed".to_owned(), calls.calls.faults.seed().into());
            }
            ready.insert("pid".to_owned(), std::process::id().into());
        }
        ready
    }

    /// Writes the ready line to the file, if one was asked for.
    async fn announce(&mut self, ready: &Value) -> io::Result<()> {
        match &mut self.place.ready_file {
            Some(file) => file.write(line(ready)).await,
            None => Ok(()),
        }
    }

    /// Until a signal comes, or the command has ended: exits as it did.
    async fn until_the_end(
        &mut self,
        role: &str,
        own: Value,
        command: &[OsString],
        signals: &mut Signals,
    ) -> Result<ExitCode, ProxyError> {
        let ready = self.ready(role, own);
        self.announce(&ready).await?;
        let Some(name) = command.first() else {
            print(&line(&ready))?;
            signals.next().await;
            return Ok(ExitCode::SUCCESS);
        };
        let failed = |source| ProxyError::Command {
            command: name.display().to_string(),
            source,
        };
        let child = prepare(command, &[&self.endpoint], self.place.state.path()).map_err(failed)?;
        let code = wait_for(child, signals).await.map_err(failed)?;
        Ok(ExitCode::from(code))
    }

    async fn stop(mut self) {
        // While the socket is open: a closed one may be taken for stale, and replaced.
        self.socket.remove();
        if let Some(calls) = &self.place.calls {
            calls.calls.gate.end_all();
        }
        self.server.stop().await;
        drop(self.place);
    }
}

fn claim(path: Option<&Path>) -> Result<Option<ReadyFile>, ProxyError> {
    let claim = |path: &Path| {
        ReadyFile::claim(path).map_err(|source| ProxyError::ReadyFile {
            path: path.to_owned(),
            source,
        })
    };
    path.map(claim).transpose()
}

fn line(value: &Value) -> Vec<u8> {
    format!("{value}\n").into_bytes()
}

fn print(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()
}
