//! What the test binaries share: a client of one host, and the verbs to ask it with.
//!
//! Written against gRPC and the generated messages alone, not against the fake's library: a
//! mistake there must not hide here.

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
pub mod process;
pub mod requests;

use std::future::Future;
use std::time::Duration;

/// A runtime for a test that is none of tokio's own.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

/// Waits for what nobody announces: asks again and again, and gives up after a long while.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let asked = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let asked = tokio::time::timeout(Duration::from_secs(30), asked).await;
    asked.unwrap_or_else(|_| panic!("it never came to be that {what}"));
}
