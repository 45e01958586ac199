//! Quirks that show in content: whose digest is looked at, what comes of content that was cut, and of
//! content that nobody takes.

use std::fs;

use fake_dfdaemon::{FakeDfdaemon, Fault, Quirk, Release, Rpc};
use tonic::Code;

use super::{client_of, imported};
use crate::support::client::{Client, LocalTask};
use crate::support::peer_client::PeerClient;
use crate::support::world::{ended, fired};
use crate::tested_daemon::{MIB, TestedDaemon, export_to, import_as, transfer};

/// How many pieces a real dfdaemon reads ahead of its client.
const PIECES_AHEAD: usize = 12;

/// An export by the service of peers, with a digest that is wrong.
pub(super) async fn digest_of_peers(w: &TestedDaemon, fake: &FakeDfdaemon) -> bool {
    let (id, _) = imported(w, fake, 10).await;
    let peer = PeerClient::connect(fake.host(0).unwrap().upload_endpoint()).await;
    let mut unchecked = Vec::new();
    for digest in ["crc32:1", "md5:1"] {
        let mut request = export_to(&id, &w.path(&w.unique("out")));
        request.digest = Some(digest.to_owned());
        let status = peer.export(request.clone()).await.status;
        unchecked.push(status.code() == Code::Ok);
        // Clients have it checked.
        let status = client_of(fake).await.export(request).await.status;
        let is_checked = status.code() != Code::Ok;
        assert_eq!(is_checked, w.release == Release::V1_5, "{status:?}");
    }
    assert!(unchecked == [unchecked[0]; 2]);
    // 0.2 knows of no digest.
    unchecked[0] && w.release == Release::V1_5
}

/// A replica that was cut through its output.
pub(super) async fn cut_copy(w: &TestedDaemon, fake: &FakeDfdaemon) -> bool {
    let (id, bytes) = imported(w, fake, 10).await;
    let client = client_of(fake).await;
    let out = w.path(&w.unique("out"));
    client.export(export_to(&id, &out)).await.ok();
    let writes = fs::File::options().write(true).open(&out).unwrap();
    writes.set_len(3).unwrap();
    let again = w.path(&w.unique("again"));
    let exported = client.export(export_to(&id, &again)).await;
    if exported.status.code() != Code::Ok {
        assert!(!again.exists());
        return false;
    }
    assert_eq!(fs::read(&again).unwrap(), bytes.get(..3).unwrap());
    let exported = client.export(transfer(&id)).await;
    assert_eq!(exported.started, Some(10));
    w.assert_internal(&exported.status, "early eof");
    let left = client.stat_local(&id).await.unwrap();
    assert!(left.finished_at.is_some() && left.failed_at.is_some());
    let other = Client::connect(fake.endpoints().nth(1).unwrap()).await;
    let gone = w.by_scheduler(Code::FailedPrecondition, "no candidate parents found");
    let exported = other.export(transfer(&id)).await;
    w.assert_internal(&exported.status, &gone);
    // By path it ends well, and yet another host gets nothing.
    client.export(export_to(&id, &again)).await.ok();
    let exported = other.export(transfer(&id)).await;
    w.assert_internal(&exported.status, &gone);
    true
}

/// A client that goes away while it is sent content, and another host that wants the task then.
pub(super) async fn poisoned(w: &TestedDaemon, fake: &FakeDfdaemon, has: bool) -> bool {
    if has {
        short_exports_end_well(w).await;
    }
    let fails = has && w.release == Release::V1_5;
    let other = Client::connect(fake.endpoints().nth(1).unwrap()).await;
    let gone = w.by_scheduler(Code::FailedPrecondition, "no candidate parents found");
    // What puts it right: an export with neither output nor content, and also one whose output is refused,
    // at its end or at its beginning.
    for cure in ["export", "output", "link"] {
        let id = leave_export(w, fake, PIECES_AHEAD + 1).await;
        let left = local(fake, &id).await;
        let ends = (left.finished_at.is_some(), left.failed_at.is_some());
        assert_eq!(ends, (true, fails));
        let mut neither = transfer(&id);
        neither.need_piece_content = false;
        if fails {
            w.assert_internal(&other.export(neither.clone()).await.status, &gone);
            let out = w.path(&w.unique("out"));
            fs::write(&out, "old").unwrap();
            let mut export = match cure {
                "export" => neither.clone(),
                _ => export_to(&id, &out),
            };
            export.force_hard_link = cure == "link";
            let status = client_of(fake).await.export(export).await.status;
            assert_eq!(status.code() == Code::Ok, cure == "export");
            assert_eq!(local(fake, &id).await.failed_at, None, "{cure}");
        }
        let served = other.export(neither).await;
        assert_eq!(served.ok().pieces.len(), PIECES_AHEAD + 1);
    }
    fails
}

/// What there is room for ahead of the client is read also when the client has gone.
async fn short_exports_end_well(w: &TestedDaemon) {
    let fake = FakeDfdaemon::builder().release(w.release).hosts(1);
    let quirks = [Quirk::PoisonedCopies, Quirk::OrphanedExports];
    let fake = fake.quirks(quirks).start().await.unwrap();
    let id = leave_export(w, &fake, PIECES_AHEAD).await;
    let left = local(&fake, &id).await;
    let ends = (left.finished_at.is_some(), left.failed_at.is_some());
    assert_eq!(ends, (true, false));
    assert_eq!(left.uploaded_count, PIECES_AHEAD as u64);
}

async fn local(fake: &FakeDfdaemon, id: &str) -> LocalTask {
    client_of(fake).await.stat_local(id).await.unwrap()
}

/// Imports pieces of holes, and leaves the export of their content at the first one.
async fn leave_export(w: &TestedDaemon, fake: &FakeDfdaemon, pieces: usize) -> String {
    let text = w.unique("holes");
    let path = w.path(&text);
    let holes = fs::File::create(&path).unwrap();
    holes.set_len((pieces * 4 * MIB) as u64).unwrap();
    let client = client_of(fake).await;
    let id = client.import(import_as(&path, &text)).await.unwrap().id;
    let before = fake.journal().calls(Rpc::Export).len();
    let guard = fake.fault(Fault::on(Rpc::Export).piece(0).stall());
    let mut content = transfer(&id);
    content.need_piece_content = true;
    let stream = client.begin_export(content).await.unwrap();
    fired(&guard, 1).await;
    drop((stream, client));
    if pieces <= PIECES_AHEAD {
        // It goes on alone.
        drop(guard);
    }
    ended(fake, Rpc::Export, before + 1).await;
    id
}
