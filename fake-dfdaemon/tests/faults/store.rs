//! What hits the store: a failed write leaves nothing half-done, on any host.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use fake_dfdaemon::{Release, Rpc};
use testkit::wait::Changes;
use tonic::Code;

use crate::faults::world::{Kind, PIECE, World, export_to, faults, import, transfer};
use crate::support::client::Import;

/// Every file below a directory, but records, journal and what says what the directory is.
fn content_below(dir: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(content_below(&path));
        } else if !path.extension().is_some_and(|extension| {
            ["json", "jsonl", "sock"]
                .map(std::ffi::OsStr::new)
                .contains(&extension)
        }) {
            found.insert(path);
        }
    }
    found
}

fn said(name: &str) -> &'static str {
    match name {
        "no_space" => "No space left on device (os error 28)",
        _ => "Input/output error (os error 5)",
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_import_leaves_nothing_and_can_be_repeated() {
    for release in [Release::V0_2, Release::V1_5] {
        let w = World::with(|builder| builder.release(release)).await;
        for (name, _, fault) in faults(Kind::Store, Rpc::Import) {
            for (known_id, length) in [(false, PIECE + 1), (true, PIECE + 1), (false, 0), (true, 0)]
            {
                let case = format!("{name}, {length} bytes, id known: {known_id}, {release}");
                let subject = w.file(length);
                let known_id = known_id.then(|| case.clone());
                let request = Import {
                    content_for_calculating_task_id: known_id,
                    tag: Some(case.clone()),
                    ..import(&subject.path)
                };
                let client = w.client().await;
                let before = content_below(w.daemon.state_dir());
                let guard = w.daemon.fault(fault.clone());
                let refused = client.import(request.clone()).await;
                let refused = refused.expect_err(&case);
                assert_eq!(refused.code(), Code::Internal, "{case}: {refused:?}");
                assert!(
                    refused.message().contains(said(name)),
                    "{case}: {refused:?}"
                );
                assert_eq!(guard.fired(), 1, "{case}");
                assert_eq!(content_below(w.daemon.state_dir()), before, "{case}");
                drop(guard);
                let task = client.import(request).await.expect(&case);
                assert_eq!(task.state, "Succeeded");
                if length > 0 {
                    let exported = client.export(transfer(&task.id)).await.ok();
                    assert_eq!(exported.content(), subject.bytes, "{case}");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_export_leaves_neither_copy_nor_output() {
    let w = World::new().await;
    let task = w.imported(PIECE + 1).await;
    let before = content_below(w.daemon.state_dir());
    for (name, _, fault) in faults(Kind::Store, Rpc::Export) {
        for host in [0, 1] {
            for force_hard_link in [false, true] {
                let case = format!("{name} on host-{host}, hard link: {force_hard_link}");
                let client = w.on_host(host).await;
                let out = w.path("out");
                let mut request = export_to(&task.id, &out);
                request.force_hard_link = force_hard_link;
                let guard = w.daemon.fault(fault.clone());
                let exported = client.export(request).await;
                assert_eq!(exported.status.code(), Code::Internal, "{case}");
                let said = exported.status.message().contains(said(name));
                assert!(said, "{case}: {:?}", exported.status);
                assert_eq!(guard.fired(), 1, "{case}");
                assert!(!out.exists(), "{case}");
                // Refused before the stream, the answer does not wait for the transfer to break off.
                let state = w.daemon.state_dir();
                let changes = Changes::below(state);
                changes
                    .until(&case, || content_below(state) == before)
                    .await;
                let left = fs::read_dir(out.parent().unwrap()).unwrap();
                let left = left.filter(|entry| {
                    let name = entry.as_ref().unwrap().file_name();
                    !name.to_str().unwrap().starts_with("source-")
                });
                assert_eq!(left.count(), 0, "{case}: something lies beside the output");
            }
        }
    }
    let out = w.path("out");
    w.on_host(1)
        .await
        .export(export_to(&task.id, &out))
        .await
        .ok();
    assert_eq!(fs::read(out).unwrap(), task.bytes);
}

/// A host that has the content, and is to write none, meets no fault of its disk.
#[tokio::test]
async fn an_export_that_writes_nothing_is_not_hit() {
    let w = World::new().await;
    let task = w.imported(10).await;
    for (_, _, fault) in faults(Kind::Store, Rpc::Export) {
        let guard = w.daemon.fault(fault);
        let exported = w.client().await.export(transfer(&task.id)).await.ok();
        assert_eq!(exported.content(), task.bytes);
        assert_eq!(guard.fired(), 0);
    }
}

/// A fault that is to fire once is there for the first call that writes, whatever failed before.
#[tokio::test]
async fn a_call_that_fails_before_it_writes_is_not_hit() {
    let w = World::with(|builder| builder.capacity(100)).await;
    let task = w.imported(10).await;
    let missing = w.path("missing");
    let large = w.file(101);
    let client = w.client().await;
    for (name, _, _) in faults(Kind::Store, Rpc::Import) {
        let once = format!("import@times=1:{name}").parse().unwrap();
        let guard = w.daemon.fault(once);
        for path in [&missing, &large.path] {
            client.import(import(path)).await.unwrap_err();
        }
        let exists = client.import(import(&task.path)).await.unwrap_err();
        assert!(exists.message().contains("cannot upload"), "{exists:?}");
        let known = Import {
            content_for_calculating_task_id: Some("known".to_owned()),
            ..import(&large.path)
        };
        client.import(known).await.unwrap_err();
        assert_eq!(guard.fired(), 0, "{name}");
        let small = w.file(9);
        client.import(import(&small.path)).await.unwrap_err();
        assert_eq!(guard.fired(), 1, "{name}");
        client.import(import(&small.path)).await.unwrap();
    }
    for (name, _, _) in faults(Kind::Store, Rpc::Export) {
        let once = format!("export@times=1:{name}").parse().unwrap();
        let guard = w.daemon.fault(once);
        let output = export_to("1234567", &w.path("output"));
        let exported = client.export(output).await;
        assert_eq!(exported.status.code(), Code::Internal, "{name}");
        assert_eq!(guard.fired(), 0, "{name}");
    }
}
