//! Chance: the same seed fires the same faults, call by call, whoever calls at the same time.

use std::collections::BTreeSet;

use fake_dfdaemon::{Fault, Rpc};
use tonic::Code;

use crate::faults::world::World;

const CALLS: u64 = 200;

fn fault() -> Fault {
    Fault::on(Rpc::Stat).probability(0.3).error(Code::Aborted)
}

/// The numbers, in the journal, of the calls that were hit.
async fn hit(seed: u64, clients: u64) -> BTreeSet<u64> {
    let w = World::with(|builder| builder.hosts(1).fault_seed(seed).fault(fault())).await;
    let mut running = Vec::new();
    for _ in 0..clients {
        let client = w.client().await;
        running.push(tokio::spawn(async move {
            let mut failed = 0;
            for _ in 0..CALLS / clients {
                failed += u64::from(client.stat("7").await.unwrap_err().code() == Code::Aborted);
            }
            failed
        }));
    }
    let mut failed = 0;
    for client in running {
        failed += client.await.unwrap();
    }
    let calls = w.daemon.journal().calls(Rpc::Stat);
    assert_eq!(calls.len() as u64, CALLS);
    let hit: BTreeSet<_> = calls
        .iter()
        .filter(|call| call.fault.is_some())
        .map(|call| call.call)
        .collect();
    assert_eq!(hit.len() as u64, failed);
    hit
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_seed_hits_the_same_calls_also_when_many_call_at_once() {
    let alone = hit(7, 1).await;
    assert!(
        (30..90).contains(&alone.len()),
        "{} of {CALLS}",
        alone.len()
    );
    for _ in 0..3 {
        assert_eq!(hit(7, 20).await, alone);
    }
    assert_ne!(hit(8, 1).await, alone);
}

#[tokio::test]
async fn a_seed_of_ones_own_is_told_and_another_one_at_each_start() {
    let seed = async |builder: fn(fake_dfdaemon::Builder) -> fake_dfdaemon::Builder| {
        let w = World::with(builder).await;
        serde_json::to_value(w.daemon.ready()).unwrap()["fault_seed"].clone()
    };
    assert_eq!(seed(|builder| builder.fault_seed(7)).await, 7);
    let drawn = seed(|builder| builder).await;
    assert_ne!(drawn, seed(|builder| builder).await);
    // Whatever reads JSON can hold it.
    assert!(drawn.as_u64().unwrap() < 1 << 53);
}

#[tokio::test]
async fn a_probability_of_one_is_always_and_of_none_never() {
    let w = World::new().await;
    let client = w.client().await;
    let guards = [0.0, 1.0].map(|chance| {
        w.daemon.fault(
            Fault::on(Rpc::Health)
                .probability(chance)
                .error(Code::Aborted),
        )
    });
    for _ in 0..20 {
        client.health("").await.unwrap_err();
    }
    assert_eq!(guards.map(|guard| guard.fired()), [0, 20]);
}
