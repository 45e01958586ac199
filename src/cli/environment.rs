//! A variable for every option: `DFCACHE_<COMMAND>_<OPTION>`.
//!
//! The names follow from the grammar, so that shared options are declared once. A variable that
//! is set but empty counts as not set.

use std::env;
use std::ffi::OsString;

use clap::{Arg, ArgAction, Command};

/// Serves all commands.
const COMMON_ENDPOINT: &str = "DFCACHE_ENDPOINT";

/// Gives every option of every command its variable, which helps name if `shown`.
pub(super) fn with_variables(command: Command, shown: bool) -> Command {
    command.mut_subcommands(|command| {
        let name = command.get_name().to_owned();
        command.mut_args(|argument| with_variable(argument, &name).hide_env(!shown))
    })
}

/// The name of an option's own variable.
pub(super) fn variable(command: &str, option: &str) -> String {
    let option = match option {
        "endpoint" => "dfdaemon-endpoint",
        option => option,
    };
    named(command, option)
}

fn named(command: &str, option: &str) -> String {
    format!("DFCACHE_{command}_{option}")
        .replace('-', "_")
        .to_uppercase()
}

fn with_variable(argument: Arg, command: &str) -> Arg {
    let Some(option) = argument.get_long() else {
        return argument;
    };
    let is_flag = matches!(argument.get_action(), ArgAction::SetTrue);
    if !is_flag && !matches!(argument.get_action(), ArgAction::Set) {
        return argument;
    }
    let mut names = vec![variable(command, option)];
    if option == "endpoint" {
        // What the rule makes of the option's name works as well as the longer name.
        names.push(named(command, option));
        names.push(COMMON_ENDPOINT.to_owned());
    }
    let first = names.iter().position(|name| given(name).is_some());
    let name = names.swap_remove(first.unwrap_or_default());
    // A flag that is set to false counts as given, and would contradict others.
    let ignored = match given(&name) {
        None => env::var_os(&name).is_some(),
        Some(value) => is_flag && is_false(&value),
    };
    if ignored {
        return argument;
    }
    let argument = argument.env(name).hide_env_values(true);
    if is_flag {
        return argument.value_parser(clap::builder::BoolishValueParser::new());
    }
    argument
}

fn given(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

fn is_false(value: &OsString) -> bool {
    let value = value.to_string_lossy().to_lowercase();
    ["0", "false", "f", "no", "n", "off"].contains(&value.as_str())
}
