use std::sync::Arc;

use super::*;
use crate::dfdaemon::task_id::TaskId;
use crate::store::{ReplicaRecord, TaskRecord, TaskState};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn sent_time(seconds: i64) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds, nanos: 0 })
}

fn lasting(seconds: i64, nanos: i32) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos })
}

#[test]
fn times_before_the_epoch_keep_their_nanoseconds_positive() {
    let time = Timestamp::new(-1, -500_000_000).unwrap();
    let expected = prost_types::Timestamp {
        seconds: -2,
        nanos: 500_000_000,
    };
    assert_eq!(timestamp(time), expected);
}

#[test]
fn a_ttl_below_zero_is_told_as_the_daemon_does() {
    let negative = prost_types::Duration {
        seconds: -1,
        nanos: 0,
    };
    assert_eq!(requested_ttl(None), RequestedTtl::Absent);
    let text = "failed to convert negative duration: 1s".to_owned();
    assert_eq!(requested_ttl(Some(negative)), RequestedTtl::Negative(text));
    let hour = prost_types::Duration {
        seconds: 3600,
        nanos: 0,
    };
    assert_eq!(
        requested_ttl(Some(hour)),
        RequestedTtl::Given(Duration::from_secs(3600))
    );
}

#[test]
fn release_0_2_does_not_know_the_new_fields() {
    let request = DownloadPersistentCacheTaskRequest {
        output_path: Some("/a".to_owned()),
        digest: Some("md5:1".to_owned()),
        overwrite: true,
        ..Default::default()
    };
    let old = export_request(request.clone(), Release::V0_2)
        .output
        .unwrap();
    assert!(!old.overwrite && old.digest.is_none());
    let new = export_request(request, Release::V1_5).output.unwrap();
    assert!(new.overwrite && new.digest.is_some());
}

#[test]
fn the_journal_tells_every_field_of_an_import() {
    let request = UploadPersistentCacheTaskRequest {
        path: "/in".to_owned(),
        content_for_calculating_task_id: Some("c".to_owned()),
        persistent_replica_count: 2,
        tag: Some("t".to_owned()),
        application: Some("a".to_owned()),
        piece_length: Some(4 << 20),
        ttl: lasting(3, 250_000_000),
        timeout: lasting(7, 0),
        remote_ip: Some("10.0.0.1".to_owned()),
    };
    assert_eq!(
        import_fields(&request),
        json!({
            "path": "/in",
            "content_for_calculating_task_id": "c",
            "persistent_replica_count": 2,
            "tag": "t",
            "application": "a",
            "piece_length": 4 << 20,
            "ttl_seconds": 3.25,
            "timeout_seconds": 7.0,
            "remote_ip": "10.0.0.1",
        })
    );
}

#[test]
fn the_journal_tells_the_fields_of_an_export() {
    let request = DownloadPersistentCacheTaskRequest {
        task_id: "7".to_owned(),
        persistent: true,
        tag: Some("t".to_owned()),
        output_path: Some("/out".to_owned()),
        timeout: lasting(7, 0),
        need_piece_content: true,
        force_hard_link: true,
        digest: Some("md5:1".to_owned()),
        overwrite: true,
        ..Default::default()
    };
    assert_eq!(
        export_fields(&request),
        json!({
            "task_id": "7",
            "persistent": true,
            "tag": "t",
            "application": null,
            "output_path": "/out",
            "timeout_seconds": 7.0,
            "need_piece_content": true,
            "force_hard_link": true,
            "digest": "md5:1",
            "remote_ip": null,
            "overwrite": true,
        })
    );
}

#[test]
fn only_the_schedulers_answer_has_a_tag_and_an_application_that_nobody_gave() {
    let task = TaskRecord {
        task_id: TaskId::of("7"),
        state: TaskState::Uploading,
        persistent_replica_count: 3,
        tag: None,
        application: None,
        piece_length: 4,
        content_length: 9,
        ttl: Duration::from_millis(1500),
        created_at: at(1),
        updated_at: at(2),
    };
    let view = TaskView {
        task,
        persistent_replicas: 1,
        replicas: 2,
    };
    let expected = PersistentCacheTask {
        id: "7".to_owned(),
        persistent_replica_count: 3,
        current_persistent_replica_count: 1,
        current_replica_count: 2,
        tag: None,
        application: None,
        piece_length: 4,
        content_length: 9,
        piece_count: 3,
        state: "Uploading".to_owned(),
        ttl: lasting(1, 500_000_000),
        created_at: sent_time(1),
        updated_at: sent_time(2),
    };
    assert_eq!(imported_task(view.clone()), expected);
    let expected = PersistentCacheTask {
        tag: Some(String::new()),
        application: Some(String::new()),
        ..expected
    };
    assert_eq!(stat_task(view), expected);
}

#[test]
fn a_hosts_answer_is_its_record() {
    let mut replica = ReplicaState::new(ReplicaRecord {
        task_id: TaskId::of("7"),
        task_created_at: at(1),
        persistent: true,
        ttl: Duration::from_secs(60),
        piece_length: 4,
        content_length: 9,
        piece_crc32: Some(Arc::from([1, 2, 3])),
        created_at: at(2),
        updated_at: at(3),
        finished_at: Some(at(4)),
        failed_at: None,
    });
    (replica.uploading, replica.uploaded) = (5, 6);
    let expected = StatLocalPersistentCacheTaskResponse {
        task_id: "7".to_owned(),
        persistent: true,
        ttl: lasting(60, 0),
        piece_length: Some(4),
        content_length: Some(9),
        uploading_count: 5,
        uploaded_count: 6,
        created_at: sent_time(2),
        updated_at: sent_time(3),
        failed_at: None,
        finished_at: sent_time(4),
    };
    assert_eq!(local_task(&replica), expected);
}

#[test]
fn a_piece_says_where_it_belongs_and_where_it_came_from() {
    let arrival = |parent_id: Option<&str>, crc32| Arrival {
        number: 2,
        range: 8..11,
        crc32,
        parent_id: parent_id.map(str::to_owned),
        cost: Some(Duration::from_millis(1500)),
        created_at: at(1),
    };
    let expected = Piece {
        number: 2,
        parent_id: Some("p".to_owned()),
        offset: 8,
        length: 3,
        digest: "crc32:7".to_owned(),
        content: None,
        traffic_type: Some(TrafficType::RemotePeer.into()),
        cost: lasting(1, 500_000_000),
        created_at: sent_time(1),
    };
    assert_eq!(piece(&arrival(Some("p"), Some(7))), expected);
    let expected = Piece {
        parent_id: None,
        digest: String::new(),
        traffic_type: Some(TrafficType::LocalPeer.into()),
        ..expected
    };
    assert_eq!(piece(&arrival(None, None)), expected);
}
