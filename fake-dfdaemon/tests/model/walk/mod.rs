//! A walk with every quirk: calls with every option, calls that their clients leave, edits of files,
//! hosts that stop, leave and start, time, on two hosts, against a model of what a real dfdaemon
//! answers and leaves on disk.
//!
//! The model is written from what is known of real daemons, not from the fake: a change that breaks
//! one of these behaviours is found here. It steps aside where nobody knows what a real one does.

mod counted;
mod exports;
mod files;
mod imports;
mod left;
mod model;
mod ops;
mod outputs;
mod quirk_walk;
mod task;
mod texts;

use fake_dfdaemon::Release;
use proptest::prelude::*;
use proptest::test_runner::Config;

use ops::{Walk, walks};
use quirk_walk::QuirkWalk;

fn run(release: Release, Walk(ops): &Walk) {
    let runtime = crate::support::runtime();
    runtime.block_on(async {
        let mut walk = QuirkWalk::new(release).await;
        walk.run(ops).await;
        walk.stop().await;
    });
}

proptest! {
    #![proptest_config(Config {
        cases: crate::model::cases(),
        max_shrink_iters: 400,
        failure_persistence: None,
        ..Config::default()
    })]

    #[test]
    fn release_0_2_with_every_quirk_is_a_real_one(walk in walks()) {
        run(Release::V0_2, &walk);
    }

    #[test]
    fn release_1_5_with_every_quirk_is_a_real_one(walk in walks()) {
        run(Release::V1_5, &walk);
    }
}
