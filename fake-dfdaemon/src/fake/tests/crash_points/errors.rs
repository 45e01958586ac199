//! Steps that fail while the daemon lives on. The caller gets the error, all that was promised stays, and
//! what was left over goes, without a restart and after one.

use rustix::io::Errno;

use testkit::wait::HANGS;

use super::crashes::{START, steps_of};
use super::place::Place;
use super::plan::{Happens, Plan, can_tear, takes_space};
use super::running_fake::RunningFake;
use super::scenarios;
use super::steps::{Expected, Op, Scenario};
use crate::dfdaemon::release::Release;
use crate::store::{DiskFailure, DiskOp};

/// The variable that has every step fail in every way. Without it each fails in one of them.
const ALL_ERRORS: &str = "FAKE_DFDAEMON_ALL_ERRORS";

/// What can go wrong at a step.
fn errors(step: DiskOp) -> Vec<Happens> {
    let mut errors = vec![Happens::Error(DiskFailure::Fails(Errno::IO))];
    if takes_space(step) {
        errors.push(Happens::Error(DiskFailure::Fails(Errno::NOSPC)));
        errors.push(Happens::Full);
    }
    if can_tear(step) {
        errors.push(Happens::Error(DiskFailure::Torn(Errno::IO)));
    }
    errors
}

fn assert_tells(error: &str, happens: Happens) {
    let text = match happens {
        Happens::Error(DiskFailure::Fails(Errno::NOSPC)) | Happens::Full => "(os error 28)",
        _ => "(os error 5)",
    };
    assert!(error.contains(text), "{error}");
}

/// Whether the caller must get an error, whatever else comes of it: what was to be kept, and is not
/// synced, is not promised. A removal may be.
fn must_be_reported(scenario: &Scenario, steps: &[DiskOp], at: usize) -> bool {
    let imports = scenario.hosts == 1
        && scenario
            .ops
            .iter()
            .all(|op| matches!(op, Op::Import { .. }));
    let renamed = at > 0 && steps[at - 1] == DiskOp::Rename;
    imports && (steps[at] == DiskOp::Sync || steps[at] == DiskOp::SyncDir && renamed)
}

/// Whether the caller got an error.
async fn fail(scenario: &Scenario, at: usize, happens: Happens) -> bool {
    let place = Place::new(scenario);
    let plan = Plan::new(at, happens, scenario.linkless);
    let mut reported = false;
    let daemon = match place.open(Some(&plan), START).await {
        Ok(daemon) => daemon,
        Err(error) => {
            let source = std::error::Error::source(&error).unwrap();
            assert_tells(&source.to_string(), happens);
            reported = true;
            plan.end();
            place.open(Some(&plan), START).await.unwrap()
        }
    };
    let fake = RunningFake {
        place: &place,
        daemon,
    };
    fake.daemon.settle().await;
    let mut expected = Expected::default();
    for op in &scenario.ops {
        let after = expected.after(*op);
        if let Err(error) = fake.perform(*op).await {
            assert_tells(&error, happens);
            reported = true;
            expected = again(&fake, &plan, *op, expected, after).await;
        } else {
            expected = after;
        }
    }
    assert!(plan.has_happened(), "the step never came");
    plan.end();
    fake.retry_jobs().await;
    fake.check(&expected).unwrap();
    fake.check_beside_outputs(&expected).unwrap();
    let now = fake.daemon.clock().now();
    fake.daemon.stop().await;

    let daemon = place.open(None, now).await.unwrap();
    let fake = RunningFake {
        place: &place,
        daemon,
    };
    fake.daemon.settle().await;
    fake.check(&expected).unwrap();
    fake.try_snapshots(vec![expected]).await;
    fake.daemon.stop().await;
    reported
}

/// What failed has happened or has not; if not, it can be done now.
async fn again(
    fake: &RunningFake<'_>,
    plan: &Plan,
    op: Op,
    before: Expected,
    after: Expected,
) -> Expected {
    plan.end();
    fake.retry_jobs().await;
    let checked = [fake.check(&before), fake.check(&after)];
    if checked[0].is_ok() {
        fake.perform(op).await.unwrap();
    } else if checked[1].is_err() {
        panic!("{op:?} failed: {checked:#?}");
    }
    after
}

async fn fail_at_every_step(scenario: Scenario) {
    let steps = steps_of(&scenario).await;
    let all = std::env::var_os(ALL_ERRORS).is_some();
    let mut runs = 0;
    for (at, step) in steps.iter().enumerate() {
        let errors = errors(*step);
        let one = at % errors.len();
        for (number, happens) in errors.into_iter().enumerate() {
            if number != one && !all {
                continue;
            }
            let name = format!("{}: {step:?}, step {at}, {happens:?}", scenario.name);
            let run = tokio::time::timeout(HANGS, fail(&scenario, at, happens));
            let reported = super::named(&name, run).await.expect(&name);
            assert!(
                reported || !must_be_reported(&scenario, &steps, at),
                "{name}"
            );
            runs += 1;
        }
    }
    eprintln!("{}: {runs} errors at {} steps", scenario.name, steps.len());
}

macro_rules! at_every_step {
    ($($name:ident: $scenario:expr;)*) => {$(
        #[tokio::test]
        async fn $name() {
            fail_at_every_step($scenario).await;
        }
    )*};
}

scenarios::each! { at_every_step }
