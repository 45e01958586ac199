//! The rooms of src/: which may import which, and what the program alone knows.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// How many entries the top of src/ may have.
const MOST_ENTRIES: usize = 12;

#[test]
fn the_top_of_src_is_seen_at_a_glance() {
    let entries = fs::read_dir(source()).unwrap().count();
    assert!(entries <= MOST_ENTRIES, "{entries} entries");
}

#[test]
fn no_room_imports_one_that_imports_it() {
    let mut imports: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (file, code) in production() {
        let room = room(&file);
        let rooms = code.split("crate::").skip(1).map(|rest| {
            let name = rest.split(|c: char| !c.is_alphanumeric() && c != '_');
            name.take(1).collect::<String>()
        });
        let rooms = rooms.filter(|name| {
            *name != room && name.starts_with(|c: char| c.is_lowercase()) && is_room(name)
        });
        imports.entry(room.clone()).or_default().extend(rooms);
    }
    assert!(imports.len() > 5, "{imports:?}");
    // Take away what imports nothing that is left, until nothing is left.
    while !imports.is_empty() {
        let ground = imports.iter().find_map(|(room, below)| {
            let left = below.iter().any(|below| imports.contains_key(below));
            (!left).then(|| room.clone())
        });
        let Some(ground) = ground else {
            panic!("these import each other: {imports:?}");
        };
        imports.remove(&ground);
    }
}

/// A hint in a library is a `Remedy`; only the program words it as an option.
#[test]
fn nothing_but_the_program_names_an_option_prints_or_exits() {
    let words = [
        "\"--",
        " --",
        " -O",
        "DFCACHE_",
        "println!",
        "eprintln!",
        "print!(",
        "stdout()",
        "stderr()",
        "ExitCode",
        "exit_code",
        "process::exit",
        "crate::cli::",
    ];
    for (file, code) in production() {
        if ["cli", "main", "lib"].contains(&room(&file).as_str()) {
            continue;
        }
        for (number, line) in code.lines().enumerate() {
            for word in words {
                let at = number + 1;
                assert!(!line.contains(word), "{word} in {}:{at}", file.display());
            }
        }
    }
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The files of src/ without their comments, and without tests.
fn production() -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    let mut directories = vec![source()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap();
            if ["tests", "testing"].contains(&name) {
                continue;
            }
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let (code, _) = text
                .split_once("#[cfg(test)]\nmod tests {")
                .unwrap_or((&text, ""));
            let code = code.lines().map(|line| {
                if line.trim_start().starts_with("//") {
                    ""
                } else {
                    line
                }
            });
            let code = code.collect::<Vec<_>>().join("\n");
            files.push((path, code));
        }
    }
    files
}

/// The directory or file at the top of src/ that a file is in.
fn room(file: &Path) -> String {
    let below = file.strip_prefix(source()).unwrap();
    let top = below.components().next().unwrap();
    let top = top.as_os_str().to_str().unwrap();
    top.strip_suffix(".rs").unwrap_or(top).to_owned()
}

fn is_room(name: &str) -> bool {
    source().join(name).is_dir() || source().join(format!("{name}.rs")).is_file()
}
