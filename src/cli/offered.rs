//! Ids that a shell offers after `stat`, `export` and `verify`: those of the daemon that the line names.
//!
//! The scripts of `dfcache completions` ask for them. The shell waits for the answer, so ids that do not
//! come at once are left out, without an error.

use std::ffi::{OsStr, OsString};
use std::sync::mpsc;
use std::time::Duration;

use super::environment;
use crate::blocking::Client;
use crate::types::endpoint::{DEFAULT_ENDPOINT, Endpoint};

/// What stands in the place of a command when a shell asks.
pub(super) const COMMAND: &str = "__ids";

/// How long a user who pressed a key may wait.
const WITHIN: Duration = Duration::from_millis(500);

/// The ids, one a line; none if the line has one already. `words` are those of the line before the one
/// that is completed.
pub(super) fn ids(words: &[OsString]) -> Vec<u8> {
    let endpoint = endpoint(words);
    let (sender, receiver) = mpsc::channel();
    // Left behind if it hangs.
    let asked = std::thread::Builder::new().spawn(move || {
        let listed = Endpoint::new(endpoint)
            .map_err(Into::into)
            .and_then(|endpoint| Client::connect(endpoint)?.list());
        // Nobody listens after a while.
        let _ = sender.send(listed.unwrap_or_default());
    });
    let tasks = asked.ok().and_then(|_| receiver.recv_timeout(WITHIN).ok());
    let tasks = tasks.unwrap_or_default();
    if tasks
        .iter()
        .any(|task| words.iter().any(|word| word == task.task_id.as_str()))
    {
        return Vec::new();
    }
    let ids = tasks.iter().map(|task| task.task_id.as_str());
    ids.filter(|id| is_one_word(id))
        .fold(String::new(), |lines, id| lines + id + "\n")
        .into_bytes()
}

/// What a shell takes as it is: ids of a hostile daemon must do nothing on a line.
fn is_one_word(id: &str) -> bool {
    !id.starts_with('-')
        && id
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':'))
}

/// bash makes words of their own of `=` signs.
fn endpoint(words: &[OsString]) -> OsString {
    let words: Vec<&OsStr> = words.iter().map(OsString::as_os_str).collect();
    let words: Vec<&OsStr> = words.into_iter().filter(|word| *word != "=").collect();
    let mut typed = words.iter().enumerate().filter_map(|(at, word)| {
        let text = word.to_str()?;
        if text == "-e" || text == "--endpoint" {
            return words.get(at + 1).map(|value| (*value).to_owned());
        }
        let value = text
            .strip_prefix("--endpoint=")
            .or_else(|| text.strip_prefix("-e"))?;
        Some(OsString::from(value))
    });
    let commands = ["stat", "export", "verify"];
    let command = words
        .iter()
        .find_map(|word| commands.iter().find(|command| word == *command));
    typed
        .next_back()
        .or_else(|| environment::value(command.unwrap_or(&commands[0]), "endpoint"))
        .unwrap_or_else(|| DEFAULT_ENDPOINT.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_names_the_endpoint() {
        for line in [
            "stat -e /s",
            "-e /x stat -e /s ",
            "export --endpoint /s",
            "export --endpoint = /s",
            "verify --endpoint=/s",
            "stat -e/s",
        ] {
            let words: Vec<_> = line.split_whitespace().map(OsString::from).collect();
            assert_eq!(endpoint(&words), "/s", "{line}");
        }
    }

    #[test]
    fn an_id_that_a_shell_would_read_is_not_offered() {
        assert!(["7", "a-b_c.d:e"].into_iter().all(is_one_word));
        for id in ["-e", "a b", "$(reboot)", "a;b", "a\nb", "`a`", "*"] {
            assert!(!is_one_word(id), "{id}");
        }
    }
}
