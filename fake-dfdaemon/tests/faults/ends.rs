//! Calls that faults hold up end when they have to.

use std::fs::File;

use fake_dfdaemon::{Fault, Quirk, Release, Rpc};
use rustix::fs::inotify::WatchFlags;
use testkit::wait::Changes;
use tonic::Code;

use crate::faults::world::{PIECE, World, import, transfer};
use crate::support::client::Import;
use crate::support::eventually;
use testkit::wait::HANGS;

/// A file that takes minutes to read.
fn long_file(w: &World) -> Import {
    let path = w.path("long");
    File::create(&path).unwrap().set_len(256 << 30).unwrap();
    Import {
        tag: Some("blocked".to_owned()),
        ..import(&path)
    }
}

/// An export that goes on without its client holds its request and its task until its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_export_ends_also_where_exports_go_on_without_a_client() {
    let w = World::with(|builder| builder.quirks([Quirk::OrphanedExports]).max_requests(1)).await;
    let subject = w.imported(PIECE + 1).await;
    let reset: Fault = "export@piece=1:reset".parse().unwrap();
    let guard = w.daemon.fault(reset);
    let exported = w.client().await.export(transfer(&subject.id)).await;
    assert_ne!(exported.status.code(), Code::Ok);
    w.fired(&guard, 1).await;
    drop(guard);
    eventually("the request is given back", || async {
        let exported = w.client().await.export(transfer(&subject.id)).await;
        exported.status.code() == Code::Ok
    })
    .await;
}

/// To know which task an import makes, its file has to be read; of one that is refused it is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_that_names_a_task_lets_no_refused_import_read_its_file() {
    let block = "import:tag=blocked".parse().unwrap();
    let w = World::with(|builder| builder.release(Release::V1_5).block(block)).await;
    let _guard = w.daemon.fault("import@task=7:stall".parse().unwrap());
    let client = w.client().await;
    let refused = tokio::time::timeout(HANGS, client.import(long_file(&w)));
    let refused = refused.await.expect("the file is read").unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_whose_task_a_fault_asks_for_can_be_broken_off() {
    let w = World::with(|builder| builder.release(Release::V1_5)).await;
    let _guard = w.daemon.fault("import@task=7:stall".parse().unwrap());
    let request = long_file(&w);
    let path = w.path("long");
    for goes_away in [true, false] {
        let reads = Changes::which(&path, WatchFlags::OPEN);
        let importing = w.client().await.begin_import(request.clone());
        reads.next("the file is read").await;
        if goes_away {
            let closes = Changes::which(&path, WatchFlags::CLOSE);
            importing.abort();
            closes.next("the file is let go").await;
            let ended = w.daemon.journal().wait_for(Rpc::Import).await.unwrap();
            let call = &ended[0];
            assert_eq!(call.status.code, "CANCELLED", "{call:?}");
            assert!(call.client_gone, "{call:?}");
            assert_eq!(call.request("tag").as_deref(), Some("blocked"), "{call:?}");
        } else {
            w.daemon.reset().await.unwrap();
            let broken_off = importing.await.unwrap().unwrap_err();
            assert_eq!(broken_off.code(), Code::Unavailable);
        }
    }
}
