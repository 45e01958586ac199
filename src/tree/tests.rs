use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use fake_dfdaemon::{FakeDfdaemon, Release, Rpc};
use tempfile::TempDir;

use super::*;
use crate::client::Client;
use crate::export::{ExportMode, ExportRequest};
use crate::import::ImportRequest;
use crate::types::error::ErrorKind;

const MODES: [ExportMode; 3] = [
    ExportMode::ByPath,
    ExportMode::ByHardLink,
    ExportMode::ByTransfer,
];

struct World {
    daemon: FakeDfdaemon,
    client: Client,
    directory: TempDir,
}

impl World {
    async fn new(release: Release) -> Self {
        // On one file system with the files, so that links can be made.
        let directory = tempfile::tempdir().unwrap();
        let daemon = FakeDfdaemon::builder()
            .release(release)
            .manual_clock()
            .state_dir(directory.path().join("state"))
            .start()
            .await
            .unwrap();
        let client = Client::connect(daemon.endpoint()).await.unwrap();
        fs::create_dir(directory.path().join("work")).unwrap();
        Self {
            daemon,
            client,
            directory,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join("work").join(name)
    }

    fn tree(&self) -> PathBuf {
        let root = self.path("tree");
        fs::create_dir_all(root.join("sub/empty")).unwrap();
        fs::write(root.join("a"), "a").unwrap();
        fs::write(root.join("sub/same"), "a").unwrap();
        fs::write(root.join("sub/b"), "bb").unwrap();
        fs::write(root.join("nothing"), "").unwrap();
        symlink("sub/b", root.join("link")).unwrap();
        fs::set_permissions(root.join("sub/b"), fs::Permissions::from_mode(0o750)).unwrap();
        fs::set_permissions(root.join("sub/empty"), fs::Permissions::from_mode(0o500)).unwrap();
        root
    }

    fn import(&self, root: &Path) -> ImportTree {
        ImportTree::new(ImportRequest::new(root))
    }

    async fn imported(&self, root: &Path) -> ImportedTree {
        self.client.import_tree(&self.import(root)).await.unwrap()
    }

    async fn export(
        &self,
        id: &str,
        mode: ExportMode,
    ) -> std::result::Result<ExportedTree, crate::Error> {
        let tree = ExportTree::new(ExportRequest::new(id).mode(mode));
        self.client.export_tree(&tree, self.path("out")).await
    }

    fn calls(&self, rpc: Rpc) -> usize {
        self.daemon.journal().calls(rpc).len()
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("")).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

#[tokio::test]
async fn a_tree_is_the_same_tree_again_in_every_mode_with_both_releases() {
    for release in [Release::V0_2, Release::V1_5] {
        let world = World::new(release).await;
        let root = world.tree();
        let imported = world.imported(&root).await;
        let summary = imported.summary;
        assert_eq!(
            (
                summary.file_count,
                summary.directory_count,
                summary.link_count
            ),
            (4, 2, 1)
        );
        assert_eq!((summary.content_length, imported.existing_count), (4, 0));
        // Three contents and the manifest: the same content is one task.
        assert_eq!(world.calls(Rpc::Import), 4);
        assert_eq!(fs::read_dir(&root).unwrap().count(), 4);
        for mode in MODES {
            let exported = world
                .export(imported.task.task_id.as_str(), mode)
                .await
                .unwrap();
            assert_eq!(exported.path, world.path("out"));
            assert_eq!(exported.summary, summary);
            let read = |name: &str| fs::read_to_string(world.path("out").join(name)).unwrap();
            assert_eq!((read("a"), read("sub/same")), ("a".into(), "a".into()));
            assert_eq!(
                (read("link"), read("nothing")),
                ("bb".into(), String::new())
            );
            let link = fs::read_link(world.path("out/link")).unwrap();
            assert_eq!(link, Path::new("sub/b"));
            let mode_of = |name: &str| {
                let metadata = fs::metadata(world.path("out").join(name)).unwrap();
                metadata.permissions().mode() & 0o777
            };
            assert_eq!(mode_of("sub/empty"), 0o500);
            if mode == ExportMode::ByTransfer {
                assert_eq!(mode_of("sub/b"), 0o750);
                // The copy is a tree of the same id.
                let again = world.import(&world.path("out"));
                let again = world.client.import_tree(&again).await.unwrap();
                assert_eq!(again.task.task_id, imported.task.task_id);
            }
            assert_eq!(world.names(), ["out", "tree"]);
            fs::remove_dir_all(world.path("out")).unwrap();
        }
        world.daemon.stop().await;
    }
}

#[tokio::test]
async fn a_tree_that_is_imported_again_is_asked_for_and_only_what_is_missing_is_sent() {
    let world = World::new(Release::V1_5).await;
    let root = world.tree();
    let first = world.imported(&root).await;
    world.daemon.journal().clear().unwrap();
    let tree = world.import(&root).jobs(NonZeroUsize::MIN);
    let again = world.client.import_tree(&tree).await.unwrap();
    assert_eq!(again.task.task_id, first.task.task_id);
    assert_eq!((again.existing_count, again.expires_early), (3, None));
    let imports = world.daemon.journal().calls(Rpc::Import);
    assert!(imports.iter().all(|call| call.status.code != "OK"));
    // The first and the manifest; after the first, the others are asked for.
    assert_eq!(imports.len(), 2);
    fs::write(root.join("new"), "new").unwrap();
    let more = world.imported(&root).await;
    assert_ne!(more.task.task_id, first.task.task_id);
    assert_eq!(more.existing_count, 3);
    world.daemon.stop().await;
}

#[tokio::test]
async fn tasks_that_expire_before_the_ttl_are_told() {
    let world = World::new(Release::V0_2).await;
    let root = world.tree();
    world.imported(&root).await;
    let request = ImportRequest::new(&root).ttl(Duration::from_secs(7200));
    let again = world
        .client
        .import_tree(&ImportTree::new(request))
        .await
        .unwrap();
    // The manifest too.
    assert_eq!(again.expires_early.unwrap().count, 4);
    world.daemon.stop().await;
}

#[tokio::test]
async fn one_missing_file_is_named_and_nothing_appears() {
    for mode in MODES {
        let world = World::new(Release::V0_2).await;
        let root = world.tree();
        let early = ImportRequest::new(root.join("sub/b")).ttl(Duration::from_secs(300));
        world.client.import(early).await.unwrap();
        let imported = world.imported(&root).await;
        world
            .daemon
            .clock()
            .advance(Duration::from_secs(301))
            .unwrap();
        let error = world
            .export(imported.task.task_id.as_str(), mode)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.causes()[0].contains("sub/b"), "{:?}", error.causes());
        assert_eq!(world.names(), ["tree"]);
        world.daemon.stop().await;
    }
}

#[tokio::test]
async fn what_is_no_tree_or_hostile_writes_nothing() {
    let world = World::new(Release::V0_2).await;
    let prefix = String::from_utf8(manifest::PREFIX.to_vec()).unwrap();
    let file = |path: &str| {
        let sha256 = "0".repeat(64);
        format!(
            "{{\"path\":{path:?},\"kind\":\"file\",\"mode\":420,\"length\":1,\"task_id\":\"1\",\"sha256\":\"{sha256}\"}}"
        )
    };
    let link = |path: &str, target: &str| {
        format!("{{\"path\":{path:?},\"kind\":\"link\",\"target\":{target:?}}}")
    };
    for content in [
        String::new(),
        "x".repeat(1 << 20),
        prefix.clone(),
        "{\"format\":\"dfcache.manifest/2\",\"entries\":[]}".to_owned(),
        "{\"format\": \"dfcache.manifest/1\",\"entries\":[]}".to_owned(),
        format!("{prefix}{}]}}", file("/etc/passwd")),
        format!("{prefix}{}]}}", file("../out")),
        format!("{prefix}{},{}]}}", file("a"), file("a")),
        format!("{prefix}{},{}]}}", file("a"), file("a/b")),
        format!("{prefix}{}]}}", link("a", "/etc/passwd")),
        format!("{prefix}{},{}]}}", link("a", "/tmp"), file("a/b")),
        format!("{prefix}{}]}}", file("a\0")),
    ] {
        fs::write(world.path("file"), &content).unwrap();
        let import = ImportRequest::new(world.path("file"));
        let id = world.client.import(import).await.unwrap().task.task_id;
        fs::remove_file(world.path("file")).unwrap();
        for mode in MODES {
            let error = world.export(id.as_str(), mode).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Integrity, "{content:.200}");
        }
        assert!(world.names().is_empty());
    }
    let calls = world.daemon.journal().calls(Rpc::Export);
    // No file of it was asked for.
    assert!(calls.iter().all(|call| call.task_id() != Some("1")));
    world.daemon.stop().await;
}

#[tokio::test]
async fn a_file_that_is_not_what_the_manifest_says_is_damage() {
    let world = World::new(Release::V0_2).await;
    let root = world.tree();
    let imported = world.imported(&root).await;
    let request = ExportRequest::new(&imported.task.task_id);
    let mut manifest = Vec::new();
    let exported = world.client.export_to_writer(&request, &mut manifest);
    exported.await.unwrap();
    let manifest = String::from_utf8(manifest).unwrap();
    // The SHA-256 of `bb`, and the length of the only file that has two bytes.
    let tampered = [
        ("\"sha256\":\"3b64db95", "\"sha256\":\"4b64db95", false),
        ("\"length\":2", "\"length\":3", true),
    ];
    for (from, to, always) in tampered {
        assert!(manifest.contains(from), "{manifest}");
        fs::write(world.path("manifest"), manifest.replace(from, to)).unwrap();
        let import = ImportRequest::new(world.path("manifest"));
        let id = world.client.import(import).await.unwrap().task.task_id;
        fs::remove_file(world.path("manifest")).unwrap();
        for mode in MODES {
            for verify in [false, true] {
                let tree = ExportTree::new(ExportRequest::new(&id).mode(mode).verify(verify));
                let exported = world.client.export_tree(&tree, world.path("out")).await;
                if always || verify || mode == ExportMode::ByTransfer {
                    let error = exported.unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::Integrity, "{to} {mode:?}");
                    assert!(error.causes()[0].contains("sub/b"), "{:?}", error.causes());
                } else {
                    exported.unwrap();
                    fs::remove_dir_all(world.path("out")).unwrap();
                }
                assert_eq!(world.names(), ["tree"]);
            }
        }
    }
    world.daemon.stop().await;
}

#[tokio::test]
async fn a_directory_is_the_tree_until_anything_but_permissions_differs() {
    for release in [Release::V0_2, Release::V1_5] {
        let world = World::new(release).await;
        let root = world.tree();
        let imported = world.imported(&root).await;
        let id = &imported.task.task_id;
        let check = VerifyTree::new(id);
        let verified = world.client.verify_tree(&check, &root).await.unwrap();
        assert_eq!(
            (&verified.path, verified.summary),
            (&root, imported.summary)
        );
        assert_eq!(verified.files().count(), 4);
        for mode in MODES {
            world.export(id.as_str(), mode).await.unwrap();
            let out = world.path("out");
            world.client.verify_tree(&check, &out).await.unwrap();
            fs::remove_dir_all(&out).unwrap();
        }
        world
            .export(id.as_str(), ExportMode::ByTransfer)
            .await
            .unwrap();
        let out = world.path("out");
        fs::set_permissions(out.join("a"), fs::Permissions::from_mode(0o600)).unwrap();
        world.client.verify_tree(&check, &out).await.unwrap();
        fs::write(out.join("a"), "b").unwrap();
        fs::write(out.join("sub/b"), "cc").unwrap();
        fs::write(out.join("sub/new"), "").unwrap();
        fs::remove_file(out.join("nothing")).unwrap();
        // What no tree can have.
        symlink("/dev/null", out.join("null")).unwrap();
        fs::remove_file(out.join("link")).unwrap();
        symlink("link", out.join("link")).unwrap();
        let error = world.client.verify_tree(&check, &out).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Integrity);
        assert_eq!(error.to_string(), format!("cannot verify task {id}"));
        let causes = [
            format!("{} is not the tree", out.display()),
            "a has other content".to_owned(),
            "link is a link that leads back to itself".to_owned(),
            "nothing is missing".to_owned(),
            "null is a device".to_owned(),
            "sub/b has other content".to_owned(),
            "sub/new is not in the tree".to_owned(),
        ];
        assert_eq!(error.causes(), causes);
        world.daemon.stop().await;
    }
}

#[tokio::test]
async fn a_directory_is_read_only_if_there_is_one_and_a_tree_to_hold_it_against() {
    let world = World::new(Release::V1_5).await;
    let root = world.tree();
    let file = world.client.import(root.join("sub/b")).await.unwrap();
    let check = VerifyTree::new(&file.task.task_id);
    let no_tree = world.client.verify_tree(&check, &root).await.unwrap_err();
    assert_eq!(no_tree.kind(), ErrorKind::Integrity);
    assert!(
        no_tree.causes()[0].ends_with("is not a tree"),
        "{no_tree:?}"
    );
    for path in ["a", "missing"] {
        let asked = world.calls(Rpc::Stat);
        let error = world.client.verify_tree(&check, root.join(path)).await;
        assert_eq!(error.unwrap_err().kind(), ErrorKind::LocalFile, "{path}");
        assert_eq!(world.calls(Rpc::Stat), asked);
    }
    world.daemon.stop().await;
}

#[tokio::test]
async fn the_progress_of_a_check_counts_every_file_that_is_read() {
    let world = World::new(Release::V1_5).await;
    let root = world.tree();
    let imported = world.imported(&root).await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let reported = Arc::clone(&seen);
    let check = VerifyTree::new(&imported.task.task_id)
        .jobs(NonZeroUsize::MIN)
        .on_progress(move |now| reported.lock().push(now));
    world.client.verify_tree(&check, &root).await.unwrap();
    let seen = seen.lock().clone();
    let last = seen.last().unwrap();
    assert_eq!((last.files_done, last.bytes_done), (4, 4));
    assert_eq!((last.file_count, last.content_length), (Some(4), 4));
    assert!(seen.is_sorted_by_key(|now| (now.bytes_done, now.files_done)));
    world.daemon.stop().await;
}
