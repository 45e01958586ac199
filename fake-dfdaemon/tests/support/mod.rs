//! What the test binaries share: a client of one host, and the verbs to ask it with.
//!
//! Clients and verbs are written against gRPC and the generated messages alone, not against the fake's
//! library: a mistake there must not hide here. `world` starts a fake by the library.

// Each test binary uses its own part of this.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

pub mod client;
pub mod content;
pub mod control;
pub mod peer_client;
pub mod process;
pub mod requests;
pub mod world;

use std::future::Future;

use testkit::wait::before_asking_again;

/// A runtime for a test that is none of tokio's own.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

/// That something does not end before others have that came after it: what does not wait is answered in turn.
pub async fn outlasts<T>(waiting: impl Future<Output = T>, others: impl Future<Output = ()>) {
    tokio::select! {
        biased;
        _ = waiting => panic!("it does not wait"),
        () = others => {}
    }
}

/// Waits for what only a daemon knows, and does not announce: asks it again and again, and gives up after a long
/// while. Faults, the journal and files announce what happens: `world::fired`, `Journal::wait_for`,
/// `testkit::wait`.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let asked = async {
        for times in 0.. {
            if holds().await {
                return;
            }
            before_asking_again(times).await;
        }
    };
    let asked = tokio::time::timeout(testkit::wait::HANGS, asked).await;
    asked.unwrap_or_else(|_| panic!("it never came to be that {what}"));
}
