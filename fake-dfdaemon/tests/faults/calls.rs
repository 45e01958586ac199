//! What hits a call as such: every such action, in every call, at every place.

use fake_dfdaemon::Rpc;
use std::time::Duration;
use testkit::wait::HANGS;
use tokio::task::JoinHandle;
use tonic::{Code, Status};

use crate::faults::world::{
    Kind, PIECE, Place, Subject, World, export_to, faults, import, transfer,
};
use crate::support::client::Exported;
use crate::support::outlasts;

/// A file for a call: imported, unless the call imports; where an update finds a replica to promote.
async fn subject(w: &World, rpc: Rpc) -> Subject {
    if rpc == Rpc::Import {
        return w.file(100);
    }
    let subject = w.imported(100).await;
    if rpc == Rpc::Update {
        let other = w.on_host(1).await;
        other.export(transfer(&subject.id)).await.ok();
    }
    subject
}

/// Makes a call, on a connection of its own.
async fn make(w: &World, rpc: Rpc, subject: &Subject) -> JoinHandle<Result<(), Status>> {
    let (client, id) = (w.client().await, subject.id.clone());
    let (deleter, updater) = (w.peer(0).await, w.peer(1).await);
    let (path, output) = (subject.path.clone(), w.path(&format!("out-{id}")));
    tokio::spawn(async move {
        match rpc {
            Rpc::Import => client.import(import(&path)).await.map(drop),
            Rpc::Export => {
                let exported = client.export(export_to(&id, &output)).await;
                match exported.status.code() {
                    Code::Ok => Ok(()),
                    _ => Err(exported.status),
                }
            }
            Rpc::Stat => client.stat(&id).await.map(drop),
            Rpc::StatLocal => client.stat_local(&id).await.map(drop),
            Rpc::List => client.list().await.map(drop),
            Rpc::Update => updater.update(&id, true).await,
            Rpc::Delete => deleter.delete(&id).await,
            Rpc::Health => client.health("").await.map(drop),
            Rpc::Replicate | Rpc::Transfer | Rpc::Connect | Rpc::Unserved => {
                unreachable!("no call of a client")
            }
        }
    })
}

/// Whether the call has had its effect, if it has one that can be seen.
async fn took_place(w: &World, rpc: Rpc, subject: &Subject) -> Option<bool> {
    let effects = [Rpc::Import, Rpc::Export, Rpc::Update, Rpc::Delete];
    if !effects.contains(&rpc) {
        return None;
    }
    let replicas = w.replicas(&subject.id).await;
    Some(match rpc {
        Rpc::Export => w.path(&format!("out-{}", subject.id)).exists(),
        Rpc::Update => replicas.contains(&("host-1".to_owned(), true)),
        Rpc::Delete => !replicas.iter().any(|(host, _)| host == "host-0"),
        _ => !replicas.is_empty(),
    })
}

/// The status that an action answers with, if it does: its code, and what is in its text.
fn refusal(name: &str) -> Option<(Code, &'static str)> {
    Some(match name {
        "error" => (Code::DataLoss, "odd"),
        "no_host" => (Code::Internal, "NotFound, message: \"host 127.0.0."),
        "no_scheduler" => (Code::Internal, "available schedulers not found"),
        "overloaded" => (
            Code::ResourceExhausted,
            "server is overloaded: CPU/memory thresholds are exceeded, please retry later",
        ),
        _ => return None,
    })
}

async fn ended(call: JoinHandle<Result<(), Status>>) -> Result<(), Status> {
    let ended = tokio::time::timeout(HANGS, call).await;
    ended.expect("the call goes on").unwrap()
}

async fn check(rpc: Rpc) {
    let w = World::new().await;
    let rows = faults(Kind::Call, rpc);
    let rows = rows
        .into_iter()
        .filter(|(_, place, _)| !matches!(place, Place::Piece | Place::Bytes));
    for (name, place, fault) in rows {
        let case = format!("{name} on {rpc} at {place:?}");
        let subject = subject(&w, rpc).await;
        w.daemon.journal().clear().unwrap();
        let guard = w.daemon.fault(fault);
        let call = make(&w, rpc, &subject).await;
        w.fired(&guard, 1).await;
        let had_effect = took_place(&w, rpc, &subject).await;
        let id = guard.id();
        let answer = match name {
            name if refusal(name).is_some() => ended(call).await,
            "reset" => {
                let answer = ended(call).await;
                assert!(answer.is_err(), "{case}");
                let code = answer.unwrap_err().code();
                // No status of the daemon's: what the transport says of a broken connection.
                assert!(
                    matches!(
                        code,
                        Code::Unknown | Code::Unavailable | Code::Cancelled | Code::Internal
                    ),
                    "{case}: {code:?}"
                );
                Ok(())
            }
            "delay" => {
                w.advance(Duration::from_secs(9));
                let waiting = w.daemon.settle().await;
                let names_it = |what: &str| what.contains(&format!("({rpc} on host-"));
                assert!(waiting.iter().any(|due| names_it(&due.what)), "{case}");
                assert!(!call.is_finished(), "{case}: it does not wait");
                w.advance(Duration::from_secs(1));
                ended(call).await
            }
            "stall" => {
                w.advance(Duration::from_secs(7200));
                // Whatever is due has been done, and a later call has its answer.
                w.daemon.settle().await;
                let other = w.client().await;
                match rpc {
                    Rpc::List => drop(other.health("").await.unwrap()),
                    _ => drop(other.list().await.unwrap()),
                }
                assert!(!call.is_finished(), "{case}: it does not wait");
                drop(guard);
                ended(call).await
            }
            other => panic!("no test knows what a client sees of {other}"),
        };
        if let Some(had_effect) = had_effect {
            assert_eq!(had_effect, place == Place::After, "{case}");
        }
        match refusal(name) {
            Some((code, text)) => {
                let status = answer.unwrap_err();
                assert_eq!(status.code(), code, "{case}");
                assert!(status.message().contains(text), "{case}: {status:?}");
                let details = match name {
                    "error" => &[0xff, 0, 0x80][..],
                    _ => &[],
                };
                assert_eq!(status.details(), details, "{case}");
            }
            None => answer.unwrap_or_else(|status| panic!("{case}: {status:?}")),
        }
        if let Some(has_effect) = took_place(&w, rpc, &subject).await {
            let goes_on = matches!(name, "delay" | "stall") || place == Place::After;
            assert_eq!(has_effect, goes_on, "{case}: afterwards");
        }
        let journaled = w.journaled(rpc, 1).await;
        let hit = journaled
            .fault
            .unwrap_or_else(|| panic!("{case}: not noted"));
        assert_eq!(hit.id, id, "{case}");
        assert_eq!(hit.action(), name, "{case}");
        assert!(!journaled.client_gone, "{case}: the client was there");
        assert_eq!(
            journaled.host,
            if rpc == Rpc::Update {
                "host-1"
            } else {
                "host-0"
            }
        );
    }
}

macro_rules! every_action_that_hits_a_call {
    ($($name:ident: $rpc:expr;)*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            check($rpc).await;
        })*
    };
}

every_action_that_hits_a_call! {
    an_import_is_hit_before_and_after_its_effect: Rpc::Import;
    an_export_is_hit_before_and_after_its_effect: Rpc::Export;
    a_stat_is_hit: Rpc::Stat;
    a_local_stat_is_hit: Rpc::StatLocal;
    a_list_is_hit: Rpc::List;
    an_update_is_hit_before_and_after_its_effect: Rpc::Update;
    a_delete_is_hit_before_and_after_its_effect: Rpc::Delete;
    a_health_check_is_hit: Rpc::Health;
}

/// In the middle of a stream: what was sent before arrives, then the fault acts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_hit_at_its_place() {
    let w = World::new().await;
    let task = w.imported(2 * PIECE + 1).await;
    for (name, place, fault) in faults(Kind::Call, Rpc::Export) {
        if !matches!(place, Place::Piece | Place::Bytes) {
            continue;
        }
        let case = format!("{name} at {place:?}");
        let guard = w.daemon.fault(fault);
        let client = w.client().await;
        if name == "reset" {
            // What is on its way is lost with the connection: anything up to the first piece comes.
            let exported = client.export(transfer(&task.id)).await;
            assert_ne!(exported.status.code(), Code::Ok, "{case}");
            assert!(exported.numbers().len() <= 1, "{case}");
            let next = client.stat(&task.id).await;
            assert!(next.is_err(), "{case}: the connection is open");
            let call = w.daemon.journal().calls(Rpc::Export).pop().unwrap();
            assert_eq!(
                (call.fault.unwrap().id, call.pieces),
                (guard.id(), 1),
                "{case}"
            );
            continue;
        }
        let mut stream = client.begin_export(transfer(&task.id)).await.unwrap();
        let mut exported = Exported {
            opened: true,
            ..Exported::default()
        };
        exported.take(stream.message().await.unwrap().unwrap());
        exported.take(stream.message().await.unwrap().unwrap());
        assert_eq!(exported.numbers(), [0], "{case}");
        w.fired(&guard, 1).await;
        let mut reading = tokio::spawn(exported.read(stream));
        if ["delay", "stall"].contains(&name) {
            outlasts(&mut reading, w.turns()).await;
        }
        match name {
            "delay" => w.advance(Duration::from_secs(10)),
            "stall" => drop(guard),
            _ => {}
        }
        let exported = tokio::time::timeout(HANGS, reading).await.unwrap().unwrap();
        match refusal(name) {
            Some((code, _)) => {
                assert_eq!(exported.status.code(), code, "{case}");
                assert_eq!(exported.numbers(), [0], "{case}");
            }
            None => assert_eq!(exported.ok().content(), task.bytes, "{case}"),
        }
    }
}

/// A piece that the file does not have is a place that no call gets to.
#[tokio::test]
async fn a_place_that_is_not_reached_lets_the_call_be() {
    let w = World::new().await;
    let task = w.imported(10).await;
    let fault = fake_dfdaemon::Fault::on(Rpc::Export);
    let guards = [
        w.daemon.fault(fault.clone().piece(1).error(Code::Aborted)),
        w.daemon.fault(fault.clone().bytes(11).stall()),
    ];
    let exported = w.client().await.export(transfer(&task.id)).await.ok();
    assert_eq!(exported.content(), task.bytes);
    assert!(guards.iter().all(|guard| guard.fired() == 0));
    assert_eq!(w.journaled(Rpc::Export, 1).await.fault, None);
    // The end is a place too: all bytes are sent, and the end is not.
    let _guard = w.daemon.fault(fault.bytes(10).error(Code::Aborted));
    let exported = w.client().await.export(transfer(&task.id)).await;
    assert_eq!(
        (exported.content(), exported.status.code()),
        (task.bytes, Code::Aborted)
    );
}
