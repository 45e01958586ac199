//! Random operations on a fake, against a small model of hosts, tasks, faults and time.
//!
//! The model knows what a client may rely on, not how the fake decides: where replicas are made is
//! read off the fake and held against the rules. A case that fails is shown as a shell script of
//! `dfcache` and `ctl` commands; [`script`] has it, and a test here runs such scripts.

mod checks;
mod expected;
mod files;
mod lockstep;
mod ops;
mod printed;
mod script;
mod walk;

use fake_dfdaemon::Release;
use proptest::prelude::*;
use proptest::test_runner::Config;

use self::lockstep::Lockstep;
use self::ops::{Case, cases_of};

/// Cases per release; more with `PROPTEST_CASES`.
fn cases() -> u32 {
    let asked_for = std::env::var("PROPTEST_CASES");
    asked_for.map_or(24, |cases| cases.parse().unwrap())
}

fn run(case: &Case) {
    let runtime = crate::support::runtime();
    runtime.block_on(async {
        let mut pair = Lockstep::new(case.release).await;
        pair.run(&case.ops).await;
        pair.stop().await;
    });
}

proptest! {
    #![proptest_config(Config {
        cases: cases(),
        max_shrink_iters: 400,
        failure_persistence: None,
        ..Config::default()
    })]

    #[test]
    fn release_0_2_does_what_the_model_says(case in cases_of(Release::V0_2)) {
        run(&case);
    }

    #[test]
    fn release_1_5_does_what_the_model_says(case in cases_of(Release::V1_5)) {
        run(&case);
    }
}
