//! A variable for every option: `DFCACHE_<COMMAND>_<OPTION>`, and `DFCACHE_<OPTION>` for one that
//! several commands have.
//!
//! The names follow from the grammar, so that shared options are declared once. A variable that
//! is set but empty counts as not set.

use std::env;
use std::ffi::OsString;

use clap::{Arg, Command};

/// Gives every option of every command its variable, which helps name if `shown`. `shared` are the
/// options that several commands have.
pub(super) fn with_variables(command: Command, shared: &[String], shown: bool) -> Command {
    command.mut_subcommands(|command| {
        let name = command.get_name().to_owned();
        command.mut_args(|argument| with_variable(argument, &name, shared).hide_env(!shown))
    })
}

/// The value of an option that several commands have, if a variable sets it for this command.
pub(super) fn value(command: &str, option: &str) -> Option<OsString> {
    names(command, option, true)
        .iter()
        .find_map(|name| given(name))
}

/// The variables of an option; the first that is given decides.
fn names(command: &str, option: &str, is_shared: bool) -> Vec<String> {
    let own = named(&format!("{command}_{option}"));
    let mut names = match option {
        // What the rule makes of the option's name works as well as the longer name.
        "endpoint" => vec![named(&format!("{command}_dfdaemon_endpoint")), own],
        _ => vec![own],
    };
    if is_shared {
        names.push(named(option));
    }
    names
}

fn named(option: &str) -> String {
    format!("DFCACHE_{option}").replace('-', "_").to_uppercase()
}

fn with_variable(argument: Arg, command: &str, shared: &[String]) -> Arg {
    let Some(option) = argument.get_long() else {
        return argument;
    };
    let is_shared = shared.iter().any(|name| name == option);
    let mut names = names(command, option, is_shared);
    let first = names.iter().position(|name| given(name).is_some());
    let name = names.swap_remove(first.unwrap_or_default());
    if first.is_none() && env::var_os(&name).is_some() {
        return argument;
    }
    argument.env(name).hide_env_values(true)
}

fn given(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}
