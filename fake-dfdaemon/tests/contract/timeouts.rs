//! Times that a client gives: those in a request bind nobody, that of the call does.

use dfdaemon_api::dfdaemon::v2::dfdaemon_download_client::DfdaemonDownloadClient;
use dfdaemon_api::dfdaemon::v2::{
    StatLocalPersistentCacheTaskRequest, StatPersistentCacheTaskRequest,
};
use fake_dfdaemon::Release;
use tonic::{Code, Request};

use crate::row::{Row, row};
use crate::support::client::{Export, Exported, Import, origin};
use crate::support::world::fired;
use crate::tested_daemon::{TestedDaemon, assert_says, import, import_as, transfer};

pub(crate) fn rows() -> Vec<Row> {
    vec![
        row!(the_timeout_of_a_request_is_not_enforced),
        row!(a_call_whose_time_no_scheduler_keeps_is_cancelled),
        row!(a_call_past_its_time_is_cancelled).needs("a call that hangs", |fake| fake),
        row!(a_stream_whose_head_was_sent_has_no_time).needs("a stream that hangs", |fake| fake),
    ]
}

async fn the_timeout_of_a_request_is_not_enforced(w: TestedDaemon) {
    let at_once = prost_types::Duration {
        seconds: 0,
        nanos: 1,
    };
    let source = w.file(5 << 20);
    let request = Import {
        timeout: Some(at_once),
        ..import(&source.path)
    };
    let task = w.client().await.import(request).await.unwrap();
    let request = Export {
        timeout: Some(at_once),
        ..transfer(&task.id)
    };
    let exported = w.client().await.export(request).await.ok();
    assert!(exported.content() == source.bytes);
}

fn in_time<T>(message: T, time: &'static str) -> Request<T> {
    let mut request = Request::new(message);
    let time = time.parse().unwrap();
    request.metadata_mut().insert("grpc-timeout", time);
    request
}

/// A scheduler that is elsewhere takes a millisecond. What needs none has its answer at once.
async fn a_call_whose_time_no_scheduler_keeps_is_cancelled(w: TestedDaemon) {
    let (id, _) = w.imported(5).await;
    let source = w.file(5);
    let connection = w.client().await.connection();
    let mut client = DfdaemonDownloadClient::with_origin(connection, origin());
    for time in ["0n", "1n", "999u", "1m"] {
        let task_id = id.clone();
        let request = StatPersistentCacheTaskRequest {
            task_id,
            ..Default::default()
        };
        let stat = client.stat_persistent_cache_task(in_time(request, time));
        assert_says(&stat.await.unwrap_err(), Code::Cancelled, "Timeout expired");
        let export = client.download_persistent_cache_task(in_time(transfer(&id), time));
        let refused = export.await.unwrap_err();
        assert_says(&refused, Code::Cancelled, "Timeout expired");
        let request = import_as(&source.path, &w.unique("late"));
        let import = client.upload_persistent_cache_task(in_time(request, time));
        let refused = import.await.unwrap_err();
        assert_says(&refused, Code::Cancelled, "Timeout expired");
    }
    if w.release == Release::V1_5 {
        let request = StatLocalPersistentCacheTaskRequest {
            task_id: id,
            ..Default::default()
        };
        let stat = client.stat_local_persistent_cache_task(in_time(request, "1n"));
        stat.await.unwrap();
    }
}

async fn a_call_past_its_time_is_cancelled(w: TestedDaemon) {
    let _hangs = w.fake().fault("stat:stall".parse().unwrap());
    let connection = w.client().await.connection();
    let mut client = DfdaemonDownloadClient::with_origin(connection, origin());
    let request = StatPersistentCacheTaskRequest::default();
    let answer = client.stat_persistent_cache_task(in_time(request, "50m"));
    let refused = answer.await.unwrap_err();
    assert_says(&refused, Code::Cancelled, "Timeout expired");
}

async fn a_stream_whose_head_was_sent_has_no_time(w: TestedDaemon) {
    let (id, bytes) = w.imported(5).await;
    let hangs = w.fake().fault("export@piece=0:stall".parse().unwrap());
    let connection = w.client().await.connection();
    let mut client = DfdaemonDownloadClient::with_origin(connection, origin());
    let answer = client.download_persistent_cache_task(in_time(transfer(&id), "1S"));
    let messages = answer.await.unwrap().into_inner();
    fired(&hangs, 1).await;
    // The time of a call that came later is over: so is that of this one.
    let _stalls = w.fake().fault("stat:stall".parse().unwrap());
    let later = in_time(StatPersistentCacheTaskRequest::default(), "1S");
    let late = client.stat_persistent_cache_task(later).await.unwrap_err();
    assert_says(&late, Code::Cancelled, "Timeout expired");
    drop(hangs);
    let exported = Exported::default().read(messages).await.ok();
    assert!(exported.content() == bytes);
}
