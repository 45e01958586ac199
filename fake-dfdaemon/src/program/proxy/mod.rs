//! The commands `proxy`, `record`, `replay` and `diff`, from the command line to the exit code. What they do is in the
//! room `proxy`.

mod error;
mod options;

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use rustix::process::Signal;
use serde_json::{Value, json};

pub(crate) use self::error::{ProxyError, start_code};
pub(crate) use self::options::ProxyCommand;
use self::options::{Diff, Format, Listen, Looked, Record, Replay};
use super::child::{prepare, wait_for};
use super::log;
use super::ready_file::{ReadyFile, is_ready_line};
use super::signals::{SIGNALLED, Signals};
use crate::control::ControlServer;
use crate::fake::proxies::{Role, Running};
use crate::proxy::diff;

/// Does what a command line says.
pub(crate) async fn execute(command: &ProxyCommand) -> Result<ExitCode, ProxyError> {
    match command {
        ProxyCommand::Proxy(options) => {
            let upstream = std::path::absolute(&options.upstream)?;
            stand(
                Role::Proxy { upstream },
                &options.listen,
                &options.calls,
                &[],
            )
            .await
        }
        ProxyCommand::Record(options) => record(options).await,
        ProxyCommand::Replay(options) => replay(options).await,
        ProxyCommand::Diff(options) => differences(options).await,
    }
}

async fn record(options: &Record) -> Result<ExitCode, ProxyError> {
    let upstream = std::path::absolute(&options.upstream)?;
    let role = match &options.cassette {
        None => Role::Proxy { upstream },
        Some(cassette) => Role::Record {
            upstream,
            cassette: std::path::absolute(cassette)?,
            settings: options.settings(),
        },
    };
    stand(role, &options.listen, &options.calls, &options.command).await
}

async fn replay(options: &Replay) -> Result<ExitCode, ProxyError> {
    let role = Role::Replay {
        cassette: std::path::absolute(&options.cassette)?,
        settings: options.settings()?,
    };
    stand(role, &options.listen, &options.calls, &options.command).await
}

/// Stands between clients and what answers, until a signal or the command's end.
async fn stand(
    role: Role,
    listen: &Listen,
    looked: &Looked,
    command: &[OsString],
) -> Result<ExitCode, ProxyError> {
    // Before anything is made that a signal would leave behind.
    let mut signals = Signals::listen()?;
    // A stale file is removed before anything else, so that no program takes it for this proxy's.
    let mut ready_file = claim(listen.ready_file.as_deref()).await?;
    let started = tokio::select! {
        started = Running::start(role.clone(), looked.setup(listen)) => started?,
        // A file system may hang.
        signal = signals.next() => return Ok(exit_code_of(signal)),
    };
    warn_of_network(&started);
    let ready = ready(&role, &started);
    let ran = until_the_end(&started, &ready, &mut ready_file, command, &mut signals).await;
    let misses = started
        .replayer
        .as_ref()
        .map_or(0, |replayer| replayer.misses());
    let outcome = started.stop().await;
    let outcome = tokio::select! {
        outcome = outcome => outcome,
        // A file system may hang.
        _ = signals.next() => {
            return Err(ProxyError::Incomplete { source: io::ErrorKind::Interrupted.into() });
        }
    };
    if let Some(source) = outcome.failed {
        return Err(ProxyError::Incomplete { source });
    }
    if let Role::Record { cassette, .. } = &role {
        let (calls, cassette) = (outcome.calls, cassette.display());
        log::say(&format!("fake-dfdaemon: {calls} calls are in {cassette}\n"));
    }
    if misses > 0 {
        log::say(&format!(
            "fake-dfdaemon: {misses} calls were not in the cassette\n"
        ));
    }
    ran
}

/// At every log level: the API tells of every path, and faults are armed through it.
fn warn_of_network(running: &Running) {
    let address = running.control.as_ref().and_then(ControlServer::tcp);
    if let Some(address) = address.filter(|address| !address.ip().to_canonical().is_loopback()) {
        log::say(&format!(
            "warning: the control API is reachable from the network, at {address}: any program that reaches it controls the proxy\n"
        ));
    }
}

async fn differences(options: &Diff) -> Result<ExitCode, ProxyError> {
    let mut signals = Signals::listen()?;
    let cassette = std::path::absolute(&options.cassette)?;
    let report = tokio::select! {
        report = diff(&cassette, options.settings()?) => report?,
        signal = signals.next() => return Ok(exit_code_of(signal)),
    };
    let shown = match options.format {
        Format::Text => report.text(),
        Format::Json => report.json(),
    };
    print(shown.as_bytes())?;
    Ok(match report.differences.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// As a shell gives it for a command that died by the signal.
fn exit_code_of(signal: Signal) -> ExitCode {
    ExitCode::from(u8::try_from(SIGNALLED + signal.as_raw()).unwrap_or(u8::MAX))
}

/// The ready line.
fn ready(role: &Role, running: &Running) -> Value {
    let mut ready = json!({"event": "ready", "role": role.name(), "endpoint": running.endpoint});
    let mut put = |name: &str, value: Value| ready[name] = value;
    match role {
        Role::Proxy { upstream } => put("upstream", json!(upstream)),
        Role::Record {
            upstream, cassette, ..
        } => {
            put("upstream", json!(upstream));
            put("cassette", json!(cassette));
        }
        Role::Replay { cassette, .. } => {
            put("cassette", json!(cassette));
            let calls = running.replayer.as_ref().map(|replayer| replayer.calls());
            put("calls", json!(calls));
        }
    }
    if let Some(calls) = &running.calls {
        put("fault_seed", calls.calls.faults.seed().into());
    }
    if let Some(control) = &running.control {
        put("control", json!(control.path()));
        put("control_tcp", json!(control.tcp()));
    }
    put("pid", std::process::id().into());
    ready
}

/// Until a signal comes, or the command has ended: exits as it did.
async fn until_the_end(
    running: &Running,
    ready: &Value,
    ready_file: &mut Option<ReadyFile>,
    command: &[OsString],
    signals: &mut Signals,
) -> Result<ExitCode, ProxyError> {
    if let Some(file) = ready_file {
        file.write(line(ready)).await?;
    }
    let Some(name) = command.first() else {
        print(&line(ready))?;
        signals.next().await;
        return Ok(ExitCode::SUCCESS);
    };
    let failed = |source| ProxyError::Command {
        command: name.display().to_string(),
        source,
    };
    let child = prepare(command, &[&running.endpoint], running.state.path());
    let mut child = child.map_err(failed)?;
    if let Some(control) = &running.control {
        child.env("FAKE_DFDAEMON_CONTROL", control.path());
    }
    let code = wait_for(child, signals).await.map_err(failed)?;
    Ok(ExitCode::from(code))
}

async fn claim(path: Option<&Path>) -> Result<Option<ReadyFile>, ProxyError> {
    let Some(path) = path else { return Ok(None) };
    let claimed = ReadyFile::claim(path, is_ready_line).await;
    claimed.map(Some).map_err(|source| ProxyError::ReadyFile {
        path: path.to_owned(),
        source,
    })
}

fn line(value: &Value) -> Vec<u8> {
    format!("{value}\n").into_bytes()
}

fn print(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()
}
