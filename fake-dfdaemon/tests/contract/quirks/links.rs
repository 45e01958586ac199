//! Symbolic links as the source of an import, and as an output.

use std::fs;
use std::path::Path;

use dfdaemon_api::digest::crc32;
use dfdaemon_api::task_id::Parameters;
use fake_dfdaemon::FakeDfdaemon;
use tonic::Code;

use super::{client_of, imported};
use crate::support::client::{Client, Export};
use crate::support::peer_client::PeerClient;
use crate::support::world::content_path;
use crate::tested_daemon::{TestedDaemon, export_to, import, transfer};

/// Imports through links: an absolute one, one within a directory, one to another directory.
pub(super) async fn imports(w: &TestedDaemon, fake: &FakeDfdaemon) -> bool {
    let client = client_of(fake).await;
    let dir = w.path(&w.unique("links"));
    fs::create_dir(&dir).unwrap();
    let imported = async |target: &Path, name: &str| {
        let link = dir.join(name);
        std::os::unix::fs::symlink(target, &link).unwrap();
        client.import(import(&link)).await.unwrap().id
    };
    let source = w.file(10);
    let id = imported(&source.path, "absolute").await;
    let out = w.path(&w.unique("out"));
    client.export(export_to(&id, &out)).await.ok();
    assert_eq!(fs::read(&out).unwrap(), source.bytes);
    let is_link = fs::symlink_metadata(&out).unwrap().is_symlink();

    let beside = w.file(11);
    fs::rename(&beside.path, dir.join("beside")).unwrap();
    let id = imported(Path::new("beside"), "relative").await;
    let other = Client::connect(fake.endpoints().nth(1).unwrap()).await;
    let gone = w.by_scheduler(Code::FailedPrecondition, "no candidate parents found");
    if is_link {
        // It leads nowhere until an export on its host makes what it leads to.
        let exported = other.export(transfer(&id)).await;
        w.assert_internal(&exported.status, &gone);
    }
    for client in [&client, &other] {
        let content = client.export(transfer(&id)).await.ok().content();
        let expected = match is_link {
            true => vec![0; 11],
            false => beside.bytes.clone(),
        };
        assert_eq!(content, expected);
    }

    if is_link {
        outputs_of_relative_link(w, &client, &id).await;
    }

    let elsewhere = w.file(12);
    let blobs = w.unique("blobs");
    fs::create_dir(w.path(&blobs)).unwrap();
    fs::rename(&elsewhere.path, w.path(&blobs).join("blob")).unwrap();
    let target = Path::new("..").join(&blobs).join("blob");
    let id = imported(&target, "elsewhere").await;
    let exported = client.export(transfer(&id)).await;
    if is_link {
        let text = "No such file or directory (os error 2)";
        w.assert_internal(&exported.status, text);
        let exported = other.export(transfer(&id)).await;
        w.assert_internal(&exported.status, &gone);
        let id = w.id_of(&source.bytes, Parameters::default());
        behind_absolute_link(w, fake, &id, &source.path).await;
    } else {
        assert_eq!(exported.ok().content(), elsewhere.bytes);
    }
    is_link
}

/// Exports of what an absolute link leads to, while that is replaced and removed.
async fn behind_absolute_link(w: &TestedDaemon, fake: &FakeDfdaemon, id: &str, source: &Path) {
    let other = Client::connect(fake.endpoints().nth(1).unwrap()).await;
    let peer = PeerClient::connect(fake.host(1).unwrap().upload_endpoint()).await;
    let contents = async || {
        let client = client_of(fake).await;
        let here = client.export(transfer(id)).await.ok().content();
        let there = other.export(transfer(id)).await.ok().content();
        peer.delete(id).await.unwrap();
        [here, there]
    };
    let by_path = async || {
        let out = w.path(&w.unique("out"));
        client_of(fake).await.export(export_to(id, &out)).await.ok();
        fs::read(out).unwrap()
    };
    let replace = || {
        let new = w.file(10);
        fs::rename(new.path, source).unwrap();
        new.bytes
    };
    // What was read first is read from then on, whatever lies there; by path it is what lies there.
    let read = replace();
    assert_eq!(contents().await, [read.clone(), read.clone()]);
    let there = replace();
    assert_eq!(contents().await, [read.clone(), read.clone()]);
    assert_eq!(by_path().await, there);
    // An export makes the file again that is gone.
    fs::remove_file(source).unwrap();
    assert_eq!(by_path().await, [0; 10]);
    assert_eq!(fs::read(source).unwrap(), [0; 10]);
    assert_eq!(contents().await, [read.clone(), read]);
    // Until the host starts again.
    let start_again = async || {
        let host = fake.host(0).unwrap();
        host.stop().await;
        host.start().await.unwrap();
    };
    start_again().await;
    let there = replace();
    assert_eq!(contents().await, [there.clone(), there]);
    // Other hosts make nothing.
    start_again().await;
    fs::remove_file(source).unwrap();
    let gone = w.by_scheduler(Code::FailedPrecondition, "no candidate parents found");
    w.assert_internal(&other.export(transfer(id)).await.status, &gone);
    assert!(!source.exists());
}

/// Outputs of a link to `beside`, 11 bytes long: further names of the link, that are followed from there.
async fn outputs_of_relative_link(w: &TestedDaemon, client: &Client, id: &str) {
    let dir = w.path(&w.unique("outputs"));
    fs::create_dir(&dir).unwrap();
    let export = async |name: &str, change: fn(&mut Export)| {
        let mut request = export_to(id, &dir.join(name));
        change(&mut request);
        client.export(request).await
    };
    let is_link = |name: &str| fs::symlink_metadata(dir.join(name)).unwrap().is_symlink();
    let exists = |name: &str| {
        let text = format!("output path {} is already exists", dir.join(name).display());
        w.by_itself(Code::Internal, &text)
    };
    let (beside, zeros) = (dir.join("beside"), [0; 11]);
    // Where there is nothing, a forced link is made, and has no content.
    let exported = export("forced", |request| {
        request.force_hard_link = true;
        request.digest = Some("crc32:1".to_owned());
    });
    let text = "No such file or directory (os error 2)";
    w.assert_internal(&exported.await.status, text);
    assert!(is_link("forced") && !beside.exists());
    // Another link writes through itself.
    export("first", |_| {}).await.ok();
    assert!(is_link("first"));
    assert_eq!(fs::read(&beside).unwrap(), zeros);
    // Now there is something else than the content, for old links and new ones.
    for name in ["first", "second"] {
        let exported = export(name, |_| {}).await;
        w.assert_internal(&exported.status, &exists(name));
        assert!(is_link(name));
    }
    let forced = export("first", |request| request.force_hard_link = true).await;
    w.assert_internal(&forced.status, "File exists (os error 17)");
    // What overwrites writes through the link, and no digest is looked at. Elsewhere it is one of what is there.
    fs::write(&beside, "other").unwrap();
    export("second", |request| {
        request.overwrite = true;
        request.digest = Some("crc32:1".to_owned());
    })
    .await
    .ok();
    assert!(is_link("second"));
    assert_eq!(fs::read(&beside).unwrap(), zeros);
    fs::write(&beside, "other").unwrap();
    let exported = export("third", |request| {
        request.force_hard_link = true;
        request.digest = Some("crc32:1".to_owned());
    });
    let text = format!(
        "digest mismatch expected: crc32:1, actual: crc32:{}",
        crc32(b"other")
    );
    w.assert_internal(&exported.await.status, &text);
    assert!(is_link("third"));
}

/// An export of a link to nothing, by a fake that stores links. Whether the replica is no longer persistent.
pub(super) async fn export_of_nothing(w: &TestedDaemon, fake: &FakeDfdaemon) -> bool {
    let client = client_of(fake).await;
    let dir = w.path(&w.unique("nothing"));
    fs::create_dir_all(dir.join("beside")).unwrap();
    fs::rename(w.file(13).path, dir.join("beside/file")).unwrap();
    let link = dir.join("link");
    std::os::unix::fs::symlink("beside/file", &link).unwrap();
    let id = client.import(import(&link)).await.unwrap().id;
    let exported = client.export(export_to(&id, &dir.join("out"))).await;
    w.assert_internal(&exported.status, "No such file or directory (os error 2)");
    !client.stat_local(&id).await.unwrap().persistent
}

/// The zeros that an export has made beside a relative link in a host's directory, when the host starts again.
/// Whether they are gone. What others have put there stays.
pub(super) async fn targets_at_start(w: &TestedDaemon, fake: &FakeDfdaemon) -> bool {
    let client = client_of(fake).await;
    let dir = w.path(&w.unique("targets"));
    fs::create_dir(&dir).unwrap();
    let mut targets = Vec::new();
    for name in ["ours", "theirs"] {
        fs::rename(w.file(10).path, dir.join(name)).unwrap();
        let link = dir.join(format!("link-{name}"));
        std::os::unix::fs::symlink(name, &link).unwrap();
        let id = client.import(import(&link)).await.unwrap().id;
        client.export(transfer(&id)).await.ok();
        targets.push(content_path(fake.state_dir(), "host-0", &id).with_file_name(name));
        assert_eq!(fs::read(&targets[targets.len() - 1]).unwrap(), [0; 10]);
    }
    // Another file has taken its place.
    let theirs = w.file(10);
    fs::rename(&theirs.path, &targets[1]).unwrap();
    let host = fake.host(0).unwrap();
    host.stop().await;
    host.start().await.unwrap();
    assert_eq!(fs::read(&targets[1]).unwrap(), theirs.bytes);
    !targets[0].exists()
}

/// Exports to a link whose target does not exist.
pub(super) async fn dangling_output(w: &TestedDaemon, fake: &FakeDfdaemon) -> bool {
    let (id, bytes) = imported(w, fake, 10).await;
    let (link, target) = (w.path(&w.unique("link")), w.path(&w.unique("target")));
    std::os::unix::fs::symlink(&target, &link).unwrap();
    let status = client_of(fake)
        .await
        .export(export_to(&id, &link))
        .await
        .status;
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    if status.code() == Code::Ok {
        assert_eq!(fs::read(&target).unwrap(), bytes);
        return true;
    }
    assert!(status.message().contains("is already exists"), "{status:?}");
    assert!(!target.exists());
    // One whose target exists is refused in either case.
    fs::write(&target, "old").unwrap();
    let status = client_of(fake)
        .await
        .export(export_to(&id, &link))
        .await
        .status;
    assert!(status.message().contains("is already exists"), "{status:?}");
    assert_eq!(fs::read(&target).unwrap(), b"old");
    false
}
