//! A replay of a cassette that somebody has edited, or made to do harm.

use std::fs;
use std::path::Path;

use fake_dfdaemon::{Replay, StartError};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::Target;
use crate::stage::{directory, runtime, within_time};
use crate::wire::{connect, framed, read_some};

/// What stands beside the cassette: no answer may have it.
const SECRET: &[u8] = b"what nobody asked for";

/// The SHA-256 of `content`, which the cassette has.
const HASH: &str = "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73";

/// The methods that are asked.
const METHODS: [&str; 4] = [
    "dfdaemon.v2.DfdaemonDownload/StatPersistentCacheTask",
    "dfdaemon.v2.DfdaemonDownload/DownloadPersistentCacheTask",
    "dfdaemon.v2.DfdaemonDownload/ListLocalPersistentCacheTasks",
    "no.such.Service/Method",
];

/// The first byte picks whether content is kept; the others are the lines of the calls.
#[derive(Debug)]
pub struct Cassettes {
    runtime: Runtime,
    directory: TempDir,
}

impl Default for Cassettes {
    fn default() -> Self {
        let directory = directory();
        let cassette = directory.path().join("cassette");
        fs::create_dir_all(cassette.join("content")).unwrap();
        fs::write(directory.path().join("secret"), SECRET).unwrap();
        fs::write(cassette.join("secret"), SECRET).unwrap();
        fs::write(cassette.join("content").join(HASH), "content").unwrap();
        // By a name that is a hash, and through a link.
        let linked = cassette.join("content").join("0".repeat(64));
        std::os::unix::fs::symlink("../secret", linked).unwrap();
        Self {
            runtime: runtime(),
            directory,
        }
    }
}

impl Target for Cassettes {
    const NAME: &str = "cassettes";

    fn gets_far(&mut self, input: &[u8]) -> bool {
        let Some((first, lines)) = input.split_first() else {
            return false;
        };
        let cassette = self.directory.path().join("cassette");
        let content = if first % 2 == 0 { "keep" } else { "hash" };
        let head = serde_json::json!({"format": "fake-dfdaemon.cassette/1", "recorded_at": "2030-01-01T00:00:00Z", "upstream": "/up", "release": null, "content": content});
        fs::write(cassette.join("cassette.json"), head.to_string()).unwrap();
        fs::write(cassette.join("calls.jsonl"), lines).unwrap();
        within_time(&self.runtime, plays(&cassette))
    }
}

/// Whether the cassette could be played.
async fn plays(cassette: &Path) -> bool {
    let replay = match Replay::builder(cassette).any_order().start().await {
        Ok(replay) => replay,
        Err(StartError::Cassette(why)) => {
            assert!(!why.to_string().is_empty());
            return false;
        }
        Err(other) => panic!("no fault of the cassette: {other}"),
    };
    for method in METHODS {
        for request in [framed(b""), framed(b"\x0a\x017")] {
            // A reset, a broken connection and no end are ends that a call may have had.
            let connection = &mut connect(replay.endpoint()).await;
            let read = read_some(connection, method, request).await;
            let has_secret = read.windows(SECRET.len()).any(|part| part == SECRET);
            assert!(!has_secret, "a file outside was read");
        }
    }
    let calls = replay.calls();
    replay.stop().await;
    calls > 0
}
