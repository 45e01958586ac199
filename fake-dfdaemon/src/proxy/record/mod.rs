//! Recording: the thread that relays calls sends what happens to a thread of the recorder, which writes
//! a line of the cassette for each call. Others calculate the hashes of content.

mod backlog;
mod call;
mod event;
mod files;
mod hashing;
mod redact;
mod tap;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use jiff::Timestamp;

use self::backlog::Backlog;
pub(crate) use self::call::Recording;
use self::event::Event;
pub(crate) use self::event::{Begin, FileRole};
pub(crate) use self::files::{Before, look};
pub(crate) use self::hashing::{Data, Sinks};
pub(crate) use self::redact::Pattern;
use self::writer::Writer;
use super::cassette::write::CassetteWriter;
use super::cassette::{CassetteError, ContentMode, FORMAT, Head, Varies};

/// What is recorded, and how.
#[derive(Clone, Debug, Default)]
pub(crate) struct RecordSettings {
    pub(crate) content: ContentMode,
    /// The names of the metadata that are kept, in lower case.
    pub(crate) metadata: Vec<String>,
    pub(crate) redact: Vec<Pattern>,
}

/// Records calls into a cassette, until it is [finished](Self::finish).
#[derive(Debug)]
pub(crate) struct CassetteRecorder {
    shared: Arc<Shared>,
    thread: JoinHandle<Outcome>,
}

/// What the taps share.
#[derive(Debug)]
pub(super) struct Shared {
    events: Sender<Event>,
    backlog: Arc<Backlog>,
    last_call: std::sync::atomic::AtomicU64,
}

/// What has become of a recording.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) calls: u64,
    /// Why calls are missing, if any are.
    pub(crate) failed: Option<std::io::Error>,
}

impl CassetteRecorder {
    /// Begins a cassette of what the daemon at `upstream` says.
    pub(crate) fn start(
        path: &Path,
        upstream: &Path,
        settings: RecordSettings,
    ) -> Result<Self, CassetteError> {
        let head = Head {
            format: FORMAT.to_owned(),
            recorded_at: Timestamp::now(),
            upstream: redact::text(&settings.redact, &upstream.display().to_string()),
            release: None,
            content: settings.content,
            varies: Varies::default(),
        };
        let cassette = CassetteWriter::create(path, head)?;
        let (events, received) = channel();
        let backlog = Arc::<Backlog>::default();
        let writer = Writer::new(cassette, settings, Arc::clone(&backlog), events.clone());
        let thread = std::thread::Builder::new()
            .name("recorder".to_owned())
            .spawn(move || writer.run(&received))
            .map_err(|source| CassetteError::Io {
                path: path.to_owned(),
                source,
            })?;
        let shared = Arc::new(Shared {
            events,
            backlog,
            last_call: std::sync::atomic::AtomicU64::new(0),
        });
        Ok(Self { shared, thread })
    }

    /// What looks at the calls that pass.
    pub(crate) fn tap(&self) -> Arc<dyn super::tap::Tap> {
        Arc::new(tap::RecordTap(Arc::clone(&self.shared)))
    }

    /// Waits until every call that has ended is in the cassette. No call is running any more.
    pub(crate) async fn finish(self) -> Outcome {
        // The thread has ended, if nobody receives this.
        let _ = self.shared.events.send(Event::Finish);
        let joined = tokio::task::spawn_blocking(|| self.thread.join()).await;
        match joined {
            Ok(Ok(outcome)) => outcome,
            _ => Outcome {
                calls: 0,
                failed: Some(std::io::Error::other("the recorder's thread died")),
            },
        }
    }
}
