//! The options of `proxy`, `record`, `replay` and `diff`, and the settings that they make.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::call::faults::Fault;
use crate::fake::proxies::Setup;
use crate::program::values;
use crate::proxy::{
    CallSettings, ContentMode, DiffSettings, Order, PathMapping, Pattern, RecordSettings,
    ReplaySettings, Speed,
};

/// Commands that stand between a client and a dfdaemon, or in the place of one.
#[derive(Debug, Subcommand)]
pub(crate) enum ProxyCommand {
    /// Stand between clients and any dfdaemon, and pass every call through as it is.
    ///
    /// When the socket accepts connections, stdout gets one line of JSON with the endpoint, the upstream
    /// and the process id. SIGTERM, SIGINT, SIGHUP and SIGQUIT end it.
    Proxy(Proxy),

    /// Stand between clients and any dfdaemon, and record each call into a cassette.
    ///
    /// A cassette is a directory that a person can read, edit and commit, and that `replay` answers
    /// from. A command gets the variables that `run` sets; when it ends, record ends with its exit
    /// code. Only the command writes to stdout.
    Record(Record),

    /// Answer from a cassette: no daemon, no network, the same messages in the same order.
    ///
    /// A call that the cassette does not have fails with FAILED_PRECONDITION, and stderr names the
    /// nearest call that it has. When a command ends, replay ends with its exit code.
    Replay(Replay),

    /// Send the recorded requests to another dfdaemon, and list how its answers differ.
    ///
    /// The exit code is 1 if anything differs. Times, host ids and peer ids are not compared. The files
    /// of imports are made again from the cassette, in a temporary directory; outputs go there too.
    Diff(Diff),
}

#[derive(Args, Debug)]
pub(crate) struct Diff {
    /// The cassette
    #[arg(long, value_name = "DIR")]
    pub(crate) cassette: PathBuf,

    /// The socket of the dfdaemon to compare with
    #[arg(long, value_name = "SOCKET")]
    against: PathBuf,

    /// A table, or one JSON object on one line
    #[arg(long, value_enum, value_name = "text|json", default_value = "text")]
    pub(crate) format: Format,

    /// A field that is not compared, such as `uploaded_count` or `output.kind`; repeatable
    #[arg(long, value_name = "FIELD")]
    ignore: Vec<String>,

    /// Read recorded paths below FROM as paths below TO; repeatable
    #[arg(long, value_name = "FROM=TO")]
    path: Vec<PathMapping>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
}

impl Diff {
    pub(crate) fn settings(&self) -> std::io::Result<DiffSettings> {
        Ok(DiffSettings {
            against: std::path::absolute(&self.against)?,
            ignored: self.ignore.clone(),
            paths: self.path.clone(),
        })
    }
}

#[derive(Args, Debug)]
pub(crate) struct Replay {
    /// The cassette
    #[arg(long, value_name = "DIR")]
    pub(crate) cassette: PathBuf,

    /// Whether calls must come in the recorded order, or may come in any order and more than once
    #[arg(long, value_enum, value_name = "strict|any", default_value = "strict")]
    pub(crate) order: Order,

    /// How to answer a call that is not recorded: with an error, or by the daemon at this socket
    #[arg(long, value_name = "error|upstream=SOCKET", default_value = "error", value_parser = parse_miss)]
    pub(crate) on_miss: OnMiss,

    /// Answer at once, or N times as fast as the recorded daemon
    #[arg(
        long,
        allow_hyphen_values = true,
        value_name = "N|max",
        default_value = "max"
    )]
    pub(crate) speed: Speed,

    /// Read recorded paths below FROM as paths below TO; repeatable
    #[arg(long, value_name = "FROM=TO")]
    pub(crate) path: Vec<PathMapping>,

    #[command(flatten)]
    pub(crate) calls: Looked,

    #[command(flatten)]
    pub(crate) listen: Listen,

    /// A command to run, and its arguments
    #[arg(last = true, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,
}

/// What becomes of a call that is not recorded.
#[derive(Clone, Debug)]
pub(crate) struct OnMiss(Option<PathBuf>);

fn parse_miss(text: &str) -> Result<OnMiss, String> {
    match text.split_once('=') {
        None if text == "error" => Ok(OnMiss(None)),
        Some(("upstream", socket)) if !socket.is_empty() => Ok(OnMiss(Some(socket.into()))),
        _ => Err(
            "it must be error, or upstream=SOCKET, such as upstream=/run/dfdaemon.sock".to_owned(),
        ),
    }
}

impl Replay {
    pub(crate) fn settings(&self) -> std::io::Result<ReplaySettings> {
        let absolute = |path: &PathBuf| std::path::absolute(path);
        Ok(ReplaySettings {
            order: self.order,
            speed: self.speed,
            on_miss: self.on_miss.0.as_ref().map(absolute).transpose()?,
            paths: self.path.clone(),
        })
    }
}

#[derive(Args, Debug)]
pub(crate) struct Record {
    /// The socket of the dfdaemon that answers
    #[arg(long, value_name = "SOCKET")]
    pub(crate) upstream: PathBuf,

    /// The directory to record into: new, or empty. Without it nothing is recorded
    #[arg(long, value_name = "DIR")]
    pub(crate) cassette: Option<PathBuf>,

    /// Keep content, or only its length and SHA-256
    #[arg(
        long,
        value_enum,
        value_name = "keep|hash",
        default_value = "keep",
        requires = "cassette"
    )]
    pub(crate) content: ContentMode,

    /// Keep the metadata of this name, in requests and answers; repeatable. Other metadata is left out
    #[arg(long, value_name = "NAME", value_parser = parse_name, requires = "cassette")]
    pub(crate) keep_metadata: Vec<String>,

    /// Leave out text that this regular expression matches, everywhere but in content; repeatable
    #[arg(long, value_name = "PATTERN", requires = "cassette")]
    pub(crate) redact: Vec<Pattern>,

    #[command(flatten)]
    pub(crate) calls: Looked,

    #[command(flatten)]
    pub(crate) listen: Listen,

    /// A command to record, and its arguments
    #[arg(last = true, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,
}

impl Record {
    pub(crate) fn settings(&self) -> RecordSettings {
        RecordSettings {
            content: self.content,
            metadata: self.keep_metadata.clone(),
            redact: self.redact.clone(),
        }
    }
}

fn parse_name(text: &str) -> Result<String, String> {
    let name: Result<http::HeaderName, _> = text.to_ascii_lowercase().parse();
    let name = name.map_err(|_| "it must be a name of metadata, such as x-trace-id".to_owned())?;
    Ok(name.as_str().to_owned())
}

#[derive(Args, Debug)]
pub(crate) struct Proxy {
    /// The socket of the dfdaemon that answers
    #[arg(long, value_name = "SOCKET")]
    pub(crate) upstream: PathBuf,

    #[command(flatten)]
    pub(crate) calls: Looked,

    #[command(flatten)]
    pub(crate) listen: Listen,
}

/// What is done to calls, and where it is noted. Without any of it, nothing looks into them.
#[derive(Args, Debug)]
pub(crate) struct Looked {
    /// A fault, as `ON[@KEY=VALUE,…]:DO[=ARG]`; repeatable. It acts between the clients and the daemon or the cassette
    #[arg(long, value_name = "SPEC")]
    fault: Vec<Fault>,

    /// The seed of the faults [default: random, in the ready line]
    #[arg(long, allow_hyphen_values = true, value_name = "N", value_parser = values::number::<u64>)]
    fault_seed: Option<u64>,

    /// Write each call to this file when it has ended, one JSON object a line
    #[arg(long, value_name = "PATH")]
    journal: Option<PathBuf>,

    /// Serve the control API on this socket
    #[arg(long, value_name = "PATH")]
    control: Option<PathBuf>,

    /// Serve the control API on this address, such as `127.0.0.1:0`. Any program that can connect
    /// controls the proxy
    #[arg(long, value_name = "ADDRESS", value_parser = values::address)]
    control_tcp: Option<SocketAddr>,
}

impl Looked {
    /// With where clients come in.
    pub(crate) fn setup(&self, listen: &Listen) -> Setup {
        let is_asked = !self.fault.is_empty()
            || self.journal.is_some()
            || self.control.is_some()
            || self.control_tcp.is_some();
        let calls = is_asked.then(|| CallSettings {
            faults: self.fault.clone(),
            fault_seed: self.fault_seed,
            journal: self.journal.clone(),
        });
        Setup {
            socket: listen.socket.clone(),
            socket_mode: listen.socket_mode,
            calls,
            control: self.control.clone(),
            control_tcp: self.control_tcp,
        }
    }
}

/// Where clients come in.
#[derive(Args, Debug)]
pub(crate) struct Listen {
    /// The socket for clients [default: one in a temporary directory, in the ready line]
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,

    /// Permission bits of the socket, octal
    #[arg(long, value_name = "MODE", default_value = "0600", value_parser = values::mode)]
    pub(crate) socket_mode: u32,

    /// Write the ready line to this file too, atomically; into it if it is a pipe or a device
    #[arg(long, value_name = "PATH")]
    pub(crate) ready_file: Option<PathBuf>,
}
