//! How many steps it takes to open a state: those of a task are counted, which no clock and no busy
//! machine changes.

use super::crashes::START;
use super::place::Place;
use super::plan::{Happens, Plan};
use super::running_fake::RunningFake;
use super::scenarios;
use super::steps::{Op, Scenario};
use crate::dfdaemon::release::Release;
use crate::store::DiskOp;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn opening_reads_two_records_a_task_and_looks_at_its_content() {
    for release in [Release::V0_2, Release::V1_5] {
        let scenario = scenarios::opening(release);
        let place = Place::new(&scenario);
        // The first one makes the directories.
        opening_steps(&place).await;
        let none = opening_steps(&place).await;
        let tasks = import_all(&place, &scenario).await;
        let steps = opening_steps(&place).await;
        let more = |step| count(&steps, step) - count(&none, step);
        assert_eq!((more(DiskOp::Read), more(DiskOp::Look)), (2 * tasks, tasks));
        // A directory of the scheduler's and one of the host's, which tasks can share, are opened and listed.
        assert!(more(DiskOp::List) <= 4 * tasks, "{steps:?}");
        let others = more(DiskOp::Read) + more(DiskOp::Look) + more(DiskOp::List);
        assert_eq!(steps.len() - none.len(), others, "{steps:?}");
    }
}

/// Imports every file to one host, and returns how many they are.
async fn import_all(place: &Place<'_>, scenario: &Scenario) -> usize {
    let daemon = place.open(None, START).await.unwrap();
    let fake = RunningFake { place, daemon };
    let files = scenario.lengths.len();
    for file in 0..files {
        let (host, replicas, short) = (0, 1, false);
        let import = Op::Import {
            host,
            file,
            replicas,
            short,
        };
        fake.perform(import).await.unwrap();
    }
    fake.daemon.stop().await;
    files
}

/// The steps of opening what is there, with those of what is due then.
async fn opening_steps(place: &Place<'_>) -> Vec<DiskOp> {
    let plan = Plan::new(usize::MAX, Happens::Nothing, false);
    let daemon = place.open(Some(&plan), START).await.unwrap();
    daemon.settle().await;
    let steps = plan.steps();
    daemon.stop().await;
    steps
}

fn count(steps: &[DiskOp], wanted: DiskOp) -> usize {
    steps.iter().filter(|step| **step == wanted).count()
}
