//! Ids that are none: no id leads out of the store, or brings the daemon down.

use std::fmt::Write as _;

use fake_dfdaemon::FakeDfdaemon;
use tokio::time::timeout;
use tonic::Status;

use crate::access::ground::{Ground, HANGS, tree};
use crate::support::client::{Client, Export, Import};
use crate::support::control::Address;
use crate::support::peer_client::PeerClient;

fn odd_ids(known: &str) -> Vec<String> {
    let text = [
        "",
        ".",
        "..",
        "/",
        "../victim",
        "../../../../../../victim",
        "../../../../../../../etc/passwd",
        "/etc/passwd",
        "a/b",
        "a\0b",
        "\0",
        "\n",
        "\x1b[2J",
        "\u{9b}2J",
        "\u{202e}7",
        "tmp",
        "*",
        "ü",
        "%2e%2e%2fvictim",
    ];
    let mut ids: Vec<_> = text.map(ToOwned::to_owned).into();
    // Around an id that there is: its record, its neighbours, its own name in other words.
    ids.extend([
        format!("{known}.json"),
        format!("./{known}"),
        format!("{known}/"),
        format!("{known}\0"),
        format!(" {known}"),
        format!("../{}/{known}", &known[..3]),
    ]);
    ids.extend(["9", "../", "\u{9b}"].map(|part| part.repeat(100_000)));
    ids
}

struct Fake {
    world: Ground,
    daemon: FakeDfdaemon,
    client: Client,
    id: String,
}

impl Fake {
    async fn new() -> Self {
        let world = Ground::new();
        let state = world.path("a/b/c/d/state");
        let builder = FakeDfdaemon::builder().hosts(1).state_dir(state);
        let daemon = builder.start().await.unwrap();
        let client = Client::connect(daemon.endpoint()).await;
        let request = Import {
            path: world.text("victim"),
            persistent_replica_count: 1,
            ttl: Some(prost_types::Duration {
                seconds: 3600,
                nanos: 0,
            }),
            ..Import::default()
        };
        let id = client.import(request).await.unwrap().id;
        Self {
            world,
            daemon,
            client,
            id,
        }
    }

    /// All is as it was, and it still answers.
    async fn stays_unharmed(self, before: &str) {
        assert_eq!(tree(&self.world.path("")), before);
        self.world.victim_is_unharmed();
        self.client.stat(&self.id).await.unwrap();
        timeout(HANGS, self.daemon.stop()).await.expect("it hangs");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_odd_id_is_unknown_to_every_call() {
    let fake = Fake::new().await;
    let upload = fake.daemon.host(0).unwrap().upload_endpoint().to_owned();
    let peer = PeerClient::connect(&upload).await;
    let before = tree(&fake.world.path(""));
    let output = fake.world.text("output");
    for id in odd_ids(&fake.id) {
        let export = |output_path: Option<String>| Export {
            task_id: id.clone(),
            output_path,
            ..Export::default()
        };
        let answers = async {
            let streamed = fake.client.export(export(None)).await;
            let written = fake.client.export(export(Some(output.clone()))).await;
            let by_peer = peer.export(export(None)).await;
            let answers: [(&str, Result<(), Status>); 8] = [
                ("stat", fake.client.stat(&id).await.map(drop)),
                ("stat-local", fake.client.stat_local(&id).await.map(drop)),
                ("export", Err(streamed.status)),
                ("export to a path", Err(written.status)),
                ("update", peer.update(&id, true).await),
                ("delete", peer.delete(&id).await),
                ("stat by a peer", peer.stat(&id).await.map(drop)),
                ("export by a peer", Err(by_peer.status)),
            ];
            answers
        };
        let answers = timeout(HANGS, answers).await.expect("it hangs");
        let shown: String = id.chars().take(30).collect();
        for (call, answer) in answers {
            // As a dfdaemon, which has nothing to delete then.
            if call == "delete" {
                answer.unwrap();
                continue;
            }
            let refused = answer.expect_err(call);
            let reason = if id.is_empty() && !matches!(call, "update" | "stat-local") {
                "at least 1 runes"
            } else {
                "not found"
            };
            let unknown = refused.message().contains(reason);
            assert!(unknown, "{call} {shown:?}: {refused:?}");
        }
    }
    fake.stays_unharmed(&before).await;
}

fn percent_encoded(text: &[u8]) -> String {
    text.iter().fold(String::new(), |mut encoded, byte| {
        write!(encoded, "%{byte:02x}").unwrap();
        encoded
    })
}

/// Errors are JSON too: `send` sees to that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_odd_name_in_a_path_of_the_control_api_is_refused() {
    let fake = Fake::new().await;
    let api = Address::socket(fake.daemon.control());
    let mut parts: Vec<_> = odd_ids(&fake.id)
        .iter()
        // Axum takes an URI of up to 64 KiB.
        .filter(|id| id.len() < 1000 && !id.is_empty())
        .map(|id| percent_encoded(id.as_bytes()))
        .collect();
    parts.push(percent_encoded(b"\xff\xfe"));
    parts.push("9".repeat(10_000));
    // The only ones that name a snapshot.
    let mut names = ["tmp".to_owned(), format!("{}.json", fake.id)];
    names.sort();
    let before = tree(&fake.world.path(""));
    for part in parts {
        for (method, path) in [
            ("GET", format!("/tasks/{part}")),
            ("DELETE", format!("/tasks/{part}")),
            ("DELETE", format!("/faults/{part}")),
            ("POST", format!("/hosts/{part}/stop")),
            ("POST", format!("/hosts/{part}/leave")),
            ("POST", format!("/hosts/{part}/start")),
            ("POST", format!("/snapshots/{part}/restore")),
            ("GET", format!("/journal?host={part}")),
        ] {
            let answer = timeout(HANGS, api.send(method, &path, "")).await;
            let status = answer.expect("it hangs").status;
            assert!(matches!(status, 400 | 404), "{method} {path}: {status}");
        }
        let taken = api.send("POST", &format!("/snapshots/{part}"), "").await;
        let is_name = names
            .iter()
            .any(|name| percent_encoded(name.as_bytes()) == part);
        let expected = if is_name { 200 } else { 400 };
        assert_eq!(taken.status, expected, "{part}");
    }
    let snapshots = fake.daemon.state_dir().join("snapshots");
    assert_eq!(crate::support::process::names(&snapshots), names);
    for name in names {
        std::fs::remove_dir_all(snapshots.join(name)).unwrap();
    }
    std::fs::remove_dir(snapshots).unwrap();
    fake.stays_unharmed(&before).await;
}
