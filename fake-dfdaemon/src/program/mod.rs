//! The program around the library: does what the command line says, and reports how it ended.
//!
//! The only place that prints.

mod allocator;
mod child;
mod ctl;
mod documents;
mod environment;
mod init;
mod log;
mod options;
mod proxy;
mod ready_file;
mod ready_text;
mod signals;
mod table;
mod values;

use std::error::Error;
use std::io::{self, IsTerminal as _, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{CommandFactory as _, Parser};
use futures_util::future::OptionFuture;
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use tokio::sync::oneshot;

use self::allocator::{Workers, share_arenas};
use self::child::run;
use self::ctl::{Ctl, CtlError, Format, Shown};
use self::options::{Cli, Command, Run, Serve};
use self::proxy::ProxyError;
use self::ready_file::ReadyFile;
use self::ready_text::ready_text;
use self::signals::{SIGNALLED, Signals};
use crate::fake::FakeDfdaemon;
use crate::fake::Ready;
use crate::instance::error::StartError;
use crate::instance::runtime;
use crate::proxy::{printable, printable_json};

/// What was typed cannot be done.
const EXIT_USAGE: u8 = 2;

/// The state directory or a socket is in use or unusable.
const EXIT_UNUSABLE: u8 = 4;

/// The command of `run` cannot be started, or is not there: as shells say it.
const EXIT_CANNOT_RUN: u8 = 126;
const EXIT_NO_COMMAND: u8 = 127;

/// How long a reader of stderr is waited for, before the ready line and at the end.
const WARNED_WITHIN: Duration = Duration::from_millis(100);
const READ_WITHIN: Duration = Duration::from_secs(1);

/// How a command failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Ctl(#[from] CtlError),
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    #[error("cannot run {command}")]
    Command { command: String, source: io::Error },
    #[error("cannot make the manual page")]
    Manual(#[source] io::Error),
    #[error("cannot use the ready file {}", path.display())]
    ReadyFile { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The command line's grammar. Hidden, since its type is clap's: only the fuzzer of the options asks
/// for it.
#[doc(hidden)]
#[must_use]
pub fn grammar() -> clap::Command {
    Cli::command()
}

/// Runs the program with the process's arguments.
#[must_use]
pub fn main() -> ExitCode {
    share_arenas();
    let typed: Vec<_> = std::env::args_os().collect();
    let arguments =
        environment::with_variables(&grammar(), typed.clone(), |name| std::env::var_os(name));
    let cli = Cli::try_parse_from(arguments)
        .unwrap_or_else(|error| environment::blamed(error, &grammar(), &typed).exit());
    let started = log::start(cli.command.level());
    let is_logging = started.is_ok();
    let ended = started
        .and_then(|()| new_runtime())
        .map_err(|error| StartError::Other(error.into()).into())
        .and_then(|runtime| {
            let ended = runtime.block_on(execute(cli.command));
            // Do not wait for work that is blocked in a system call.
            runtime.shutdown_background();
            ended
        });
    let code = ended.unwrap_or_else(|failure| {
        match is_logging {
            true => log::say(&reported(&failure)),
            false => {
                let _ = io::stderr().write_all(reported(&failure).as_bytes());
            }
        }
        exit_code(&failure)
    });
    log::flush(READ_WITHIN);
    code
}

/// One thread moves what is in memory, and those for blocking work wait for disks. A second one
/// would take over connections from the first in the middle of a stream, which costs more than it
/// brings. Those for blocking work end when there has been none for some seconds, but for one, and
/// memory goes back when that one is left.
fn new_runtime() -> io::Result<tokio::runtime::Runtime> {
    let workers = Arc::new(Workers::default());
    let ending = Arc::clone(&workers);
    runtime::build(
        tokio::runtime::Builder::new_current_thread()
            .on_thread_start(move || workers.begins())
            .on_thread_stop(move || ending.ends()),
    )
}

async fn execute(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Serve(options) => serve(&options).await,
        Command::Run(_) if init::is_first() => Ok(ExitCode::from(init::supervise().await?)),
        Command::Run(options) => run_command(&options).await,
        Command::Ctl(ctl) => ask(&ctl).await,
        Command::Proxy(command) => {
            allow_many_files();
            Ok(proxy::execute(&command).await?)
        }
        Command::Completions(completions) => show(&completions.script(Cli::command())),
        Command::Man(manual) => {
            let page = manual.page(Cli::command());
            show(&page.map_err(Failure::Manual)?)
        }
    }
}

/// Raises the soft limit of open files to the hard one: each client has a connection and files open. Not
/// for `run`: its command would inherit the limit, and `select(2)` breaks with descriptors above 1024.
fn allow_many_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    // With fewer it serves too, a smaller crowd.
    let _ = setrlimit(Resource::Nofile, raised);
}

async fn serve(options: &Serve) -> Result<ExitCode, Failure> {
    allow_many_files();
    // Before anything is made that a signal would leave behind.
    let mut signals = Signals::listen()?;
    let stdin = options.exit_on_stdin_close.then(read_stdin).transpose();
    let mut stdin = OptionFuture::from(stdin.map_err(|error| StartError::Other(error.into()))?);
    let ended = async {
        tokio::select! {
            _ = signals.next() => {}
            Some(_) = &mut stdin => {}
        }
    };
    tokio::pin!(ended);
    let mut files = claim(options).await?;
    let started = options.builder().start_unless(&mut ended).await?;
    let Some(daemon) = started else {
        return Ok(ExitCode::SUCCESS);
    };
    warn_of_network(&daemon);
    let ready = daemon.ready();
    let announced = announce(&daemon, &mut files).await;
    let is_text = match options.format {
        Some(format) => format == Format::Text,
        None => io::stdout().is_terminal(),
    };
    let announced = announced.and_then(|()| {
        if is_text {
            return print(ready_text(&daemon).as_bytes());
        }
        print(&ready.line()?)
    });
    if announced.is_ok() {
        ended.await;
    }
    daemon.stop().await;
    announced?;
    Ok(ExitCode::SUCCESS)
}

async fn run_command(options: &Run) -> Result<ExitCode, Failure> {
    if options.serve.exit_on_stdin_close {
        let why = "--exit-on-stdin-close is for serve: the standard input of run is its command's";
        return Err(StartError::Setting(why.to_owned()).into());
    }
    // Before anything is made that a signal would leave behind.
    let mut signals = Signals::listen()?;
    let mut ended_by = None;
    let ended = async { ended_by = Some(signals.next().await) };
    let mut files = claim(&options.serve).await?;
    let started = options.serve.builder().start_unless(ended).await?;
    let Some(daemon) = started else {
        return Ok(ended_by.map_or(ExitCode::FAILURE, exit_code_of));
    };
    warn_of_network(&daemon);
    let announced = announce(&daemon, &mut files).await;
    let ran = match announced {
        Ok(()) => run(&daemon, &options.command, &mut signals)
            .await
            .map_err(|source| {
                let command = options
                    .command
                    .first()
                    .map(|name| name.display().to_string());
                Failure::Command {
                    command: command.unwrap_or_default(),
                    source,
                }
            }),
        Err(error) => Err(error.into()),
    };
    if options.keep_on_failure && !matches!(ran, Ok(0)) {
        daemon.keep_state();
        let (state, journal) = (
            daemon.state_dir().display(),
            daemon.journal().path().display(),
        );
        log::say(&format!(
            "fake-dfdaemon: the state is kept in {state}, the journal is {journal}\n"
        ));
    }
    daemon.stop().await;
    Ok(ExitCode::from(ran?))
}

/// At every log level: any program that reaches the control API can delete tasks, and sees every path.
fn warn_of_network(daemon: &FakeDfdaemon) {
    let reachable = |address: &SocketAddr| !address.ip().to_canonical().is_loopback();
    let hosts = daemon.hosts().find_map(|host| host.tcp());
    if let Some(address) = hosts.filter(reachable) {
        log::say(&format!(
            "warning: the hosts are reachable from the network, the first at {address}: any program that reaches one reads and writes files as this one can\n"
        ));
        log::flush(WARNED_WITHIN);
    }
    if let Some(address) = daemon.control_tcp().filter(reachable) {
        log::say(&format!(
            "warning: the control API is reachable from the network, at {address}: any program that reaches it controls the fake\n"
        ));
        // It comes before the ready line, if anybody reads it.
        log::flush(WARNED_WITHIN);
    }
}

/// Opens an address where there is a desktop that can.
fn open(address: &str) {
    let has_desktop = ["DISPLAY", "WAYLAND_DISPLAY"]
        .iter()
        .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()));
    if has_desktop {
        // The address is printed, for users without such a program.
        let _ = std::process::Command::new("xdg-open")
            .arg(address)
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn();
    }
}

async fn ask(ctl: &Ctl) -> Result<ExitCode, Failure> {
    match ctl.shown() {
        Shown::Once => {}
        Shown::Follow => {
            ctl.follow(|call| {
                let line = match ctl.format {
                    Format::Text => table::line_of_call(call),
                    Format::Json => format!("{}\n", printable_json(call)),
                };
                print(line.as_bytes()).map_err(Failure::from)
            })
            .await?;
            return Ok(ExitCode::SUCCESS);
        }
        Shown::Watch => {
            // On a terminal the last one is the one to see; elsewhere each has its place.
            let before = match io::stdout().is_terminal() {
                true => "\x1b[H\x1b[2J",
                false => "",
            };
            ctl.watch(|answer| {
                let text = match ctl.format {
                    Format::Text => format!("{before}{}", table::text(answer)),
                    Format::Json => format!("{}\n", printable_json(answer)),
                };
                print(text.as_bytes()).map_err(Failure::from)
            })
            .await?;
            return Ok(ExitCode::SUCCESS);
        }
        Shown::Open => {
            let address = ctl.page().await?;
            open(&address);
            return show(format!("{address}\n").as_bytes());
        }
    }
    let answer = ctl.ask().await?;
    let text = match ctl.format {
        Format::Text => table::text(&answer),
        Format::Json => format!("{}\n", printable_json(&answer)),
    };
    show(text.as_bytes())
}

fn show(text: &[u8]) -> Result<ExitCode, Failure> {
    print(text)?;
    Ok(ExitCode::SUCCESS)
}

/// Reads the standard input to its end, on a thread of its own: it would keep one of those for blocking work for
/// good, and there may be no other.
fn read_stdin() -> io::Result<oneshot::Receiver<()>> {
    let (ends, ended) = oneshot::channel();
    std::thread::Builder::new()
        .name("stdin".to_owned())
        .spawn(move || {
            let _ = io::copy(&mut io::stdin(), &mut io::sink());
            let _ = ends.send(());
        })?;
    Ok(ended)
}

impl Ready {
    fn line(&self) -> io::Result<Vec<u8>> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        Ok(line)
    }
}

/// The files that say that a daemon is ready, each if it was asked for.
struct ReadyFiles {
    line: Option<ReadyFile>,
    variables: Option<ReadyFile>,
}

/// Removes stale files before anything else, so that no program takes them for this daemon's.
async fn claim(options: &Serve) -> Result<ReadyFiles, Failure> {
    let claim = async |path: &Option<PathBuf>, is_stale| {
        let Some(path) = path else { return Ok(None) };
        let claimed = ReadyFile::claim(path, is_stale).await;
        claimed.map(Some).map_err(|source| Failure::ReadyFile {
            path: path.clone(),
            source,
        })
    };
    Ok(ReadyFiles {
        line: claim(&options.ready_file, ready_file::is_ready_line as _).await?,
        variables: claim(&options.env_file, child::is_script as _).await?,
    })
}

/// Writes the files. The ready file comes last: a program that waits for it finds the other.
async fn announce(daemon: &FakeDfdaemon, files: &mut ReadyFiles) -> io::Result<()> {
    if let Some(file) = &mut files.variables {
        file.write(child::script(daemon)?).await?;
    }
    if let Some(file) = &mut files.line {
        file.write(daemon.ready().line()?).await?;
    }
    Ok(())
}

fn print(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()
}

fn reported(failure: &Failure) -> String {
    let mut text = format!("error: {}\n", printable(&failure.to_string()));
    let mut cause = failure.source();
    while let Some(error) = cause {
        text.push_str(&format!("  caused by: {}\n", printable(&error.to_string())));
        cause = error.source();
    }
    text
}

/// As a shell gives it for a command that died by the signal.
fn exit_code_of(signal: Signal) -> ExitCode {
    ExitCode::from(u8::try_from(SIGNALLED + signal.as_raw()).unwrap_or(u8::MAX))
}

fn exit_code(failure: &Failure) -> ExitCode {
    match failure {
        Failure::Start(error) => ExitCode::from(proxy::start_code(error)),
        Failure::Ctl(CtlError::NoSocket | CtlError::Fault(_) | CtlError::NothingToWatch) => {
            ExitCode::from(EXIT_USAGE)
        }
        Failure::ReadyFile { .. }
        | Failure::Ctl(CtlError::Unreachable { .. } | CtlError::NotJson { .. }) => {
            ExitCode::from(EXIT_UNUSABLE)
        }
        Failure::Manual(source) if source.kind() == io::ErrorKind::InvalidInput => {
            ExitCode::from(EXIT_USAGE)
        }
        Failure::Command { source, .. } if source.kind() == io::ErrorKind::NotFound => {
            ExitCode::from(EXIT_NO_COMMAND)
        }
        Failure::Command { .. } => ExitCode::from(EXIT_CANNOT_RUN),
        Failure::Proxy(error) => ExitCode::from(error.exit_code()),
        Failure::Ctl(CtlError::Refused(_) | CtlError::NoPage | CtlError::Missed { .. })
        | Failure::Manual(_)
        | Failure::Io(_) => ExitCode::FAILURE,
    }
}
