//! The fake, when clients send arbitrary requests.

mod request;

use std::fs;
use std::path::Path;

use arbitrary::{Arbitrary, Unstructured};
use dfdaemon_api::dfdaemon::v2::{
    DeletePersistentCacheTaskRequest, DownloadPersistentCacheTaskRequest,
    ListLocalPersistentCacheTasksRequest, StatLocalPersistentCacheTaskRequest,
    StatPersistentCacheTaskRequest, UpdatePersistentCacheTaskRequest,
    UploadPersistentCacheTaskRequest,
};
use fake_dfdaemon::{FakeDfdaemon, Release};
use prost::Message;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use self::request::{File, LAID_OUT, Request, Seconds, Source, Text};
use crate::stage::{directory, runtime, within_time};
use crate::wire::{Answer, Connection, call, connect, framed};
use crate::{Target, series};

const DOWNLOAD: &str = "dfdaemon.v2.DfdaemonDownload";
const UPLOAD: &str = "dfdaemon.v2.DfdaemonUpload";

/// Every method, and some that there are not.
const METHODS: [(&str, &str); 12] = [
    (DOWNLOAD, "UploadPersistentCacheTask"),
    (DOWNLOAD, "DownloadPersistentCacheTask"),
    (DOWNLOAD, "StatPersistentCacheTask"),
    (DOWNLOAD, "StatLocalPersistentCacheTask"),
    (DOWNLOAD, "ListLocalPersistentCacheTasks"),
    (DOWNLOAD, "DownloadTask"),
    (UPLOAD, "DownloadPersistentCacheTask"),
    (UPLOAD, "StatPersistentCacheTask"),
    (UPLOAD, "UpdatePersistentCacheTask"),
    (UPLOAD, "DeletePersistentCacheTask"),
    ("grpc.health.v1.Health", "Check"),
    (
        "grpc.reflection.v1.ServerReflection",
        "ServerReflectionInfo",
    ),
];

/// So many requests make an input at most.
const MAX_REQUESTS: usize = 12;

/// The status codes that tell of nothing, and of a failure of the daemon itself.
const UNKNOWN: i32 = 2;
const INTERNAL: i32 = 13;

/// Each input is a series of requests to a fake of one release, which is empty before.
#[derive(Debug)]
pub struct FakeRequests {
    fakes: [Fake; 2],
}

impl Default for FakeRequests {
    fn default() -> Self {
        Self {
            fakes: [Release::V0_2, Release::V1_5].map(Fake::new),
        }
    }
}

impl Target for FakeRequests {
    const NAME: &str = "fake_requests";

    fn gets_far(&mut self, input: &[u8]) -> bool {
        let mut input = Unstructured::new(input);
        let newer = bool::arbitrary(&mut input).unwrap_or_default();
        let requests = series(&mut input, MAX_REQUESTS);
        let fake = &mut self.fakes[usize::from(newer)];
        within_time(&fake.runtime, fake.parts.check(requests))
    }
}

/// A fake with its runtime.
#[derive(Debug)]
struct Fake {
    parts: Parts,
    runtime: Runtime,
}

#[derive(Debug)]
struct Parts {
    daemon: FakeDfdaemon,
    /// Of both hosts, download and upload.
    connections: [[Connection; 2]; 2],
    /// Of the tasks that were imported.
    ids: Vec<String>,
    /// How many imports, exports, updates and deletions were.
    granted: usize,
    work: TempDir,
    _state: TempDir,
}

impl Fake {
    fn new(release: Release) -> Self {
        let runtime = runtime();
        let (state, work) = (directory(), directory());
        let parts = runtime.block_on(async {
            let builder = FakeDfdaemon::builder().hosts(2).release(release);
            let builder = builder.manual_clock().state_dir(state.path());
            let daemon = builder.start().await.unwrap();
            let mut connections = Vec::new();
            for host in daemon.hosts() {
                let download = connect(host.endpoint()).await;
                connections.push([download, connect(host.upload_endpoint()).await]);
            }
            Parts {
                daemon,
                connections: connections.try_into().unwrap(),
                ids: Vec::new(),
                granted: 0,
                work,
                _state: state,
            }
        });
        Self { parts, runtime }
    }
}

impl Parts {
    /// Whether one of the requests was granted that ask for more than an answer.
    async fn check(&mut self, requests: Vec<Request>) -> bool {
        self.lay_out();
        let first = self.named_import("small", "the first one");
        self.import(&first).await.expect("it imports nothing");
        self.granted = 0;
        for request in requests {
            self.ask(request).await;
        }
        let granted = self.granted > 0;
        self.still_serves().await;
        self.ids.clear();
        self.daemon.reset().await.unwrap();
        granted
    }

    /// The files that requests name.
    fn lay_out(&self) {
        let work = self.work.path();
        for entry in fs::read_dir(work).unwrap() {
            let path = entry.unwrap().path();
            let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
        }
        fs::write(work.join("small"), "This is a test file").unwrap();
        fs::write(work.join("empty"), "").unwrap();
        fs::create_dir(work.join("directory")).unwrap();
        for number in 0..LAID_OUT {
            fs::write(self.laid(number), vec![number; 100]).unwrap();
        }
    }

    fn laid(&self, number: u8) -> String {
        let path = self.work.path().join(format!("laid-{number}"));
        path.to_str().unwrap().to_owned()
    }

    fn text(&self, text: &Text) -> String {
        match text {
            Text::Task(number) => {
                let known = self.ids.get(usize::from(*number) % self.ids.len().max(1));
                known.cloned().unwrap_or_default()
            }
            Text::Empty => String::new(),
            Text::Dots => "../../small".to_owned(),
            Text::Digest => "crc32:107352521".to_owned(),
            Text::Any(text) => text.clone(),
        }
    }

    fn path(&self, file: &File) -> String {
        let name = match file {
            File::Small => "small".to_owned(),
            File::Empty => "empty".to_owned(),
            File::New(number) => format!("new-{number}"),
            File::Directory => "directory".to_owned(),
            File::Below(number) => format!("directory/new-{number}"),
            File::Missing => "missing/new".to_owned(),
            File::Nowhere => return String::new(),
            File::Any(text) => return self.confined(text),
        };
        self.work.path().join(name).to_str().unwrap().to_owned()
    }

    /// A path of this name, where nothing but ours is.
    fn confined(&self, path: &str) -> String {
        let work = self.work.path().to_str().unwrap();
        if path.is_empty() {
            return String::new();
        }
        format!("{work}/{}", path.replace('/', "_"))
    }

    async fn ask(&mut self, request: Request) {
        let texts = |text: &Option<Text>| text.as_ref().map(|text| self.text(text));
        let task = |task: &Text| self.text(task);
        match request {
            Request::Import {
                file,
                content,
                replicas,
                tag,
                application,
                piece_length,
                ttl,
                timeout,
            } => {
                let import = UploadPersistentCacheTaskRequest {
                    content_for_calculating_task_id: texts(&content),
                    path: match &file {
                        Source::Laid(number) => self.laid(*number),
                        Source::Other(file) => self.path(file),
                    },
                    persistent_replica_count: replicas.0.unwrap_or(1),
                    tag: texts(&tag),
                    application: texts(&application),
                    piece_length: piece_length.0,
                    ttl: match &ttl.0 {
                        None => Some(Seconds::Hour.wire()),
                        Some(ttl) => ttl.as_ref().map(Seconds::wire),
                    },
                    timeout: timeout.0.as_ref().map(Seconds::wire),
                    remote_ip: None,
                };
                self.import(&import).await;
            }
            Request::Export {
                host,
                task,
                persistent,
                tag,
                output,
                timeout,
                need_piece_content,
                force_hard_link,
                digest,
                overwrite,
            } => {
                let export = DownloadPersistentCacheTaskRequest {
                    task_id: self.text(&task),
                    persistent,
                    tag: texts(&tag),
                    application: None,
                    output_path: output.as_ref().map(|output| self.path(output)),
                    timeout: timeout.0.as_ref().map(Seconds::wire),
                    need_piece_content,
                    force_hard_link,
                    digest: texts(&digest.0),
                    remote_ip: None,
                    overwrite,
                };
                self.send(host, METHODS[1], &export).await;
            }
            Request::Stat { host, task: id } => {
                let stat = StatPersistentCacheTaskRequest {
                    task_id: task(&id),
                    ..Default::default()
                };
                self.send(host, METHODS[2], &stat).await;
            }
            Request::StatLocal { host, task: id } => {
                let stat = StatLocalPersistentCacheTaskRequest {
                    task_id: task(&id),
                    ..Default::default()
                };
                self.send(host, METHODS[3], &stat).await;
            }
            Request::List { host } => {
                let list = ListLocalPersistentCacheTasksRequest::default();
                self.send(host, METHODS[4], &list).await;
            }
            Request::Update {
                host,
                task: id,
                persistent,
            } => {
                let update = UpdatePersistentCacheTaskRequest {
                    task_id: task(&id),
                    persistent,
                    ..Default::default()
                };
                self.send(host, METHODS[8], &update).await;
            }
            Request::Delete { host, task: id } => {
                let delete = DeletePersistentCacheTaskRequest {
                    task_id: task(&id),
                    ..Default::default()
                };
                self.send(host, METHODS[9], &delete).await;
            }
            Request::Bytes {
                method,
                framed,
                bytes,
            } => {
                let method = METHODS[usize::from(method) % METHODS.len()];
                let bytes = self.confined_request(method.1, bytes);
                let bytes = if framed {
                    crate::wire::framed(&bytes)
                } else {
                    bytes
                };
                self.send_bytes(false, method, bytes).await;
            }
            Request::Advance { seconds } => {
                let by = std::time::Duration::from_secs(seconds.into());
                let _ = self.daemon.clock().advance(by);
            }
            Request::Settle => {
                self.daemon.settle().await;
            }
            Request::Collect => self.daemon.collect().await.unwrap(),
        }
    }

    /// The bytes of a request, which names no file but ours.
    fn confined_request(&self, method: &str, bytes: Vec<u8>) -> Vec<u8> {
        if method.starts_with("Upload")
            && let Ok(mut import) = UploadPersistentCacheTaskRequest::decode(&*bytes)
            && !import.path.is_empty()
        {
            import.path = self.confined(&import.path);
            return import.encode_to_vec();
        }
        if method.starts_with("Download")
            && let Ok(mut export) = DownloadPersistentCacheTaskRequest::decode(&*bytes)
            && let Some(path) = &export.output_path
        {
            export.output_path = Some(self.confined(path));
            return export.encode_to_vec();
        }
        bytes
    }

    async fn import(&mut self, import: &UploadPersistentCacheTaskRequest) -> Option<String> {
        let answer = self.send(false, METHODS[0], import).await;
        if answer.status.0 != 0 {
            return None;
        }
        let task = dfdaemon_api::common::v2::PersistentCacheTask::decode(&answer.body[5..]);
        let id = task.unwrap().id;
        self.ids.push(id.clone());
        Some(id)
    }

    async fn send(&mut self, host: bool, method: (&str, &str), request: &impl Message) -> Answer {
        let request = framed(&request.encode_to_vec());
        self.send_bytes(host, method, request).await
    }

    async fn send_bytes(
        &mut self,
        host: bool,
        (service, method): (&str, &str),
        bytes: Vec<u8>,
    ) -> Answer {
        let socket = usize::from(service == UPLOAD);
        let connection = &mut self.connections[usize::from(host)][socket];
        let answer = call(connection, &format!("{service}/{method}"), bytes).await;
        let (code, message) = &answer.status;
        let asks_for_more = ["Upload", "Download", "Update", "Delete"];
        if *code == 0 && asks_for_more.iter().any(|verb| method.starts_with(verb)) {
            self.granted += 1;
        }
        assert_ne!(*code, UNKNOWN, "{method}: {message}");
        assert!(
            *code != INTERNAL || !message.is_empty(),
            "{method} does not say why"
        );
        answer
    }

    /// An import of a file, under the id of a name.
    fn named_import(&self, file: &str, name: &str) -> UploadPersistentCacheTaskRequest {
        let path = self.work.path().join(file);
        UploadPersistentCacheTaskRequest {
            content_for_calculating_task_id: Some(name.to_owned()),
            path: path.to_str().unwrap().to_owned(),
            persistent_replica_count: 1,
            ttl: Some(Seconds::Hour.wire()),
            ..Default::default()
        }
    }

    /// A new file goes in and comes out, whatever came before.
    async fn still_serves(&mut self) {
        fs::write(self.work.path().join("last"), "the last one").unwrap();
        let import = self.named_import("last", "a name that no other request has");
        let id = self.import(&import).await.expect("it imports no more");
        for host in [true, false] {
            let output = self.work.path().join(format!("last-{host}"));
            let export = DownloadPersistentCacheTaskRequest {
                task_id: id.clone(),
                output_path: Some(output.to_str().unwrap().to_owned()),
                need_piece_content: true,
                ..Default::default()
            };
            let answer = self.send(host, METHODS[1], &export).await;
            assert_eq!(answer.status.0, 0, "{:?}", answer.status);
            assert_eq!(fs::read(Path::new(&output)).unwrap(), b"the last one");
        }
    }
}
