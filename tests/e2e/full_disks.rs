//! Disks that are full, and files that may not grow: real ones.
//!
//! That every step of an export may fail is shown beside `export`, by a disk that is made to.

use std::process::{Command, Stdio};

use crate::support::command::DFCACHE;
use crate::support::files::{MIB, compare, names_in};
use crate::support::process::fake_dfdaemon;
use crate::support::world::Directory;
use crate::support::{Dfcache, ScriptedDaemon, Step, seeded, skipped};
use testkit::{piece, whole};

/// Exports onto a file system of each of these sizes, in each way, and says of each export: its
/// size, way, what was there, exit code, names there, what is in the output.
///
/// Runs in a user namespace, in which anybody may mount.
const EXPORTS: &str = r#"
    id=$("$DFCACHE" import file)
    for size in $SIZES; do
        for way in path transfer stdout; do
            for old in no yes; do
                mount -t tmpfs -o size=$size none disk || exit 1
                options=
                if [ $old = yes ]; then printf old >disk/out; options=--overwrite; fi
                case $way in
                    path) "$DFCACHE" export $options -O disk/out $id >said;;
                    transfer) "$DFCACHE" export $options --transfer-from-dfdaemon -O disk/out $id >said;;
                    stdout) "$DFCACHE" export -O - $id >disk/out;;
                esac
                code=$?
                names=$(ls -A disk | tr '\n' ,)
                content=other
                if [ ! -e disk/out ]; then content=none
                elif cmp -s disk/out file; then content=whole
                elif [ "$(head -c 4 disk/out)" = old ]; then content=old
                elif head -c $(stat -c %s disk/out) file | cmp -s - disk/out; then content=prefix
                fi
                echo $size $way $old $code ${names:-nothing} $content
                umount disk
            done
        done
    done
"#;

/// What a script says that may mount on `disk`, or none where there are no namespaces.
fn in_a_namespace(directory: &Directory, script: &str, sizes: &str) -> Option<String> {
    std::fs::create_dir(directory.path("disk")).unwrap();
    let own_root = ["--user", "--map-root-user", "--mount"];
    let can = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(own_root).args(["sh", "-c", script]);
        command.current_dir(directory.work()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    if !can("mount -t tmpfs none disk") {
        return None;
    }
    let output = Command::new("unshare")
        .args(own_root)
        .arg(fake_dfdaemon())
        .args(["run", "--hosts", "1", "--", "sh", "-c", script])
        .env("DFCACHE", DFCACHE)
        .env("SIZES", sizes)
        .env("HOME", directory.home())
        .env("TMPDIR", directory.beside(""))
        .env("DFCACHE_IMPORT_LOG_DIR", directory.home())
        .env("DFCACHE_EXPORT_LOG_DIR", directory.home())
        .current_dir(directory.work())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", output.status);
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn a_file_system_that_fills_up_leaves_what_was_there() {
    let directory = Directory::new();
    std::fs::write(directory.path("file"), seeded(1, 5 * MIB + 1)).unwrap();
    let sizes = "4k 1m 3m 4m 5m 6m";
    let Some(exports) = in_a_namespace(&directory, EXPORTS, sizes) else {
        skipped("no user namespace to mount a small file system in");
        return;
    };
    let exports: Vec<Vec<_>> = exports
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(exports.len(), sizes.split(' ').count() * 3 * 2);
    for export in exports {
        let [size, way, old, code, names, content] = export[..] else {
            panic!("{export:?}");
        };
        let left = match (size, way, old) {
            ("6m", ..) => ("0", "out,", "whole"),
            (_, "stdout", _) => ("4", "out,", "prefix"),
            (.., "yes") => ("4", "out,", "old"),
            _ => ("4", "nothing", "none"),
        };
        assert_eq!((code, names, content), left, "{size} {way} {old}");
    }
}

/// Of a disk of 8 MiB: a file that is longer, but has holes, fits; of another one some of the room is
/// left to others, at every moment.
const LONGER: &str = r#"
    mount -t tmpfs -o size=8m none disk || exit 1
    truncate -s 64M sparse
    printf data | dd of=sparse conv=notrunc bs=1 seek=50000000 2>said
    id=$("$DFCACHE" import sparse)
    "$DFCACHE" export --transfer-from-dfdaemon -O disk/out $id >said
    cmp disk/out sparse && rm disk/out && echo sparse
    id=$("$DFCACHE" import file)
    (while :; do df --output=avail disk | tail -n 1; done) >rooms &
    "$DFCACHE" export --transfer-from-dfdaemon -O disk/out $id >said
    echo $?
    kill $!
    sort -n rooms | head -n 1
"#;

#[test]
fn a_file_that_may_not_fit_is_tried_and_leaves_room_to_others() {
    let directory = Directory::new();
    std::fs::write(directory.path("file"), seeded(1, 16 * MIB)).unwrap();
    let Some(said) = in_a_namespace(&directory, LONGER, "") else {
        skipped("no user namespace to mount a small file system in");
        return;
    };
    let [holes, code, least] = said.lines().collect::<Vec<_>>()[..] else {
        panic!("{said}");
    };
    assert_eq!((holes, code), ("sparse", "4"));
    let least: u64 = least.trim().parse().unwrap();
    // In KiB: a sixteenth of the disk, of which its own books take some.
    assert!(least >= 480, "{least} KiB were left");
}

/// `dfcache`, whose files may not grow beyond so many blocks of 512 bytes.
fn limited(directory: &Directory, blocks: usize) -> Dfcache {
    let shell = Dfcache::of("sh".as_ref(), &directory.work(), &directory.home());
    let script = "ulimit -f $0; exec \"$@\"";
    shell.args(["-c", script, &blocks.to_string(), DFCACHE])
}

/// The signal that comes with the limit would end the process, temporary file and all.
#[test]
fn a_limit_on_the_length_of_files_is_a_failed_write_wherever_it_lies() {
    let content = seeded(2, 5 * 512);
    let pieces = content
        .chunks(700)
        .zip(0..)
        .map(|(bytes, number)| Step::Piece(piece(number, u64::from(number) * 700, bytes)));
    let steps = [vec![Step::Started(content.len() as u64)], pieces.collect()].concat();
    for blocks in 0..=5 {
        let directory = Directory::new();
        let daemon = ScriptedDaemon::answering(steps.clone());
        let enough = blocks == 5;
        let code = if enough { 0 } else { 4 };
        let command = limited(&directory, blocks).at(&daemon.endpoint);
        let export = ["export", "--log-max-files", "0", "7", "-O"];
        let transfer = ["out", "--transfer-from-dfdaemon"];
        let run = command.args(export).args(transfer).run();
        run.exits_with(code);
        let expected: &[&str] = if enough { &["out"] } else { &[] };
        assert_eq!(names_in(&directory.work()), expected, "{blocks} blocks");

        let redirected = std::fs::File::create(directory.path("stdout")).unwrap();
        let command = limited(&directory, blocks).at(&daemon.endpoint);
        let run = command.args(export).arg("-").stdout(redirected).run();
        run.exits_with(code);
        let written = std::fs::read(directory.path("stdout")).unwrap();
        let prefix = &content[..written.len()];
        assert!(compare(&written, prefix).is_ok() && written.len() == blocks * 512);
    }
}

/// Logs are files too, and fail nothing.
#[test]
fn a_log_that_may_not_grow_fails_no_command() {
    let directory = Directory::new();
    let content = seeded(3, 512);
    let daemon = ScriptedDaemon::answering(whole(&content));
    let command = limited(&directory, 1).at(&daemon.endpoint);
    let export = "export --log-level debug --transfer-from-dfdaemon -O out";
    let ids = "7".repeat(600);
    let run = command.args(export.split(' ')).arg(ids).run();
    run.succeeds();
}
