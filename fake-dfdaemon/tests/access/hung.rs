//! Files of clients in file systems that do not answer. A FIFO that stays empty stands for one: with
//! a quirk, an import waits for it.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use fake_dfdaemon::{FakeDfdaemon, Quirk};
use testkit::wait::real_time;
use tokio::time::timeout;
use tonic::Code;

use crate::access::ground::{Ground, HANGS};
use crate::support::client::{Client, Export};
use crate::support::{eventually, requests};

/// How many imports and exports may wait for files at once.
const MAY_HANG: usize = 256;

/// How many calls a connection may have at once.
const BY_A_CONNECTION: usize = 200;

/// How long the fake waits for calls that do not come on.
const REFUSED_WITHIN: Duration = Duration::from_secs(3);

fn times_open(path: &Path) -> usize {
    let open = fs::read_dir("/proc/self/fd").unwrap();
    open.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .filter(|target| target == path)
        .count()
}

/// Waits until as many imports as may hang have a file open, and the test itself.
async fn all_read(fifo: &Path, client: &Client) {
    eventually("all have it open", || async {
        // The fake has come on by the time that it has answered.
        client.health("").await.unwrap();
        times_open(fifo) > MAY_HANG
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn imports_that_hang_leave_threads_for_all_else() {
    let world = Ground::new();
    let builder = FakeDfdaemon::builder().hosts(2);
    let daemon = builder.quirks([Quirk::SpecialFiles]).start().await.unwrap();
    let client = Client::connect(daemon.endpoint()).await;
    let file = requests::import(&world.path("victim"), 1, 3600);
    let id = client.import(file.clone()).await.unwrap().id;

    let fifo = world.fifo("fifo");
    let _writer = File::options().read(true).write(true).open(&fifo).unwrap();
    let mut hung = Vec::new();
    for number in 0..MAY_HANG {
        if number % BY_A_CONNECTION == 0 {
            hung.push((Client::connect(daemon.endpoint()).await, Vec::new()));
        }
        let (client, imports) = hung.last_mut().unwrap();
        imports.push(client.begin_import(requests::import(&fifo, 1, 3600)));
    }
    all_read(&fifo, &client).await;

    let by_path = Export {
        task_id: id.clone(),
        output_path: Some(world.text("output")),
        ..Export::default()
    };
    let refused = timeout(HANGS, async {
        tokio::join!(client.import(file.clone()), client.export(by_path.clone()))
    });
    let (import, export) = refused.await.expect("it hangs");
    for status in [import.unwrap_err(), export.status] {
        assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
        let why = "too many imports and exports are busy";
        assert!(status.message().contains(why), "{status:?}");
    }
    assert!(!world.path("output").exists());
    // What touches no file of a client goes on, also where it takes a thread that may wait.
    for host in 0..2 {
        let endpoint = daemon.host(host).unwrap().endpoint().to_owned();
        let transfer = Export {
            task_id: id.clone(),
            need_piece_content: true,
            ..Export::default()
        };
        let client = Client::connect(&endpoint).await;
        let exported = timeout(HANGS, client.export(transfer))
            .await
            .expect("it hangs")
            .ok();
        assert_eq!(exported.content(), b"precious");
    }
    // Those whose client goes away make room.
    for import in hung.pop().unwrap().1 {
        import.abort();
    }
    timeout(HANGS, client.export(by_path))
        .await
        .expect("it hangs")
        .ok();
    timeout(HANGS, daemon.stop()).await.expect("it hangs");
    for import in hung.pop().unwrap().1 {
        assert_eq!(import.await.unwrap().unwrap_err().code(), Code::Unavailable);
    }
}

/// A crowd that is at work is not taken for one that hangs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_waits_for_others_that_come_on() {
    let world = Ground::new();
    let builder = FakeDfdaemon::builder().hosts(1);
    let daemon = builder.quirks([Quirk::SpecialFiles]).start().await.unwrap();
    let fifo = world.fifo("fifo");
    let mut writer = File::options().read(true).write(true).open(&fifo).unwrap();
    let mut crowd = Vec::new();
    for number in 0..MAY_HANG {
        if number % BY_A_CONNECTION == 0 {
            crowd.push((Client::connect(daemon.endpoint()).await, Vec::new()));
        }
        let (client, imports) = crowd.last_mut().unwrap();
        imports.push(client.begin_import(requests::import(&fifo, 1, 3600)));
    }
    let client = Client::connect(daemon.endpoint()).await;
    all_read(&fifo, &client).await;
    let file = requests::import(&world.path("victim"), 1, 3600);
    let mut import = client.begin_import(file);
    // Longer than anybody waits for those that hang.
    let until = tokio::time::Instant::now() + 2 * REFUSED_WITHIN;
    while tokio::time::Instant::now() < until {
        writer.write_all(b"x").unwrap();
        tokio::select! {
            _ = &mut import => panic!("it is refused"),
            () = real_time(REFUSED_WITHIN / 20) => {}
        }
    }
    for (_, imports) in crowd {
        imports.into_iter().for_each(|import| import.abort());
    }
    timeout(HANGS, import)
        .await
        .expect("it hangs")
        .unwrap()
        .unwrap();
}
