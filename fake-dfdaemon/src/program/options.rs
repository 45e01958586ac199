//! The command line: what was typed, and how it becomes a [`Builder`].
//!
//! Numbers, sizes and durations may begin with a hyphen, so that `--hosts -1` is a bad number of
//! hosts and no unknown option `-1`.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use tracing::level_filters::LevelFilter;

use super::ctl::{Ctl, Format};
use super::documents::{Completions, Manual};
use super::proxy::ProxyCommand;
use super::values;
use crate::call::clock::ClockMode;
use crate::call::faults::Fault;
use crate::call::journal::DEFAULT_JOURNAL_LIMIT;
use crate::cluster::{self, DEFAULT_HOSTS, PeerAddress};
use crate::dfdaemon::adjustable::AdjustableSettings;
use crate::dfdaemon::blocklist::Block;
use crate::dfdaemon::quirks::{Quirk, Quirks};
use crate::dfdaemon::release::Release;
use crate::fake::Builder;
use crate::instance::settings::Settings;

/// A dfdaemon with its scheduler and its peers in one small process, for tests.
///
/// It serves persistent cache tasks as a real Dragonfly node does: real files on disk, real
/// replicas, real expiry, the real wire format; without network, without root, in milliseconds.
#[derive(Debug, Parser)]
#[command(name = "fake-dfdaemon", version, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const CTL_EXAMPLES: &str = "Examples:
  fake-dfdaemon ctl --control state/control.sock tasks
  fake-dfdaemon ctl hosts stop host-1
  fake-dfdaemon ctl clock advance 2h
  fake-dfdaemon ctl journal --follow";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve N hosts, one Unix socket each, until SIGTERM, SIGINT, SIGHUP or SIGQUIT.
    ///
    /// When every socket accepts connections, stdout gets one line of JSON with the endpoints, the
    /// state directory and the process id; on a terminal, a text for people.
    #[command(after_help = quirks_help())]
    Serve(Box<Serve>),

    /// Serve, run a command with the endpoints in its environment, stop, and exit as it did.
    ///
    /// The command finds DFCACHE_ENDPOINT (and the endpoint variable of each dfcache command),
    /// FAKE_DFDAEMON_CONTROL, FAKE_DFDAEMON_STATE_DIR and FAKE_DFDAEMON_ENDPOINTS, and
    /// DFCACHE_ID_DFDAEMON_VERSION for `dfcache id`. dfcache logs into the state directory, unless its
    /// variables name another one. The command gets the signals that `run` gets, and does not outlive
    /// the daemon. Only the command writes to stdout.
    #[command(after_help = quirks_help())]
    Run(Box<Run>),

    /// Use the control API of a running daemon: one command for each path.
    #[command(after_help = CTL_EXAMPLES)]
    Ctl(Ctl),

    #[command(flatten)]
    Proxy(ProxyCommand),

    Completions(Completions),

    Man(Manual),
}

impl Command {
    /// The log level.
    pub(crate) fn level(&self) -> LevelFilter {
        match self {
            Self::Serve(serve) => serve.level(),
            Self::Run(run) => run.serve.level(),
            Self::Ctl(_) | Self::Proxy(_) | Self::Completions(_) | Self::Man(_) => {
                LevelFilter::WARN
            }
        }
    }
}

#[derive(Args, Debug)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) serve: Serve,

    /// If the command fails, keep the state directory and the journal, and print where they are
    #[arg(long)]
    pub(crate) keep_on_failure: bool,

    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,
}

#[derive(Args, Debug)]
pub(crate) struct Serve {
    /// The directory of all files. If it is given, it stays at the end, and is locked against a second
    /// daemon [default: a temporary directory, removed at exit]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,

    /// The first host's socket; the others are `<state>/host-N.sock` (default: `<state>/host-0.sock`)
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,

    /// Permission bits of the sockets, octal
    #[arg(long, value_name = "MODE", default_value = "0600", value_parser = values::mode)]
    socket_mode: u32,

    /// How many hosts there are
    #[arg(long, allow_hyphen_values = true, value_name = "N", default_value_t = DEFAULT_HOSTS, value_parser = values::hosts)]
    hosts: usize,

    /// The release of dfdaemon to imitate
    #[arg(long, value_name = "RELEASE", default_value = "0.2", value_parser = values::release())]
    dfdaemon_version: Release,

    /// How many bytes each host can store, such as `1gib`; a full host evicts, then fails imports
    /// [default: what the file system holds]
    #[arg(long, allow_hyphen_values = true, value_name = "SIZE", value_parser = values::size)]
    capacity: Option<u64>,

    /// The shortest TTL that an import may ask for [default: 1m]
    #[arg(long, allow_hyphen_values = true, value_name = "DURATION", value_parser = values::duration)]
    min_ttl: Option<Duration>,

    /// The longest TTL that an import may ask for
    #[arg(long, allow_hyphen_values = true, value_name = "DURATION", default_value = "7d", value_parser = values::duration)]
    max_ttl: Duration,

    /// How often expired tasks are collected
    #[arg(long, allow_hyphen_values = true, value_name = "DURATION", default_value = "15m", value_parser = values::duration)]
    gc_interval: Duration,

    /// The time between an import and the creation of its other replicas
    #[arg(long, allow_hyphen_values = true, value_name = "DURATION", default_value = "0s", value_parser = values::duration)]
    replication_delay: Duration,

    /// How many requests a host serves at once; further requests fail with RESOURCE_EXHAUSTED
    #[arg(long, allow_hyphen_values = true, value_name = "N", value_parser = values::number::<usize>)]
    max_requests: Option<usize>,

    /// How many requests each service of a host takes in a second; 51 more wait for the next second,
    /// further requests fail with RESOURCE_EXHAUSTED. A real dfdaemon takes 400
    #[arg(long, allow_hyphen_values = true, value_name = "N", value_parser = values::number::<usize>)]
    max_rate: Option<usize>,

    /// Refuse imports or exports by tag or application; repeatable
    #[arg(long, value_name = "import|export:tag|application=VALUE")]
    block: Vec<Block>,

    /// Sync stored files, so that they survive a crash of the machine too
    #[arg(long)]
    fsync: bool,

    /// Behave as a real dfdaemon in a point where the fake differs on purpose; repeatable. `all,-NAME` is
    /// all but that. The list is below
    #[arg(long, value_name = "NAME|all")]
    quirk: Vec<Quirks>,

    /// The clock: the system's, or a manual one that starts now or at TIME and moves only through the
    /// control API
    #[arg(long, value_name = "system|manual[=TIME]", default_value = "system", value_parser = values::clock)]
    clock: ClockMode,

    /// The control API's socket (default: `<state>/control.sock`)
    #[arg(long, value_name = "PATH")]
    control: Option<PathBuf>,

    /// Serve the control API on this address too, such as `127.0.0.1:0`. Any program that can connect
    /// controls the fake
    #[arg(long, value_name = "ADDRESS", value_parser = values::address)]
    control_tcp: Option<SocketAddr>,

    /// Serve the hosts on TCP too, from this address on. Each host has two ports in a row, one for
    /// programs and one for other hosts; with port 0, any two. Hosts of 1.5 have one more, for pieces.
    /// Any program that can connect reads and writes files as the fake can
    #[arg(long, value_name = "ADDRESS", value_parser = values::address)]
    tcp: Option<SocketAddr>,

    /// The upload service of a host that another process runs; repeatable. Stats and exports look for
    /// unknown tasks there, and take their pieces from there
    #[arg(long, value_name = "HOST:PORT|PATH")]
    parent: Vec<PeerAddress>,

    /// How long a parent may take for an answer
    #[arg(long, allow_hyphen_values = true, value_name = "DURATION", default_value = "10s", value_parser = values::duration)]
    parent_timeout: Duration,

    /// Import every file below this directory at the start
    #[arg(long, value_name = "DIR")]
    preload: Option<PathBuf>,

    /// A fault to arm at the start, as `ON[@KEY=VALUE,…]:DO[=ARG]` or as JSON; repeatable
    #[arg(long, value_name = "SPEC")]
    fault: Vec<Fault>,

    /// The seed of the faults: the same seed fires the same faults on the same calls
    /// [default: random, in the ready line]
    #[arg(long, allow_hyphen_values = true, value_name = "N", value_parser = values::number::<u64>)]
    fault_seed: Option<u64>,

    /// Where the journal is written (default: `<state>/journal.jsonl`)
    #[arg(long, value_name = "PATH")]
    journal: Option<PathBuf>,

    /// How many calls the journal keeps; older calls are dropped, and counted as lost
    #[arg(long, allow_hyphen_values = true, value_name = "N", default_value_t = DEFAULT_JOURNAL_LIMIT, value_parser = values::journal_limit)]
    journal_limit: usize,

    /// Stop when standard input is closed; only for `serve`
    #[arg(long)]
    pub(crate) exit_on_stdin_close: bool,

    /// Write the ready line to this file too, atomically, or into it if it is a pipe or a device. A stale
    /// ready file is removed first; the file of a running daemon, or any other file, is refused
    #[arg(long, value_name = "PATH")]
    pub(crate) ready_file: Option<PathBuf>,

    /// When every socket accepts connections, write the variables of `run` to this file, for a shell that
    /// reads it with `. PATH`. The rules of --ready-file apply
    #[arg(long, value_name = "PATH")]
    pub(crate) env_file: Option<PathBuf>,

    /// The form of the ready line: a line of JSON, or a text for people; only for `serve`
    /// [default: text on a terminal, else json]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<Format>,

    /// What to log to stderr; `info` logs a line for each call
    #[arg(long, value_name = "LEVEL", default_value = "warn")]
    log_level: LogLevel,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogLevel {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

impl Serve {
    pub(crate) fn builder(&self) -> Builder {
        let quirks = self.quirk.iter().copied();
        let quirks = Quirk::all().filter(|quirk| quirks.clone().any(|had| had.has(*quirk)));
        let adjustable = AdjustableSettings {
            capacity: self.capacity,
            max_requests: self.max_requests,
            blocks: self.block.clone(),
            replication_delay: self.replication_delay,
            gc_interval: self.gc_interval,
            quirks: quirks.collect(),
        };
        let settings = Settings {
            cluster: cluster::Settings {
                release: self.dfdaemon_version,
                hosts: self.hosts,
                min_ttl: self.min_ttl,
                max_ttl: self.max_ttl,
                adjustable,
                peers: cluster::PeerSettings {
                    parents: self.parent.clone(),
                    timeout: self.parent_timeout,
                },
            },
            state_dir: self.state_dir.clone(),
            socket: self.socket.clone(),
            socket_mode: self.socket_mode,
            clock: self.clock,
            max_rate: self.max_rate,
            fsync: self.fsync,
            faults: self.fault.clone(),
            fault_seed: self.fault_seed,
            journal: self.journal.clone(),
            journal_limit: self.journal_limit,
            control: self.control.clone(),
            control_tcp: self.control_tcp,
            tcp: self.tcp,
            preload: self.preload.clone(),
            failures: None,
        };
        settings.into()
    }

    fn level(&self) -> LevelFilter {
        match self.log_level {
            LogLevel::Trace => LevelFilter::TRACE,
            LogLevel::Debug => LevelFilter::DEBUG,
            LogLevel::Info => LevelFilter::INFO,
            LogLevel::Warn => LevelFilter::WARN,
            LogLevel::Error => LevelFilter::ERROR,
        }
    }
}

/// What a quirk does stands below its name, as with options: there, long lines keep their indentation. A manual page
/// takes the first line for a heading.
fn quirks_help() -> String {
    let told = |quirk: Quirk| format!("  {}\n          {}", quirk.name(), quirk.about());
    let quirks: Vec<_> = Quirk::all().map(told).collect();
    format!(
        "Quirks:\n{}\n\nEvery option has a variable, such as FAKE_DFDAEMON_HOSTS=2; that of a repeatable option has one value a line.",
        quirks.join("\n")
    )
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_options_have_the_defaults_of_the_library() {
        let Cli { command } = Cli::parse_from(["fake-dfdaemon", "serve"]);
        let Command::Serve(serve) = command else {
            panic!("{command:?}");
        };
        assert_eq!(
            format!("{:#?}", serve.builder()),
            format!("{:#?}", Builder::from(Settings::default()))
        );
    }

    /// Whatever the option takes: the error names it and the value, and shows a right one in plain words.
    #[test]
    fn a_wrong_value_is_refused_beside_a_right_one() {
        use clap::error::ErrorKind::{InvalidValue, ValueValidation};

        let shows = [
            "such as",
            "possible values",
            "lists them",
            "from 1 to",
            "at least 1",
        ];
        let wrong = [
            "x",
            "-1",
            "0",
            "5",
            "1.5.5",
            "5 parsecs",
            "(",
            "1777",
            "manual=soon",
            "import",
        ];
        let mut refused = std::collections::BTreeSet::new();
        for command in Cli::command().get_subcommands() {
            let options = command
                .get_arguments()
                .filter(|option| option.get_action().takes_values());
            for long in options.filter_map(clap::Arg::get_long) {
                for value in
                    wrong
                        .iter()
                        .chain(&["manual", "stat:explode", "99999999999999999999d"])
                {
                    let typed = format!("--{long}={value}");
                    let line = ["fake-dfdaemon", command.get_name(), &typed];
                    let error = match Cli::try_parse_from(line) {
                        Err(error) if [InvalidValue, ValueValidation].contains(&error.kind()) => {
                            error
                        }
                        _ => continue,
                    };
                    let text = error.to_string();
                    assert!(
                        text.contains(&format!("--{long}")) && text.contains(value),
                        "{text}"
                    );
                    let shows = shows.iter().any(|shown| text.contains(shown));
                    assert!(shows || text.contains("there are"), "{text}");
                    let of_parsers = [
                        "invalid digit",
                        "expected ",
                        " at 0",
                        "u64",
                        "error: unclosed",
                    ];
                    assert!(!of_parsers.iter().any(|it| text.contains(it)), "{text}");
                    refused.insert(long.to_owned());
                }
            }
        }
        // Paths, names of fields and of metadata can be nearly anything.
        assert!(refused.len() >= 24, "{refused:?}");
    }
}
