//! Hashes of content. Threads of their own calculate them, one thread for each message: that takes longer
//! than the content takes to arrive.

use std::collections::HashMap;
use std::io;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use bytes::Bytes;

use super::backlog::BacklogPermit;
use super::event::{Event, Slot, What};
use crate::dfdaemon::mutex::Mutex;
use crate::proxy::cassette::ContentRef;
use crate::proxy::cassette::content::{ContentSink, ContentStore};

/// The most threads that calculate.
const MOST: usize = 4;

/// Bytes that have come. As long as a part of them is needed, they count as waiting.
#[derive(Clone)]
pub(crate) struct Data {
    bytes: Bytes,
    permit: Option<Arc<BacklogPermit>>,
}

/// Where content goes.
#[derive(Clone)]
pub(crate) enum Sinks {
    /// It is calculated as it comes.
    Here(ContentStore),
    /// The hashes of this call's content come later, as events.
    Aside {
        store: ContentStore,
        call: u64,
        hashers: Arc<Hashers>,
    },
}

/// The content of a message. Dropped, nothing is left of it.
pub(super) enum Sink {
    Here(Box<ContentSink>),
    Aside(Hashing),
}

/// The threads that calculate, made when there is work for them.
#[derive(Debug)]
pub(crate) struct Hashers {
    threads: Mutex<Vec<Sender<Job>>>,
    last: AtomicU64,
    events: Sender<Event>,
}

/// Content that a thread is calculating the hash of.
pub(super) struct Hashing {
    thread: Sender<Job>,
    number: u64,
    call: u64,
    length: u64,
    is_finished: bool,
}

/// A step of the content with this number, for the thread that hashes it.
enum Job {
    Begin(u64, ContentStore),
    Part(u64, Data),
    Finish(u64, u64, Slot),
    Forget(u64),
}

impl Data {
    pub(super) fn waiting(bytes: Bytes, permit: BacklogPermit) -> Self {
        let permit = Some(Arc::new(permit));
        Self { bytes, permit }
    }

    /// A part of them, or of what came before them.
    fn part(&self, part: &[u8]) -> Self {
        let is_mine = self.bytes.as_ptr_range().contains(&part.as_ptr());
        Self {
            bytes: match is_mine {
                true => self.bytes.slice_ref(part),
                false => Bytes::copy_from_slice(part),
            },
            permit: self.permit.clone(),
        }
    }
}

impl From<Bytes> for Data {
    fn from(bytes: Bytes) -> Self {
        Self {
            bytes,
            permit: None,
        }
    }
}

impl Deref for Data {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Sinks {
    pub(super) fn sink(&self) -> io::Result<Sink> {
        match self {
            Self::Here(store) => Ok(Sink::Here(Box::new(store.sink()?))),
            Self::Aside {
                store,
                call,
                hashers,
            } => hashers.begin(store, *call).map(Sink::Aside),
        }
    }
}

impl Sink {
    /// Takes a part of `data`.
    pub(super) fn write(&mut self, data: &Data, part: &[u8]) -> io::Result<()> {
        match self {
            Self::Here(sink) => sink.write(part),
            Self::Aside(hashing) => hashing.write(data.part(part)),
        }
    }

    /// The content is complete: what is known of it, and whether its hash comes later, for `slot`.
    pub(super) fn finish(self, slot: Slot) -> io::Result<(ContentRef, bool)> {
        match self {
            Self::Here(sink) => Ok((sink.finish()?, false)),
            Self::Aside(hashing) => Ok((hashing.finish(slot)?, true)),
        }
    }
}

impl Hashers {
    pub(super) fn new(events: Sender<Event>) -> Self {
        Self {
            threads: Mutex::default(),
            last: AtomicU64::new(0),
            events,
        }
    }

    fn begin(&self, store: &ContentStore, call: u64) -> io::Result<Hashing> {
        let number = self.last.fetch_add(1, Ordering::Relaxed);
        let hashing = Hashing {
            thread: self.thread(number)?,
            number,
            call,
            length: 0,
            is_finished: false,
        };
        hashing.tell(Job::Begin(number, store.clone()))?;
        Ok(hashing)
    }

    /// One after the other: pieces that come behind each other are calculated side by side.
    fn thread(&self, number: u64) -> io::Result<Sender<Job>> {
        let mut threads = self.threads.lock();
        if threads.is_empty() {
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            for _ in 0..cores.min(MOST) {
                let (thread, jobs) = channel();
                let events = self.events.clone();
                std::thread::Builder::new()
                    .name("hash".to_owned())
                    .spawn(move || work(&jobs, &events))?;
                threads.push(thread);
            }
        }
        let turn = usize::try_from(number).unwrap_or(0) % threads.len();
        threads.get(turn).cloned().ok_or_else(thread_died)
    }
}

impl Hashing {
    fn tell(&self, job: Job) -> io::Result<()> {
        self.thread.send(job).map_err(|_| thread_died())
    }

    fn write(&mut self, data: Data) -> io::Result<()> {
        self.length += data.len() as u64;
        self.tell(Job::Part(self.number, data))
    }

    /// Its length; the hash comes later.
    fn finish(mut self, slot: Slot) -> io::Result<ContentRef> {
        self.is_finished = true;
        self.tell(Job::Finish(self.number, self.call, slot))?;
        Ok(ContentRef {
            sha256: String::new(),
            length: self.length,
        })
    }
}

impl Drop for Hashing {
    fn drop(&mut self) {
        if !self.is_finished {
            // One that has died holds nothing.
            let _ = self.tell(Job::Forget(self.number));
        }
    }
}

fn work(jobs: &Receiver<Job>, events: &Sender<Event>) {
    let mut sinks = HashMap::new();
    while let Ok(job) = jobs.recv() {
        match job {
            Job::Begin(number, store) => drop(sinks.insert(number, store.sink())),
            Job::Part(number, data) => {
                if let Some(kept) = sinks.get_mut(&number)
                    && let Ok(sink) = kept
                    && let Err(error) = sink.write(&data)
                {
                    *kept = Err(error);
                }
            }
            Job::Finish(number, call, slot) => {
                let sink = sinks.remove(&number).unwrap_or_else(|| Err(thread_died()));
                let what = What::Hashed(slot, sink.and_then(ContentSink::finish));
                // The recorder has ended, if nobody receives this.
                let _ = events.send(Event::Of {
                    call,
                    at: std::time::Duration::ZERO,
                    what,
                });
            }
            Job::Forget(number) => drop(sinks.remove(&number)),
        }
    }
}

fn thread_died() -> io::Error {
    io::Error::other("a thread that calculates hashes died")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::cassette::ContentMode;
    use crate::proxy::record::backlog::Backlog;

    /// Content and hash, as sha256sum prints it.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn sinks(dir: &std::path::Path) -> (Sinks, Receiver<Event>) {
        std::fs::create_dir(dir.join("content")).unwrap();
        let (events, received) = channel();
        let sinks = Sinks::Aside {
            store: ContentStore::new(dir, ContentMode::Keep),
            call: 7,
            hashers: Arc::new(Hashers::new(events)),
        };
        (sinks, received)
    }

    #[test]
    fn hashes_of_messages_that_come_side_by_side_are_their_own() {
        let dir = tempfile::tempdir().unwrap();
        let (sinks, received) = sinks(dir.path());
        let data = Data::from(Bytes::from_static(b"abcd"));
        let mut open: Vec<_> = (0..20).map(|_| sinks.sink().unwrap()).collect();
        for range in [0..1, 1..3] {
            for sink in &mut open {
                sink.write(&data, &data[range.clone()]).unwrap();
            }
        }
        // It had a part of another message.
        open[3].write(&data, b"d").unwrap();
        for (index, sink) in open.into_iter().enumerate() {
            let (content, is_later) = sink.finish(Slot::Answer(index)).unwrap();
            assert!(is_later && content.length == if index == 3 { 4 } else { 3 });
        }
        for _ in 0..20 {
            let Ok(Event::Of { call: 7, what, .. }) = received.recv() else {
                panic!("no event of the call");
            };
            let What::Hashed(Slot::Answer(index), Ok(content)) = what else {
                panic!("no hash");
            };
            assert_eq!(content.sha256 == ABC, index != 3, "{index}");
        }
        assert_eq!(
            std::fs::read(dir.path().join("content").join(ABC)).unwrap(),
            b"abc"
        );
        assert_eq!(
            std::fs::read_dir(dir.path().join("content"))
                .unwrap()
                .count(),
            2
        );
    }

    #[tokio::test]
    async fn bytes_wait_until_their_hash_has_them_and_nothing_is_left_of_what_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let (sinks, received) = sinks(dir.path());
        let backlog = Arc::<Backlog>::default();
        let bytes = Bytes::from(vec![1; 32 << 20]);
        backlog.add(bytes.len());
        let permit = BacklogPermit::of(&backlog, bytes.len());
        let data = Data::waiting(bytes, permit);
        let mut dropped = sinks.sink().unwrap();
        dropped.write(&data, &data[..5]).unwrap();
        let mut sink = sinks.sink().unwrap();
        sink.write(&data, &data).unwrap();
        drop(data);
        drop(dropped);
        sink.finish(Slot::Request(0)).unwrap();
        std::future::poll_fn(|context| backlog.poll_ready(context)).await;
        assert!(received.recv().is_ok());
        // The threads end with the last that has work for them, and what they held is gone.
        drop(sinks);
        assert!(received.recv().is_err());
        assert_eq!(
            std::fs::read_dir(dir.path().join("content"))
                .unwrap()
                .count(),
            1
        );
    }
}
