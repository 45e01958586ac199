//! A proxy in front of a daemon that answers an export with arbitrary bytes.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use fake_dfdaemon::{Fault, Proxy};
use http::{HeaderMap, Response};
use http_body_util::{BodyExt as _, Full};
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::runtime::Runtime;

use crate::Target;
use crate::stage::{directory, runtime, within_time};
use crate::wire::{connect, framed, read_some, serve};

const EXPORT: &str = "dfdaemon.v2.DfdaemonDownload/DownloadPersistentCacheTask";

/// The faults that are armed; none is for the first, and the second never acts.
const FAULTS: [&str; 14] = [
    "stat:reset",
    "export@piece=4294967295:skip_piece",
    "export:skip_piece",
    "export:repeat_piece",
    "export:shuffle_pieces",
    "export:corrupt_piece",
    "export:corrupt_digest",
    "export:empty_digest",
    "export:no_content",
    "export:wrong_length=-1",
    "export:wrong_content_length=9223372036854775807",
    "export:bandwidth=1GiB",
    "export@bytes=1:error=DATA_LOSS",
    "export@piece=0:end",
];

/// The first byte picks the fault; the others are the daemon's answer.
#[derive(Debug)]
pub struct ProxiedStreams {
    runtime: Runtime,
    proxy: Proxy,
    answer: Arc<Mutex<Bytes>>,
    _directory: TempDir,
}

impl Default for ProxiedStreams {
    fn default() -> Self {
        let (runtime, directory) = (runtime(), directory());
        let socket = directory.path().join("daemon.sock");
        let answer = Arc::<Mutex<Bytes>>::default();
        let answers = Arc::clone(&answer);
        let proxy = runtime.block_on(async {
            let listener = UnixListener::bind(&socket).unwrap();
            tokio::spawn(async move {
                loop {
                    let (connection, _) = listener.accept().await.unwrap();
                    let answers = Arc::clone(&answers);
                    tokio::spawn(serve(connection, move |_| {
                        let body = Full::new(answers.lock().unwrap().clone());
                        let mut trailers = HeaderMap::new();
                        trailers.insert("grpc-status", "0".parse().unwrap());
                        Response::new(body.with_trailers(async { Some(Ok(trailers)) }))
                    }));
                }
            });
            Proxy::builder(&socket).start().await.unwrap()
        });
        Self {
            runtime,
            proxy,
            answer,
            _directory: directory,
        }
    }
}

impl Target for ProxiedStreams {
    const NAME: &str = "proxied_streams";

    fn gets_far(&mut self, input: &[u8]) -> bool {
        let Some((first, answer)) = input.split_first() else {
            return false;
        };
        let number = usize::from(*first) % FAULTS.len();
        let fault: Fault = FAULTS[number].parse().unwrap();
        *self.answer.lock().unwrap() = Bytes::copy_from_slice(answer);
        let fault = self.proxy.fault(fault);
        let read = within_time(&self.runtime, async {
            let connection = &mut connect(self.proxy.endpoint()).await;
            read_some(connection, EXPORT, framed(b"\x0a\x017\x30\x01")).await
        });
        match number {
            0 => assert!(read == answer, "what passed is not what was sent"),
            // Of a message that is cut, only whole parts have to come.
            1 => assert!(answer.starts_with(&read), "what passed was not sent"),
            _ => {}
        }
        number < 2 || fault.fired() > 0
    }
}
