//! README.md and the pages in docs/ say what the programs say: options, variables, exit codes, fields.
//! Their sessions are typed in `sessions.rs`.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use dfcache::{ErrorKind, Interruption};
use fake_dfdaemon::{Action, Fault, Rpc};
use serde_json::Value;

use crate::support::command::DFCACHE;
use crate::support::process::fake_dfdaemon;

const README: &str = include_str!("../../README.md");
const DFCACHE_PAGE: &str = include_str!("../../docs/dfcache.md");
const FAKE_PAGE: &str = include_str!("../../docs/fake-dfdaemon.md");
const FAULTS_PAGE: &str = include_str!("../../docs/faults.md");
const FIDELITY_PAGE: &str = include_str!("../../docs/fidelity.md");
const GUARANTEES_PAGE: &str = include_str!("../../docs/guarantees.md");
const RUST_PAGE: &str = include_str!("../../docs/rust.md");
const SCHEMA: &str = include_str!("../../packaging/dfcache-output.schema.json");
const COMMANDS: [&str; 7] = ["import", "export", "stat", "ls", "id", "verify", "doctor"];

/// The lines of a page below a heading, up to the next one.
fn section(page: &'static str, heading: &str) -> Vec<&'static str> {
    let mut lines = page.lines();
    assert!(lines.any(|line| line == heading), "no heading {heading:?}");
    lines.take_while(|line| !line.starts_with('#')).collect()
}

/// The rows of the tables below a heading, without their heads; cells without backquotes.
fn rows(page: &'static str, heading: &str) -> Vec<Vec<String>> {
    let row = |line: &str| -> Vec<String> {
        let line = line.replace("\\|", "\0");
        let cells = line.trim_matches('|').split('|');
        let text = |cell: &str| cell.trim().replace('`', "").replace('\0', "|");
        cells.map(text).collect()
    };
    let lines = section(page, heading);
    let tables = lines.split(|line| !line.starts_with('|'));
    let bodies = tables.filter_map(|table| table.get(2..)).flatten();
    bodies.map(|line| row(line)).collect()
}

/// A test stands as its file, perhaps with its name; many of a kind as their directory.
#[test]
fn its_guarantees_name_tests_that_are_there() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut named = 0;
    for row in rows(GUARANTEES_PAGE, "# Guarantees") {
        let [promise, tests] = row.as_slice() else {
            panic!("{row:?}");
        };
        for test in tests.split_whitespace() {
            let (file, name) = test.split_once("::").unwrap_or((test, ""));
            let file = repository.join(file);
            if file.is_dir() {
                let roots = ["main.rs", "mod.rs"].map(|root| file.join(root));
                assert!(roots.iter().any(|root| root.exists()), "{promise}: {test}");
            } else {
                let text = std::fs::read_to_string(&file);
                let text = text.unwrap_or_else(|error| panic!("{promise}: {test}: {error}"));
                assert!(
                    text.contains("#[test]") || text.contains("#[tokio::test"),
                    "{test}"
                );
                assert!(text.contains(&format!("fn {name}")), "{promise}: {test}");
            }
            named += 1;
        }
    }
    assert!(named > 20, "{named} tests are named");
}

/// An option as help shows it: its names and value, its default, its variable.
type Entry = (String, String, String);

/// What stands between `[<name>: ` and `]`, or round brackets, in the text below an option.
fn bracketed(text: &str, name: &str) -> String {
    let between = |start: char, end: char| {
        let (_, rest) = text.split_once(&format!("{start}{name}: "))?;
        let (inside, _) = rest.split_once(end)?;
        Some(inside.replace('`', ""))
    };
    // Where rustdoc would take square brackets for a link, there are round ones.
    between('[', ']')
        .or_else(|| between('(', ')'))
        .unwrap_or_default()
}

fn entries(help: &str) -> BTreeSet<Entry> {
    let mut entries: Vec<(String, String)> = Vec::new();
    for line in help.lines().map(str::trim) {
        if line.starts_with('-') && !line.starts_with("- ") {
            entries.push((line.to_owned(), String::new()));
        } else if let Some((_, text)) = entries.last_mut() {
            *text += line;
            *text += " ";
        }
    }
    let documented = entries.into_iter().filter(|(option, _)| {
        !option.contains("--help") && !option.contains("--version") && option.contains("--")
    });
    documented
        .map(|(option, text)| (option, bracketed(&text, "default"), bracketed(&text, "env")))
        .collect()
}

fn help(program: &Path, command: &str) -> BTreeSet<Entry> {
    let mut program = Command::new(program);
    let output = program.args([command, "--help"]).env_clear().output();
    let entries = entries(&String::from_utf8(output.unwrap().stdout).unwrap());
    assert!(entries.len() >= 3, "{command} --help: {entries:?}");
    entries
}

#[test]
fn it_has_the_options_of_every_command_with_default_and_variable() {
    let rows = rows(DFCACHE_PAGE, "## Options");
    for command in COMMANDS {
        let written: BTreeSet<Entry> = rows
            .iter()
            .filter(|row| row[1].split(", ").any(|of| of == command))
            .map(|row| {
                let variable = row[3].replace("<COMMAND>", &command.to_uppercase());
                (row[0].clone(), row[2].clone(), variable)
            })
            .collect();
        assert_eq!(help(Path::new(DFCACHE), command), written, "{command}");
    }
    let of = |row: &Vec<String>| row[1].split(", ").all(|of| COMMANDS.contains(&of));
    assert!(rows.iter().all(of), "a row of no command");
}

#[test]
fn it_has_the_options_of_the_fake() {
    let written: BTreeSet<Entry> = rows(FAKE_PAGE, "## Options of serve and run")
        .into_iter()
        .map(|row| (row[0].clone(), row[1].clone(), String::new()))
        .collect();
    assert_eq!(help(&fake_dfdaemon(), "run"), written);
    let of_run_alone = |entry: &Entry| entry.0 == "--keep-on-failure";
    let of_serve = written.into_iter().filter(|entry| !of_run_alone(entry));
    assert_eq!(help(&fake_dfdaemon(), "serve"), of_serve.collect());
}

#[test]
fn it_has_the_quirks_of_the_fake() {
    let rows = rows(FIDELITY_PAGE, "## Where the fake differs");
    let written: Vec<&str> = rows.iter().map(|row| row[0].as_str()).collect();
    let known: Vec<_> = fake_dfdaemon::Quirk::all()
        .map(|quirk| quirk.name())
        .collect();
    assert_eq!(written, known);
}

#[test]
fn it_has_the_grammar_of_faults() {
    let parts = rows(FAULTS_PAGE, "# Faults");
    let on = parts[0][1].split(", ").filter(|on| *on != "or *");
    assert!(on.clone().all(|on| on.parse::<Rpc>().is_ok()));
    assert_eq!(on.count(), Rpc::ALL.len());
    let mut table = "| do | on | |\n|---|---|---|\n".to_owned();
    for action in Action::examples() {
        let written = written(&action);
        let calls = acts_on(&written).join(", ");
        table += &format!("| `{written}` | {calls} | {} |\n", action.about());
    }
    let is_there = FAULTS_PAGE.contains(&table);
    assert!(is_there, "docs/faults.md must have this table:\n{table}");
}

/// An action as it is typed.
fn written(action: &Action) -> String {
    let fault = Fault::on_any().action(action.clone()).to_json();
    let fault: Value = serde_json::from_str(&fault).unwrap();
    let name = action.name();
    let written = match &fault["do"][name] {
        Value::Bool(true) => name.to_owned(),
        Value::String(text) => format!("{name}={text}"),
        Value::Object(error) => {
            let text = |field: &str| error[field].as_str().unwrap().to_owned();
            format!("{name}={}:{}", text("code"), text("message"))
        }
        other => format!("{name}={other}"),
    };
    let on = Fault::on_any().action(action.clone());
    assert!(format!("*:{written}").parse() == Ok(on) || acts_on(&written) == ["`connect`"]);
    written
}

/// The calls that an action goes with.
fn acts_on(written: &str) -> Vec<String> {
    let goes_with = |on: &&str| format!("{on}:{written}").parse::<Fault>().is_ok();
    let quoted = |on: &str| format!("`{on}`");
    let calls: Vec<_> = Rpc::ALL.iter().map(|rpc| rpc.as_str()).collect();
    let between = ["transfer", "connect"].into_iter().filter(goes_with);
    let between = between.map(quoted);
    if calls.iter().all(goes_with) {
        return std::iter::once("any call".to_owned())
            .chain(between)
            .collect();
    }
    let calls = calls.into_iter().filter(goes_with).map(quoted);
    calls.chain(between).collect()
}

#[test]
fn it_has_the_exit_codes() {
    let kinds = [
        ErrorKind::Failure,
        ErrorKind::Usage,
        ErrorKind::NotFound,
        ErrorKind::LocalFile,
        ErrorKind::Unavailable,
        ErrorKind::Refused,
        ErrorKind::Integrity,
        ErrorKind::Timeout,
        ErrorKind::AlreadyExists,
        ErrorKind::Interrupted(Interruption::Signal(2)),
        ErrorKind::Interrupted(Interruption::Signal(15)),
        ErrorKind::Interrupted(Interruption::Signal(1)),
        ErrorKind::Interrupted(Interruption::ReaderGone),
    ];
    let done = (0, String::new());
    let known = kinds.map(|kind| (dfcache::exit_code(kind), kind.name().to_owned()));
    let known: BTreeSet<_> = known.into_iter().chain([done]).collect();
    let rows = rows(DFCACHE_PAGE, "## Exit codes");
    let written = rows.iter().flat_map(|row| {
        let codes = row[0].split(", ").map(|code| code.parse().unwrap());
        codes.map(|code: u8| (code, row[1].clone()))
    });
    assert_eq!(written.collect::<BTreeSet<_>>(), known);
}

#[test]
fn it_has_the_fields_of_the_schema() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let names = |properties: &Value| -> BTreeSet<String> {
        properties.as_object().unwrap().keys().cloned().collect()
    };
    let rows = rows(DFCACHE_PAGE, "## JSON");
    let fields = |of: &str| -> BTreeSet<String> {
        let row = rows.iter().find(|row| row[0] == of).unwrap();
        let fields = row[1].strip_prefix("error: ").unwrap_or(&row[1]);
        fields.split(", ").map(str::to_owned).collect()
    };
    let defined = |command: &str| names(&schema["$defs"][command]["properties"]);
    for command in ["stat", "export", "ls", "id", "verify"] {
        assert_eq!(fields(command), defined(command), "{command}");
    }
    let mut import = fields("import");
    assert!(import.remove("those of stat"));
    import.extend(fields("stat"));
    assert_eq!(import, defined("import"));
    let mut tree = fields("import --recursive");
    assert!(tree.remove("those of import"));
    tree.extend(import);
    assert_eq!(tree, defined("import_tree"));
    assert_eq!(fields("export --recursive"), defined("export_tree"));
    assert_eq!(fields("a file of a tree"), defined("tree_file"));
    let error = &schema["$defs"]["error"]["properties"]["error"]["properties"];
    assert_eq!(fields("a failure"), names(error));
}

/// README.md and docs/: each page's path below the repository, and its text.
pub(crate) fn pages() -> Vec<(String, String)> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = [
        "README.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "CHANGELOG.md",
    ];
    let mut paths: Vec<String> = root.map(str::to_owned).into();
    for entry in std::fs::read_dir(repository.join("docs")).unwrap() {
        paths.push(format!(
            "docs/{}",
            entry.unwrap().file_name().to_str().unwrap()
        ));
    }
    let text = |path: &String| std::fs::read_to_string(repository.join(path)).unwrap();
    paths
        .iter()
        .map(|path| (path.clone(), text(path)))
        .collect()
}

/// README is the first minute; everything else has a page.
#[test]
fn it_is_short_and_lists_every_page() {
    assert!(README.lines().count() <= 150);
    for (path, _) in pages() {
        assert!(
            path == "README.md" || README.contains(&format!("]({path})")),
            "{path}"
        );
    }
}

/// The heading as a link to it names it.
fn anchor(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    let text: String = heading.to_lowercase().chars().filter(kept).collect();
    text.trim().replace(' ', "-")
}

#[test]
fn their_links_lead_somewhere() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (path, text) in pages() {
        let directory = repository.join(&path);
        let directory = directory.parent().unwrap();
        for link in text.split("](").skip(1) {
            let (link, _) = link.split_once(')').unwrap();
            if link.starts_with("http") {
                continue;
            }
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                // A heading of the page itself.
                "" => repository.join(&path),
                file => directory.join(file),
            };
            assert!(target.exists(), "{path}: {link}");
            if !heading.is_empty() {
                let text = std::fs::read_to_string(target).unwrap();
                let mut headings = text.lines().filter_map(|line| line.strip_prefix('#'));
                let found = headings.any(|line| anchor(line.trim_start_matches('#')) == heading);
                assert!(found, "{path}: {link}");
            }
        }
    }
}

/// A map that names rooms which have moved leads nowhere.
#[test]
fn the_map_names_paths_that_are_there() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let map = std::fs::read_to_string(repository.join("CONTRIBUTING.md")).unwrap();
    let quoted = map.split('`').skip(1).step_by(2);
    let paths: Vec<_> = quoted.filter(|quoted| quoted.contains('/')).collect();
    assert!(paths.len() > 20, "{paths:?}");
    for path in paths {
        let path = repository.join(path);
        let is_there = path.exists() || path.with_extension("rs").exists();
        assert!(is_there, "{}", path.display());
    }
}

/// One is a test of this directory, the other runs as a test of the crate's documentation.
#[test]
fn the_examples_in_rust_are_tests() {
    let of_crate = [
        include_str!("../../src/lib.rs"),
        include_str!("../../src/blocking/mod.rs"),
    ];
    let of_crate = of_crate.into_iter().flat_map(str::lines);
    let of_crate = of_crate.filter_map(|line| line.strip_prefix("//!"));
    let shown = of_crate.filter(|line| !line.starts_with(" # "));
    let test = include_str!("library.rs").lines();
    let documented = [shown.collect::<Vec<_>>(), test.collect()].map(|lines| {
        let lines = lines.into_iter().map(str::trim);
        lines.collect::<Vec<_>>().join("\n")
    });
    let blocks: Vec<_> = RUST_PAGE.split("```rust\n").skip(1).collect();
    assert!(blocks.len() >= 2);
    for block in blocks {
        let (block, _) = block.split_once("```").unwrap();
        let block: Vec<_> = block.trim().lines().map(str::trim).collect();
        let block = block.join("\n");
        assert!(
            documented.iter().any(|text| text.contains(&block)),
            "{block}"
        );
    }
}
