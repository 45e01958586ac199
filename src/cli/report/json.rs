//! Results and errors for programs: one object on one line.

use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;

use super::Outcome;
use crate::cli::exit::exit_code;
use crate::cli::remedy::hint;
use crate::client::doctor::Check;
use crate::tree::{TreeFile, TreeSummary};
use crate::types::error::{Error, ErrorKind, Result};
use crate::types::escape::needs_escape;
use crate::types::task::Task;

#[derive(Serialize)]
struct Import<'a> {
    #[serde(flatten)]
    task: &'a Task,
    path: &'a str,
    existed: bool,
}

#[derive(Serialize)]
struct Export<'a> {
    task_id: &'a str,
    path: Option<&'a str>,
    content_length: u64,
    piece_count: usize,
    transferred: bool,
    digest: Option<String>,
}

#[derive(Serialize)]
struct Verify<'a> {
    task_id: &'a str,
    path: &'a str,
    content_length: u64,
}

#[derive(Serialize)]
struct TreeFields {
    file_count: usize,
    directory_count: usize,
    link_count: usize,
    total_length: u64,
}

impl From<TreeSummary> for TreeFields {
    fn from(summary: TreeSummary) -> Self {
        Self {
            file_count: summary.file_count,
            directory_count: summary.directory_count,
            link_count: summary.link_count,
            total_length: summary.content_length,
        }
    }
}

#[derive(Serialize)]
struct ImportTree<'a> {
    #[serde(flatten)]
    task: &'a Task,
    path: &'a str,
    existed: bool,
    #[serde(flatten)]
    summary: TreeFields,
    existing_count: usize,
}

#[derive(Serialize)]
struct ExportTree<'a> {
    task_id: &'a str,
    path: &'a str,
    transferred: bool,
    #[serde(flatten)]
    summary: TreeFields,
}

#[derive(Serialize)]
struct VerifyTree<'a> {
    task_id: &'a str,
    path: &'a str,
    #[serde(flatten)]
    summary: TreeFields,
}

#[derive(Serialize)]
struct File<'a> {
    path: &'a str,
    task_id: &'a str,
    content_length: u64,
}

#[derive(Serialize)]
struct Diagnosis {
    healthy: bool,
    checks: Vec<CheckFields>,
}

#[derive(Serialize)]
struct CheckFields {
    name: &'static str,
    passed: bool,
    detail: String,
    hint: Option<String>,
}

impl From<&Check> for CheckFields {
    fn from(check: &Check) -> Self {
        let (detail, remedy) = match &check.result {
            Ok(found) => (found.clone(), None),
            Err(error) => {
                let why = std::iter::once(error.to_string()).chain(error.causes());
                (why.collect::<Vec<_>>().join(": "), error.remedy())
            }
        };
        Self {
            name: check.name,
            passed: check.result.is_ok(),
            detail,
            hint: remedy.map(hint),
        }
    }
}

#[derive(Serialize)]
struct Failure<'a> {
    error: FailureFields<'a>,
}

#[derive(Serialize)]
struct FailureFields<'a> {
    kind: &'a str,
    exit_code: u8,
    message: String,
    causes: Vec<String>,
    hint: Option<String>,
}

#[derive(Serialize)]
struct Id<'a> {
    task_id: &'a str,
    path: &'a str,
}

pub(super) fn outcome(outcome: &Outcome) -> Result<Vec<u8>> {
    let lines = match outcome {
        Outcome::Imported { path, imported, .. } => line(&Import {
            task: &imported.task,
            path: text(path)?,
            existed: imported.existed,
        }),
        Outcome::Exported {
            task_id,
            exported,
            digest,
        } => line(&Export {
            task_id: task_id.as_str(),
            path: exported.path.as_deref().map(text).transpose()?,
            content_length: exported.content_length,
            piece_count: exported.piece_count,
            transferred: exported.transferred,
            digest: digest.as_ref().map(ToString::to_string),
        }),
        Outcome::ImportedTree {
            tree, with_files, ..
        } => {
            let last = ImportTree {
                task: &tree.task,
                path: text(&tree.path)?,
                existed: tree.existed,
                summary: tree.summary.into(),
                existing_count: tree.existing_count,
            };
            tree_lines(tree.files(), *with_files, &last)
        }
        Outcome::ExportedTree {
            task_id,
            tree,
            transferred,
            with_files,
        } => {
            let last = ExportTree {
                task_id: task_id.as_str(),
                path: text(&tree.path)?,
                transferred: *transferred,
                summary: tree.summary.into(),
            };
            tree_lines(tree.files(), *with_files, &last)
        }
        Outcome::Diagnosed(checks) => line(&Diagnosis {
            healthy: checks.iter().all(|check| check.result.is_ok()),
            checks: checks.iter().map(CheckFields::from).collect(),
        }),
        Outcome::Verified(verified) => line(&Verify {
            task_id: verified.task.task_id.as_str(),
            path: text(&verified.path)?,
            content_length: verified.task.content_length,
        }),
        Outcome::VerifiedTree {
            task_id,
            tree,
            with_files,
        } => {
            let last = VerifyTree {
                task_id: task_id.as_str(),
                path: text(&tree.path)?,
                summary: tree.summary.into(),
            };
            tree_lines(tree.files(), *with_files, &last)
        }
        Outcome::Stat(task) => line(task),
        Outcome::Listed(tasks) => tasks.iter().map(line).collect(),
        Outcome::Id { task_id, path, .. } => line(&Id {
            task_id: task_id.as_str(),
            path: text(path)?,
        }),
        Outcome::Document(text) => return Ok(text.clone()),
    };
    lines.map(String::into_bytes)
}

/// The line of a tree, after those of its files where they are asked for.
fn tree_lines<'a>(
    files: impl Iterator<Item = TreeFile<'a>>,
    with_files: bool,
    last: &impl Serialize,
) -> Result<String> {
    let file = |file: TreeFile<'_>| {
        line(&File {
            path: file.path,
            task_id: file.task_id,
            content_length: file.content_length,
        })
    };
    let mut lines: String = files
        .filter(|_| with_files)
        .map(file)
        .collect::<Result<_>>()?;
    lines += &line(last)?;
    Ok(lines)
}

pub(super) fn error(error: &Error) -> String {
    let failure = Failure {
        error: FailureFields {
            kind: error.kind().name(),
            exit_code: exit_code(error.kind()),
            message: error.to_string(),
            causes: error.causes(),
            hint: error.remedy().map(hint),
        },
    };
    line(&failure).unwrap_or_default()
}

fn line(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value)
        .map(|json| escaped(&json) + "\n")
        .map_err(|source| Error::new(ErrorKind::Failure, "cannot write JSON").because(source))
}

/// JSON need not escape all that a terminal takes for a command. Outside its strings there is none.
fn escaped(json: &str) -> String {
    json.chars().fold(String::new(), |mut escaped, character| {
        if needs_escape(character) {
            // Writing to a string cannot fail; none of them needs a surrogate.
            let _ = write!(escaped, "\\u{:04x}", u32::from(character));
        } else {
            escaped.push(character);
        }
        escaped
    })
}

/// JSON has no way to write a path that is not text.
pub(crate) fn text(path: &Path) -> Result<&str> {
    path.to_str().ok_or_else(|| {
        Error::local_file(format!("the path {} is not UTF-8", path.display()))
            .because("JSON cannot carry it")
            .hint("--format text prints it as it is")
    })
}
