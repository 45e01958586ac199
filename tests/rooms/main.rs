//! How the source is laid out: rooms, files, and which way imports go.
//!
//! Read from the `use` declarations and paths of each file, without a compiler. Tests are left out: they may
//! use anything. Imports between a module and its own ancestors are left out of circles, but not what
//! an ancestor only passes on: `super::Lease` is an import of `super::leases`, if it lies there.

#![allow(clippy::unwrap_used)]

mod sleeps;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use self::source::{Crate, Module, paths_in, tokens};

/// The most entries at the top of a crate's `src/`.
const MAX_ENTRIES: usize = 12;

/// The longest file, in lines.
const MAX_LINES: usize = 450;

/// The rooms of dfcache, from the top down. Those of one row do not import each other.
const CLIENT: &[&[&str]] = &[
    &["cli"],
    &["blocking"],
    &["tree"],
    &["import", "export"],
    &["client"],
    &["wire", "content"],
    &["output"],
    &["types"],
];

/// The rooms of fake-dfdaemon, from the top down.
const FAKE: &[&[&str]] = &[
    &["program"],
    &["fake"],
    &["control"],
    &["instance"],
    &["proxy"],
    &["grpc"],
    &["cluster"],
    &["call"],
    &["store"],
    &["dfdaemon"],
];

impl Crate {
    /// Everything that is not as it has to be.
    fn faults(&self, rooms: &[&[&str]]) -> Vec<String> {
        let mut faults = Vec::new();
        if self.entries > MAX_ENTRIES {
            faults.push(format!("{} entries at the top", self.entries));
        }
        for (module, text) in &self.files {
            let lines = text.lines().count();
            if lines > MAX_LINES {
                faults.push(format!("{} has {lines} lines", module.join("::")));
            }
        }
        let row = |module: &Module| {
            let room = module.first()?.as_str();
            rooms.iter().position(|row| row.contains(&room))
        };
        // Between siblings at each level: no two rooms import each other, and no two files.
        let mut arrows: BTreeMap<(&[String], &str), BTreeSet<&str>> = BTreeMap::new();
        for (module, targets) in self.imports() {
            if !module.is_empty() && row(module).is_none() {
                faults.push(format!("{} is in no room", module.join("::")));
            }
            for target in targets {
                let both = module.iter().zip(target);
                let common = both.take_while(|(one, other)| one == other).count();
                let (above, from, to) = (&module[..common], &module[common], &target[common]);
                arrows.entry((above, from)).or_default().insert(to);
                if above.is_empty() && row(module) >= row(target) {
                    let (from, to) = (module.join("::"), target.join("::"));
                    faults.push(format!("{from} imports {to}, which is not below it"));
                }
            }
        }
        faults.extend(circles(&arrows));
        faults
    }
}

/// The siblings that import each other, whichever way round.
fn circles(arrows: &BTreeMap<(&[String], &str), BTreeSet<&str>>) -> Vec<String> {
    let mut found = BTreeSet::new();
    for (above, start) in arrows.keys().copied() {
        let mut reached = BTreeSet::new();
        let mut open = vec![start];
        while let Some(next) = open.pop() {
            for to in arrows.get(&(above, next)).into_iter().flatten() {
                if reached.insert(*to) {
                    open.push(to);
                }
            }
        }
        if reached.contains(start) {
            found.insert(format!("{}::{start} is in a circle", above.join("::")));
        }
    }
    found.into_iter().collect()
}

fn assert_in_order(src: &str, rooms: &[&[&str]]) {
    let read = Crate::read(src);
    assert!(read.files.len() > 20, "{src}: {} files", read.files.len());
    let arrows: usize = read.imports().values().map(BTreeSet::len).sum();
    assert!(arrows > 50, "{src}: only {arrows} imports are found");
    let faults = read.faults(rooms);
    assert!(faults.is_empty(), "{src}:\n{}", faults.join("\n"));
}

/// The fields of a struct, and whether each is private.
fn fields<'a>(text: &'a str, name: &str) -> Vec<(&'a str, bool)> {
    let head = format!("struct {name} {{");
    let body = text.split(&head).nth(1).unwrap_or_default();
    let body = body.split("\n}").next().unwrap_or_default();
    let lines = body.lines().map(str::trim);
    let fields = lines.filter(|line| !line.starts_with("//") && !line.starts_with('#'));
    let fields = fields.filter_map(|line| line.split_once(':'));
    let named = fields.map(|(field, _)| (field.trim_start_matches("pub "), !field.contains("pub")));
    named.collect()
}

/// What the cluster is made of is reached by methods: narrow doors, which say what they are for.
#[test]
fn the_cluster_its_scheduler_and_its_hosts_have_few_fields_and_keep_them_private() {
    let files = Crate::read("fake-dfdaemon/src").files;
    for (module, name, most) in [
        (&["cluster"][..], "Cluster", 7),
        (&["cluster", "scheduler"], "Scheduler", 7),
        (&["cluster", "node"], "Node", 3),
    ] {
        let module: Module = module.iter().map(ToString::to_string).collect();
        let fields = fields(&files[&module], name);
        assert!(!fields.is_empty(), "there is no {name}");
        assert!(fields.len() <= most, "{name} has more fields: {fields:?}");
        assert!(
            fields.iter().all(|(_, private)| *private),
            "{name}: {fields:?}"
        );
    }
    let open = "struct Open {\n    pub(crate) a: u8,\n    // b: u8,\n    c: u8,\n}";
    assert_eq!(fields(open, "Open"), [("pub(crate) a", false), ("c", true)]);
}

/// What the calls of a fake share, and what makes a call of it: an instance owns the first, services and jobs
/// do the second.
const OF_CALLS: [&str; 4] = ["CallContext", "Faults", "Journal", "RunningCall"];

/// Where the cluster makes calls itself: the replicas that are due.
const CALLS_OF_THE_CLUSTER: &str = "jobs";

#[test]
fn the_cluster_knows_no_journal_and_no_list_of_faults() {
    let files = Crate::read("fake-dfdaemon/src").files;
    let named = |room: &str| {
        let of_room = files
            .iter()
            .filter(|(module, _)| module.first().is_some_and(|first| first == room));
        let of_cluster = of_room.filter(|(module, _)| {
            module
                .get(1)
                .is_none_or(|file| file != CALLS_OF_THE_CLUSTER)
        });
        let found = of_cluster.flat_map(|(module, text)| {
            let names = paths_in(text)
                .into_iter()
                .map(|path| path.name().to_owned());
            let names = names.filter(|name| OF_CALLS.contains(&name.as_str()));
            names.map(|name| format!("{} names {name}", module.join("::")))
        });
        found.collect::<Vec<_>>()
    };
    assert_eq!(named("cluster"), [""; 0]);
    assert!(named("grpc").len() > 5, "{:?}", named("grpc"));
    let lends = |module: &&Module| {
        tokens(&files[*module])
            .windows(3)
            .any(|window| window == ["cluster", ".", "calls"])
    };
    let lenders: Vec<_> = files.keys().filter(lends).collect();
    assert_eq!(lenders, [&[""; 0]; 0]);
}

/// Where the fake makes a status: its words stand in few places. What a proxy says of itself is its own.
const SAYS_STATUSES: [&str; 4] = [
    "call::faults::status",
    "cluster::status",
    "dfdaemon::release",
    "dfdaemon::statuses",
];

#[test]
fn the_words_of_statuses_stand_in_few_places() {
    let files = Crate::read("fake-dfdaemon/src").files;
    let makes_one = |text: &str| {
        let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or("");
        let tokens = tokens(text);
        tokens.windows(4).any(|window| {
            let is_made = |name: &str| name.starts_with(char::is_lowercase) && name != "clone";
            matches!(window, ["Status", "::", name, "("] if is_made(name) && !NOT_MADE.contains(name))
        })
    };
    let makers = files.iter().filter(|(_, text)| makes_one(text));
    let makers: Vec<_> = makers.map(|(module, _)| module.join("::")).collect();
    let of_calls: Vec<_> = makers
        .iter()
        .filter(|maker| !maker.starts_with("proxy"))
        .collect();
    assert_eq!(of_calls, SAYS_STATUSES.iter().collect::<Vec<_>>());
}

/// Functions of a status that take one that is there, or say that all is well.
const NOT_MADE: [&str; 5] = ["new", "ok", "from_header_map", "from_error", "default"];

#[test]
fn the_rooms_of_dfcache_are_in_order() {
    assert_in_order("src", CLIENT);
}

#[test]
fn the_rooms_of_fake_dfdaemon_are_in_order() {
    assert_in_order("fake-dfdaemon/src", FAKE);
}

/// Each crate has a mutex without poison: no other file says what becomes of a poisoned one.
#[test]
fn poisoned_locks_are_dealt_with_in_one_file_of_a_crate() {
    for (src, mutex) in [
        ("src", "types::mutex"),
        ("fake-dfdaemon/src", "dfdaemon::mutex"),
    ] {
        let files = Crate::read(src).files;
        let found = files
            .iter()
            .filter(|(_, text)| tokens(text).contains(&"PoisonError"));
        let found: Vec<_> = found.map(|(module, _)| module.join("::")).collect();
        assert_eq!(found, [mutex], "{src}");
    }
}

/// A hint in the library is a `Remedy`; only the program words it as an option.
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
    let program = ["cli", "main"];
    let mut looked_at = 0;
    for (module, text) in Crate::read("src").files {
        let Some(room) = module.first().filter(|room| !program.contains(&&***room)) else {
            continue;
        };
        looked_at += 1;
        let (code, _) = text
            .split_once("#[cfg(test)]\nmod tests {")
            .unwrap_or((&text, ""));
        let code = code
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        for line in code {
            for word in words {
                assert!(!line.contains(word), "{word} in {room}: {line}");
            }
        }
    }
    assert!(looked_at > 30, "{looked_at} files");
}

/// What this file reports of two rooms with these modules.
fn faults_of(modules: &[(&str, &str)]) -> Vec<String> {
    let put = |read: Crate, (module, text): &(&str, &str)| read.with(module, text);
    let read = modules.iter().fold(Crate::default(), put);
    read.faults(&[&["above"], &["below"]])
}

#[test]
fn a_circle_between_files_is_found() {
    let circle = [
        ("above::one", "use super::two::Two;"),
        ("above::two", "fn f() { crate::above::three::g(); }"),
        (
            "above::three",
            "use crate::{above::one::{self, One}, below};",
        ),
    ];
    assert_eq!(faults_of(&circle).len(), 3, "{:?}", faults_of(&circle));
    assert_eq!(faults_of(&circle[..2]), [""; 0]);
}

#[test]
fn a_circle_through_what_a_module_passes_on_is_found() {
    let circle = [
        (
            "above",
            "pub use self::one::One;\nuse self::two::Two as Other;",
        ),
        ("above::one", "use super::Other;"),
        ("above::two", "use super::{One};"),
    ];
    assert_eq!(faults_of(&circle).len(), 2, "{:?}", faults_of(&circle));
}

#[test]
fn an_import_upwards_is_found() {
    let up = [("above", ""), ("below", "use crate::above::Name;")];
    assert_eq!(
        faults_of(&up),
        ["below imports above, which is not below it"]
    );
    let down = [("below", ""), ("above", "use crate::below::Name;")];
    assert_eq!(faults_of(&down), [""; 0]);
}

#[test]
fn tests_and_comments_import_nothing() {
    let text =
        "// use crate::above::Name;\n#[cfg(test)]\nmod tests {\n    use crate::above::Name;\n}";
    assert_eq!(faults_of(&[("above", ""), ("below", text)]), [""; 0]);
}

#[test]
fn long_files_and_files_of_no_room_are_found() {
    let long = "\n".repeat(MAX_LINES + 1);
    let faults = faults_of(&[("above", &long), ("elsewhere", "")]);
    assert_eq!(faults, ["above has 451 lines", "elsewhere is in no room"]);
}

/// The sources with `test = false` in their manifest: linking no test takes as long as linking many.
const WITHOUT_TESTS: [&str; 5] = [
    "src/main.rs",
    "fake-dfdaemon/src/main.rs",
    "bench/src/bare",
    "testkit/src",
    "tests/fuzz/src",
];

#[test]
fn what_is_not_built_for_tests_has_none() {
    for part in WITHOUT_TESTS {
        let texts = match Path::new(env!("CARGO_MANIFEST_DIR")).join(part) {
            file if file.is_file() => vec![fs::read_to_string(file).unwrap()],
            _ => Crate::read(part).files.into_values().collect(),
        };
        assert!(!texts.is_empty(), "{part}");
        for text in texts {
            assert!(
                !text.contains("test]") && !text.contains("cfg(test)"),
                "{part}"
            );
        }
    }
}
