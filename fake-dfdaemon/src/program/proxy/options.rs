//! The command lines of what stands between a client and a dfdaemon.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::proxy::{ContentMode, Pattern, RecordSettings};

/// Commands that stand between a client and a dfdaemon, or in the place of one.
#[derive(Debug, Subcommand)]
pub(crate) enum ProxyCommand {
    /// Stand between clients and any dfdaemon, and pass every call through as it is.
    ///
    /// When the socket accepts, one line of JSON is printed on stdout: the endpoint, the upstream, the
    /// process id. It ends with SIGTERM, SIGINT, SIGHUP or SIGQUIT.
    Proxy(Proxy),

    /// Stand between clients and any dfdaemon, and record each call into a cassette.
    ///
    /// A cassette is a directory that a person can read, edit and commit, and that `replay` answers
    /// from. With a command, it finds the variables that `run` sets, and record ends and exits as it
    /// did; standard output is the command's alone.
    Record(Record),
}

#[derive(Args, Debug)]
pub(crate) struct Record {
    /// The socket of the dfdaemon that answers
    #[arg(long, value_name = "SOCKET")]
    pub(crate) upstream: PathBuf,

    /// The directory to record into: new, or empty
    #[arg(long, value_name = "DIR")]
    pub(crate) cassette: PathBuf,

    /// Keep content, or only its length and SHA-256
    #[arg(long, value_enum, value_name = "keep|hash", default_value = "keep")]
    pub(crate) content: ContentMode,

    /// Keep the metadata of this name, of requests and answers; repeatable. No other is kept
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    pub(crate) keep_metadata: Vec<String>,

    /// Leave out text that this regular expression matches, wherever it stands but in content;
    /// repeatable
    #[arg(long, value_name = "PATTERN")]
    pub(crate) redact: Vec<Pattern>,

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
    let name = name.map_err(|_| "it is no name of metadata".to_owned())?;
    Ok(name.as_str().to_owned())
}

#[derive(Args, Debug)]
pub(crate) struct Proxy {
    /// The socket of the dfdaemon that answers
    #[arg(long, value_name = "SOCKET")]
    pub(crate) upstream: PathBuf,

    #[command(flatten)]
    pub(crate) listen: Listen,
}

/// Where clients come in.
#[derive(Args, Debug)]
pub(crate) struct Listen {
    /// The socket for clients [default: one in a temporary directory, in the ready line]
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,

    /// Permission bits of the socket, octal
    #[arg(long, value_name = "MODE", default_value = "0600", value_parser = crate::program::options::parse_mode)]
    pub(crate) socket_mode: u32,

    /// Write the ready line to this file too, atomically; into it if it is a pipe or a device
    #[arg(long, value_name = "PATH")]
    pub(crate) ready_file: Option<PathBuf>,
}
