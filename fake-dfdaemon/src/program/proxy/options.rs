//! The command lines of what stands between a client and a dfdaemon.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Commands that stand between a client and a dfdaemon, or in the place of one.
#[derive(Debug, Subcommand)]
pub(crate) enum ProxyCommand {
    /// Stand between clients and any dfdaemon, and pass every call through as it is.
    ///
    /// When the socket accepts, one line of JSON is printed on stdout: the endpoint, the upstream, the
    /// process id. It ends with SIGTERM, SIGINT, SIGHUP or SIGQUIT.
    Proxy(Proxy),
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
