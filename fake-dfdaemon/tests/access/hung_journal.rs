//! A journal, and files to preload, in a file system that stops answering.

use rustix::process::Signal;
use serde_json::json;
use tokio::time::timeout;

use crate::access::ground::{Ground, HANGS};
use crate::access::stalling::StallingFileSystem;
use crate::support::client::Client;
use crate::support::control::Address;
use crate::support::process::{Process, serve};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_whose_file_system_hangs_stops_nothing() {
    let world = Ground::new();
    let Some(mut files) = StallingFileSystem::mount(&world.path("stalling")) else {
        return;
    };
    let journal = world.path("stalling/journal");
    // Closed, so that the kernel learns that nothing is to be flushed.
    drop(std::fs::File::create(&journal).unwrap());
    let process = Process::start(serve().arg("--journal").arg(&journal));
    let control = Address::socket(&process.path("control"));
    let client = Client::connect(&process.endpoint(0)).await;
    client.stat("7").await.unwrap_err();
    let page = control.send("GET", "/journal", "").await;
    assert_eq!(page.body["calls"][0]["call"], 1, "{}", page.body);
    let lines = std::fs::read_to_string(&journal).unwrap();
    assert_eq!(lines.lines().count(), 1, "{lines}");

    files.stall();
    for _ in 0..10 {
        let answer = timeout(HANGS, client.stat("8")).await;
        answer.expect("it hangs").unwrap_err();
    }
    // Who asks for what is in the file waits alone, and not for ever.
    let (asking, clearing) = (control.clone(), control.clone());
    let asked = tokio::spawn(async move { asking.send("GET", "/journal", "").await });
    let cleared = tokio::spawn(async move { clearing.send("DELETE", "/journal", "").await });
    for _ in 0..10 {
        let answer = timeout(HANGS, client.stat("9")).await;
        answer.expect("it hangs").unwrap_err();
        // Calls that have ended are found at once.
        let query = json!({"task": "9", "count": 1}).to_string();
        let waited = timeout(HANGS, control.send("POST", "/journal/wait", &query)).await;
        let waited = waited.expect("it hangs");
        assert_eq!(waited.body["calls"][0]["rpc"], "stat", "{}", waited.body);
    }
    let count = control.send("GET", "/journal/count", "").await;
    assert_eq!(count.body["count"], 21, "{}", count.body);
    let page = control.send("GET", "/journal?after=1", "").await;
    assert_eq!(page.body["calls"].as_array().unwrap().len(), 20);
    for refused in [asked, cleared] {
        let refused = timeout(HANGS, refused).await.expect("it hangs").unwrap();
        assert_eq!(refused.status, 500, "{}", refused.body);
        let why = refused.body["error"]["message"].as_str().unwrap();
        assert!(why.contains("does not answer"), "{why}");
    }

    let ended = tokio::task::spawn_blocking(move || process.end(Signal::TERM));
    let ended = timeout(HANGS, ended).await.expect("it hangs").unwrap();
    assert_eq!(ended.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_whose_preloaded_files_hang_changes_nothing() {
    let world = Ground::new();
    let preload = world.path("preload");
    std::fs::create_dir(&preload).unwrap();
    std::fs::write(preload.join("file"), b"content").unwrap();
    let process = Process::start(serve().arg("--preload").arg(&preload));
    let control = Address::socket(&process.path("control"));
    let client = Client::connect(&process.endpoint(0)).await;
    client.stat("7").await.unwrap_err();
    let Some(mut files) = StallingFileSystem::mount(&preload.join("stalling")) else {
        return;
    };
    files.stall();
    let refused = timeout(HANGS, control.send("POST", "/reset", "")).await;
    let refused = refused.expect("it hangs");
    assert_eq!(refused.status, 409, "{}", refused.body);
    let why = refused.body["error"]["message"].as_str().unwrap();
    assert!(why.contains("nothing was changed"), "{why}");
    let count = control.send("GET", "/journal/count?rpc=stat", "").await;
    assert_eq!(count.body["count"], 1, "{}", count.body);
}
