//! Quirks that show in content: whose digest is looked at, and what comes of content that was cut.

use std::fs;

use fake_dfdaemon::{FakeDfdaemon, Release};
use tonic::Code;

use super::{client_of, imported};
use crate::support::client::Client;
use crate::support::peer_client::PeerClient;
use crate::world::{World, export_to, transfer};

/// An export by the service of peers, with a digest that is wrong.
pub(super) async fn digest_of_peers(w: &World, fake: &FakeDfdaemon) -> bool {
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

/// A copy that was cut through its output.
pub(super) async fn cut_copy(w: &World, fake: &FakeDfdaemon) -> bool {
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
