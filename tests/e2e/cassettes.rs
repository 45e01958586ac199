//! Sessions that are recorded in front of a fake, and replayed without it: dfcache cannot tell.

mod cuts;
mod faults;
mod hung;

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use fake_dfdaemon::{Fault, Release};

use crate::support::World;
use crate::support::command::words;
use crate::support::files::{PIECE, names_in};
use crate::support::process::{DaemonProcess, fake_dfdaemon};
use crate::support::world::Directory;

/// What a command came to, and the files that were there then.
#[derive(Clone, Debug, PartialEq)]
struct Came {
    line: String,
    code: Option<i32>,
    stdout: Vec<u8>,
    stderr: String,
    files: Vec<(PathBuf, Vec<u8>)>,
}

/// Every command, and what goes wrong with each. `ID` is what the first import prints.
const SESSION: [&str; 20] = [
    "import --tag t file",
    "import file2 --format json",
    "stat ID --format json",
    "ls --format json",
    "export ID -O by-path",
    "export ID -O transferred --transfer-from-dfdaemon",
    "export ID -O -",
    "export ID -O file2 --overwrite",
    "export ID -O by-path",
    "export ID -O digest --digest sha256:00",
    "import --tag t file",
    "import missing",
    "stat unknown",
    "export unknown -O nothing",
    "export unknown -O nothing --transfer-from-dfdaemon --format json",
    "verify ID file",
    "verify ID by-path --format json",
    "import --skip-existing --tag t file",
    "id --tag t file",
    "export ID -O digest --transfer-from-dfdaemon --digest sha256:0000000000000000000000000000000000000000000000000000000000000000",
];

/// What the lines of [`SESSION`] come to.
const CODES: [i32; 20] = [0, 0, 0, 0, 0, 0, 0, 0, 4, 2, 9, 4, 3, 3, 3, 0, 0, 0, 0, 7];

/// What puts files of its own in between.
const STAGED: [&str; 7] = [
    "import --recursive --jobs 1 tree",
    "export --recursive --jobs 1 -O out ID",
    "export --recursive --jobs 1 --transfer-from-dfdaemon -O out2 ID",
    "import - --staging-dir .",
    "import - --staging-dir . --tag t --format json",
    "doctor",
    "stat ID --format json",
];

const BROKEN: [&str; 3] = [
    "stream closed because of a broken pipe",
    "bytes remaining on stream",
    "connection reset",
];

/// What a command said, whatever its directories are called.
fn without_places(said: &[u8], directory: &Directory, endpoint: &Path) -> String {
    let places = [
        (directory.work(), "WORK"),
        (endpoint.to_owned(), "ENDPOINT"),
        (directory.beside(""), "BESIDE/"),
    ];
    let said = String::from_utf8_lossy(said).into_owned();
    let said = places.iter().fold(said, |said, (place, name)| {
        said.replace(&place.display().to_string(), name)
    });
    // Which of them a broken connection gives depends on where in a frame it breaks.
    BROKEN
        .iter()
        .fold(said, |said, broken| said.replace(broken, "BROKEN"))
}

fn session(lines: &[&str], directory: &Directory, endpoint: &Path) -> Vec<Came> {
    let mut id = "0".to_owned();
    let mut came = Vec::new();
    for line in lines {
        let line = line.replace("ID", &id);
        let stdin = File::open(directory.path("file2")).unwrap();
        let command = directory.at(endpoint).args(words(&line));
        let run = command.stdin(stdin).run();
        if came.is_empty() && run.code() == Some(0) {
            id = run.line();
        }
        let mut files = Vec::new();
        all_files(&directory.work(), &mut files);
        let is_content = line.ends_with("-O -");
        came.push(Came {
            stdout: match is_content {
                true => run.stdout_bytes().to_vec(),
                false => without_places(run.stdout_bytes(), directory, endpoint).into_bytes(),
            },
            line,
            code: run.code(),
            stderr: without_places(run.stderr().as_bytes(), directory, endpoint),
            files,
        });
    }
    came
}

/// The files of a directory and of those in it.
fn all_files(directory: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    for name in names_in(directory) {
        let path = directory.join(&name);
        if path.is_dir() {
            let mut inner = Vec::new();
            all_files(&path, &mut inner);
            let named = |(path, content)| (Path::new(&name).join(path), content);
            files.extend(inner.into_iter().map(named));
        } else {
            files.push((name.into(), std::fs::read(path).unwrap()));
        }
    }
}

/// The length of a file of two pieces.
const TWO_PIECES: usize = PIECE + 100;

/// Writes the files of a session, of which `file` is so long. What each of its lines writes and reads
/// again is most of what it takes: the tree is there for those that name it.
fn begin(directory: &Directory, lines: &[&str], length: usize) {
    directory.file("file", length);
    directory.file("file2", 10);
    if lines.iter().any(|line| line.contains("tree")) {
        std::fs::create_dir_all(directory.path("tree/sub")).unwrap();
        directory.file("tree/a", 20);
        directory.file("tree/sub/b", PIECE + 1);
    }
}

fn start(program: &str, socket: &Path, options: &[&str]) -> DaemonProcess {
    let mut command = Command::new(fake_dfdaemon());
    command
        .arg(program)
        .arg("--socket")
        .arg(socket)
        .args(options);
    command.env("TMPDIR", socket.parent().unwrap());
    DaemonProcess::spawn(command)
}

/// A session that was recorded in front of a fake.
struct Recorded<'a> {
    lines: &'a [&'a str],
    /// The length of `file`.
    length: usize,
    world: World,
    cassette: PathBuf,
    came: Vec<Came>,
    /// How often the daemon's fault fired.
    fired: u64,
}

impl<'a> Recorded<'a> {
    fn new(length: usize, lines: &'a [&'a str], release: Release, fault: Option<&Fault>) -> Self {
        let world = World::with(|builder| builder.release(release));
        let guard = fault.map(|fault| world.daemon().fault(fault.clone()));
        begin(&world, lines, length);
        let socket = world.beside("in");
        let cassette = world.beside("cassette");
        let (upstream, named) = (world.endpoint(0), cassette.to_str().unwrap());
        let options = [
            "--upstream",
            upstream.to_str().unwrap(),
            "--cassette",
            named,
        ];
        let recorder = start("record", &socket, &options);
        let came = session(lines, &world, &socket);
        assert_eq!(recorder.terminate(), Some(0));
        Self {
            lines,
            length,
            cassette,
            came,
            fired: guard.map_or(0, |guard| guard.fired()),
            world,
        }
    }

    /// Replays it elsewhere, and compares. What it came to.
    #[track_caller]
    fn assert_replayed(self, case: &str) -> Vec<Came> {
        let elsewhere = Directory::new();
        begin(&elsewhere, self.lines, self.length);
        let socket = elsewhere.beside("in");
        let (from, to) = (self.world.work(), elsewhere.work());
        let mapping = format!("{}={}", from.display(), to.display());
        let named = self.cassette.to_str().unwrap();
        let replay = start(
            "replay",
            &socket,
            &["--cassette", named, "--path", &mapping],
        );
        let replayed = session(self.lines, &elsewhere, &socket);
        assert_eq!(replay.terminate(), Some(0));
        for (replayed, recorded) in replayed.iter().zip(&self.came) {
            let differs = |what: &str| format!("{case}: {what} of {:?}", recorded.line);
            assert_eq!(replayed.stderr, recorded.stderr, "{}", differs("stderr"));
            assert_eq!(replayed.code, recorded.code, "{}", differs("exit code"));
            let mut recorded = recorded.clone();
            if recorded.line.ends_with("-O -") && recorded.code != Some(0) {
                // The output ends anywhere before the failure: the content races the status.
                let (short, long) = (&replayed.stdout, &recorded.stdout);
                let is_part = short.starts_with(long) || long.starts_with(short);
                assert!(is_part, "{}", differs("stdout"));
                recorded.stdout.clone_from(short);
            }
            assert!(*replayed == recorded, "{}", differs("stdout or files"));
        }
        self.came
    }
}

#[test]
fn every_command_comes_to_the_same() {
    for release in [Release::V0_2, Release::V1_5] {
        let recorded = Recorded::new(TWO_PIECES, &SESSION, release, None);
        let came = recorded.assert_replayed("every command");
        let codes: Vec<_> = came.iter().map(|came| came.code.unwrap()).collect();
        assert_eq!(codes, CODES);
    }
}

#[test]
fn trees_standard_input_and_doctor_come_to_the_same() {
    for release in [Release::V0_2, Release::V1_5] {
        let recorded = Recorded::new(TWO_PIECES, &STAGED, release, None);
        for came in recorded.assert_replayed("trees and stdin") {
            assert_eq!(came.code, Some(0), "{}: {}", came.line, came.stderr);
        }
    }
}

/// The exit codes that are documented are those of the tests here.
#[test]
fn every_exit_code_goes_round() {
    let documented = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/dfcache.md");
    let documented = std::fs::read_to_string(documented).unwrap();
    let table = documented.split_once("| code | kind |").unwrap().1;
    let table = table.split_once("\n\n").unwrap().0;
    let codes = table.lines().skip(2).flat_map(|row| {
        let cell = row.split('|').nth(1).unwrap();
        cell.split(',')
            .map(|code| code.trim().parse::<i32>().unwrap())
    });
    let documented: BTreeSet<_> = codes.collect();
    assert!(documented.len() > 10, "{documented:?}");
    let of_cuts = cuts::CASES.iter().filter_map(|(.., code)| *code);
    let tried: BTreeSet<_> = CODES
        .into_iter()
        .chain(faults::CODES)
        .chain(of_cuts)
        .collect();
    assert_eq!(tried, documented);
}

/// The examples of a shell and of Python, with both programs in their path.
#[test]
fn the_examples_of_recording_run() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (fixtures, examples) = (root.join("fixtures"), root.join("tests/examples"));
    let directory = Directory::new();
    let fake = fake_dfdaemon();
    let programs = fake.parent().unwrap().to_str().unwrap();
    let path = format!("{programs}:{}", std::env::var("PATH").unwrap());
    let mut shell = Command::new(&fake);
    shell
        .args(["run", "--", "sh"])
        .arg(examples.join("record.sh"));
    let mut python = Command::new("python3");
    python.arg(examples.join("replay.py"));
    python.arg(fixtures.join("cassette-0.2"));
    python.arg(fixtures.join("vector.txt")).arg("735741469");
    for mut example in [shell, python] {
        example
            .env("PATH", &path)
            .env("TMPDIR", directory.beside(""));
        let ran = match example.output() {
            // Whoever builds the two needs no Python.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            ran => ran.unwrap(),
        };
        let said = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{example:?} {}: {said}", ran.status);
    }
}

/// What docs/ci.md shows: a cassette in the repository is answered from, and held against a fake.
#[test]
fn the_cassettes_in_fixtures_are_replayed_and_do_not_differ() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    for (release, id) in [
        ("0.2", "735741469"),
        (
            "1.5",
            "0d0f8536f51227fda07141308f5ae8149b561b51b61c6517125f25dfa27acf5b",
        ),
    ] {
        let cassette = fixtures.join(format!("cassette-{release}"));
        let named = cassette.to_str().unwrap();
        let directory = Directory::new();
        let socket = directory.beside("in");
        let content = std::fs::read(fixtures.join("vector.txt")).unwrap();
        std::fs::write(directory.path("vector.txt"), &content).unwrap();
        let replay = start("replay", &socket, &["--order", "any", "--cassette", named]);
        let dfcache = |line: &str| {
            let run = directory.at(&socket).args(words(line)).run();
            run.succeeds()
        };
        let imported = dfcache("import vector.txt --application app1");
        assert_eq!(imported.line(), id);
        dfcache(&format!("export {id} -O out --transfer-from-dfdaemon"));
        dfcache(&format!("export {id} -O by-path"));
        for output in ["out", "by-path"] {
            assert_eq!(std::fs::read(directory.path(output)).unwrap(), content);
        }
        assert_eq!(replay.terminate(), Some(0));

        let mut command = Command::new(fake_dfdaemon());
        command.args(["run", "--hosts", "1", "--dfdaemon-version", release, "--"]);
        let script =
            "\"$0\" diff --cassette \"$1\" --ignore uploaded_count --against \"$DFCACHE_ENDPOINT\"";
        command
            .args(["sh", "-c", script])
            .arg(fake_dfdaemon())
            .arg(&cassette);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}
