//! `import --recursive` and `export --recursive`: a directory as one task.

use std::fs;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use fake_dfdaemon::{Release, Rpc};
use rustix::process::Signal;
use serde_json::Value;
use testkit::schema::{assert_is_schema, errors};

use crate::support::World;
use crate::support::command::words;
use crate::support::files::PIECE;
use crate::support::users::is_root;
use crate::support::world::until_it_fires;

const MODES: [&str; 3] = ["", "--force-hard-link", "--transfer-from-dfdaemon"];

/// A directory with files, an empty directory and a link.
fn tree(world: &World) -> PathBuf {
    let root = world.path("tree");
    fs::create_dir_all(root.join("sub/empty")).unwrap();
    for (name, length) in [
        ("tree/big", PIECE + 1),
        ("tree/sub/small", 10),
        ("tree/none", 0),
    ] {
        world.file(name, length);
    }
    symlink("sub/small", root.join("link")).unwrap();
    root
}

fn import(world: &World, options: &str) -> String {
    let line = format!("import --recursive {options} tree");
    world.dfcache().args(words(&line)).run().succeeds().line()
}

/// Everything below a directory: kind, permissions and content.
fn shown(root: &Path) -> Vec<String> {
    let mut shown = Vec::new();
    let mut ahead = vec![root.to_owned()];
    while let Some(directory) = ahead.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            let mode = metadata.permissions().mode();
            let below = path.strip_prefix(root).unwrap().display().to_string();
            let content = if metadata.is_symlink() {
                format!("-> {}", fs::read_link(&path).unwrap().display())
            } else if metadata.is_dir() {
                ahead.push(path);
                "/".to_owned()
            } else {
                let content = fs::read(&path).unwrap();
                format!(
                    "{} {}",
                    content.len(),
                    dfdaemon_api::digest::crc32(&content)
                )
            };
            shown.push(format!("{below} {mode:o} {content}"));
        }
    }
    shown.sort();
    shown
}

#[test]
fn a_directory_comes_out_on_another_host_as_it_went_in() {
    for release in [Release::V0_2, Release::V1_5] {
        let world = World::with(|builder| builder.release(release));
        let root = tree(&world);
        fs::set_permissions(root.join("big"), fs::Permissions::from_mode(0o750)).unwrap();
        let before = shown(&root);
        let id = import(&world, "");
        assert_eq!(import(&world, "--jobs 1"), id);
        assert_eq!(shown(&root), before);
        for options in [
            "",
            "--verify",
            "--transfer-from-dfdaemon --jobs 1",
            "--transfer-from-dfdaemon --verify",
        ] {
            let line = format!("export --recursive {options} -O out {id}");
            let run = world.on_host(1).args(words(&line)).run().succeeds();
            assert_eq!(run.line(), world.path("out").display().to_string());
            let by_path = !options.contains("transfer");
            let names = |tree: &[String]| -> Vec<_> {
                let shown = |line: &String| match line.split(' ').collect::<Vec<_>>()[..] {
                    // A link to the cache has the permissions of the cache.
                    [name, _, length, crc] if by_path => format!("{name} {length} {crc}"),
                    _ => line.clone(),
                };
                tree.iter().map(shown).collect()
            };
            assert_eq!(
                names(&shown(&world.path("out"))),
                names(&before),
                "{options}"
            );
            fs::remove_dir_all(world.path("out")).unwrap();
        }
        world.holds_only(&["tree"]);
    }
}

#[test]
fn a_hugging_face_snapshot_comes_out_as_its_files() {
    let world = World::new();
    let snapshot = world.path("models--x/snapshots/abc");
    fs::create_dir_all(&snapshot).unwrap();
    fs::create_dir(world.path("models--x/blobs")).unwrap();
    let blob = world.file("models--x/blobs/0123", 100);
    symlink("../../blobs/0123", snapshot.join("model.bin")).unwrap();
    let run = world
        .dfcache()
        .args(words("import --recursive models--x/snapshots/abc"))
        .run();
    let id = run.succeeds().line();
    for mode in MODES {
        let line = format!("export --recursive {mode} -O out/ {id}");
        world.dfcache().args(words(&line)).run().succeeds();
        assert!(
            !fs::symlink_metadata(world.path("out/model.bin"))
                .unwrap()
                .is_symlink()
        );
        world.assert_same(&blob, "out/model.bin");
        fs::remove_dir_all(world.path("out")).unwrap();
    }
    // The whole cache keeps its links.
    let run = world
        .dfcache()
        .args(words("import --recursive models--x"))
        .run();
    let id = run.succeeds().line();
    let line = format!("export --recursive -O out {id}");
    world.dfcache().args(words(&line)).run().succeeds();
    let link = fs::read_link(world.path("out/snapshots/abc/model.bin")).unwrap();
    assert_eq!(link, Path::new("../../blobs/0123"));
    world.assert_same(&blob, "out/snapshots/abc/model.bin");
}

#[test]
fn what_cannot_be_part_of_a_tree_is_refused_by_name_before_anything_is_imported() {
    let world = World::new();
    let root = tree(&world);
    let socket = root.join("sub/socket");
    let _socket = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let run = world.dfcache().args(words("import --recursive tree")).run();
    run.fails_with(4)
        .says("sub/socket cannot be part of a tree")
        .says("it is a socket");
    assert_eq!(world.daemon().journal().calls(Rpc::Import).len(), 0);
    let run = world
        .dfcache()
        .args(words("import --recursive tree/big"))
        .run();
    run.fails_with(4).says("it is not a directory");
    let run = world.dfcache().args(words("import tree")).run();
    run.fails_with(4).says("--recursive");
}

#[test]
fn one_expired_file_is_named_and_nothing_appears() {
    let world = World::new();
    let root = tree(&world);
    world.import_with(&["--ttl", "5m"], &root.join("sub/small"));
    let run = world
        .dfcache()
        .args(words("import --recursive --ttl 2h tree"))
        .run();
    let run = run
        .succeeds()
        .says("warning: 1 task of the tree exists already and expires");
    let id = run.line();
    world.advance(301);
    for mode in MODES {
        let line = format!("export --recursive {mode} -O out {id}");
        let run = world.dfcache().args(words(&line)).run();
        run.fails_with(3).says("cannot export its file sub/small");
        world.holds_only(&["tree"]);
    }
    // Imported again, it is whole again.
    assert_eq!(import(&world, "--ttl 2h"), id);
    let line = format!("export --recursive -O out {id}");
    world.dfcache().args(words(&line)).run().succeeds();
}

#[test]
fn options_that_make_no_sense_of_a_tree_are_refused() {
    let world = World::new();
    tree(&world);
    for line in [
        "import --recursive --content-for-calculating-task-id x tree",
        "import --recursive --jobs 0 tree",
        "export --recursive --overwrite -O out 7",
        "export --recursive --digest crc32:1 -O out 7",
        "export --recursive -O - 7",
        "import --recursive -",
        "verify --recursive 7 -",
        "verify --jobs 2 7 tree",
    ] {
        world.dfcache().args(words(line)).run().fails_with(2);
    }
    for line in [
        "export --recursive -O tree 7",
        "export --recursive -O tree/ 7",
    ] {
        let run = world.dfcache().args(words(line)).run();
        run.fails_with(4)
            .says("exists already")
            .does_not_say("--overwrite");
    }
    let calls =
        [Rpc::Import, Rpc::Export, Rpc::Stat].map(|rpc| world.daemon().journal().calls(rpc));
    assert!(calls.iter().all(Vec::is_empty));
    for name in ["tree/big", "tree/none"] {
        let file = world.import(&world.path(name));
        for line in [
            format!("export --recursive -O out {file}"),
            format!("verify --recursive {file} tree"),
        ] {
            let run = world.dfcache().args(words(&line)).run();
            let why = format!("task {file} is not a tree");
            run.fails_with(7).says(&why);
        }
    }
    world.holds_only(&["tree"]);
}

#[test]
fn whatever_breaks_a_tree_off_leaves_nothing() {
    let world = World::new();
    tree(&world);
    let id = import(&world, "");
    // The manifest is the first.
    for call in 1..=4 {
        for mode in MODES {
            for (fault, code) in [("reset", 5), ("end", 7), ("error=UNAVAILABLE", 5)] {
                let fault = format!("export@call={call}:{fault}");
                let guard = world.daemon().fault(fault.parse().unwrap());
                let line = format!("export --recursive --jobs 1 {mode} -O out {id}");
                let run = world.dfcache().args(words(&line)).run();
                drop(guard);
                if run.code() == Some(0) {
                    // Of no content, there is no early end.
                    fs::remove_dir_all(world.path("out")).unwrap();
                } else {
                    run.fails_with(code);
                }
                world.holds_only(&["tree"]);
            }
        }
    }
    for call in 1..=4 {
        let guard = world
            .daemon()
            .fault(format!("import@call={call}:reset").parse().unwrap());
        let run = world
            .dfcache()
            .args(words("import --recursive --tag t tree"))
            .run();
        run.fails_with(5);
        drop(guard);
        assert_eq!(fs::read_dir(world.path("tree")).unwrap().count(), 4);
    }
}

#[test]
fn a_directory_is_verified_and_what_differs_is_named() {
    let world = World::new();
    let root = tree(&world);
    let id = import(&world, "");
    let verify = || {
        let line = format!("verify --recursive {id} tree/");
        world.dfcache().args(words(&line)).run()
    };
    let ok = verify().succeeds().line();
    assert_eq!(ok, format!("{}: OK", root.display()));
    let big = fs::File::options().write(true).open(root.join("big"));
    big.unwrap().write_all_at(b"x", 4_000_000).unwrap();
    fs::remove_file(root.join("link")).unwrap();
    symlink("sub", root.join("link")).unwrap();
    let run = verify().fails_with(7);
    assert!(run.stdout_bytes().is_empty());
    run.says("caused by: big has other content")
        .says("caused by: link is a link to sub, and to sub/small in the tree")
        .does_not_say("small has");
    let mode = fs::Permissions::from_mode(0o200);
    fs::set_permissions(root.join("sub/small"), mode).unwrap();
    // Root reads it all the same.
    let code = if is_root() { 7 } else { 4 };
    verify().fails_with(code);
}

#[test]
fn signals_and_deadlines_end_a_tree_and_a_killed_one_is_swept() {
    let world = World::new();
    tree(&world);
    let id = import(&world, "");
    let export = |options: &str| {
        let line = format!("export --recursive {options} -O out {id}");
        world.dfcache().args(words(&line))
    };
    for mode in MODES {
        let guard = world.daemon().fault("export@call=3:stall".parse().unwrap());
        let running = export(&format!("--jobs 1 {mode}")).start();
        until_it_fires(&guard);
        running.terminate();
        running.wait().fails_with(143);
        world.wait_for_ended(Rpc::Export, 3);
        world.holds_only(&["tree"]);
        drop(guard);
        // On a busy machine its time may be over before it comes to the fault.
        let comes_to_it = ["500ms", "5s", "50s"].iter().any(|timeout| {
            world.daemon().journal().clear().unwrap();
            let guard = world.daemon().fault("export@call=3:stall".parse().unwrap());
            let run = export(&format!("--timeout {timeout} --jobs 1 {mode}")).run();
            run.fails_with(8);
            let comes_to_it = guard.fired() == 1;
            if comes_to_it {
                world.wait_for_ended(Rpc::Export, 3);
            }
            world.holds_only(&["tree"]);
            comes_to_it
        });
        assert!(comes_to_it);
        world.daemon().journal().clear().unwrap();
        let guard = world.daemon().fault("export@call=3:stall".parse().unwrap());
        let running = export(&format!("--jobs 1 {mode}")).start();
        until_it_fires(&guard);
        running.signal(Signal::KILL);
        assert_eq!(running.wait().signal(), Some(9));
        world.wait_for_ended(Rpc::Export, 3);
        assert_eq!(fs::read_dir(world.work()).unwrap().count(), 2);
        drop(guard);
        export(mode).run().succeeds();
        world.holds_only(&["out", "tree"]);
        fs::remove_dir_all(world.path("out")).unwrap();
        world.daemon().journal().clear().unwrap();
    }
}

#[test]
fn what_is_printed_for_programs_is_what_the_schemas_say() {
    let world = World::new();
    tree(&world);
    let json = |line: &str| {
        let run = world
            .dfcache()
            .args(words(line))
            .args(["--format", "json"])
            .run();
        let lines = run.succeeds().stdout();
        let values = lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap());
        values.collect::<Vec<Value>>()
    };
    let imported = json("import --recursive tree");
    assert_eq!(imported.len(), 1);
    crate::schema::assert_is("import_tree", &imported[0]);
    let id = imported[0]["task_id"].as_str().unwrap().to_owned();
    assert_eq!(imported[0]["file_count"], 3);
    assert_eq!(imported[0]["total_length"], PIECE + 11);
    for line in [
        "import --recursive --verbose tree".to_owned(),
        format!("export --recursive --verbose -O out {id}"),
        format!("verify --recursive --verbose {id} out"),
    ] {
        let lines = json(&line);
        let (last, files) = lines.split_last().unwrap();
        assert_eq!(files.len(), 3);
        let command = line.split(' ').next().unwrap();
        crate::schema::assert_is(&format!("{command}_tree"), last);
        for file in files {
            crate::schema::assert_is("tree_file", file);
        }
    }
    let manifest = world.export(0, &[], &id, "-").succeeds();
    let manifest: Value = serde_json::from_slice(manifest.stdout_bytes()).unwrap();
    let schema = include_str!("../../packaging/dfcache-manifest.schema.json");
    let schema: Value = serde_json::from_str(schema).unwrap();
    assert_is_schema(&schema, &schema);
    assert_eq!(errors(&schema, &schema, &manifest), [""; 0], "{manifest}");
    for (from, to) in [
        ("\"path\":\"big\"", "\"path\":\"/big\""),
        ("\"path\":\"big\"", "\"path\":\"../big\""),
        ("\"path\":\"big\"", "\"path\":\"a/./b\""),
        ("\"kind\":\"file\"", "\"kind\":\"link\""),
        ("manifest/1", "manifest/2"),
    ] {
        let text = manifest.to_string();
        assert!(text.contains(from), "{text}");
        let bad = serde_json::from_str(&text.replacen(from, to, 1)).unwrap();
        assert!(!errors(&schema, &schema, &bad).is_empty(), "{bad}");
    }
}
