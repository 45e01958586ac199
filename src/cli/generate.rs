//! `dfcache completions` and `dfcache man`: texts made of the grammar itself.

use std::path::{Path, PathBuf};
use std::{fs, io};

use clap::{Args, CommandFactory as _, ValueHint};
use clap_complete::Shell;

use super::{Cli, grammar, manual, paths};
use crate::types::error::{Error, ErrorKind, Result};

/// The commands that have a page.
const COMMANDS: [&str; 9] = [
    "import",
    "export",
    "stat",
    "ls",
    "id",
    "verify",
    "doctor",
    "completions",
    "man",
];

/// Print the completions of a shell
#[derive(Debug, Args)]
pub(crate) struct CompletionsArguments {
    /// The shell
    #[arg(value_name = "SHELL", value_enum)]
    shell: Shell,
}

impl CompletionsArguments {
    /// The script for the shell.
    pub(crate) fn script(&self) -> Vec<u8> {
        let mut script = Vec::new();
        let mut grammar = grammar::completing();
        clap_complete::generate(self.shell, &mut grammar, "dfcache", &mut script);
        match self.shell {
            Shell::Bash => bash_with_ids(&script),
            Shell::Zsh => zsh_with_ids(&script),
            Shell::Fish => [&script, FISH_IDS.as_bytes()].concat(),
            _ => script,
        }
    }
}

/// Offers ids where the script of clap has nothing but options.
const BASH_IDS: &str = r#"
_dfcache_or_ids() {
    _dfcache "$@"
    local word
    case "$2,$3" in
        -*|*,=|@OPTIONS@) return ;;
    esac
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        case "$word" in
            stat|export|verify)
                local ids
                ids=$(dfcache __ids "${COMP_WORDS[@]:1:COMP_CWORD-1}" 2>/dev/null)
                ids=$(compgen -W "$ids" -- "$2")
                [[ -z $ids ]] || COMPREPLY=($ids)
                return ;;
        esac
    done
}

if [["#;

const ZSH_IDS: &str = r#"_dfcache_ids() {
    local -a ids
    ids=(${(f)"$(dfcache __ids ${(Q)words[1,CURRENT-1]} 2>/dev/null)"})
    if (( $#ids )); then compadd -a ids; else _default; fi
}

_dfcache() {"#;

const FISH_IDS: &str = r#"complete -c dfcache -n "__fish_dfcache_using_subcommand stat export verify" -k -a '(dfcache __ids (commandline -opc)[2..-1] 2>/dev/null)'
"#;

fn bash_with_ids(script: &[u8]) -> Vec<u8> {
    let mut options = std::collections::BTreeSet::new();
    let grammar = Cli::command();
    for command in ["stat", "export", "verify"] {
        let command = grammar.find_subcommand(command);
        options.extend(command.into_iter().flat_map(grammar::with_values));
    }
    let options: Vec<_> = options.iter().map(|option| format!("*,{option}")).collect();
    let ids = BASH_IDS.replace("@OPTIONS@", &options.join("|"));
    let script = String::from_utf8_lossy(script);
    let script = script.replace("complete -F _dfcache ", "complete -F _dfcache_or_ids ");
    script.replacen("\nif [[", &ids, 1).into_bytes()
}

fn zsh_with_ids(script: &[u8]) -> Vec<u8> {
    let script = String::from_utf8_lossy(script);
    let id = "The id of the task, as import printed it:";
    let script = script.replace(&format!("{id}_default"), &format!("{id}_dfcache_ids"));
    script.replacen("_dfcache() {", ZSH_IDS, 1).into_bytes()
}

/// Print a manual page, or write those of all commands
#[derive(Debug, Args)]
pub(crate) struct ManArguments {
    /// The command; dfcache itself if none is named
    #[arg(value_name = "COMMAND", value_parser = COMMANDS, hide_possible_values = true, conflicts_with = "directory")]
    command: Option<String>,

    /// Write the pages of all commands into this directory, which is made if it is missing
    #[arg(long, value_name = "DIR", value_parser = paths::path(), value_hint = ValueHint::DirPath)]
    directory: Option<PathBuf>,
}

impl ManArguments {
    /// The page, in roff; nothing where all are written.
    pub(crate) fn page(&self) -> Result<Vec<u8>> {
        let mut grammar = grammar::documented(true).disable_help_subcommand(true);
        grammar.build();
        if let Some(directory) = &self.directory {
            let failed = |source: io::Error| {
                let message = format!("cannot write manual pages to {}", directory.display());
                Error::new(ErrorKind::LocalFile, message).because(source)
            };
            write_all(&grammar, directory).map_err(failed)?;
            return Ok(Vec::new());
        }
        let page = match &self.command {
            None => manual::page(&grammar, "dfcache"),
            Some(name) => {
                let command = grammar.find_subcommand(name).ok_or_else(|| {
                    Error::new(ErrorKind::Usage, format!("there is no command {name}"))
                })?;
                manual::page(command, &format!("dfcache-{name}"))
            }
        };
        page.map_err(|source| {
            Error::new(ErrorKind::Failure, "cannot render the manual page").because(source)
        })
    }
}

fn write_all(grammar: &clap::Command, directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let write = |command, name: &str| {
        let page = manual::page(command, name)?;
        fs::write(directory.join(format!("{name}.1")), page)
    };
    write(grammar, "dfcache")?;
    grammar
        .get_subcommands()
        .try_for_each(|command| write(command, &format!("dfcache-{}", command.get_name())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page() {
        let grammar = Cli::command();
        let commands: Vec<_> = grammar
            .get_subcommands()
            .map(clap::Command::get_name)
            .collect();
        assert_eq!(commands, COMMANDS);
    }
}
