//! What dfcache makes of every fault that the fake can have: every command, every place of a fault.

pub(crate) mod table;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use fake_dfdaemon::{Action, Fault, Proxy};
use testkit::wait::Changes;

use self::table::{COLUMNS, Column, Expected, fault, rows};
use crate::support::command::words;
use crate::support::files::{PIECE, files_below, names_in, state};
use crate::support::world::times_out_in;
use crate::support::{Run, World};

/// What a proxy has no part in.
const OF_STORES: [&str; 3] = ["no_space", "disk_error", "torn_write"];

/// Where in a call of two pieces a fault can be armed.
const PLACES: [&str; 6] = [
    "{}",
    r#"{"phase":"before"}"#,
    r#"{"phase":"after"}"#,
    r#"{"piece":0}"#,
    r#"{"piece":1}"#,
    r#"{"bytes":1}"#,
];

fn kind(code: i32) -> &'static str {
    match code {
        1 => "failure",
        4 => "local_file",
        5 => "unavailable",
        6 => "refused",
        7 => "integrity",
        8 => "timeout",
        other => panic!("no row has exit code {other}"),
    }
}

#[test]
fn the_table_has_a_row_for_every_fault() {
    let mut named: Vec<_> = rows()[1..].iter().map(|row| row[0]).collect();
    let mut known: Vec<_> = Action::names().collect();
    named.sort_unstable();
    known.sort_unstable();
    assert_eq!(named, known, "the rows are in tests/e2e/faults/table.rs");
}

#[test]
fn the_table_has_a_column_for_every_command_that_asks_a_daemon() {
    assert_eq!(rows()[0][1..], COLUMNS.each_ref().map(|column| column.name));
    let world = World::new();
    let help = |line: &str| {
        let run = world.dfcache().args(words(line)).arg("--help").run();
        run.succeeds().stdout()
    };
    let listed = help("");
    let listed = listed.split_once("Commands:").unwrap().1;
    let listed = listed.split_once("\n\n").unwrap().0;
    let commands = listed
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    let commands: Vec<_> = commands
        // doctor reports faults instead of failing with them; its tests try each.
        .filter(|command| !matches!(*command, "help" | "doctor"))
        .filter(|command| help(command).contains("--endpoint"))
        .collect();
    assert!(commands.len() >= 4, "{commands:?}");
    for command in commands {
        let tried = COLUMNS
            .iter()
            .any(|column| column.line.starts_with(command));
        assert!(tried, "no column tries {command}");
    }
}

/// A world with a task, where one command is tried under one fault after another.
struct Cells<'a> {
    column: &'a Column,
    world: World,
    /// Where the faults are, if they are not the daemon's own.
    proxy: Option<Proxy>,
    id: String,
    content: Vec<u8>,
}

impl<'a> Cells<'a> {
    fn new(column: &'a Column, is_proxied: bool) -> Self {
        let world = World::new();
        let proxy = is_proxied.then(|| Proxy::builder(world.endpoint(0)).start_blocking());
        fs::create_dir(world.beside("spill")).unwrap();
        let file = world.file("file", PIECE + 1);
        Self {
            column,
            proxy: proxy.transpose().unwrap(),
            id: world.import(&file),
            content: fs::read(file).unwrap(),
            world,
        }
    }

    fn run(&self, line: &str, options: &[&str]) -> Run {
        let line = line.replace("ID", &self.id).replace("FILE", "other");
        let command = match &self.proxy {
            Some(proxy) => self.world.at(proxy.endpoint()),
            None => self.world.dfcache(),
        };
        let command = command.env("TMPDIR", self.world.beside("spill"));
        command.args(words(&line)).args(options).run()
    }

    /// Runs the command under a fault. `number` tells what is imported from what was before.
    fn check(&self, fault: Fault, expected: Expected, case: &str, number: usize) {
        self.world.file("other", 100 + number);
        // Not written through: what was exported by path is a link to the cache.
        let _ = fs::remove_file(self.world.path("old"));
        let old = self.world.file("old", 1000);
        fs::set_permissions(&old, fs::Permissions::from_mode(0o640)).unwrap();
        let before = state(&old);
        let guard = match &self.proxy {
            Some(proxy) => proxy.fault(fault),
            None => self.world.daemon().fault(fault),
        };
        let line = self.column.line;
        // The world's time stands still: only the client's own can end a call that is never answered.
        let run = match expected {
            Expected::Exit(8) => times_out_in(&guard, |time| self.run(line, &["--timeout", time])),
            _ => self.run(line, &[]),
        };
        let fires = expected != Expected::NeverFires;
        assert_eq!(guard.fired() > 0, fires, "{case}\n{run}");
        let code = match expected {
            Expected::Exit(code) => code,
            Expected::NeverFires => 0,
        };
        assert_eq!(run.code(), Some(code), "{case}\n{run}");
        let replaced = code == 0 && self.column.line.contains("-O old");
        assert_eq!(state(&old) == before, !replaced, "{case}: old\n{run}");
        self.check_output(&run, case);
        drop(guard);
        self.check_leftovers(case);
        if code != 0 {
            if self.column.line.contains("json") {
                assert_eq!(run.json_error()["kind"], kind(code), "{case}\n{run}");
                assert_eq!(run.stdout(), "", "{case}");
            }
            // What failed is in nobody's way.
            self.run(self.column.again, &[]).succeeds();
            self.check_leftovers(case);
        }
        let _ = fs::remove_file(self.world.path("new"));
    }

    /// The output is whole; stdout may have got a part.
    fn check_output(&self, run: &Run, case: &str) {
        let succeeded = run.code() == Some(0);
        if succeeded && self.column.line.contains("-O old") {
            let old = fs::read(self.world.path("old")).unwrap();
            assert!(old == self.content, "{case}: old has {} bytes", old.len());
        }
        let made = succeeded && self.column.line.contains("-O new");
        let new = fs::read(self.world.path("new")).ok();
        assert!(new == made.then(|| self.content.clone()), "{case}");
        if self.column.name == "stdout" {
            let written = run.stdout_bytes();
            assert!(self.content.starts_with(written), "{case}");
            assert!(!succeeded || written.len() == self.content.len(), "{case}");
        }
    }

    /// Nothing is left beside the output, among temporary files, and in the daemon.
    fn check_leftovers(&self, case: &str) {
        let mut names = names_in(&self.world.work());
        names.retain(|name| name != "new");
        assert_eq!(names, ["file", "old", "other"], "{case}");
        assert_eq!(names_in(&self.world.beside("spill")), [""; 0], "{case}");
        let state = self.world.daemon().state_dir();
        let is_scratch =
            |path: &PathBuf| path.parent().is_some_and(|parent| parent.ends_with("tmp"));
        // A stream that a proxy breaks off ends at the daemon when that hears of it.
        Changes::below(state).block_until(&format!("nothing is left: {case}"), || {
            self.world.settle();
            !files_below(state).unwrap().iter().any(is_scratch)
        });
    }
}

/// Tries a command under every fault in every place. Places have worlds of their own, side by side.
fn check(name: &str) {
    let position = rows()[0].iter().position(|column| *column == name).unwrap();
    let tried: Vec<_> = std::thread::scope(|scope| {
        let running = PLACES.map(|place| scope.spawn(move || at_place(name, place, false)));
        running
            .into_iter()
            .flat_map(|running| running.join().unwrap())
            .collect()
    });
    for row in &rows()[1..] {
        assert_eq!(
            tried.contains(&row[0]),
            row[position] != "-",
            "{} in {name}: the table or the argument in tests/e2e/faults/table.rs is wrong",
            row[0]
        );
    }
}

/// Tries a command under every fault in one place: the names of the faults. The daemon has them, or a
/// proxy in front of it, which has none of the store's.
fn at_place(name: &str, place: &str, is_proxied: bool) -> Vec<&'static str> {
    let position = rows()[0].iter().position(|column| *column == name).unwrap();
    let column = &COLUMNS[position - 1];
    let cells = Cells::new(column, is_proxied);
    let mut tried = Vec::new();
    for (number, row) in rows()[1..].iter().enumerate() {
        let case = format!("{} in {name} at {place}", row[0]);
        if is_proxied && OF_STORES.contains(&row[0]) {
            continue;
        }
        let Some(fault) = fault(column.on, row[0], place) else {
            continue;
        };
        let expected = match row[position] {
            "-" => panic!("{case}: the table says that there is no such fault"),
            "." => Expected::NeverFires,
            code => Expected::Exit(code.parse().unwrap()),
        };
        cells.check(fault, expected, &case, number);
        tried.push(row[0]);
    }
    tried
}

/// The same exit codes with the faults before a daemon that knows nothing of them.
#[test]
fn every_command_under_faults_before_a_daemon() {
    std::thread::scope(|scope| {
        for (name, place) in [
            ("import", "{}"),
            ("import", r#"{"phase":"after"}"#),
            ("export", r#"{"piece":1}"#),
            ("hard-link", "{}"),
            ("transfer", "{}"),
            ("transfer", r#"{"phase":"after"}"#),
            ("stdout", r#"{"piece":1}"#),
            ("stat", r#"{"phase":"after"}"#),
            ("ls", "{}"),
            ("verify", "{}"),
        ] {
            scope.spawn(move || assert!(!at_place(name, place, true).is_empty()));
        }
    });
}

#[test]
fn an_import_under_every_fault() {
    check("import");
}

#[test]
fn an_export_by_path_under_every_fault() {
    check("export");
}

#[test]
fn an_export_as_a_hard_link_under_every_fault() {
    check("hard-link");
}

#[test]
fn an_export_in_transfer_mode_under_every_fault() {
    check("transfer");
}

#[test]
fn an_export_to_stdout_under_every_fault() {
    check("stdout");
}

#[test]
fn a_stat_under_every_fault() {
    check("stat");
}

#[test]
fn a_list_under_every_fault() {
    check("ls");
}

#[test]
fn a_verification_under_every_fault() {
    check("verify");
}

/// The example of a CI job, with both programs in its path.
#[test]
fn the_example_of_a_ci_job_runs() {
    let world = World::new();
    let fake = crate::support::process::fake_dfdaemon();
    let programs = fake.parent().unwrap().to_str().unwrap();
    let path = format!("{programs}:{}", std::env::var("PATH").unwrap());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/examples/ci.sh");
    let ran = std::process::Command::new(&fake)
        .args(["run", "--keep-on-failure", "--", "sh", script])
        .env("PATH", path)
        .env("TMPDIR", world.beside(""))
        .env("HOME", world.home())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{}: {said}", ran.status);
}
