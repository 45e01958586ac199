//! The program around the library: runs what the command line says and tells how it ended.
//!
//! The only place that prints.

use std::error::Error;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{Cli, Command, Serve};
use crate::daemon::{Ready, StartError};

/// The state directory or a socket is in use or unusable.
const EXIT_UNUSABLE: u8 = 4;

/// Runs the program with the process's arguments.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let Command::Serve(options) = cli.command;
    tracing_subscriber::fmt()
        .with_max_level(options.level())
        .with_writer(io::stderr)
        .with_ansi(false)
        .init();
    let served = runtime().and_then(|runtime| {
        let served = runtime.block_on(serve(&options));
        // What is still blocked in a system call is not worth waiting for.
        runtime.shutdown_background();
        served
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            exit_code(&error)
        }
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, StartError> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(other)
}

async fn serve(options: &Serve) -> Result<(), StartError> {
    // Taken before the ready line: whoever has read it may send a signal.
    let mut terminate = signal(SignalKind::terminate()).map_err(other)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(other)?;
    let daemon = options.builder().start().await?;
    let announced = announce(&daemon.ready(), options.ready_file.as_deref());
    if announced.is_ok() {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    }
    daemon.stop().await;
    if let Some(path) = &options.ready_file {
        // Nobody shall take it for a daemon that lives.
        let _ = std::fs::remove_file(path);
    }
    announced.map_err(other)
}

/// Prints the ready line, and writes it to the file so that it is there whole or not at all.
fn announce(ready: &Ready, file: Option<&Path>) -> io::Result<()> {
    let mut line = serde_json::to_vec(ready)?;
    line.push(b'\n');
    if let Some(path) = file {
        let parent = path.parent().filter(|parent| *parent != Path::new(""));
        let mut beside = tempfile::NamedTempFile::new_in(parent.unwrap_or(Path::new(".")))?;
        beside.write_all(&line)?;
        beside.persist(path).map_err(|error| error.error)?;
    }
    let mut stdout = io::stdout().lock();
    stdout.write_all(&line)?;
    stdout.flush()
}

fn other(error: impl Into<Box<dyn Error + Send + Sync>>) -> StartError {
    StartError::Other(error.into())
}

fn report(error: &StartError) {
    let mut text = format!("error: {error}\n");
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!("  caused by: {error}\n"));
        cause = error.source();
    }
    // There is nowhere left to complain to.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

fn exit_code(error: &StartError) -> ExitCode {
    match error {
        StartError::Setting(_) => ExitCode::from(2),
        StartError::StateDir(_) | StartError::Socket(_) | StartError::State { .. } => {
            ExitCode::from(EXIT_UNUSABLE)
        }
        StartError::Other(_) => ExitCode::FAILURE,
    }
}
