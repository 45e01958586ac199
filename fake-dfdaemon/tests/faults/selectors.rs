//! Which calls a fault hits, as services tell the faults of their calls. Counting is tested beside the code that counts.

use fake_dfdaemon::{Fault, FaultGuard, Rpc};
use tonic::Code;

use crate::faults::world::{World, import, transfer};
use crate::support::client::Import;

#[tokio::test]
async fn a_host_is_told_from_the_others() {
    let w = World::new().await;
    let task = w.imported(10).await;
    let guard = w
        .daemon
        .fault(Fault::on(Rpc::Stat).host("host-1").error(Code::Aborted));
    w.client().await.stat(&task.id).await.unwrap();
    let refused = w.on_host(1).await.stat(&task.id).await.unwrap_err();
    assert_eq!((refused.code(), guard.fired()), (Code::Aborted, 1));
    // The peer-facing socket is the same host.
    let refused = w.peer(1).await.stat(&task.id).await.unwrap_err();
    assert_eq!((refused.code(), guard.fired()), (Code::Aborted, 2));
    let unknown = Fault::on(Rpc::Stat).host("host-2").stall();
    let refused = w.daemon.try_fault(unknown).unwrap_err().to_string();
    assert!(
        refused.contains("host-2") && refused.contains("host-1"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_task_is_told_from_the_others() {
    let w = World::new().await;
    let (task, other) = (w.imported(10).await, w.imported(11).await);
    let _guard = w
        .daemon
        .fault(Fault::on_any().task(&task.id).error(Code::Aborted));
    let client = w.client().await;
    client.stat(&other.id).await.unwrap();
    client.list().await.unwrap();
    client.health("").await.unwrap();
    assert_eq!(
        client.stat(&task.id).await.unwrap_err().code(),
        Code::Aborted
    );
    assert_eq!(
        client.stat_local(&task.id).await.unwrap_err().code(),
        Code::Aborted
    );
    assert_eq!(
        client.export(transfer(&task.id)).await.status.code(),
        Code::Aborted
    );
    let peer = w.peer(0).await;
    assert_eq!(
        peer.update(&task.id, true).await.unwrap_err().code(),
        Code::Aborted
    );
    assert_eq!(
        peer.delete(&task.id).await.unwrap_err().code(),
        Code::Aborted
    );
}

/// The daemon computes an import's id from the file, and the fault may name it all the same.
#[tokio::test]
async fn an_import_is_hit_by_the_id_that_it_will_have() {
    let w = World::new().await;
    let client = w.client().await;
    let (meant, other) = (w.file(10), w.file(10));
    let guard = w
        .daemon
        .fault(Fault::on(Rpc::Import).task(&meant.id).error(Code::Aborted));
    client.import(import(&other.path)).await.unwrap();
    let refused = client.import(import(&meant.path)).await.unwrap_err();
    assert_eq!(refused.code(), Code::Aborted);
    let call = w.journaled(Rpc::Import, 2).await;
    assert_eq!(call.task_id(), Some(meant.id.as_str()));
    assert_eq!(guard.fired(), 1);
    // Tag, application and piece length are part of it, and a given text is all of it.
    let tagged = Import {
        tag: Some("t".to_owned()),
        ..import(&meant.path)
    };
    client.import(tagged).await.unwrap();
    let named = Import {
        content_for_calculating_task_id: Some("text".to_owned()),
        ..import(&meant.path)
    };
    client.import(named).await.unwrap();
    assert_eq!(guard.fired(), 1);
    // What cannot be read has no id, and the import says why.
    let missing = client.import(import(&w.path("missing"))).await;
    assert_eq!(missing.unwrap_err().code(), Code::InvalidArgument);
}

/// Those of the request, and of the task that it is about.
#[tokio::test]
async fn a_tag_and_an_application_are_those_of_request_or_task() {
    type Narrow = fn(fake_dfdaemon::FaultBuilder) -> fake_dfdaemon::FaultBuilder;
    let narrows: [Narrow; 2] = [|fault| fault.tag("x"), |fault| fault.application("x")];
    for (number, narrow) in narrows.into_iter().enumerate() {
        let w = World::new().await;
        let client = w.client().await;
        let (subject, plain) = (w.file(10), w.imported(9).await);
        let mut request = import(&subject.path);
        let mut export = transfer(&plain.id);
        let labels = if number == 0 {
            [&mut request.tag, &mut export.tag]
        } else {
            [&mut request.application, &mut export.application]
        };
        for label in labels {
            *label = Some("x".to_owned());
        }
        let guard: FaultGuard = w
            .daemon
            .fault(narrow(Fault::on_any()).times(3).error(Code::Aborted));
        let refused = client.import(request.clone()).await.unwrap_err();
        assert_eq!(refused.code(), Code::Aborted);
        // The request's own.
        assert_eq!(client.export(export).await.status.code(), Code::Aborted);
        client.export(transfer(&plain.id)).await.ok();
        drop(guard);
        let task = client.import(request).await.unwrap();
        let _guard = w.daemon.fault(narrow(Fault::on_any()).error(Code::Aborted));
        // The task's.
        assert_eq!(
            client.stat(&task.id).await.unwrap_err().code(),
            Code::Aborted
        );
        assert_eq!(
            client.export(transfer(&task.id)).await.status.code(),
            Code::Aborted
        );
        client.stat(&plain.id).await.unwrap();
    }
}

#[tokio::test]
async fn a_star_is_every_call() {
    let w = World::new().await;
    let task = w.imported(10).await;
    let guard = w.daemon.fault(Fault::on_any().error(Code::Aborted));
    let (client, peer) = (w.client().await, w.peer(0).await);
    let codes = [
        client.import(import(&task.path)).await.unwrap_err().code(),
        client.export(transfer(&task.id)).await.status.code(),
        client.stat(&task.id).await.unwrap_err().code(),
        client.stat_local(&task.id).await.unwrap_err().code(),
        client.list().await.unwrap_err().code(),
        client.health("").await.unwrap_err().code(),
        peer.update(&task.id, true).await.unwrap_err().code(),
        peer.delete(&task.id).await.unwrap_err().code(),
        peer.stat(&task.id).await.unwrap_err().code(),
        peer.export(transfer(&task.id)).await.status.code(),
    ];
    assert_eq!(codes, [Code::Aborted; 10]);
    assert_eq!(guard.fired(), 10);
}

/// Two faults in one call: in the order in which they were added.
#[tokio::test]
async fn several_faults_hit_one_call() {
    let w = World::new().await;
    let task = w.imported(10).await;
    let first = w
        .daemon
        .fault(Fault::on(Rpc::Stat).delay(std::time::Duration::ZERO));
    let second = w.daemon.fault(Fault::on(Rpc::Stat).error(Code::Aborted));
    let third = w.daemon.fault(Fault::on(Rpc::Stat).error(Code::DataLoss));
    let refused = w.client().await.stat(&task.id).await.unwrap_err();
    assert_eq!(refused.code(), Code::Aborted);
    assert_eq!([first.fired(), second.fired(), third.fired()], [1, 1, 0]);
    let call = w.journaled(Rpc::Stat, 1).await;
    assert_eq!(call.fault.unwrap().id, second.id());
}
