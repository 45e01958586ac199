//! The thread that writes the lines of a cassette from the events of the taps.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::Duration;

use super::backlog::{Backlog, BacklogPermit};
use super::call::Recording;
use super::event::{Event, What};
use super::hashing::{Data, Hashers, Sinks};
use super::{Outcome, RecordSettings};
use crate::proxy::cassette::write::CassetteWriter;

pub(crate) struct Writer {
    cassette: CassetteWriter,
    settings: RecordSettings,
    backlog: Arc<Backlog>,
    hashers: Arc<Hashers>,
    events: Sender<Event>,
    calls: HashMap<u64, Recording>,
    outcome: Outcome,
    is_finishing: bool,
}

impl Writer {
    pub(crate) fn new(
        cassette: CassetteWriter,
        settings: RecordSettings,
        backlog: Arc<Backlog>,
        events: Sender<Event>,
    ) -> Self {
        Self {
            cassette,
            settings,
            backlog,
            hashers: Arc::new(Hashers::new(events.clone())),
            events,
            calls: HashMap::new(),
            outcome: Outcome::default(),
            is_finishing: false,
        }
    }

    pub(crate) fn run(mut self, events: &Receiver<Event>) -> Outcome {
        while let Ok(event) = events.recv() {
            match event {
                Event::Of { call, at, what } => self.take(call, at, what),
                Event::Finish => self.is_finishing = true,
            }
            if self.is_finishing && self.calls.is_empty() {
                break;
            }
        }
        self.outcome
    }

    fn take(&mut self, number: u64, at: Duration, what: What) {
        let bytes = match &what {
            What::RequestData(data) | What::ResponseData(data) => data.len(),
            _ => 0,
        };
        // Whatever becomes of them: others wait for it.
        let permit = BacklogPermit::of(&self.backlog, bytes);
        if let Err(error) = self.record(number, at, what, permit) {
            self.failed(number, error);
        }
    }

    fn record(
        &mut self,
        number: u64,
        at: Duration,
        what: What,
        permit: BacklogPermit,
    ) -> io::Result<()> {
        if let What::Begin(begin) = what {
            let sinks = Sinks::Aside {
                store: self.cassette.content(),
                call: number,
                hashers: Arc::clone(&self.hashers),
            };
            let recording = Recording::begin(number, *begin, sinks, &self.settings);
            self.calls.insert(number, recording);
            return Ok(());
        }
        let Some(recording) = self.calls.get_mut(&number) else {
            // It could not be recorded, which was reported.
            return Ok(());
        };
        match what {
            What::Begin(_) => {}
            What::RequestData(data) => recording.request_data(at, &Data::waiting(data, permit))?,
            What::ResponseData(data) => {
                recording.response_data(at, &Data::waiting(data, permit))?
            }
            What::RequestEnded => recording.request_ended(),
            What::Head(status, headers, is_whole) => {
                recording.head(at, status, &headers, is_whole, &self.settings);
            }
            What::Trailers(trailers) => recording.trailers(&trailers, &self.settings),
            What::Ended(how) => recording.ended(at, how)?,
            What::FileBegins => recording.files_open += 1,
            What::File(role, found) => {
                // A long file does not keep other calls waiting.
                let content = self.cassette.content();
                let events = self.events.clone();
                let read = move || {
                    let read = found.map(|found| found.read(&content)).transpose();
                    let what = What::FileRead(role, read);
                    // The recorder has ended, if nobody receives this.
                    let _ = events.send(Event::Of {
                        call: number,
                        at,
                        what,
                    });
                };
                std::thread::Builder::new()
                    .name("file".to_owned())
                    .spawn(read)?;
            }
            What::FileRead(role, seen) => {
                recording.files_open -= 1;
                recording.file(role, seen?);
            }
            What::Hashed(slot, content) => recording.hashed(slot, content?),
        }
        if recording.is_complete()
            && let Some(recording) = self.calls.remove(&number)
        {
            let (call, release) = recording.finish(&self.settings);
            if let Some(release) = release {
                self.cassette.set_release(release)?;
            }
            self.cassette.append(&call)?;
            self.outcome.calls += 1;
        }
        Ok(())
    }

    /// A call is missing from now on. Others may go better.
    fn failed(&mut self, number: u64, error: io::Error) {
        tracing::error!(call = number, %error, "a call is not recorded");
        self.calls.remove(&number);
        self.outcome.failed.get_or_insert(error);
    }
}
