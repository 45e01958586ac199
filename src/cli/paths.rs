//! Paths that are the values of options.

use std::ffi::OsStr;
use std::path::PathBuf;

use clap::builder::{PathBufValueParser, TypedValueParser};

/// Takes a path, unless the shell was to expand its `~`: it does so at the start of a word alone, and
/// not in `--log-dir=~/x`.
pub(super) fn path() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|path| {
        expanded(path.as_os_str())?;
        Ok::<_, String>(path)
    })
}

/// # Errors
///
/// What to write instead.
pub(super) fn expanded(path: &OsStr) -> Result<(), String> {
    let shown = path.to_string_lossy();
    let (first, rest) = shown.split_once('/').unwrap_or((&shown, ""));
    let Some(user) = first.strip_prefix('~') else {
        return Ok(());
    };
    // A file may be called ~user; of a path, only a person begins so.
    let is_user = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if !user.is_empty() && (first.len() == shown.len() || !user.chars().all(is_user)) {
        return Ok(());
    }
    let home = if user.is_empty() {
        format!("$HOME/{rest}")
    } else {
        format!("the home directory of {user}")
    };
    let home = home.trim_end_matches('/');
    Err(format!(
        "a shell expands ~ only at the start of a word; write {home}, or ./{shown} for a name that begins with ~"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_shell_would_have_expanded_is_refused() {
        let why = |path: &str| expanded(OsStr::new(path)).err();
        for (path, instead) in [
            ("~", "write $HOME,"),
            ("~/", "write $HOME,"),
            ("~/a/b", "write $HOME/a/b,"),
            ("~you/a", "the home directory of you,"),
        ] {
            let why = why(path).unwrap();
            assert!(why.contains(instead), "{path}: {why}");
            assert!(why.contains(&format!("./{path} ")), "{path}: {why}");
        }
        for path in [
            "",
            "a/~",
            "./~/a",
            "~you",
            "~$report.doc",
            "~$a/b",
            "a~/b",
            "/~/a",
        ] {
            assert_eq!(why(path), None, "{path}");
        }
    }
}
