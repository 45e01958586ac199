//! `kill -9` in the middle of everything that the store does, over and over on one state: what was
//! promised is there, whole, and nothing else is.
//!
//! `FAKE_DFDAEMON_KILLS` says how often a daemon of each release is killed; `make kills` does it long.

#![allow(clippy::print_stderr)]

mod activities;
mod promises;

use fake_dfdaemon::Release;

use self::activities::{ACTIVITIES, Rounds};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_of_release_0_2_killed_at_any_moment_keeps_its_promises() {
    keeps_its_promises(Release::V0_2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_of_release_1_5_killed_at_any_moment_keeps_its_promises() {
    keeps_its_promises(Release::V1_5).await;
}

async fn keeps_its_promises(release: Release) {
    let kills = std::env::var("FAKE_DFDAEMON_KILLS");
    let kills = kills.map_or(3 * ACTIVITIES.len(), |kills| kills.parse().unwrap());
    let mut rounds = Rounds::new(release);
    for activity in ACTIVITIES.into_iter().cycle().take(kills) {
        rounds.kill_in(activity).await;
    }
    eprintln!(
        "{release}: {kills} kills, of these in the middle of {:?}",
        rounds.hits()
    );
}
