//! Sessions that are recorded in front of a fake, and replayed without it: dfcache cannot tell.

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
#[derive(Debug, PartialEq)]
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

/// Fewer, for each fault.
const HIT: [&str; 5] = [
    "import --tag t file",
    "stat ID --format json",
    "export ID -O transferred --transfer-from-dfdaemon --timeout 2s",
    "export ID -O by-path --timeout 2s",
    "ls --format json",
];

const BROKEN: [&str; 3] = [
    "stream closed because of a broken pipe",
    "bytes remaining on stream",
    "connection reset",
];

fn session(lines: &[&str], directory: &Directory, endpoint: &Path) -> Vec<Came> {
    let mut id = "0".to_owned();
    let places = [
        (directory.work().display().to_string(), "WORK"),
        (endpoint.display().to_string(), "ENDPOINT"),
        (directory.beside("").display().to_string(), "BESIDE/"),
    ];
    let mut came = Vec::new();
    for line in lines {
        let line = line.replace("ID", &id);
        let stdin = File::open(directory.path("file2")).unwrap();
        let command = directory.dfcache().at(endpoint).args(words(&line));
        let run = command.stdin(stdin).run();
        let text = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes).into_owned();
            let replace = |text: String, (place, name): &(String, &str)| text.replace(place, name);
            places.iter().fold(text, replace)
        };
        if came.is_empty() && run.code() == Some(0) {
            id = text(run.stdout_bytes()).trim().to_owned();
        }
        let mut files = Vec::new();
        all_files(&directory.work(), &mut files);
        let stdout = text(run.stdout_bytes()).into_bytes();
        // Which of them a broken connection gives depends on where in a frame it breaks.
        let stderr = BROKEN
            .iter()
            .fold(text(run.stderr().as_bytes()), |text, broken| {
                text.replace(broken, "BROKEN")
            });
        came.push(Came {
            stdout: if line.ends_with("-O -") {
                run.stdout_bytes().to_vec()
            } else {
                stdout
            },
            line,
            code: run.code(),
            stderr,
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

fn begin(directory: &Directory) {
    directory.file("file", PIECE + 100);
    directory.file("file2", 10);
    std::fs::create_dir_all(directory.path("tree/sub")).unwrap();
    directory.file("tree/a", 20);
    directory.file("tree/sub/b", PIECE + 1);
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

/// Records a session in front of a fake, replays it elsewhere, and compares. What it came to.
#[track_caller]
fn cannot_tell(lines: &[&str], release: Release, fault: Option<&str>) -> Vec<Came> {
    let world = World::with(|builder| {
        let builder = builder.release(release);
        match fault {
            Some(fault) => builder.fault(fault.parse::<Fault>().unwrap()),
            None => builder,
        }
    });
    begin(&world);
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
    let recorded = session(lines, &world, &socket);
    assert_eq!(recorder.terminate(), Some(0));

    let elsewhere = Directory::new();
    begin(&elsewhere);
    let socket = elsewhere.beside("in");
    let mapping = format!("{}={}", world.work().display(), elsewhere.work().display());
    let replay = start(
        "replay",
        &socket,
        &["--cassette", named, "--path", &mapping],
    );
    let replayed = session(lines, &elsewhere, &socket);
    assert_eq!(replay.terminate(), Some(0));
    for (replayed, recorded) in replayed.iter().zip(&recorded) {
        let differs = |what: &str| format!("{fault:?}: {what} of {:?}", recorded.line);
        assert_eq!(replayed.stderr, recorded.stderr, "{}", differs("stderr"));
        assert_eq!(replayed.code, recorded.code, "{}", differs("exit code"));
        assert!(replayed == recorded, "{}", differs("stdout or files"));
    }
    recorded
}

#[test]
fn every_command_comes_to_the_same() {
    for release in [Release::V0_2, Release::V1_5] {
        let came = cannot_tell(&SESSION, release, None);
        let codes: Vec<_> = came.iter().map(|came| came.code.unwrap()).collect();
        assert_eq!(
            codes,
            [0, 0, 0, 0, 0, 0, 0, 0, 4, 2, 9, 4, 3, 3, 3, 0, 0, 0, 0, 7]
        );
    }
}

#[test]
fn trees_standard_input_and_doctor_come_to_the_same() {
    for release in [Release::V0_2, Release::V1_5] {
        for came in cannot_tell(&STAGED, release, None) {
            assert_eq!(came.code, Some(0), "{}: {}", came.line, came.stderr);
        }
    }
}

#[test]
fn every_fault_comes_to_the_same() {
    let mut codes = std::collections::BTreeSet::new();
    for fault in [
        "import:error=UNAVAILABLE",
        "import:reset",
        "import:no_space",
        r#"{"on":"import","do":{"error":{"code":"RESOURCE_EXHAUSTED","message":"é%","details":"/wAB"}}}"#,
        "stat:error=PERMISSION_DENIED",
        "stat:error=INTERNAL:odd",
        "stat:reset",
        "export:error=UNAVAILABLE",
        "export@phase=after:error=ABORTED",
        "export@piece=1:error=DATA_LOSS",
        "export@piece=1:reset",
        "export@piece=1:stall",
        "export:end",
        "export:skip_piece",
        "export:repeat_piece",
        "export:shuffle_pieces",
        "export:corrupt_piece",
        "export:corrupt_digest",
        "export:empty_digest",
        "export:no_content",
        "export:wrong_content_length",
        "list:error=UNIMPLEMENTED",
    ] {
        let came = cannot_tell(&HIT, Release::V0_2, Some(fault));
        codes.extend(came.iter().filter_map(|came| came.code));
    }
    for code in [0, 1, 3, 5, 6, 7, 8] {
        assert!(codes.contains(&code), "{codes:?}");
    }
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
            let run = directory.dfcache().at(&socket).args(words(line)).run();
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
