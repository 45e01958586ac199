//! Content that was cut or has grown on the disk: by path an output is a link to it, and with 1.5
//! it is a link to the source, so that whoever writes there changes it.

use std::fs::{self, File};
use std::path::PathBuf;
use std::time::Duration;

use fake_dfdaemon::{Fault, Release, Rpc};
use tonic::Code;

use crate::faults::world::{PIECE, Subject, World, export_to, import, transfer};
use crate::support::client::Import;
use crate::support::requests;
use crate::support::world::content_path;

const LENGTH: usize = PIECE + 5;

/// What becomes of the content's length.
const CHANGES: [i64; 3] = [-1, 1, -(LENGTH as i64)];

fn content_of(w: &World, host: &str, id: &str) -> PathBuf {
    content_path(w.daemon.state_dir(), host, id)
}

fn change_length(w: &World, host: &str, subject: &Subject, by: i64) {
    let path = content_of(w, host, &subject.id);
    let file = File::options().write(true).open(path).unwrap();
    let length = subject.bytes.len() as i64 + by;
    file.set_len(length.try_into().unwrap()).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_of_another_length_serves_nobody() {
    for release in [Release::V0_2, Release::V1_5] {
        let w = World::with(|builder| builder.release(release)).await;
        for by in CHANGES {
            for host in [0, 1] {
                let request = Import {
                    tag: Some(format!("{by} on {host}")),
                    ..import(&w.file(LENGTH).path)
                };
                let task = w.client().await.import(request).await.unwrap();
                let subject = Subject {
                    id: task.id.clone(),
                    path: PathBuf::new(),
                    bytes: vec![0; LENGTH],
                };
                change_length(&w, "host-0", &subject, by);
                let output = w.path("output");
                let client = w.on_host(host).await;
                let exported = client.export(export_to(&subject.id, &output)).await;
                assert_eq!(exported.status.code(), Code::Internal, "{exported:?}");
                let said = exported.status.message();
                // The host itself finds no parent; the other one had one, and lost it.
                let expected = match host {
                    0 => "peer ",
                    _ => "no candidate parents found",
                };
                assert!(said.contains(expected), "{said}");
                assert!(!output.exists(), "an output is left");
                let task = client.stat(&subject.id).await.unwrap();
                assert_eq!(task.current_replica_count, 0);
                assert!(!content_of(&w, "host-0", &subject.id).exists());
                // There is nothing that another replica could be made from.
                w.daemon.settle().await;
                let made = w.daemon.journal().calls(Rpc::Replicate);
                assert!(made.is_empty(), "{made:?}");
            }
        }
        w.daemon.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_copy_takes_the_place_of_a_damaged_one() {
    let w = World::new().await;
    for damaged in ["host-0", "host-1"] {
        let subject = w.file(LENGTH);
        let request = requests::import(&subject.path, 2, 3600);
        w.client().await.import(request).await.unwrap();
        w.daemon.settle().await;
        change_length(&w, damaged, &subject, 1);
        let number = usize::from(damaged == "host-1");
        let exported = w.on_host(number).await.export(transfer(&subject.id)).await;
        assert_eq!(exported.ok().content(), subject.bytes);
        w.daemon.settle().await;
        let replicas = w.replicas(&subject.id).await;
        let both = [("host-0".to_owned(), true), ("host-1".to_owned(), true)];
        assert_eq!(replicas, both);
        let content = content_of(&w, damaged, &subject.id);
        assert_eq!(fs::read(content).unwrap(), subject.bytes);
    }
}

/// A change under an export that is running is found at its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_of_content_that_changes_meanwhile_fails() {
    for by_path in [true, false] {
        for by in CHANGES {
            let w = World::new().await;
            let subject = w.imported(LENGTH).await;
            let delay: Fault = "export@bytes=1:delay=1h".parse().unwrap();
            let guard = w.daemon.fault(delay);
            let output = w.path("output");
            let request = if by_path {
                export_to(&subject.id, &output)
            } else {
                transfer(&subject.id)
            };
            let client = w.client().await;
            let running = tokio::spawn(async move { client.export(request).await });
            w.fired(&guard, 1).await;
            change_length(&w, "host-0", &subject, by);
            w.advance(Duration::from_secs(3600));
            let exported = running.await.unwrap();
            assert_eq!(exported.status.code(), Code::Internal, "{by}, {by_path}");
            assert!(!output.exists(), "an output is left");
            let task = w.client().await.stat(&subject.id).await.unwrap();
            assert_eq!(task.current_replica_count, 0, "{by}, {by_path}");
            w.daemon.stop().await;
        }
    }
}
