//! The grammar of the command line: what the types of the commands say, and what holds for all.
//!
//! - Every option has variables.
//! - The last of several options of one name wins.
//! - A flag takes `=true` or `=false`. Documents show flags without it.
//! - Options that several commands have may stand before the command.

use std::collections::BTreeMap;
use std::ffi::OsString;

use clap::builder::BoolishValueParser;
use clap::{Arg, ArgAction, Args, Command, CommandFactory as _};

use super::{
    Cli, DoctorArguments, ExportArguments, IdArguments, ImportArguments, LsArguments,
    StatArguments, VerifyArguments, environment,
};

/// The options that several commands have: what [`shared`] finds in the grammar of all.
const SHARED: [&str; 17] = [
    "application",
    "console",
    "content-for-calculating-task-id",
    "endpoint",
    "format",
    "jobs",
    "log-dir",
    "log-level",
    "log-max-files",
    "no-progress",
    "piece-length",
    "recursive",
    "retries",
    "staging-dir",
    "tag",
    "timeout",
    "verbose",
];

/// The grammar that documents are made of.
pub(super) fn documented(shows_variables: bool) -> Command {
    let command = Cli::command();
    let shared = shared(&command);
    let names: Vec<&str> = shared.keys().map(String::as_str).collect();
    environment::with_variables(command, &names, shows_variables)
}

/// The same for parsing.
pub(super) fn accepting(documented: Command) -> Command {
    documented
        .args_override_self(true)
        .mut_subcommands(|command| command.mut_args(with_value))
}

/// The same for one command alone, if it is one that asks a daemon or a file: the options of all
/// commands would be most of what a `dfcache stat` calculates. Without helps; what it refuses, the grammar of
/// all commands has better words for.
pub(super) fn accepting_alone(command: &str) -> Option<Command> {
    let (name, with_options): (&'static str, fn(Command) -> Command) = match command {
        "import" => ("import", ImportArguments::augment_args),
        "export" => ("export", ExportArguments::augment_args),
        "stat" => ("stat", StatArguments::augment_args),
        "ls" => ("ls", LsArguments::augment_args),
        "id" => ("id", IdArguments::augment_args),
        "verify" => ("verify", VerifyArguments::augment_args),
        "doctor" => ("doctor", DoctorArguments::augment_args),
        _ => return None,
    };
    let command = with_options(Command::new(name));
    let grammar = Command::new("dfcache").subcommand(command);
    Some(accepting(environment::with_variables(
        grammar, &SHARED, false,
    )))
}

/// The same with helps that are made of the grammar for documents.
pub(super) fn with_helps(accepting: Command, documented: &Command, short: bool) -> Command {
    let mut documented = documented.clone();
    documented.build();
    accepting.mut_subcommands(|command| {
        let help = documented
            .find_subcommand_mut(command.get_name())
            .map(|shown| {
                if short {
                    shown.render_help()
                } else {
                    shown.render_long_help()
                }
            });
        match help {
            Some(help) => command.override_help(help),
            None => command,
        }
    })
}

/// The grammar that completions are made of: options may stand before the command.
pub(super) fn completing() -> Command {
    let command = Cli::command();
    let shared = shared(&command).into_values();
    command.args(shared)
}

/// The options of a command that take a value, as they are typed.
pub(super) fn with_values(command: &Command) -> Vec<String> {
    let options = command
        .get_arguments()
        .filter(|option| matches!(option.get_action(), ArgAction::Set) && !option.is_positional());
    let names = options.flat_map(|option| {
        let long = option.get_long().map(|name| format!("--{name}"));
        let short = option.get_short().map(|name| format!("-{name}"));
        long.into_iter().chain(short)
    });
    names.collect()
}

fn is_flag(argument: &Arg) -> bool {
    matches!(argument.get_action(), ArgAction::SetTrue)
}

fn with_value(flag: Arg) -> Arg {
    if !is_flag(&flag) {
        return flag;
    }
    flag.action(ArgAction::Set)
        .num_args(0..=1)
        .require_equals(true)
        .value_name("true|false")
        .value_parser(BoolishValueParser::new())
        .default_value("false")
        .default_missing_value("true")
}

/// The options that several commands have, by their names.
fn shared(command: &Command) -> BTreeMap<String, Arg> {
    let options = command.get_subcommands().flat_map(Command::get_arguments);
    let mut seen = BTreeMap::new();
    let mut shared = BTreeMap::new();
    for option in options {
        if let Some(name) = option.get_long()
            && seen.insert(name.to_owned(), ()).is_some()
        {
            shared.insert(name.to_owned(), option.clone());
        }
    }
    shared
}

/// Puts the options that stand before the command behind it. Arguments that begin with anything else
/// that is no command are left to the grammar, which says what is wrong.
pub(super) fn command_first(arguments: &[OsString]) -> Vec<OsString> {
    let begins_with_option = |word: &OsString| word.as_encoded_bytes().starts_with(b"-");
    if !arguments.get(1).is_some_and(begins_with_option) {
        return arguments.to_vec();
    }
    let shared = shared(&Cli::command());
    let mut end = 1;
    while let Some(words) = arguments
        .get(end)
        .and_then(|word| option(word.to_str()?, &shared))
    {
        end += words;
    }
    let (before, rest) = arguments.split_at(end.min(arguments.len()));
    let (program, options) = before.split_at(before.len().min(1));
    match rest.split_first() {
        Some((command, rest)) if command != "help" && !begins_with_option(command) => {
            [program, std::slice::from_ref(command), options, rest].concat()
        }
        _ => [program, rest].concat(),
    }
}

/// How many words an option takes, if the word is a shared one.
fn option(word: &str, shared: &BTreeMap<String, Arg>) -> Option<usize> {
    let (option, has_value) = if let Some(long) = word.strip_prefix("--") {
        let (name, value) = long
            .split_once('=')
            .map_or((long, None), |(name, value)| (name, Some(value)));
        (shared.get(name)?, value.is_some())
    } else {
        let mut characters = word.strip_prefix('-')?.chars();
        let short = characters.next()?;
        let option = shared
            .values()
            .find(|option| option.get_short() == Some(short));
        (option?, characters.next().is_some())
    };
    Some(if has_value || is_flag(option) { 1 } else { 2 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shared_options_are_those_of_several_commands() {
        let found: Vec<String> = shared(&Cli::command()).into_keys().collect();
        assert_eq!(found, SHARED);
    }

    #[test]
    fn a_command_alone_has_the_options_and_variables_that_it_has_among_all() {
        let all = accepting(documented(false));
        let options = |command: &Command| {
            let options = command.get_arguments();
            let options = options.map(|option| {
                let option = option.clone().hide_env(true);
                format!("{option:?}")
            });
            options.collect::<Vec<_>>()
        };
        let mut alone = 0;
        for command in all.get_subcommands() {
            let Some(grammar) = accepting_alone(command.get_name()) else {
                assert!(["completions", "man"].contains(&command.get_name()));
                continue;
            };
            let [own] = &grammar.get_subcommands().collect::<Vec<_>>()[..] else {
                panic!("{} is not alone", command.get_name());
            };
            assert_eq!(own.get_name(), command.get_name());
            assert_eq!(options(own), options(command));
            alone += 1;
        }
        assert_eq!(alone, 7);
    }
}
