//! Faults on connections, before any call.

use std::time::Duration;

use fake_dfdaemon::{Fault, Rpc};

use crate::faults::world::World;
use crate::support::client::Client;
use crate::support::peer_client::PeerClient;

fn fault(text: &str) -> Fault {
    text.parse().unwrap()
}

/// Whether a call on a new connection is answered.
async fn is_served(w: &World, host: usize) -> bool {
    let endpoint = w.daemon.host(host).unwrap().endpoint().to_owned();
    match Client::try_connect(&endpoint).await {
        Ok(client) => client.health("").await.is_ok(),
        Err(_) => false,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_to_one_host_are_refused_and_those_that_were_there_go_on() {
    let w = World::new().await;
    let before = w.client().await;
    before.health("").await.unwrap();
    let guard = w.daemon.fault(fault("connect@host=host-0:refuse"));
    assert!(!is_served(&w, 0).await);
    assert!(is_served(&w, 1).await);
    let upload = w.daemon.host(0).unwrap().upload_endpoint().to_owned();
    // The kernel may have taken the connection before it is refused: then the call finds out.
    let refused = match PeerClient::try_connect(&upload).await {
        Ok(peer) => peer.stat("1").await.is_err(),
        Err(_) => true,
    };
    assert!(refused);
    assert!(guard.fired() >= 2);
    before.health("").await.unwrap();
    drop(guard);
    assert!(is_served(&w, 0).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_connection_alone_is_refused() {
    let w = World::new().await;
    let guard = w.daemon.fault(Fault::on(Rpc::Connect).call(2).refuse());
    assert!(is_served(&w, 0).await);
    assert!(!is_served(&w, 0).await);
    assert!(is_served(&w, 0).await);
    assert_eq!(guard.fired(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_stalls_is_served_when_the_fault_is_gone() {
    let w = World::new().await;
    let guard = w.daemon.fault(fault("connect@times=1:stall"));
    let waiting = {
        let endpoint = w.daemon.endpoint().to_owned();
        tokio::spawn(async move { Client::connect(&endpoint).await.health("").await })
    };
    w.fired(&guard, 1).await;
    assert!(is_served(&w, 0).await);
    assert!(!waiting.is_finished());
    drop(guard);
    waiting.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_delayed_waits_for_the_clock() {
    let w = World::new().await;
    let guard = w.daemon.fault(fault("connect:delay=1h"));
    let waiting = {
        let endpoint = w.daemon.endpoint().to_owned();
        tokio::spawn(async move { Client::connect(&endpoint).await.health("").await })
    };
    w.fired(&guard, 1).await;
    let waits = w.daemon.settle().await;
    let what = waits
        .iter()
        .any(|waits| waits.what == "serve a connection to host-0");
    assert!(what, "{waits:?}");
    w.daemon.clock().advance(Duration::from_secs(3600)).unwrap();
    waiting.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_waits_for_no_connection_that_stalls() {
    let w = World::new().await;
    w.daemon.fault(fault("connect:stall")).keep();
    let endpoint = w.daemon.endpoint().to_owned();
    // The stop may come before the connection is made, or later.
    let fails = async move {
        match Client::try_connect(&endpoint).await {
            Ok(client) => client.health("").await.is_err(),
            Err(_) => true,
        }
    };
    let waiting = tokio::spawn(fails);
    w.journaled(Rpc::Connect, 1).await;
    w.daemon.stop().await;
    assert!(waiting.await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_journal_has_connections_that_a_fault_has_hit() {
    let w = World::new().await;
    let _guard = w.daemon.fault(fault("connect@call=1:refuse"));
    assert!(!is_served(&w, 1).await);
    let call = w.journaled(Rpc::Connect, 1).await;
    assert_eq!(
        (call.host.as_str(), call.status.code.as_str()),
        ("host-1", "UNAVAILABLE")
    );
    assert_eq!(call.fault.as_ref().unwrap().action(), "refuse");
}

#[test]
fn connections_know_few_faults_and_calls_know_none_of_theirs() {
    for (text, said) in [
        (
            "connect:reset",
            "those that do are refuse, stale, delay and stall",
        ),
        ("connect@task=1:stall", "a connection belongs to no task"),
        ("connect@piece=1:stall", "a connection has none"),
        ("connect@phase=after:refuse", "a connection has none"),
        ("stat:refuse", "acts only on connections"),
        ("stat:stale", "acts only on connections"),
        ("connect@call=2:stale", "the connections that it refuses"),
        ("connect@times=2:stale", "the connections that it refuses"),
        (
            "connect@probability=0.5:stale",
            "the connections that it refuses",
        ),
        ("*:refuse", "acts only on connections"),
        ("transfer:refuse", "does not act on transfers"),
    ] {
        let error = text.parse::<Fault>().unwrap_err().to_string();
        assert!(error.contains(said), "{text}: {error}");
    }
    for text in [
        "connect:refuse",
        "connect@host=host-1:stale",
        "connect@host=host-1,times=2:stall",
    ] {
        let fault: Fault = text.parse().unwrap();
        assert_eq!(fault.to_json().parse(), Ok(fault));
    }
}
