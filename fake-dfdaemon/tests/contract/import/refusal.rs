//! What an import is refused for: its fields, the space, the blocklist, overload, a task that is there.

use std::time::Duration;

use dfdaemon_api::common::v2::PersistentCacheTask;
use dfdaemon_api::task_id::Parameters;
use fake_dfdaemon::Release;
use tokio::task::JoinSet;
use tonic::Code;

use super::small;
use crate::row::{Row, row};
use crate::support::client::Import;
use crate::support::eventually;
use crate::support::peer_client::PeerClient;
use crate::tested_daemon::{MIB, TestedDaemon, assert_says, import, import_as, seconds, transfer};

pub(super) fn rows() -> Vec<Row> {
    vec![
        row!(a_task_that_succeeded_is_not_imported_again),
        row!(no_replica_is_refused),
        row!(a_short_piece_length_is_refused),
        row!(limits_are_checked_in_order),
        row!(many_replicas_are_allowed)
            .hurts("a real scheduler asks for as many replicas as it can get"),
        row!(a_ttl_below_zero_is_refused_before_all_other_fields),
        row!(a_ttl_outside_the_limits_is_refused).ours(
            "the limits of the reference document, 1 m and 7 d; the scheduler's are 5 m and 7 d",
        ),
        row!(a_ttl_at_the_limits_is_allowed).ours("as above"),
        row!(the_text_names_the_limits_in_force).needs("limits of its own", |fake| {
            fake.min_ttl(Duration::from_secs(90))
                .max_ttl(Duration::from_secs(3600))
        }),
        row!(no_ttl_is_an_unexpected_response).only(Release::V0_2),
        row!(no_ttl_is_a_day).only(Release::V1_5),
        row!(what_does_not_fit_is_refused).needs("a capacity", small),
        row!(what_does_not_fit_is_refused_after_its_task_is_known_to_exist)
            .needs("a capacity", small),
        row!(a_failed_task_may_be_imported_again).needs("a capacity", small),
        row!(blocked_tags_and_applications_are_refused).needs("a blocklist", |fake| {
            fake.block("import:tag=bad".parse().unwrap())
                .block("import:application=bad".parse().unwrap())
        }),
        row!(the_blocklist_comes_before_the_file).needs("a blocklist", |fake| {
            fake.block("import:tag=bad".parse().unwrap())
        }),
        row!(an_overloaded_daemon_says_so)
            .needs("a limit of requests", |fake| fake.max_requests(0)),
        row!(an_overloaded_daemon_is_healthy)
            .needs("a limit of requests", |fake| fake.max_requests(0)),
        row!(requests_over_the_rate_wait_and_beyond_fifty_one_are_refused)
            .needs("a rate and the clock", |fake| {
                fake.max_rate(2).manual_clock()
            }),
    ]
}

/// Imports a file of this length twice: the second time it is refused. Returns the task.
async fn imported_and_refused(w: &TestedDaemon, length: usize) -> PersistentCacheTask {
    let source = w.file(length);
    let client = w.client().await;
    let task = client.import(import(&source.path)).await.unwrap();
    let refused = client.import(import(&source.path)).await.unwrap_err();
    let text = format!(
        "persistent cache task {} is Succeeded cannot upload",
        task.id
    );
    w.assert_internal(&refused, &w.by_scheduler(Code::AlreadyExists, &text));
    task
}

async fn a_task_that_succeeded_is_not_imported_again(w: TestedDaemon) {
    let client = w.client().await;
    let task = imported_and_refused(&w, 3).await;
    let unharmed = client.stat(&task.id).await.unwrap();
    assert_eq!(
        (unharmed.state.as_str(), unharmed.created_at),
        ("Succeeded", task.created_at)
    );
}

/// That a request is refused for a field, and why.
async fn assert_refused(w: &TestedDaemon, request: Import, field_and_why: &str) {
    let refused = w.client().await.import(request).await.unwrap_err();
    let text = format!("invalid UploadPersistentCacheTaskStartedRequest.{field_and_why}");
    w.assert_internal(&refused, &w.by_scheduler(Code::InvalidArgument, &text));
}

async fn no_replica_is_refused(w: TestedDaemon) {
    let request = Import {
        persistent_replica_count: 0,
        ..import(&w.file(1).path)
    };
    let why = "PersistentReplicaCount: value must be greater than or equal to 1";
    assert_refused(&w, request, why).await;
}

async fn a_short_piece_length_is_refused(w: TestedDaemon) {
    for piece_length in [1, (4 << 20) - 1] {
        let request = Import {
            piece_length: Some(piece_length),
            ..import(&w.file(1).path)
        };
        let why = "PieceLength: value must be greater than or equal to 4194304";
        assert_refused(&w, request, why).await;
    }
}

async fn limits_are_checked_in_order(w: TestedDaemon) {
    let all_wrong = Import {
        persistent_replica_count: 0,
        piece_length: Some(1),
        ttl: Some(seconds(0)),
        ..import(&w.file(1).path)
    };
    let why = "PersistentReplicaCount: value must be greater than or equal to 1";
    assert_refused(&w, all_wrong.clone(), why).await;
    let two_wrong = Import {
        persistent_replica_count: 1,
        ..all_wrong
    };
    let why = "PieceLength: value must be greater than or equal to 4194304";
    assert_refused(&w, two_wrong, why).await;
}

async fn many_replicas_are_allowed(w: TestedDaemon) {
    let request = Import {
        persistent_replica_count: u64::MAX,
        ..import(&w.file(6).path)
    };
    let task = w.client().await.import(request).await.unwrap();
    assert_eq!(task.persistent_replica_count, u64::MAX);
}

async fn a_ttl_below_zero_is_refused_before_all_other_fields(w: TestedDaemon) {
    let source = w.file(1);
    let below = |seconds, nanos| Some(prost_types::Duration { seconds, nanos });
    let request = |ttl, content_for_calculating_task_id| Import {
        persistent_replica_count: 0,
        piece_length: Some(1),
        ttl,
        content_for_calculating_task_id,
        ..import(&source.path)
    };
    for (ttl, shown) in [(below(-5, 0), "5s"), (below(0, -500_000_000), "500ms")] {
        for content in [None, Some(w.unique("negative"))] {
            let refused = w.client().await.import(request(ttl, content)).await;
            let text = format!("ParseError cause: failed to convert negative duration: {shown}");
            w.assert_internal(&refused.unwrap_err(), &text);
        }
    }
    // Only an id that is given comes before what is wrong with the file.
    let missing = Import {
        path: w.path("missing").to_str().unwrap().to_owned(),
        ..request(below(-1, 0), Some(w.unique("negative")))
    };
    let refused = w.client().await.import(missing.clone()).await.unwrap_err();
    assert!(refused.message().starts_with("ParseError"), "{refused:?}");
    let missing = Import {
        content_for_calculating_task_id: None,
        ..missing
    };
    let refused = w.client().await.import(missing).await.unwrap_err();
    assert_says(&refused, Code::InvalidArgument, super::ENOENT);
}

async fn a_ttl_outside_the_limits_is_refused(w: TestedDaemon) {
    for ttl in [0, 59, 604_801, i64::MAX] {
        let request = Import {
            ttl: Some(seconds(ttl)),
            ..import(&w.file(1).path)
        };
        assert_refused(
            &w,
            request,
            "Ttl: value must be inside range [1m0s, 168h0m0s]",
        )
        .await;
    }
}

async fn a_ttl_at_the_limits_is_allowed(w: TestedDaemon) {
    for ttl in [60, 604_800] {
        let request = Import {
            ttl: Some(seconds(ttl)),
            ..import(&w.file(5).path)
        };
        let task = w.client().await.import(request).await.unwrap();
        assert_eq!(task.ttl, Some(seconds(ttl)));
    }
}

async fn the_text_names_the_limits_in_force(w: TestedDaemon) {
    let request = Import {
        ttl: Some(seconds(89)),
        ..import(&w.file(1).path)
    };
    assert_refused(
        &w,
        request,
        "Ttl: value must be inside range [1m30s, 1h0m0s]",
    )
    .await;
}

async fn no_ttl_is_an_unexpected_response(w: TestedDaemon) {
    let request = Import {
        ttl: None,
        ..import(&w.file(1).path)
    };
    let refused = w.client().await.import(request).await.unwrap_err();
    w.assert_internal(&refused, "unexpected response");
}

async fn no_ttl_is_a_day(w: TestedDaemon) {
    let request = Import {
        ttl: None,
        ..import(&w.file(5).path)
    };
    let task = w.client().await.import(request).await.unwrap();
    assert_eq!(task.ttl, Some(seconds(24 * 60 * 60)));
}

async fn what_does_not_fit_is_refused(w: TestedDaemon) {
    let source = w.file(MIB + 1);
    let text = w.unique("big");
    for request in [import(&source.path), import_as(&source.path, &text)] {
        let refused = w.client().await.import(request).await.unwrap_err();
        let text = "no space left on device: not enough space to store the persistent cache \
                    task: content_length=1048577";
        w.assert_internal(&refused, text);
    }
    for id in [
        w.id_of(&source.bytes, Parameters::default()),
        w.scheme().of_content(&text),
    ] {
        assert_eq!(w.client().await.stat(&id).await.unwrap().state, "Failed");
    }
    w.imported(MIB).await;
}

async fn what_does_not_fit_is_refused_after_its_task_is_known_to_exist(w: TestedDaemon) {
    imported_and_refused(&w, MIB).await;
}

async fn a_failed_task_may_be_imported_again(w: TestedDaemon) {
    let text = w.unique("again");
    let client = w.client().await;
    let too_big = w.file(MIB + 1);
    client
        .import(import_as(&too_big.path, &text))
        .await
        .unwrap_err();
    let fits = w.file(MIB);
    let request = Import {
        persistent_replica_count: 4,
        ttl: Some(seconds(777)),
        ..import_as(&fits.path, &text)
    };
    let task = client.import(request).await.unwrap();
    assert_eq!(
        (task.content_length, task.ttl),
        (MIB as u64, Some(seconds(777)))
    );
    let task = client.stat(&task.id).await.unwrap();
    assert_eq!(
        (task.state.as_str(), task.persistent_replica_count),
        ("Succeeded", 4)
    );
    let exported = client.export(transfer(&task.id)).await.ok();
    assert!(exported.content() == fits.bytes);
}

async fn blocked_tags_and_applications_are_refused(w: TestedDaemon) {
    let client = w.client().await;
    let bad = Some("bad".to_owned());
    let (tagged, applied) = (
        Import {
            tag: bad.clone(),
            ..import(&w.file(2).path)
        },
        Import {
            application: bad,
            ..import(&w.file(2).path)
        },
    );
    for request in [tagged, applied] {
        let refused = client.import(request).await.unwrap_err();
        assert_says(
            &refused,
            Code::PermissionDenied,
            "upload rejected by blocklist policy",
        );
    }
    let other = Import {
        tag: Some("good".to_owned()),
        ..import(&w.file(2).path)
    };
    client.import(other).await.unwrap();
}

async fn the_blocklist_comes_before_the_file(w: TestedDaemon) {
    let request = Import {
        tag: Some("bad".to_owned()),
        ..import(&w.path("missing"))
    };
    let refused = w.client().await.import(request).await.unwrap_err();
    assert_says(
        &refused,
        Code::PermissionDenied,
        "upload rejected by blocklist policy",
    );
}

async fn an_overloaded_daemon_is_healthy(w: TestedDaemon) {
    let client = w.client().await;
    for service in ["", "dfdaemon.v2.DfdaemonDownload"] {
        assert_eq!(client.health(service).await.unwrap(), 1, "{service:?}");
    }
}

async fn an_overloaded_daemon_says_so(w: TestedDaemon) {
    let text = "server is overloaded: too many requests, please retry later";
    let refused = w.client().await.import(import(&w.file(1).path)).await;
    assert_says(&refused.unwrap_err(), Code::ResourceExhausted, text);
}

async fn requests_over_the_rate_wait_and_beyond_fifty_one_are_refused(w: TestedDaemon) {
    let client = w.client().await;
    for _ in 0..2 {
        w.assert_not_found(&client.stat("4").await.unwrap_err(), "4");
    }
    // A dfdaemon has 50 places, and one request in hand.
    let mut waiting = JoinSet::new();
    for _ in 0..51 {
        let client = client.clone();
        waiting.spawn(async move { client.stat("4").await.unwrap_err() });
    }
    let held_up = async || w.fake().settle().await.len();
    eventually("all of them wait", async || held_up().await >= 51).await;
    let others = held_up().await - 51;
    let text = "server is overloaded: too many requests, please retry later";
    assert_says(
        &client.stat("4").await.unwrap_err(),
        Code::ResourceExhausted,
        text,
    );
    assert_eq!(client.health("").await.unwrap(), 1);
    // The service of peers has a rate of its own.
    let peers = w.fake().host(0).unwrap().upload_endpoint().to_owned();
    let peer = PeerClient::connect(&peers).await;
    w.assert_not_found(&peer.stat("4").await.unwrap_err(), "4");
    // Two in a second, until all have passed.
    for second in 1..=26 {
        w.fake().clock().advance(Duration::from_secs(1)).unwrap();
        let left = 51_usize.saturating_sub(2 * second);
        while waiting.len() > left {
            let passed = waiting.join_next().await.unwrap();
            w.assert_not_found(&passed.unwrap(), "4");
        }
        assert_eq!(held_up().await, others + left, "two more pass");
    }
}
