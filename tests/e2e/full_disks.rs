//! Disks that are full or read-only, and files that may not grow: real ones.
//!
//! That every step of an export may fail is shown beside `export`, by a disk that is made to.

use crate::support::command::DFCACHE;
use crate::support::files::{MIB, compare, names_in};
use crate::support::namespace::in_a_namespace;
use crate::support::world::Directory;
use crate::support::{Dfcache, ScriptedDaemon, Step, seeded};
use testkit::{piece, whole};

/// Exports onto a file system of each of these sizes, in each way, and says of each export: its
/// size, way, what was there, exit code, names there, what is in the output, and what was wrong. What is
/// read-only gets nothing by a shell.
const EXPORTS: &str = r#"
    id=$("$dfcache" import file)
    for size in $SIZES; do
        for way in path transfer stdout; do
            for old in no yes; do
                case $size$way in *,rostdout) continue;; esac
                mount -t tmpfs -o size=${size%,ro} none disk || exit 1
                options=
                if [ $old = yes ]; then printf old >disk/out; options=--overwrite; fi
                case $size in *,ro) mount -o remount,ro disk || exit 1;; esac
                case $way in
                    path) "$dfcache" export $options -O disk/out $id >said 2>error;;
                    transfer) "$dfcache" export $options --transfer-from-dfdaemon -O disk/out $id >said 2>error;;
                    stdout) "$dfcache" export -O - $id >disk/out 2>error;;
                esac
                code=$?
                names=$(ls -A disk | tr '\n' ,)
                content=other
                if [ ! -e disk/out ]; then content=none
                elif cmp -s disk/out file; then content=whole
                elif [ "$(head -c 4 disk/out)" = old ]; then content=old
                elif head -c $(stat -c %s disk/out) file | cmp -s - disk/out; then content=prefix
                fi
                wrong=$(grep -oE 'No space left on device|Read-only file system|hint: free some space' error | tr ' \n' _,)
                echo $size $way $old $code ${names:-nothing} $content ${wrong:-nothing}
                umount disk
            done
        done
    done
"#;

/// What a script says beside a fake, which may mount on `disk`; none where there are no namespaces.
fn beside_a_fake(directory: &Directory, script: &str, sizes: &str) -> Option<String> {
    std::fs::create_dir(directory.path("disk")).unwrap();
    let run = r#"exec "$fake" run --hosts 1 -- sh -c "$SCRIPT""#;
    let variables = [
        ("SCRIPT", script),
        ("SIZES", sizes),
        ("DFCACHE_LOG_MAX_FILES", "0"),
    ];
    in_a_namespace(directory, run, &variables)
}

#[test]
fn a_file_system_that_fills_up_leaves_what_was_there() {
    let directory = Directory::new();
    std::fs::write(directory.path("file"), seeded(1, 5 * MIB + 1)).unwrap();
    let sizes = "4k 1m 3m 4m 5m 6m 6m,ro";
    let Some(exports) = beside_a_fake(&directory, EXPORTS, sizes) else {
        return;
    };
    let exports: Vec<Vec<_>> = exports
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(exports.len(), sizes.split(' ').count() * 3 * 2 - 2);
    for export in exports {
        let [size, way, old, code, names, content, wrong] = export[..] else {
            panic!("{export:?}");
        };
        let (names_left, content_left) = match old {
            "yes" => ("out,", "old"),
            _ => ("nothing", "none"),
        };
        let full = "No_space_left_on_device,";
        let advised = "No_space_left_on_device,hint:_free_some_space,";
        let left = match (size, way) {
            ("6m", _) => ("0", "out,", "whole", "nothing"),
            ("6m,ro", _) => ("4", names_left, content_left, "Read-only_file_system,"),
            (_, "stdout") => ("4", "out,", "prefix", full),
            _ => ("4", names_left, content_left, advised),
        };
        let came = (code, names, content, wrong);
        assert_eq!(came, left, "{size} {way} {old}");
    }
}

/// Of a disk of 8 MiB: a file that is longer, but has holes, fits; of another one some of the room is
/// left to others, at every moment.
const LONGER: &str = r#"
    mount -t tmpfs -o size=8m none disk || exit 1
    truncate -s 64M sparse
    printf data | dd of=sparse conv=notrunc bs=1 seek=50000000 2>said
    id=$("$dfcache" import sparse)
    "$dfcache" export --transfer-from-dfdaemon -O disk/out $id >said
    cmp disk/out sparse && rm disk/out && echo sparse
    id=$("$dfcache" import file)
    (while :; do df --output=avail disk | tail -n 1; done) >rooms &
    "$dfcache" export --transfer-from-dfdaemon -O disk/out $id >said
    echo $?
    kill $!
    sort -n rooms | head -n 1
"#;

#[test]
fn a_file_that_may_not_fit_is_tried_and_leaves_room_to_others() {
    let directory = Directory::new();
    std::fs::write(directory.path("file"), seeded(1, 16 * MIB)).unwrap();
    let Some(said) = beside_a_fake(&directory, LONGER, "") else {
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
