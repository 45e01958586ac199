//! Options from the environment: each is also the variable `FAKE_DFDAEMON_<OPTION>`.
//!
//! A variable becomes an argument before the command line is read, so that it means, and is refused
//! as, what is typed. What is typed wins.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use clap::error::{ContextKind, ContextValue, Error, ErrorKind};
use clap::{Arg, ArgAction, Command};

/// What all the variables begin with.
const PREFIX: &str = "FAKE_DFDAEMON_";

/// Set for the command of `run`, and in an environment file: what they say of the daemon around are
/// no options.
pub(crate) const AROUND: &str = "FAKE_DFDAEMON_RUN";

/// The options that a daemon around has variables for.
const OF_AROUND: [&str; 2] = ["FAKE_DFDAEMON_STATE_DIR", "FAKE_DFDAEMON_CONTROL"];

/// Subcommands that run no daemon. `ctl` asks the one around.
const WITHOUT: [&str; 4] = ["ctl", "completions", "man", "help"];

/// The variable of an option.
fn variable(long: &str) -> String {
    format!("{PREFIX}{}", long.replace('-', "_").to_uppercase())
}

/// The variables of all options of a command that runs a daemon.
pub(crate) fn variables(grammar: &Command) -> Vec<String> {
    let subcommands = grammar.get_subcommands();
    let daemons = subcommands.filter(|command| !WITHOUT.contains(&command.get_name()));
    let options = daemons.flat_map(Command::get_arguments);
    options.filter_map(Arg::get_long).map(variable).collect()
}

/// The arguments, and behind the subcommand those that variables stand for.
pub(crate) fn with_variables(
    grammar: &Command,
    arguments: Vec<OsString>,
    value: impl Fn(&str) -> Option<OsString>,
) -> Vec<OsString> {
    let named = arguments.get(1).and_then(|name| name.to_str());
    let subcommand = named.and_then(|name| grammar.find_subcommand(name));
    let Some(subcommand) = subcommand.filter(|it| !WITHOUT.contains(&it.get_name())) else {
        return arguments;
    };
    let is_inside = value(AROUND).is_some();
    let mut all = arguments.get(..2).unwrap_or_default().to_vec();
    for option in subcommand.get_arguments() {
        let Some(long) = option.get_long().filter(|long| *long != "help") else {
            continue;
        };
        let name = variable(long);
        let is_around = is_inside && OF_AROUND.contains(&name.as_str());
        let given = value(&name).filter(|value| !value.is_empty() && !is_around);
        if let Some(given) = given.filter(|_| !is_typed(&arguments, long)) {
            all.extend(typed(option, long, &given));
        }
    }
    all.extend(arguments.into_iter().skip(2));
    all
}

/// Names the variable that gave a value that is refused: the option alone is not found on the line.
/// `typed` is the line without what variables stand for.
pub(crate) fn blamed(mut error: Error, grammar: &Command, typed: &[OsString]) -> Error {
    let Some(ContextValue::String(refused)) = error.get(ContextKind::InvalidArg) else {
        return error;
    };
    let long = refused.split([' ', '[', '=']).next().unwrap_or_default();
    let long = long.strip_prefix("--").unwrap_or_default();
    let name = variable(long);
    if variables(grammar).contains(&name) && !is_typed(typed, long) {
        if let (ErrorKind::TooManyValues, Some(ContextValue::String(value))) =
            (error.kind(), error.get(ContextKind::InvalidValue))
        {
            // A flag, for which clap takes no value.
            let why = format!("{name} must be true or false, not '{value}'");
            return grammar.clone().error(ErrorKind::InvalidValue, why);
        }
        let tip = format!("the value is that of the variable {name}");
        let tip = ContextValue::StyledStrs(vec![tip.into()]);
        error.insert(ContextKind::Suggested, tip);
    }
    error
}

fn is_typed(arguments: &[OsString], long: &str) -> bool {
    let mut options = arguments.iter().take_while(|argument| *argument != "--");
    options.any(|argument| {
        let argument = argument.as_bytes().strip_prefix(b"--").unwrap_or_default();
        let rest = argument.strip_prefix(long.as_bytes());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"="))
    })
}

/// The option as it would be typed. A repeatable option has a value a line.
fn typed(option: &Arg, long: &str, value: &OsStr) -> Vec<OsString> {
    let with = |value: &[u8]| OsString::from_vec([b"--", long.as_bytes(), b"=", value].concat());
    match option.get_action() {
        ArgAction::SetTrue => match value.to_str() {
            Some("true" | "1" | "yes" | "on") => vec![format!("--{long}").into()],
            Some("false" | "0" | "no" | "off") => Vec::new(),
            // Which is refused by name.
            _ => vec![with(value.as_bytes())],
        },
        ArgAction::Append => {
            let lines = value.as_bytes().split(|byte| *byte == b'\n');
            lines.filter(|line| !line.is_empty()).map(with).collect()
        }
        _ => vec![with(value.as_bytes())],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::grammar;

    fn read(arguments: &[&str], variables: &[(&str, &str)]) -> Vec<String> {
        let arguments = arguments.iter().map(Into::into).collect();
        let value = |name: &str| {
            let variable = variables.iter().find(|(known, _)| *known == name);
            variable.map(|(_, value)| value.into())
        };
        let all = with_variables(&grammar(), arguments, value);
        let all = all
            .into_iter()
            .map(|argument| argument.into_string().unwrap());
        all.collect()
    }

    #[test]
    fn every_option_of_a_daemon_is_a_variable() {
        for command in ["serve", "run"] {
            let grammar = grammar();
            let options = grammar.find_subcommand(command).unwrap().get_arguments();
            let options: Vec<_> = options.filter(|it| it.get_long().is_some()).collect();
            assert!(options.len() > 20);
            for option in options {
                let long = option.get_long().unwrap();
                let is_flag = matches!(option.get_action(), ArgAction::SetTrue);
                let name = format!("FAKE_DFDAEMON_{}", long.to_uppercase().replace('-', "_"));
                let parsed = read(&["x", command, "--", "y"], &[(&name, "true")]);
                let expected = if is_flag {
                    format!("--{long}")
                } else {
                    format!("--{long}=true")
                };
                assert_eq!(parsed, ["x", command, &expected, "--", "y"]);
                assert!(variables(&grammar).contains(&name));
            }
        }
    }

    #[test]
    fn what_is_typed_wins_and_what_is_empty_is_none() {
        let hosts = [("FAKE_DFDAEMON_HOSTS", "2"), ("FAKE_DFDAEMON_FSYNC", "no")];
        for typed in [
            &["x", "serve", "--hosts", "3"][..],
            &["x", "serve", "--hosts=3"],
        ] {
            assert_eq!(read(typed, &hosts), typed);
        }
        let command = ["x", "run", "--", "y", "--hosts", "3"];
        assert_eq!(read(&command, &hosts)[2], "--hosts=2");
        assert_eq!(
            read(&["x", "serve"], &[("FAKE_DFDAEMON_HOSTS", "")]),
            ["x", "serve"]
        );
        assert_eq!(
            read(&["x", "ctl", "health"], &hosts),
            ["x", "ctl", "health"]
        );
        assert_eq!(read(&["x"], &hosts), ["x"]);
        let faults = [(
            "FAKE_DFDAEMON_FAULT",
            "stat:stall\nlist@call=1,host=a:end\n",
        )];
        let expected = [
            "x",
            "serve",
            "--fault=stat:stall",
            "--fault=list@call=1,host=a:end",
        ];
        assert_eq!(read(&["x", "serve"], &faults), expected);
        let odd = [("FAKE_DFDAEMON_FSYNC", "perhaps")];
        assert_eq!(
            read(&["x", "serve"], &odd),
            ["x", "serve", "--fsync=perhaps"]
        );
    }

    #[test]
    fn a_flag_whose_variable_is_neither_true_nor_false_is_refused_by_the_variable() {
        let typed = ["x", "serve"].map(OsString::from).to_vec();
        let value = |name: &str| (name == "FAKE_DFDAEMON_FSYNC").then(|| "perhaps".into());
        let all = with_variables(&grammar(), typed.clone(), value);
        let error = grammar().try_get_matches_from(all).unwrap_err();
        let text = blamed(error, &grammar(), &typed).to_string();
        let why = "FAKE_DFDAEMON_FSYNC must be true or false, not 'perhaps'";
        assert!(text.contains(why), "{text}");
    }

    #[test]
    fn a_daemon_inside_of_another_one_has_a_place_of_its_own() {
        let around = [
            ("FAKE_DFDAEMON_STATE_DIR", "/state"),
            ("FAKE_DFDAEMON_CONTROL", "/state/control.sock"),
            ("FAKE_DFDAEMON_HOSTS", "2"),
            (AROUND, "1"),
        ];
        assert_eq!(read(&["x", "serve"], &around), ["x", "serve", "--hosts=2"]);
        assert_eq!(read(&["x", "serve"], &around[..3]).len(), 5);
    }
}
