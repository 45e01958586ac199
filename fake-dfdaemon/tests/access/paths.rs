//! Paths that clients send: what is read is a regular file, what is written is what was named.

use std::fs;
use std::path::{Path, PathBuf};

use fake_dfdaemon::{FakeDfdaemon, Quirk, Release};
use tokio::time::timeout;
use tonic::Code;

use crate::access::ground::{Ground, HANGS, tree};
use crate::support::client::{Client, Export, Import};
use crate::support::requests;

fn import(path: &Path, content_for_id: Option<&str>) -> Import {
    Import {
        content_for_calculating_task_id: content_for_id.map(ToOwned::to_owned),
        ..requests::import(path, 1, 3600)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_regular_files_are_imported() {
    let world = Ground::new();
    fs::create_dir(world.path("dir")).unwrap();
    let direct = [
        world.path("dir"),
        world.fifo("fifo"),
        world.socket("socket"),
        world.path("missing"),
        PathBuf::from("/dev/null"),
        PathBuf::from("/dev/zero"),
        PathBuf::from("/dev/tty"),
        PathBuf::from("/proc/self/fd"),
    ];
    let links = direct.iter().enumerate().map(|(number, target)| {
        let link = world.path(&format!("link-{number}"));
        std::os::unix::fs::symlink(target, &link).unwrap();
        link
    });
    let paths: Vec<_> = links.chain(direct.iter().cloned()).collect();
    for release in [Release::V0_2, Release::V1_5] {
        let builder = FakeDfdaemon::builder().hosts(1).release(release);
        let daemon = builder.start().await.unwrap();
        let client = Client::connect(daemon.endpoint()).await;
        let content = daemon.state_dir().join("hosts/host-0");
        let before = tree(&content);
        for path in &paths {
            for content_for_id in [None, Some("some id")] {
                let imported = timeout(HANGS, client.import(import(path, content_for_id))).await;
                let refused = imported.expect("it hangs").unwrap_err();
                let codes = [Code::InvalidArgument, Code::Internal];
                assert!(codes.contains(&refused.code()), "{path:?}: {refused:?}");
            }
        }
        // With content for the id the task was registered before the file was looked at, and has
        // failed: its record is all that is left.
        let after = tree(&content);
        let is_new = |line: &&str| !before.lines().any(|old| old == *line);
        let is_record = |line: &str| line.contains(".json file ") || line.contains(" directory ");
        assert!(after.lines().filter(is_new).all(is_record), "{after}");
        daemon.stop().await;
    }
}

/// What an export may find where it shall write: all but a missing file.
struct Outputs(Ground);

const OUTPUTS: [&str; 6] = ["link", "dangling", "dir", "fifo", "socket", "victim"];

impl Outputs {
    fn new() -> Self {
        let world = Ground::new();
        world.link("link", "victim");
        world.link("dangling", "nowhere");
        fs::create_dir(world.path("dir")).unwrap();
        world.fifo("fifo");
        world.socket("socket");
        fs::write(world.path("source"), "the source").unwrap();
        Self(world)
    }
}

/// Not through links, not into FIFOs, not over directories; and nothing beside it stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_writes_the_path_that_was_named_and_no_other() {
    for output in OUTPUTS {
        for (overwrite, force_hard_link) in [(false, false), (true, false), (false, true)] {
            let Outputs(world) = Outputs::new();
            let builder = FakeDfdaemon::builder().hosts(1).release(Release::V1_5);
            let daemon = builder.start().await.unwrap();
            let client = Client::connect(daemon.endpoint()).await;
            let task = client.import(import(&world.path("source"), None)).await;
            let path = world.path(output);
            let before = tree(path.parent().unwrap());
            let request = Export {
                task_id: task.unwrap().id,
                output_path: Some(world.text(output)),
                overwrite,
                force_hard_link,
                ..Export::default()
            };
            let exported = timeout(HANGS, client.export(request))
                .await
                .expect("it hangs");
            let what = format!("{output} overwrite={overwrite} forced={force_hard_link}");
            let replaced = exported.status.code() == Code::Ok;
            assert_eq!(
                replaced,
                overwrite && output != "dir",
                "{what}: {exported:?}"
            );
            if replaced {
                assert!(fs::symlink_metadata(&path).unwrap().is_file(), "{what}");
                assert_eq!(fs::read_to_string(&path).unwrap(), "the source");
                fs::remove_file(&path).unwrap();
                let others = |tree: &str| {
                    let named = format!("{} ", path.display());
                    let lines = tree.lines().filter(|line| !line.starts_with(&named));
                    lines.map(ToOwned::to_owned).collect::<Vec<_>>()
                };
                let after = tree(path.parent().unwrap());
                assert_eq!(others(&after), others(&before), "{what}");
            } else {
                assert_eq!(tree(path.parent().unwrap()), before, "{what}");
            }
            if output != "victim" {
                world.victim_is_unharmed();
            }
            daemon.stop().await;
        }
    }
}

/// The real behaviour writes into what is there; it shall not wait there for a reader for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_output_that_is_overwritten_in_place_holds_up_no_end() {
    let Outputs(world) = Outputs::new();
    let builder = FakeDfdaemon::builder().hosts(1).release(Release::V1_5);
    let builder = builder.quirks([Quirk::OverwriteInPlace]);
    let daemon = builder.start().await.unwrap();
    let client = Client::connect(daemon.endpoint()).await;
    let task = client.import(import(&world.path("source"), None)).await;
    let request = Export {
        task_id: task.unwrap().id,
        output_path: Some(world.text("fifo")),
        overwrite: true,
        ..Export::default()
    };
    let exported = timeout(HANGS, client.export(request))
        .await
        .expect("it hangs");
    assert_eq!(exported.status.code(), Code::Internal, "{exported:?}");
    timeout(HANGS, daemon.stop()).await.expect("it hangs");
}

/// A relative path is another one for the client, and the daemon's own files are nobody's output.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_output_that_is_relative_or_the_daemons_own_is_refused() {
    let Outputs(world) = Outputs::new();
    let daemon = FakeDfdaemon::builder().hosts(1).release(Release::V1_5);
    let daemon = daemon.start().await.unwrap();
    let client = Client::connect(daemon.endpoint()).await;
    let task = client.import(import(&world.path("source"), None)).await;
    let id = task.unwrap().id;
    let state = daemon.state_dir();
    let own = |name: &str| state.join(name).to_str().unwrap().to_owned();
    let through_link = world.link("own", state.join("hosts").to_str().unwrap());
    let before = tree(&state.join("hosts"));
    for (output, why) in [
        ("relative".to_owned(), "is not absolute"),
        ("../relative".to_owned(), "is not absolute"),
        (String::new(), "is not absolute"),
        (own("state.json"), "is among the daemon's own files"),
        (own("host-0.sock"), "is among the daemon's own files"),
        (
            own("hosts/host-0/../new"),
            "is among the daemon's own files",
        ),
        (
            through_link.join("new").to_str().unwrap().to_owned(),
            "is among the daemon's own files",
        ),
    ] {
        for overwrite in [false, true] {
            let request = Export {
                task_id: id.clone(),
                output_path: Some(output.clone()),
                overwrite,
                ..Export::default()
            };
            let refused = client.export(request).await;
            assert!(!refused.opened, "{output:?}");
            assert_eq!(refused.status.code(), Code::InvalidArgument, "{refused:?}");
            let said = format!("output path {output} {why}");
            assert_eq!(refused.status.message(), said);
        }
    }
    assert_eq!(tree(&state.join("hosts")), before);
    assert!(!Path::new("relative").exists());
    daemon.stop().await;
}
