//! Content in a file system that stops answering while it is exported.

use std::fs;

use rustix::process::Signal;
use tokio::time::timeout;

use crate::access::ground::{Ground, HANGS};
use crate::access::stalling::StallingFileSystem;
use crate::support::client::{Client, Export};
use crate::support::control::Address;
use crate::support::process::{Process, serve};
use crate::support::requests;

/// Three pieces.
const LENGTH: usize = 12 << 20;

/// With the quirks, the content is read where the link of the client leads to, and its length before each piece.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_whose_content_hangs_holds_up_no_other_call() {
    let world = Ground::new();
    let Some(mut files) = StallingFileSystem::mount(&world.path("stalling")) else {
        return;
    };
    let file = world.path("stalling/file");
    fs::write(&file, vec![7; LENGTH]).unwrap();
    let link = world.link("link", file.to_str().unwrap());
    let mut command = serve();
    command.args(["--hosts", "2", "--dfdaemon-version", "1.5"]);
    command.args(["--quirk", "linked-links,unnoticed-cuts"]);
    // Nothing is read while the second piece waits for it.
    command.args(["--fault", "export@piece=1:stall"]);
    let process = Process::start(&mut command);
    let control = Address::socket(&process.path("control"));
    let client = Client::connect(&process.endpoint(0)).await;
    let import = requests::import_as(&link, "linked", 1, 3600);
    let id = client.import(import).await.unwrap().id;
    let export = Export {
        task_id: id.clone(),
        need_piece_content: true,
        ..Export::default()
    };
    let mut messages = client.begin_export(export).await.unwrap();
    for _ in ["started", "the first piece"] {
        let message = timeout(HANGS, messages.message()).await.expect("it hangs");
        message.unwrap().unwrap();
    }

    files.stall();
    let goes_on = timeout(HANGS, control.send("DELETE", "/faults", "")).await;
    goes_on.expect("it hangs");
    let rest = tokio::spawn(async move { while let Ok(Some(_)) = messages.message().await {} });
    let other = Client::connect(&process.endpoint(1)).await;
    for _ in 0..100 {
        let stat = timeout(HANGS, other.stat(&id)).await;
        stat.expect("it hangs").unwrap();
        tokio::task::yield_now().await;
    }
    assert!(!rest.is_finished(), "the file system did not hang");
    rest.abort();
    let ended = tokio::task::spawn_blocking(move || process.end(Signal::TERM));
    timeout(HANGS, ended).await.expect("it hangs").unwrap();
}
