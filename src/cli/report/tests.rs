use dfdaemon_api::common::v2::PersistentCacheTask;
use dfdaemon_api::dfdaemon::v2::StatLocalPersistentCacheTaskResponse;
use jiff::Timestamp;

use super::*;

fn task() -> Task {
    PersistentCacheTask {
        id: "7".into(),
        persistent_replica_count: 2,
        current_persistent_replica_count: 1,
        current_replica_count: 3,
        tag: Some("a\x1b[2Jb".into()),
        piece_length: 4 << 20,
        content_length: 5,
        piece_count: 1,
        state: "Succeeded".into(),
        ttl: Some(prost_types::Duration {
            seconds: 3600,
            nanos: 0,
        }),
        created_at: Some(prost_types::Timestamp {
            seconds: 1_700_000_000,
            nanos: 0,
        }),
        ..PersistentCacheTask::default()
    }
    .into()
}

fn json_of(outcome: &Outcome) -> String {
    String::from_utf8(json::outcome(outcome).unwrap()).unwrap()
}

fn local_tasks() -> Vec<LocalTask> {
    let complete = StatLocalPersistentCacheTaskResponse {
        task_id: "3490958009".into(),
        persistent: true,
        ttl: task()
            .ttl
            .map(|ttl| prost_types::Duration::try_from(ttl).unwrap()),
        content_length: Some(5 << 20),
        piece_length: Some(4 << 20),
        uploaded_count: 3,
        created_at: Some(prost_types::Timestamp {
            seconds: 1_700_000_000,
            nanos: 0,
        }),
        finished_at: Some(prost_types::Timestamp {
            seconds: 1_700_000_001,
            nanos: 500_000_000,
        }),
        ..StatLocalPersistentCacheTaskResponse::default()
    };
    let begun = StatLocalPersistentCacheTaskResponse {
        task_id: "7".into(),
        ..StatLocalPersistentCacheTaskResponse::default()
    };
    vec![complete.into(), begun.into()]
}

#[test]
fn tasks_of_a_host_are_a_table_and_one_object_a_line() {
    let now = "2023-11-14T22:13:50Z".parse().unwrap();
    insta::assert_snapshot!(table::list(&local_tasks(), now, None), @r"
    ID             SIZE  KIND        STATE     EXPIRES
    3490958009  5.0 MiB  persistent  complete  in 59m 30s
    7                 -  cached      partial   -
    ");
    insta::assert_snapshot!(json_of(&Outcome::Listed(local_tasks())), @r#"
    {"task_id":"3490958009","persistent":true,"piece_length":4194304,"content_length":5242880,"ttl_seconds":3600,"created_at":"2023-11-14T22:13:20Z","updated_at":null,"finished_at":"2023-11-14T22:13:21.5Z","failed_at":null,"expires_at":"2023-11-14T23:13:20Z","uploading_count":0,"uploaded_count":3}
    {"task_id":"7","persistent":false,"piece_length":null,"content_length":null,"ttl_seconds":null,"created_at":null,"updated_at":null,"finished_at":null,"failed_at":null,"expires_at":null,"uploading_count":0,"uploaded_count":0}
    "#);
    assert_eq!(json_of(&Outcome::Listed(Vec::new())), "");
}

#[test]
fn a_terminal_gets_columns_that_fit_and_a_total() {
    let now = "2023-11-14T22:13:50Z".parse().unwrap();
    insta::assert_snapshot!(table::list(&local_tasks(), now, Some(80)), @r"
    ID             SIZE  KIND        STATE     EXPIRES
    3490958009  5.0 MiB  persistent  complete  in 59m 30s
    7                 -  cached      partial   -
    2 tasks, 5.0 MiB
    ");
    insta::assert_snapshot!(table::list(&local_tasks(), now, Some(40)), @r"
    ID
      SIZE  KIND  STATE  EXPIRES
    3490958009
      5.0 MiB  persistent  complete
      in 59m 30s
    7
      -  cached  partial  -
    2 tasks, 5.0 MiB
    ");
    assert!(table::list(&local_tasks()[1..], now, Some(80)).ends_with("1 task, 0 B\n"));
    assert!(table::list(&[], now, Some(200)).ends_with("0 tasks, 0 B\n"));
}

#[test]
fn a_task_is_a_table_without_control_characters() {
    let now = "2023-11-14T22:13:50Z".parse().unwrap();
    insta::assert_snapshot!(text::stat(&task(), now), @r"
    ID              7
    STATE           Succeeded
    PERSISTENT      1 of 3 replicas, 2 wanted
    TAG             a\u{1b}[2Jb
    APPLICATION     -
    CONTENT LENGTH  5 B
    PIECE LENGTH    4.0 MiB (4194304 B)
    PIECES          1
    TTL             1h
    CREATED         2023-11-14T22:13:20Z
    UPDATED         -
    EXPIRES         2023-11-14T23:13:20Z (in 59m 30s)
    ");
}

#[test]
fn a_task_has_expired_from_the_second_that_it_expires_in() {
    let expires_at: Timestamp = "2023-11-14T23:13:20Z".parse().unwrap();
    for (second, left) in [(-2, "in 2s"), (-1, "in 1s"), (0, "expired"), (1, "expired")] {
        let now = expires_at + jiff::SignedDuration::from_secs(second);
        let table = text::stat(&task(), now);
        let expected = format!("EXPIRES         {expires_at} ({left})\n");
        assert!(table.ends_with(&expected), "{table}");
    }
}

#[test]
fn lengths_of_a_kibibyte_and_more_are_rounded_and_exact() {
    for (length, written) in [
        (1023, "1023 B"),
        (1024, "1.0 KiB (1024 B)"),
        (1025, "1.0 KiB (1025 B)"),
    ] {
        let task = Task {
            content_length: length,
            ..task()
        };
        let table = text::stat(&task, Timestamp::UNIX_EPOCH);
        let expected = format!("CONTENT LENGTH  {written}\n");
        assert!(table.contains(&expected), "{table}");
    }
}

#[test]
fn text_is_what_the_next_command_takes() {
    let imported = Imported {
        task: task(),
        existed: false,
    };
    let exported = |path: Option<&str>| Outcome::Exported {
        task_id: "7".parse().unwrap(),
        exported: Exported {
            path: path.map(PathBuf::from),
            content_length: 5,
            piece_count: 1,
            transferred: true,
        },
        digest: None,
    };
    let path = PathBuf::from("/in");
    for (outcome, expected) in [
        (
            Outcome::Imported {
                path: path.clone(),
                imported,
                warning: None,
            },
            "7\n",
        ),
        (exported(Some("/out")), "/out\n"),
        // The content itself is on stdout.
        (exported(None), ""),
        (
            Outcome::Id {
                task_id: "8".parse().unwrap(),
                path,
                warning: None,
            },
            "8\n",
        ),
        (Outcome::Document(b"#!/bin/sh".into()), "#!/bin/sh"),
    ] {
        assert_eq!(text::outcome(&outcome), expected.as_bytes());
    }
}

#[test]
fn a_task_is_one_object_on_one_line() {
    let json = json_of(&Outcome::Stat(task()));
    insta::assert_snapshot!(json, @r#"{"task_id":"7","state":"Succeeded","persistent_replica_count":2,"current_persistent_replica_count":1,"current_replica_count":3,"tag":"a\u001b[2Jb","application":null,"piece_length":4194304,"content_length":5,"piece_count":1,"ttl_seconds":3600,"created_at":"2023-11-14T22:13:20Z","updated_at":null,"expires_at":"2023-11-14T23:13:20Z"}"#);
}

#[test]
fn an_export_is_one_object() {
    let outcome = Outcome::Exported {
        task_id: "7".parse().unwrap(),
        exported: Exported {
            path: Some("/out".into()),
            content_length: 5,
            piece_count: 1,
            transferred: true,
        },
        digest: Some("crc32:7".parse().unwrap()),
    };
    insta::assert_snapshot!(json_of(&outcome), @r#"{"task_id":"7","path":"/out","content_length":5,"piece_count":1,"transferred":true,"digest":"crc32:7"}"#);
}

#[test]
fn an_error_says_what_why_and_what_to_do() {
    let error = Error::local_file("/x exists\x07")
        .because("line\nbreak")
        .hint("move it away");
    insta::assert_snapshot!(text::error(&error, false), @r"
    error: /x exists\u{7}
    caused by: line\nbreak
    hint: move it away
    ");
    insta::assert_snapshot!(json::error(&error), @r#"{"error":{"kind":"local_file","exit_code":4,"message":"/x exists\u0007","causes":["line\nbreak"],"hint":"move it away"}}"#);
    assert!(text::error(&error, true).starts_with("\x1b[1;31merror:\x1b[0m /x"));
}
