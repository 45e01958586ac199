//! Runs that end at a step. What was promised before is there when the state is opened again, what
//! was under way has happened or has not.

use jiff::Timestamp;
use testkit::wait::HANGS;

use super::place::Place;
use super::plan::{Happens, Plan, can_tear, changes};
use super::running_fake::RunningFake;
use super::scenarios;
use super::steps::{Expected, Op, Scenario};
use crate::dfdaemon::release::Release;
use crate::store::DiskOp;

/// When scenarios begin.
pub(super) const START: Timestamp = Timestamp::constant(1_767_323_045, 0);

/// Runs a scenario to its end, and returns the steps that it took.
pub(super) async fn steps_of(scenario: &Scenario) -> Vec<DiskOp> {
    let place = Place::new(scenario);
    let plan = Plan::new(usize::MAX, Happens::Nothing, scenario.linkless);
    let daemon = place.open(Some(&plan), START).await.unwrap();
    let fake = RunningFake {
        place: &place,
        daemon,
    };
    fake.daemon.settle().await;
    let mut expected = Expected::default();
    for op in &scenario.ops {
        fake.perform(*op).await.unwrap();
        expected = expected.after(*op);
    }
    let steps = plan.steps();
    fake.retry_jobs().await;
    fake.check(&expected).unwrap();
    fake.check_beside_outputs(&expected).unwrap();
    fake.daemon.stop().await;
    assert!(
        steps.len() >= scenario.least_steps,
        "{}: {} steps",
        scenario.name,
        steps.len()
    );
    steps
}

/// What may be there when a run has ended, and when that was.
struct Left {
    expected: Vec<Expected>,
    now: Timestamp,
}

async fn run_until_crash(place: &Place<'_>, plan: &std::sync::Arc<Plan>) -> Left {
    let mut expected = Expected::default();
    let Ok(daemon) = place.open(Some(plan), START).await else {
        return Left {
            expected: vec![expected],
            now: START,
        };
    };
    let fake = RunningFake { place, daemon };
    fake.daemon.settle().await;
    let mut left = vec![expected.clone()];
    for op in &place.scenario.ops {
        if plan.has_happened() && !matches!(op, Op::Expire) {
            break;
        }
        let after = expected.after(*op);
        if fake.perform(*op).await.is_err() {
            left = vec![expected, after];
            break;
        }
        left = vec![after.clone()];
        expected = after;
    }
    let now = fake.daemon.clock().now();
    fake.daemon.stop().await;
    Left {
        expected: left,
        now,
    }
}

async fn crash(scenario: &Scenario, at: usize, torn: bool) {
    let place = Place::new(scenario);
    let plan = Plan::new(at, Happens::Crash { torn }, scenario.linkless);
    let left = run_until_crash(&place, &plan).await;
    assert!(plan.has_happened(), "the step never came");

    let daemon = place.open(None, left.now).await.unwrap();
    let fake = RunningFake {
        place: &place,
        daemon,
    };
    fake.daemon.settle().await;
    let checked: Vec<_> = left.expected.iter().map(|one| fake.check(one)).collect();
    assert!(checked.iter().any(Result::is_ok), "{checked:#?}");
    let may_be = left.expected.into_iter().zip(&checked);
    let may_be = may_be.filter(|(_, checked)| checked.is_ok());
    let may_be = may_be.map(|(expected, _)| expected).collect();
    let mut expected = fake.try_snapshots(may_be).await.remove(0);
    for file in 0..scenario.lengths.len() {
        if !expected.tasks.contains_key(&file) {
            let again = Op::Import {
                host: 0,
                file,
                replicas: 1,
                short: false,
            };
            fake.perform(again).await.unwrap();
            expected = expected.after(again);
        }
    }
    fake.check(&expected).unwrap();
    fake.daemon.stop().await;
}

async fn crash_at_every_step(scenario: Scenario) {
    let steps = steps_of(&scenario).await;
    let mut runs = 0;
    for (at, step) in steps.iter().enumerate() {
        for torn in [false, true] {
            if !changes(*step) || torn && !can_tear(*step) {
                continue;
            }
            let name = format!("{}: {step:?}, step {at}, torn {torn}", scenario.name);
            let run = tokio::time::timeout(HANGS, crash(&scenario, at, torn));
            super::named(&name, run).await.expect(&name);
            runs += 1;
        }
    }
    eprintln!("{}: {runs} crashes at {} steps", scenario.name, steps.len());
}

macro_rules! at_every_step {
    ($($name:ident: $scenario:expr;)*) => {$(
        #[tokio::test]
        async fn $name() {
            crash_at_every_step($scenario).await;
        }
    )*};
}

scenarios::each! { at_every_step }
