//! Where the fake deliberately differs: each quirk brings the real behaviour back, and without it
//! there is ours.

mod content;
mod left_behind;
mod links;
mod replication;
mod waiting;

use std::fs;
use std::io::Write as _;
use std::time::Duration;

use fake_dfdaemon::{Builder, FakeDfdaemon, Fault, Quirk, Release, Rpc};
use rustix::fs::{CWD, Mode};
use testkit::wait::{Changes, opened_by_reader};
use tonic::{Code, Status};

use crate::row::Row;
use crate::support::client::{Client, Exported, Import};
use crate::support::world::{ended, fired};
use crate::tested_daemon::{
    MIB, TestedDaemon, export_to, has_other_file_system, import, import_as, seconds, transfer,
};
use crate::writer::Writer;
use testkit::wait::Patience;

/// One row a quirk: one that is new fails until somebody says how it shows.
pub(crate) fn rows() -> Vec<Row> {
    let row = |quirk: Quirk| {
        let attempt = move |w: TestedDaemon| async move {
            for has in [false, true] {
                let really = shows(&w, quirk, has).await;
                let expected = has && is_of(quirk, w.release);
                assert_eq!(really, expected, "{quirk}, asked for: {has}");
            }
        };
        Row::new(quirk.name(), attempt).needs("a fake with and without it", |fake| fake)
    };
    Quirk::all().map(row).collect()
}

/// Whether the release has what the quirk is about.
fn is_of(quirk: Quirk, release: Release) -> bool {
    let only = |number: &str| quirk.about().ends_with(&format!("({number})"));
    match release {
        Release::V0_2 => !only("1.5"),
        Release::V1_5 => !only("0.2"),
    }
}

/// Whether a fake that has the quirk, or has not, behaves as a real dfdaemon does.
async fn shows(w: &TestedDaemon, quirk: Quirk, has: bool) -> bool {
    let start = async |configure: fn(Builder) -> Builder| {
        let quirks = Some(quirk).filter(|_| has);
        let builder = FakeDfdaemon::builder().release(w.release).hosts(1);
        configure(builder.manual_clock())
            .quirks(quirks)
            .start()
            .await
            .unwrap()
    };
    match quirk {
        Quirk::FailedAsSucceeded => failed_import(w, &start(small).await, "Succeeded").await,
        Quirk::StuckUploading => failed_import(w, &start(small).await, "Uploading").await,
        Quirk::TtlLimits => short_ttl(w, &start(plain).await).await,
        Quirk::SpecialFiles => fifo(w, &start(plain).await).await,
        Quirk::UnnoticedChanges => changes(w, &start(plain).await, has).await,
        Quirk::UnnoticedCuts => content::cut_copy(w, &start(|fake| fake.hosts(2)).await).await,
        Quirk::LinkedLinks => links::imports(w, &start(|fake| fake.hosts(2)).await).await,
        Quirk::ThroughLinks => links::dangling_output(w, &start(plain).await).await,
        Quirk::RestartWipes => {
            let wipes = restart(w, &start(|fake| fake.hosts(2)).await).await;
            if w.release == Release::V1_5 {
                let fake = with_links(w, quirk, has).await;
                assert_eq!(links::targets_at_start(w, &fake).await, wipes);
            }
            wipes
        }
        Quirk::OneTryReplication => {
            let three = |fake: Builder| fake.hosts(3).capacity(100);
            let draws = replication::without_room(w, &start(three).await).await;
            if has {
                replication::each_by_itself(w, &start(three).await).await;
            }
            assert_eq!(replication::in_vain(w, has).await, draws);
            draws
        }
        Quirk::OverwriteInPlace => overwrite(w, &start(plain).await).await,
        Quirk::KeepMismatch => mismatch(w, &start(plain).await).await,
        Quirk::LateDigestCheck => malformed_digest(w, &start(plain).await).await,
        Quirk::Crc32DecimalOnly => hex_digest(w, &start(plain).await).await,
        Quirk::NoPeerDigest => content::digest_of_peers(w, &start(plain).await).await,
        Quirk::OrphanedExports => orphan(w, &start(plain).await, has).await,
        Quirk::FailedExportsCount => {
            if has {
                waiting::exports_wait(w).await;
            }
            left_behind::failed_exports(w, &start(|fake| fake.hosts(2)).await).await
        }
        Quirk::PoisonedCopies => {
            content::poisoned(w, &start(|fake| fake.hosts(2)).await, has).await
        }
        Quirk::ExportClearsPersistent => {
            let cleared = export_here(w, &start(plain).await).await;
            if w.release == Release::V1_5 {
                // Also by an export that then fails.
                let fake = with_links(w, quirk, has).await;
                assert_eq!(links::export_of_nothing(w, &fake).await, cleared);
            }
            cleared
        }
        Quirk::UntoldChanges => {
            let untold =
                left_behind::changes_of_a_host(w, &start(|fake| fake.hosts(2)).await).await;
            assert_eq!(replication::of_lost(w, has).await, untold);
            untold
        }
        Quirk::UntoldEmptyCopies => {
            let untold = left_behind::empty_copies(w, &start(|fake| fake.hosts(2)).await).await;
            assert_eq!(replication::of_empty(w, has).await, untold);
            untold
        }
        Quirk::ExpiryUnderExports => expiry(w, &start(plain).await).await,
        Quirk::NoLocalCalls => local_calls(&start(plain).await).await,
        Quirk::NoAdmission => admission(w, &start(|fake| fake.max_requests(0)).await).await,
        Quirk::ForgottenReplicas => {
            left_behind::forgetting(w, &start(|fake| fake.hosts(2)).await).await
        }
    }
}

/// A fake that stores links, and has the quirk, or has not.
async fn with_links(w: &TestedDaemon, quirk: Quirk, has: bool) -> FakeDfdaemon {
    let quirks = [Some(quirk).filter(|_| has), Some(Quirk::LinkedLinks)];
    let builder = FakeDfdaemon::builder().release(w.release);
    let fake = builder.quirks(quirks.into_iter().flatten()).start().await;
    fake.unwrap()
}

fn plain(fake: Builder) -> Builder {
    fake
}

fn small(fake: Builder) -> Builder {
    fake.capacity(100)
}

async fn client_of(fake: &FakeDfdaemon) -> Client {
    Client::connect(fake.endpoint()).await
}

async fn imported(w: &TestedDaemon, fake: &FakeDfdaemon, length: usize) -> (String, Vec<u8>) {
    let source = w.file(length);
    let task = client_of(fake).await.import(import(&source.path)).await;
    (task.unwrap().id, source.bytes)
}

/// Imports what there is no room for.
async fn failed_import(w: &TestedDaemon, fake: &FakeDfdaemon, real: &str) -> bool {
    let client = client_of(fake).await;
    let text = w.unique("failed");
    let request = import_as(&w.file(101).path, &text);
    client.import(request).await.unwrap_err();
    let task = client.stat(&w.scheme().of_content(&text)).await.unwrap();
    assert!(
        [real, "Failed"].contains(&task.state.as_str()),
        "{}",
        task.state
    );
    let shows = task.state == real;
    let counts = (
        task.current_persistent_replica_count,
        task.current_replica_count,
    );
    // To who takes it for a success, or for one that goes on, the importer is a replica.
    assert_eq!(counts, if shows { (1, 1) } else { (0, 0) });
    let local = client.stat_local(&task.id).await;
    assert_eq!(local.is_ok_and(|local| local.failed_at.is_some()), !shows);
    shows
}

async fn short_ttl(w: &TestedDaemon, fake: &FakeDfdaemon) -> bool {
    let request = Import {
        ttl: Some(seconds(60)),
        ..import(&w.file(1).path)
    };
    let refused = client_of(fake).await.import(request).await.err();
    refused.is_some_and(|status| {
        assert!(status.message().contains("[5m0s, 168h0m0s]"), "{status:?}");
        true
    })
}

async fn fifo(w: &TestedDaemon, fake: &FakeDfdaemon) -> bool {
    let path = w.path(&w.unique("fifo"));
    rustix::fs::mkfifoat(CWD, &path, Mode::RWXU).unwrap();
    let mut importing = client_of(fake).await.begin_import(import(&path));
    let imported = tokio::select! {
        imported = &mut importing => imported,
        mut writer = opened_by_reader(&path) => {
            writer.write_all(b"x").unwrap();
            drop(writer);
            importing.await
        }
    };
    match imported.unwrap() {
        Ok(task) => {
            assert_eq!(task.content_length, 0);
            true
        }
        Err(status) => {
            assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
            false
        }
    }
}

async fn changes(w: &TestedDaemon, fake: &FakeDfdaemon, has: bool) -> bool {
    let path = w.long_file(32 * MIB);
    let _writer = Writer::of(&path);
    let client = client_of(fake).await;
    // Where none is noticed, some imports show it; else it takes as many as it takes.
    let enough = if has { 15 } else { usize::MAX };
    let (mut unnoticed, patience) = (0, Patience::new());
    while unnoticed < enough {
        patience.lasts("no import saw a change");
        let request = import_as(&path, &w.unique("changing"));
        if let Err(status) = client.import(request).await {
            assert_eq!(status.code(), Code::Aborted, "{status:?}");
            return false;
        }
        unnoticed += 1;
    }
    true
}

/// Exports over a file that has another name.
async fn overwrite(w: &TestedDaemon, fake: &FakeDfdaemon) -> bool {
    let (id, bytes) = imported(w, fake, 10).await;
    let (out, other) = (w.path(&w.unique("out")), w.path(&w.unique("other")));
    fs::write(&out, "old").unwrap();
    fs::hard_link(&out, &other).unwrap();
    let mut request = export_to(&id, &out);
    request.overwrite = true;
    let exported = client_of(fake).await.export(request.clone()).await;
    let overwritten = fs::read(&out).unwrap() == bytes;
    assert_eq!(
        overwritten,
        w.release == Release::V1_5,
        "{:?}",
        exported.status
    );
    // Where nothing is, there is nothing to write into.
    let new = w.path(&w.unique("new"));
    request.output_path = new.to_str().map(str::to_owned);
    client_of(fake).await.export(request.clone()).await.ok();
    assert_eq!(fs::read(&new).unwrap(), bytes);
    if has_other_file_system() {
        let elsewhere = w.other_file_system();
        let new = elsewhere.path().join("new");
        request.output_path = new.to_str().map(str::to_owned);
        client_of(fake).await.export(request).await.ok();
        assert_eq!(fs::read(&new).unwrap(), bytes);
    }
    fs::read(&other).unwrap() == bytes
}

/// Stops the host that has a task, and starts it again.
async fn restart(w: &TestedDaemon, fake: &FakeDfdaemon) -> bool {
    let (id, bytes) = imported(w, fake, 10).await;
    fake.settle().await;
    let host = fake.host(0).unwrap();
    host.stop().await;
    host.start().await.unwrap();
    fake.settle().await;
    let client = client_of(fake).await;
    let wiped = client.listed().await.is_empty();
    assert_eq!(client.stat_local(&id).await.is_err(), wiped);
    let task = client.stat(&id).await.unwrap();
    let counts = (
        task.current_persistent_replica_count,
        task.current_replica_count,
    );
    assert_eq!(counts, (1, 1), "the scheduler does not learn of it");
    let exported = client.export(transfer(&id)).await;
    if !wiped {
        assert_eq!(exported.ok().content(), bytes);
        return false;
    }
    let text = exported.status.message();
    assert!(
        text.contains("peer ") && text.contains("not found"),
        "{text}"
    );
    // What is not there can be deleted, and is counted all the same.
    let upload = crate::support::peer_client::PeerClient::connect(host.upload_endpoint()).await;
    upload.delete(&id).await.unwrap();
    assert_eq!(client.stat(&id).await.unwrap(), task);
    true
}

async fn mismatch(w: &TestedDaemon, fake: &FakeDfdaemon) -> bool {
    let (id, bytes) = imported(w, fake, 10).await;
    let out = w.path(&w.unique("out"));
    let mut request = export_to(&id, &out);
    request.digest = Some(format!("crc32:{}", !dfdaemon_api::digest::crc32(&bytes)));
    let status = client_of(fake).await.export(request).await.status;
    let checks = w.release == Release::V1_5;
    assert_eq!(
        status.message().starts_with("digest mismatch"),
        checks,
        "{status:?}"
    );
    checks && out.exists()
}

async fn malformed_digest(w: &TestedDaemon, fake: &FakeDfdaemon) -> bool {
    let (id, _) = imported(w, fake, 10).await;
    let mut request = export_to(&id, &w.path(&w.unique("out")));
    request.digest = Some("md5:1".to_owned());
    let exported = client_of(fake).await.export(request).await;
    let checks = w.release == Release::V1_5;
    let said = exported.status.message();
    assert_eq!(
        said.contains("invalid digest algorithm: md5"),
        checks,
        "{said}"
    );
    checks && exported.pieces.len() == 1
}

async fn hex_digest(w: &TestedDaemon, fake: &FakeDfdaemon) -> bool {
    loop {
        let (id, bytes) = imported(w, fake, 10).await;
        let hex = format!("{:08x}", dfdaemon_api::digest::crc32(&bytes));
        if hex.bytes().all(|digit| digit.is_ascii_digit()) {
            // It would be a decimal one.
            continue;
        }
        let mut request = export_to(&id, &w.path(&w.unique("out")));
        request.digest = Some(format!("crc32:{hex}"));
        let status = client_of(fake).await.export(request).await.status;
        return status.code() != Code::Ok;
    }
}

/// A client that goes away in the middle.
async fn orphan(w: &TestedDaemon, fake: &FakeDfdaemon, has: bool) -> bool {
    let (id, bytes) = imported(w, fake, 4 * MIB + 1).await;
    let out = w.path(&w.unique("out"));
    let guard = fake.fault(Fault::on(Rpc::Export).piece(1).stall());
    let request = export_to(&id, &out);
    let client = client_of(fake).await;
    let stream = client.begin_export(request).await.unwrap();
    fired(&guard, 1).await;
    drop((stream, client));
    if has {
        drop(guard);
    }
    ended(fake, Rpc::Export, 1).await;
    // What it leaves goes just after.
    if !has {
        let changes = Changes::at(out.parent().unwrap());
        changes.until("nothing is left", || !out.exists()).await;
    }
    fs::read(&out).is_ok_and(|written| written == bytes)
}

async fn export_here(w: &TestedDaemon, fake: &FakeDfdaemon) -> bool {
    let (id, _) = imported(w, fake, 10).await;
    // Whoever makes replicas would find one missing after the export, and bring it back.
    fake.settle().await;
    let client = client_of(fake).await;
    let counts = async || {
        let task = client.stat(&id).await.unwrap();
        (
            task.current_persistent_replica_count,
            task.current_replica_count,
        )
    };
    let is_persistent = async || client.stat_local(&id).await.unwrap().persistent;
    client.export(transfer(&id)).await.ok();
    let cleared = !is_persistent().await;
    assert_eq!(counts().await, (1, 1), "the scheduler does not learn of it");
    let mut again = transfer(&id);
    again.persistent = true;
    client.export(again).await.ok();
    assert!(is_persistent().await, "it is set again");
    // A link that is refused does the same.
    let out = w.path(&w.unique("out"));
    fs::write(&out, "old").unwrap();
    let mut refused = export_to(&id, &out);
    refused.force_hard_link = true;
    let status = client.export(refused).await.status;
    assert_eq!(status.message(), "File exists (os error 17)");
    assert_eq!(!is_persistent().await, cleared);
    assert_eq!(counts().await, (1, 1), "the scheduler does not learn of it");
    cleared
}

async fn expiry(w: &TestedDaemon, fake: &FakeDfdaemon) -> bool {
    let (id, bytes) = imported(w, fake, 10).await;
    let client = client_of(fake).await;
    let guard = fake.fault(Fault::on(Rpc::Export).piece(0).stall());
    let stream = client.begin_export(transfer(&id)).await.unwrap();
    fired(&guard, 1).await;
    fake.clock().advance(Duration::from_secs(3600)).unwrap();
    fake.collect().await.unwrap();
    let gone = client.listed().await.is_empty();
    drop(guard);
    let exported = Exported::default().read(stream).await;
    if !gone {
        assert_eq!(exported.ok().content(), bytes);
    }
    gone
}

async fn local_calls(fake: &FakeDfdaemon) -> bool {
    let client = client_of(fake).await;
    let codes = [
        client.list().await.err(),
        client.stat_local("7").await.err(),
    ];
    codes.map(|status| status.is_some_and(|status| status.code() == Code::Unimplemented))
        == [true; 2]
}

async fn admission(w: &TestedDaemon, fake: &FakeDfdaemon) -> bool {
    let answer: Result<_, Status> = client_of(fake).await.import(import(&w.file(1).path)).await;
    answer.map_or_else(
        |status| {
            assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
            false
        },
        |_| true,
    )
}
