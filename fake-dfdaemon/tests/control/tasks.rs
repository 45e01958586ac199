//! Tasks over the API.

use serde_json::json;

use crate::control::controlled::{Controlled, PIECE, column, empty, import, transfer};
use crate::support::client::Import;

#[tokio::test]
async fn a_task_is_the_fields_of_stat_and_its_replicas() {
    let w = Controlled::new().await;
    let (path, _) = w.new_file(PIECE + 1);
    let request = Import {
        tag: Some("t".to_owned()),
        ..import(&path)
    };
    let id = w.on_host(0).await.import(request).await.unwrap().id;
    w.api.ask("/settle").await;
    // A replica that nobody asked to keep.
    w.on_host(2).await.export(transfer(&id)).await.ok();
    let expected = json!({
        "task_id": id,
        "state": "Succeeded",
        "persistent_replica_count": 2,
        "current_persistent_replica_count": 2,
        "current_replica_count": 3,
        "tag": "t",
        "application": null,
        "piece_length": PIECE,
        "content_length": PIECE + 1,
        "piece_count": 2,
        "ttl_seconds": 3600,
        "created_at": "2026-01-02T03:04:05Z",
        "updated_at": "2026-01-02T03:04:05Z",
        "expires_at": "2026-01-02T04:04:05Z",
        "replicas": [
            {"host": "host-0", "persistent": true, "complete": true},
            {"host": "host-1", "persistent": true, "complete": true},
            {"host": "host-2", "persistent": false, "complete": true},
        ],
    });
    assert_eq!(w.api.get(&format!("/tasks/{id}")).await, expected);
    assert_eq!(w.api.get("/tasks").await, json!({"tasks": [expected]}));
}

#[tokio::test]
async fn tasks_that_lack_replicas_are_told_alone() {
    let w = Controlled::new().await;
    let mut two = [w.imported(10).await, w.imported(20).await];
    two.sort();
    let (path, _) = w.new_file(30);
    let one = Import {
        persistent_replica_count: 1,
        ..import(&path)
    };
    w.on_host(0).await.import(one).await.unwrap();
    w.api.ask("/settle").await;
    let lacking = "/tasks?lacking=true";
    assert_eq!(w.api.get(lacking).await, json!({"tasks": []}));
    for host in [1, 2] {
        w.api.ask(&format!("/hosts/host-{host}/leave")).await;
    }
    let tasks = w.api.get(lacking).await["tasks"].clone();
    assert_eq!(column(&tasks, "task_id"), two);
    assert_eq!(column(&tasks, "current_persistent_replica_count"), [1, 1]);
    let page = w.api.get(&format!("{lacking}&limit=1")).await;
    assert_eq!(
        (column(&page["tasks"], "task_id"), &page["total"]),
        (vec![json!(two[0])], &json!(2))
    );
    w.api.ask("/hosts/host-1/start").await;
    w.api.ask("/settle").await;
    assert_eq!(w.api.get(lacking).await, json!({"tasks": []}));
}

#[tokio::test]
async fn tasks_are_found_by_their_text_and_by_their_hosts() {
    let w = Controlled::new().await;
    let mut ids = Vec::new();
    let named = [
        (Some("nightly & <b>"), None),
        (None, Some("nightly build")),
        (None, None),
    ];
    for (number, (tag, application)) in named.into_iter().enumerate() {
        let (path, _) = w.new_file(10 + number);
        let request = Import {
            tag: tag.map(str::to_owned),
            application: application.map(str::to_owned),
            persistent_replica_count: 1,
            ..import(&path)
        };
        let task = w.on_host(number).await.import(request).await.unwrap();
        ids.push(task.id);
    }
    let found = async |query: &str| {
        let page = w.api.get(&format!("/tasks?limit=2&{query}")).await;
        assert_eq!(page["all"], json!(3), "{query}");
        let mut found = column(&page["tasks"], "task_id");
        found.sort_by_key(|id| ids.iter().position(|known| *id == json!(known)));
        (found, page["total"].clone())
    };
    let expected = |numbers: &[usize]| {
        let ids: Vec<_> = numbers.iter().map(|number| json!(ids[*number])).collect();
        (ids, json!(numbers.len()))
    };
    assert_eq!(found("text=nightly").await, expected(&[0, 1]));
    assert_eq!(found("text=y%20%26%20%3Cb").await, expected(&[0]));
    assert_eq!(
        found(&format!("text={}", &ids[2][1..])).await,
        expected(&[2])
    );
    assert_eq!(found("text=Nightly").await, expected(&[]));
    assert_eq!(found("host=host-1").await, expected(&[1]));
    assert_eq!(found("host=host-1&text=b%3E").await, expected(&[]));
    assert_eq!(found("host=host-1&lacking=true").await, expected(&[]));
    assert_eq!(found("text=").await.1, json!(3));
    let unknown = ("GET", "/tasks?host=host-3", "");
    w.api
        .refuses(400, unknown, &["there is no host host-3"])
        .await;
}

#[tokio::test]
async fn a_task_that_failed_is_shown_too() {
    let w = Controlled::with(|builder| builder.capacity(100)).await;
    let (path, _) = w.new_file(101);
    w.on_host(0).await.import(import(&path)).await.unwrap_err();
    let tasks = w.api.get("/tasks").await;
    assert_eq!(column(&tasks["tasks"], "state"), ["Failed"]);
    let expected = json!([{"host": "host-0", "persistent": true, "complete": false}]);
    assert_eq!(tasks["tasks"][0]["replicas"], expected);
}

#[tokio::test]
async fn a_deleted_task_is_gone_everywhere() {
    let w = Controlled::new().await;
    let (id, other) = (w.imported(10).await, w.imported(20).await);
    w.api.ask("/settle").await;
    let path = format!("/tasks/{id}");
    assert_eq!(w.api.delete(&path).await, empty());
    for method in ["GET", "DELETE"] {
        w.api.refuses(404, (method, &path, ""), &[&id]).await;
    }
    assert_eq!(
        column(&w.api.get("/tasks").await["tasks"], "task_id"),
        std::slice::from_ref(&other)
    );
    let used = column(&w.api.get("/hosts").await["hosts"], "used_bytes");
    let used: u64 = used.iter().filter_map(serde_json::Value::as_u64).sum();
    assert_eq!(used, 40, "the other's two replicas");
    for host in 0..3 {
        let client = w.on_host(host).await;
        client.stat(&id).await.unwrap_err();
        assert!(!client.listed().await.contains(&id));
    }
    assert_eq!(
        w.api.ask("/settle").await["waiting"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

/// Ids that clients choose reach the path percent-encoded, and name nothing of the file system.
#[tokio::test]
async fn any_text_is_an_id_that_is_not_there() {
    let w = Controlled::new().await;
    for (id, escaped) in [
        ("7", "7"),
        ("../x", "..%2Fx"),
        ("a b", "a%20b"),
        ("ä", "%C3%A4"),
    ] {
        for method in ["GET", "DELETE"] {
            let path = format!("/tasks/{escaped}");
            w.api.refuses(404, (method, &path, ""), &[id]).await;
        }
    }
}

#[tokio::test]
async fn what_one_host_deletes_is_seen() {
    let w = Controlled::new().await;
    let id = w.imported(10).await;
    w.api.ask("/settle").await;
    w.peer(0).await.delete(&id).await.unwrap();
    w.api.ask("/settle").await;
    let task = w.api.get(&format!("/tasks/{id}")).await;
    assert_eq!(column(&task["replicas"], "host").len(), 2);
    assert_eq!(task["current_persistent_replica_count"], 2);
}
