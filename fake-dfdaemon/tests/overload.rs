//! More clients, and more open files, than a process may have: connections over the limit are refused,
//! no client waits, and no task is lost.

use std::error::Error as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use tempfile::TempDir;
use tonic::{Code, Status};

use crate::support::client::{Client, Export, Import};
use crate::support::control::Address;
use crate::support::peer_client::PeerClient;
use crate::support::process::Process;
use crate::support::requests;
use testkit::wait::{HANGS, Patience};

/// What the process may have open, and nobody may raise.
const DESCRIPTORS: usize = 64;

struct Limited {
    dir: TempDir,
    process: Process,
}

impl Limited {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let process = Process::start(&mut serve(dir.path(), DESCRIPTORS));
        Self { dir, process }
    }

    fn endpoint(&self) -> PathBuf {
        self.process.endpoint(0)
    }

    async fn import(&self, client: &Client, name: &str, length: u64) -> Result<String, Status> {
        let path = self.dir.path().join(name);
        std::fs::File::create(&path)
            .unwrap()
            .set_len(length)
            .unwrap();
        let request = requests::import_as(&path, name, 2, 3600);
        in_time(client.import(request)).await.map(|task| task.id)
    }

    async fn settle(&self) {
        let api = Address::socket(&self.process.path("control"));
        let answer = in_time(api.send("POST", "/settle", "")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

fn serve(dir: &Path, descriptors: usize) -> Command {
    let mut command = Command::new("sh");
    let script = format!("ulimit -n {descriptors}; exec \"$0\" serve --hosts 2 --state-dir \"$@\"");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_fake-dfdaemon")]);
    command.arg(dir.join("state"));
    command
}

async fn in_time<T>(what: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(HANGS, what).await;
    done.expect("a client waits for ever")
}

/// How a client fares that comes and asks: the status that it gets, or none where it is cut off.
async fn asks(endpoint: &Path) -> (Option<Client>, Option<Status>) {
    let Ok(client) = in_time(Client::try_connect(endpoint)).await else {
        return (None, None);
    };
    let status = in_time(client.stat("404")).await.unwrap_err();
    // What this side makes of a connection that breaks has a cause here, or none that it knows.
    let is_answer = status.source().is_none() && status.code() != Code::Unknown;
    (Some(client), is_answer.then_some(status))
}

/// The same until there is an answer: while others are being refused there may be no place even for
/// that.
async fn is_answered(endpoint: &Path) -> (Client, Status) {
    let answered = async {
        loop {
            if let (Some(client), Some(status)) = asks(endpoint).await {
                return (client, status);
            }
        }
    };
    in_time(answered).await
}

fn export(id: &str) -> Export {
    Export {
        task_id: id.to_owned(),
        need_piece_content: true,
        ..Export::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_too_many_is_told_so() {
    let world = Limited::new();
    let mut crowd = Vec::new();
    let (mut served, mut refused) = (0, 0);
    for _ in 0..2 * DESCRIPTORS {
        let (client, status) = is_answered(&world.endpoint()).await;
        match status.code() {
            Code::ResourceExhausted => {
                assert!(status.message().contains("overloaded"), "{status:?}");
                refused += 1;
            }
            _ if refused > 0 => panic!("refused before and served now: {status:?}"),
            _ => served += 1,
        }
        crowd.push(client);
    }
    assert!(served >= DESCRIPTORS / 4, "{served} of {DESCRIPTORS}");
    assert!(refused >= DESCRIPTORS, "{refused}");
    // The control API has what it needs, and so has who was let in.
    world.settle().await;
    world.import(&crowd[0], "file", 10).await.unwrap();
    // Who comes when others have gone is let in.
    crowd.clear();
    let patience = Patience::new();
    while is_answered(&world.endpoint()).await.1.code() == Code::ResourceExhausted {
        patience.lasts("there is no room any more");
    }
    assert!(world.process.end(Signal::TERM).success());
}

/// Who connects and says nothing takes a place, but not the ones that are kept back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_connections_keep_nobody_waiting() {
    let world = Limited::new();
    let silent: Vec<_> = (0..3 * DESCRIPTORS)
        .map(|_| UnixStream::connect(world.endpoint()).unwrap())
        .collect();
    // Those of the silent ones that were to be refused are cut off after a moment.
    let (_, status) = is_answered(&world.endpoint()).await;
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    drop(silent);
    let patience = Patience::new();
    loop {
        let (_, status) = asks(&world.endpoint()).await;
        if status.is_some_and(|status| status.message().contains("not found")) {
            break;
        }
        patience.lasts("there is no room any more");
    }
    assert!(world.process.end(Signal::TERM).success());
}

/// All by one connection: calls have files open, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_whose_files_are_too_many_is_told_so_and_nothing_is_lost() {
    const LENGTH: u64 = 2 << 20;
    let world = Limited::new();
    let client = Client::connect(&world.endpoint()).await;
    let id = world.import(&client, "first", LENGTH).await.unwrap();
    world.settle().await;
    let (mut stalled, mut refused) = (Vec::new(), 0);
    for _ in 0..2 * DESCRIPTORS {
        match in_time(client.begin_export(export(&id))).await {
            // Nobody reads them.
            Ok(messages) => stalled.push(messages),
            Err(status) => {
                assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
                refused += 1;
            }
        }
    }
    assert!(stalled.len() >= 8 && refused >= DESCRIPTORS, "{refused}");
    let failed = world.import(&client, "second", LENGTH).await.unwrap_err();
    assert_eq!(failed.code(), Code::ResourceExhausted, "{failed:?}");
    // Who comes new while no descriptor is left does not wait for one.
    for _ in 0..3 {
        let (_, status) = asks(&world.endpoint()).await;
        let refused_or_answered =
            status.is_none_or(|status| status.message().contains("not found"));
        assert!(refused_or_answered, "neither cut off nor answered");
    }
    drop(stalled);
    let patience = Patience::new();
    let second = loop {
        match world.import(&client, "second", LENGTH).await {
            Ok(id) => break id,
            Err(status) => assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}"),
        }
        patience.lasts("descriptors are not given back");
    };
    for id in [&id, &second] {
        let exported = in_time(client.export(export(id))).await.ok();
        assert_eq!(exported.content(), vec![0; LENGTH as usize]);
    }
    drop(client);
    assert!(world.process.end(Signal::TERM).success());

    let process = Process::start(&mut serve(world.dir.path(), 1024));
    for host in 0..2 {
        let client = Client::connect(&process.endpoint(host)).await;
        for id in [&id, &second] {
            let exported = in_time(client.export(export(id))).await.ok();
            assert_eq!(exported.content(), vec![0; LENGTH as usize]);
        }
        assert_eq!(client.list().await.unwrap().len(), 2);
    }
}

/// Who connects to the control API and says nothing takes no descriptor from calls.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_control_connections_keep_no_call_waiting() {
    let world = Limited::new();
    let control = world.process.path("control");
    let idle: Vec<_> = (0..5 * DESCRIPTORS)
        .map(|_| UnixStream::connect(&control).unwrap())
        .collect();
    let (client, status) = is_answered(&world.endpoint()).await;
    assert!(status.message().contains("not found"), "{status:?}");
    world.import(&client, "file", 10).await.unwrap();
    drop(idle);
    // The daemon counts a connection until it has seen that the client closed it.
    let patience = Patience::new();
    while !has_settled(&control) {
        patience.lasts("there is no room any more");
    }
    assert!(world.process.end(Signal::TERM).success());
}

/// Whether the control API had room, and the daemon has settled.
fn has_settled(control: &Path) -> bool {
    let mut stream = UnixStream::connect(control).unwrap();
    let asked =
        stream.write_all(b"POST /settle HTTP/1.1\r\nhost: fake\r\nconnection: close\r\n\r\n");
    let mut answer = String::new();
    let answered = asked.and_then(|()| stream.read_to_string(&mut answer));
    answered.is_ok() && answer.starts_with("HTTP/1.1 200")
}

/// What exports have read for clients that do not take it stays within bounds, and so do the exports
/// of a connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exports_that_nobody_reads_take_bounded_memory() {
    const EXPORTS: usize = 600;
    const BY_A_CONNECTION: usize = 256;
    const MEMORY: u64 = 150 << 20;
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(&mut serve(dir.path(), 4 * EXPORTS));
    let world = Limited { dir, process };
    let endpoint = world.endpoint();
    let client = Client::connect(&endpoint).await;
    let id = world.import(&client, "file", 4 << 20).await.unwrap();
    world.settle().await;
    let before = world.process.peak_memory();
    let mut unread = Vec::new();
    for number in 0..EXPORTS {
        if number % BY_A_CONNECTION == 0 {
            unread.push((Client::connect(&endpoint).await, Vec::new()));
        }
        let (client, exports) = unread.last_mut().unwrap();
        exports.push(in_time(client.begin_export(export(&id))).await.unwrap());
    }
    // One more by the first connection waits until one of its others has ended.
    let (full, exports) = &mut unread[0];
    let mut one_more = Box::pin(full.begin_export(export(&id)));
    for _ in 0..20 {
        in_time(client.stat(&id)).await.unwrap();
    }
    assert!(futures_util::FutureExt::now_or_never(&mut one_more).is_none());
    drop(exports.pop());
    in_time(one_more).await.unwrap();
    let took = world.process.peak_memory() - before;
    assert!(took < MEMORY, "{took} bytes");
    // Those who read get all of it meanwhile.
    let exported = in_time(client.export(export(&id))).await.ok();
    assert_eq!(exported.content().len(), 4 << 20);
}

/// The same of pieces for other hosts, which a message holds whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pieces_that_no_peer_reads_take_bounded_memory() {
    const PIECES: usize = 100;
    const LONG: u64 = 64 << 20;
    const MEMORY: u64 = 150 << 20;
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(&mut serve(dir.path(), 4 * PIECES));
    let world = Limited { dir, process };
    let client = Client::connect(&world.endpoint()).await;
    let path = world.dir.path().join("file");
    fs::File::create(&path).unwrap().set_len(LONG).unwrap();
    let request = Import {
        piece_length: Some(LONG),
        ..requests::import(&path, 1, 3600)
    };
    let id = in_time(client.import(request)).await.unwrap().id;
    let upload = world.process.ready["hosts"][0]["upload_endpoint"].as_str();
    let upload = Path::new(upload.unwrap());
    let peer = PeerClient::connect(upload).await;
    let before = world.process.peak_memory();
    let mut unread = Vec::new();
    for _ in 0..PIECES {
        unread.push(in_time(peer.begin_piece(&id, 0)).await.unwrap());
    }
    // All that can be read of them has been, when another one has come whole.
    let reader = PeerClient::connect(upload).await;
    let piece = in_time(reader.piece(&id, 0)).await.unwrap().piece.unwrap();
    assert_eq!(piece.content.unwrap().len() as u64, LONG);
    let took = world.process.peak_memory() - before;
    assert!(took < MEMORY, "{took} bytes");
}

/// Replicas that fall due at once wait for their turn, and none is forgotten.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn due_replicas_are_all_made_with_few_descriptors() {
    const TASKS: usize = 300;
    let dir = tempfile::tempdir().unwrap();
    let files = dir.path().join("files");
    fs::create_dir(&files).unwrap();
    for number in 0..TASKS {
        fs::write(files.join(number.to_string()), format!("content {number}")).unwrap();
    }
    let mut command = serve(dir.path(), 64);
    command.args(["--clock", "manual", "--replication-delay", "1h"]);
    let process = Process::start(command.arg("--preload").arg(&files));
    let api = Address::socket(&process.path("control"));
    for (path, body) in [("/clock", r#"{"advance":"1h"}"#), ("/settle", "")] {
        let answer = in_time(api.send("POST", path, body)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let hosts = api.send("GET", "/hosts", "").await.body;
    for number in 0..2 {
        assert_eq!(hosts["hosts"][number]["tasks"], TASKS, "{hosts}");
    }
    assert!(process.end(Signal::TERM).success());
}
