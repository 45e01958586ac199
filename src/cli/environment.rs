//! A variable for every option: `DFCACHE_<COMMAND>_<OPTION>`, and `DFCACHE_<OPTION>` for one that
//! several commands have.
//!
//! The names follow from the grammar, so that shared options are declared once. A variable that
//! is set but empty counts as not set.

use std::env;
use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue};
use clap::{Arg, Command, Error};

/// Gives every option of every command its variable, which helps name if `shown`. `shared` are the
/// options that several commands have.
pub(super) fn with_variables(command: Command, shared: &[&str], shown: bool) -> Command {
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

fn with_variable(argument: Arg, command: &str, shared: &[&str]) -> Arg {
    let Some(option) = argument.get_long() else {
        return argument;
    };
    let is_shared = shared.contains(&option);
    let mut names = names(command, option, is_shared);
    let first = names.iter().position(|name| given(name).is_some());
    let name = names.swap_remove(first.unwrap_or_default());
    if first.is_none() && env::var_os(&name).is_some() {
        return argument;
    }
    argument.env(name).hide_env_values(true)
}

/// Names the variable that gave a value that is refused. The option alone would not be found on the line.
pub(super) fn blamed(mut error: Error, grammar: &Command, arguments: &[OsString]) -> Error {
    let Some(ContextValue::String(refused)) = error.get(ContextKind::InvalidArg) else {
        return error;
    };
    let words = || arguments.iter().filter_map(|word| word.to_str());
    let command = words()
        .nth(1)
        .and_then(|name| grammar.find_subcommand(name));
    let long = refused.split([' ', '[', '=']).next().unwrap_or_default();
    let option = command.and_then(|command| {
        let mut options = command.get_arguments();
        options.find(|option| option.get_long() == long.strip_prefix("--"))
    });
    let variable = option.and_then(|option| {
        let short = option.get_short().map(|short| format!("-{short}"));
        let is_short = |word: &str| short.as_ref().is_some_and(|short| word.starts_with(short));
        let is_long = |word: &str| word.split('=').next() == Some(long);
        let is_typed = words().any(|word| is_short(word) || is_long(word));
        option.get_env().filter(|_| !is_typed)
    });
    if let Some(variable) = variable {
        let tip = format!("the value is that of the variable {}", variable.display());
        let tip = ContextValue::StyledStrs(vec![tip.into()]);
        error.insert(ContextKind::Suggested, tip);
    }
    error
}

fn given(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}
