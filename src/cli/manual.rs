//! A manual page: what clap_mangen makes of the grammar, and the sections that people look for in one.

use std::io;

use clap::{Arg, Command};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

const EXIT_STATUS: &[(&str, &str)] = &[
    ("0", "Done."),
    ("1", "Anything that no other line names."),
    (
        "2",
        "The command line: an unknown option, a bad value, options that exclude each other.",
    ),
    ("3", "No such task, or it has expired."),
    (
        "4",
        "A file on this side: missing, unreadable, changed while it was read, there without \
         --overwrite, no space or no permission.",
    ),
    (
        "5",
        "No dfdaemon at the endpoint, or no host with the content: a retry may help.",
    ),
    (
        "6",
        "Refused by dfdaemon: blocklist, limits, its own disk is full, not supported.",
    ),
    (
        "7",
        "The content is not what was promised: digest, length, a piece missing.",
    ),
    ("8", "The time was over."),
    ("9", "import: the task exists already."),
    ("128 + n", "Signal n ended it."),
];

/// Variables that are no option's.
const VARIABLES: &[(&str, &str)] = &[
    (
        "DFCACHE_<OPTION>",
        "The same for all commands that have the option, unless the command's own variable is set: \
         DFCACHE_ENDPOINT, DFCACHE_LOG_DIR, DFCACHE_FORMAT.",
    ),
    (
        "NO_COLOR, CLICOLOR_FORCE",
        "No colour, or colour everywhere.",
    ),
    (
        "XDG_STATE_HOME",
        "Where logs go if the log directory cannot be written.",
    ),
];

const FILES: &[(&str, &str)] = &[
    (
        "/var/run/dragonfly/dfdaemon.sock",
        "Where dfdaemon listens, unless --endpoint says otherwise.",
    ),
    (
        "/var/log/dragonfly/dfcache",
        "Where log files go, unless --log-dir says otherwise.",
    ),
    (
        "~/.local/state/dragonfly/dfcache",
        "Where log files go if that directory cannot be written.",
    ),
];

/// The page of a command, in roff.
pub(super) fn page(command: &Command, name: &str) -> io::Result<Vec<u8>> {
    let shown = command
        .clone()
        .display_name(name)
        .version(env!("CARGO_PKG_VERSION"));
    let man = Man::new(shown).source(concat!("dfcache ", env!("CARGO_PKG_VERSION")));
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    let examples = examples(command);
    if !examples.is_empty() {
        literal("EXAMPLES", &examples).to_writer(&mut page)?;
    }
    listed("EXIT STATUS", EXIT_STATUS.iter().copied()).to_writer(&mut page)?;
    let variables: Vec<_> = command.get_arguments().filter_map(variable).collect();
    // Those that only print have none.
    if command.has_subcommands() || !variables.is_empty() {
        let own = variables.iter().map(|(name, help)| (&**name, &**help));
        let rows = own.chain(VARIABLES.iter().copied());
        listed("ENVIRONMENT", rows).to_writer(&mut page)?;
        listed("FILES", FILES.iter().copied()).to_writer(&mut page)?;
    }
    Ok(page)
}

/// What the help has below `Examples:`, up to the end or the first line that is a sentence.
fn examples(command: &Command) -> Vec<String> {
    let more = command
        .get_after_long_help()
        .or(command.get_after_help())
        .map(ToString::to_string)
        .unwrap_or_default();
    let lines = more.lines().skip_while(|line| *line != "Examples:").skip(1);
    let mut lines: Vec<String> = lines
        .take_while(|line| line.is_empty() || line.starts_with(' ') || line.ends_with(':'))
        .map(|line| line.trim_start_matches("  ").to_owned())
        .collect();
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines
}

fn variable(argument: &Arg) -> Option<(String, String)> {
    let name = argument.get_env()?.to_string_lossy().into_owned();
    let long = argument.get_long()?;
    Some((name, format!("The same as --{long}.")))
}

/// A section of lines as they are typed.
fn literal(heading: &str, lines: &[String]) -> Roff {
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
