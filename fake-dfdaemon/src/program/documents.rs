//! `man` and `completions`: texts made of the grammar itself.

use std::io;
use std::path::{Path, PathBuf};

use clap::{Arg, Args, Command};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

const EXAMPLES: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "fake-dfdaemon run -- ./your-tests.sh",
            "fake-dfdaemon serve --state-dir state",
            "FAKE_DFDAEMON_CONTROL=state/control.sock fake-dfdaemon ctl tasks",
        ],
    ),
    (
        "serve",
        &[
            "fake-dfdaemon serve --state-dir state",
            "fake-dfdaemon serve --state-dir state --dfdaemon-version 1.5 --clock manual",
            "fake-dfdaemon serve --fault 'export@call=1,piece=1:error=UNAVAILABLE'",
        ],
    ),
    (
        "run",
        &[
            "fake-dfdaemon run -- ./your-tests.sh",
            "fake-dfdaemon run --keep-on-failure --hosts 2 -- sh -c 'dfcache import file'",
        ],
    ),
    (
        "completions",
        &["eval \"$(fake-dfdaemon completions bash)\""],
    ),
    (
        "man",
        &[
            "fake-dfdaemon man serve | man -l -",
            "fake-dfdaemon man --directory /usr/local/share/man/man1",
        ],
    ),
];

const EXIT_STATUS: &[(&str, &str)] = &[
    (
        "0",
        "Done; serve: ended by SIGTERM, SIGINT, SIGHUP or SIGQUIT.",
    ),
    ("1", "Anything that no other line names."),
    (
        "2",
        "The command line: an unknown option, a bad value, a bad fault.",
    ),
    (
        "4",
        "The state directory or a socket is in use or unusable; ctl: no fake answers there.",
    ),
    (
        "of CMD",
        "run exits as its command did; 126 if that cannot be started, 127 if it is not there, \
         128 + n if signal n ended it.",
    ),
];

/// What `run` tells its command.
const SET_FOR_COMMAND: &[(&str, &str)] = &[
    (
        "DFCACHE_ENDPOINT, DFCACHE_<COMMAND>_DFDAEMON_ENDPOINT",
        "Set for CMD: the first host's socket.",
    ),
    (
        "DFCACHE_<COMMAND>_LOG_DIR",
        "Set for CMD unless it or DFCACHE_LOG_DIR is set: a directory in the state directory.",
    ),
    (
        "DFCACHE_ID_DFDAEMON_VERSION",
        "Set for CMD: the release that is played, whose task ids `dfcache id` tells.",
    ),
    (
        "FAKE_DFDAEMON_CONTROL",
        "Set for CMD: the socket of the control API.",
    ),
    (
        "FAKE_DFDAEMON_STATE_DIR",
        "Set for CMD: the state directory.",
    ),
    (
        "FAKE_DFDAEMON_ENDPOINTS",
        "Set for CMD: the sockets of all hosts, separated by colons.",
    ),
];

const FILES: &[(&str, &str)] = &[
    (
        "<state>/host-N.sock, <state>/host-N.upload.sock",
        "What host N serves.",
    ),
    ("<state>/control.sock", "The control API."),
    ("<state>/journal.jsonl", "All calls, one line of JSON each."),
    (
        "<state>/hosts/<host>/content/persistent-cache-tasks/",
        "The content of the tasks that a host has.",
    ),
];

/// Print the completions of a shell.
#[derive(Args, Debug)]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_name = "SHELL", value_enum)]
    shell: Shell,
}

impl Completions {
    pub(crate) fn script(&self, mut grammar: Command) -> Vec<u8> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut grammar, "fake-dfdaemon", &mut script);
        if self.shell != Shell::Bash {
            return script;
        }
        // clap_complete takes the hyphen in the name for one word's end where it looks a word up,
        // and not where it goes on from it: below the first word nothing would be found.
        let script = String::from_utf8_lossy(&script);
        script
            .replace("fake__subcmd__dfdaemon", "fake__dfdaemon")
            .into_bytes()
    }
}

/// Print a manual page, or write those of all commands.
#[derive(Args, Debug)]
pub(crate) struct Manual {
    /// The command, such as `serve` or `ctl hosts stop`; fake-dfdaemon itself if none is named
    #[arg(value_name = "COMMAND", conflicts_with = "directory")]
    command: Vec<String>,

    /// Write the pages of all commands into this directory, which is made if it is missing
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
}

impl Manual {
    /// The page that was asked for; nothing where all are written.
    pub(crate) fn page(&self, grammar: Command) -> io::Result<Vec<u8>> {
        let mut grammar = without_help(grammar);
        grammar.build();
        if let Some(directory) = &self.directory {
            std::fs::create_dir_all(directory)?;
            write_all(&grammar, grammar.get_name(), directory)?;
            return Ok(Vec::new());
        }
        let mut command = &grammar;
        let mut name = grammar.get_name().to_owned();
        for word in &self.command {
            command = command.find_subcommand(word).ok_or_else(|| {
                let message = format!(
                    "there is no command {:?}: fake-dfdaemon --help lists them",
                    self.command.join(" ")
                );
                io::Error::new(io::ErrorKind::InvalidInput, message)
            })?;
            name = format!("{name}-{}", command.get_name());
        }
        page(command, &name)
    }
}

fn write_all(command: &Command, name: &str, directory: &Path) -> io::Result<()> {
    std::fs::write(directory.join(format!("{name}.1")), page(command, name)?)?;
    command
        .get_subcommands()
        .try_for_each(|below| write_all(below, &format!("{name}-{}", below.get_name()), directory))
}

/// Pages about `help` help nobody.
fn without_help(command: Command) -> Command {
    command
        .disable_help_subcommand(true)
        .mut_subcommands(without_help)
}

/// The page of a command, in roff.
fn page(command: &Command, name: &str) -> io::Result<Vec<u8>> {
    let top = name.split_once("fake-dfdaemon-").map_or("", |(_, rest)| {
        rest.split_once('-').map_or(rest, |(top, _)| top)
    });
    let man = Man::new(
        command
            .clone()
            .display_name(name)
            .version(env!("CARGO_PKG_VERSION")),
    )
    .title(name)
    .source(concat!("fake-dfdaemon ", env!("CARGO_PKG_VERSION")));
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    if let Some(more) = command.get_after_long_help().or(command.get_after_help()) {
        let more = more.to_string();
        let (heading, lines) = more.split_once('\n').unwrap_or(("More", &more));
        match heading.trim_end_matches(':') {
            "Example" | "Examples" => {
                literal("EXAMPLES", lines.lines().map(str::trim_start)).to_writer(&mut page)?;
            }
            heading => literal(&heading.to_uppercase(), lines.lines()).to_writer(&mut page)?,
        }
    }
    if let Some((_, examples)) = EXAMPLES.iter().find(|(of, _)| *of == top) {
        literal("EXAMPLES", examples.iter().copied()).to_writer(&mut page)?;
    }
    listed("EXIT STATUS", EXIT_STATUS.iter().copied()).to_writer(&mut page)?;
    let variables: Vec<_> = command.get_arguments().filter_map(variable).collect();
    let set = match top {
        "" | "run" => SET_FOR_COMMAND,
        _ => &[],
    };
    let variables = variables.iter().map(|(name, help)| (&**name, &**help));
    let variables: Vec<_> = variables.chain(set.iter().copied()).collect();
    if !variables.is_empty() {
        listed("ENVIRONMENT", variables.into_iter()).to_writer(&mut page)?;
    }
    if !matches!(top, "man" | "completions") {
        listed("FILES", FILES.iter().copied()).to_writer(&mut page)?;
    }
    Ok(page)
}

fn variable(argument: &Arg) -> Option<(String, String)> {
    let name = argument.get_env()?.to_string_lossy().into_owned();
    let long = argument.get_long()?;
    Some((name, format!("The same as --{long}.")))
}

/// A section of lines as they are typed.
fn literal<'a>(heading: &str, lines: impl Iterator<Item = &'a str>) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", [heading]).control("nf", []);
    for line in lines {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
    roff
}

/// A section of names, each with its meaning.
fn listed<'a>(heading: &str, rows: impl Iterator<Item = (&'a str, &'a str)>) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", [heading]);
    for (name, meaning) in rows {
        roff.control("TP", [])
            .text([bold(name)])
            .text([roman(meaning)]);
    }
    roff
}
