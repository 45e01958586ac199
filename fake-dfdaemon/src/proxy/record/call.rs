//! A call on its way into the cassette.

use std::io;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::HeaderMap;
use prost_reflect::MessageDescriptor;
use tonic::Code;

use super::RecordSettings;
use super::event::{Begin, FileRole, Slot};
use super::hashing::{Data, Sink, Sinks};
use super::redact::{self, Pattern};
use crate::call::faults::code_name;
use crate::proxy::cassette::{
    Answer, Call, ContentRef, End, FileSeen, HttpStatus, Message, Metadata, Status,
};
use crate::proxy::frames::{Frame, Part, Splitter, without_content};
use crate::proxy::messages::{Side, message_type, to_json};
use crate::proxy::paths::is_export;
use crate::proxy::piece::framed;
use crate::proxy::tap::Ended;

/// Headers that say how a call is carried, or stand elsewhere in the record.
const STATUS: &str = "grpc-status";
const MESSAGE: &str = "grpc-message";
const DETAILS: &str = "grpc-status-details-bin";

/// A call that is being recorded.
pub(crate) struct Recording {
    call: Call,
    sinks: Sinks,
    requests: Direction,
    answers: Direction,
    /// Files that are still looked at or read.
    pub(crate) files_open: usize,
    has_all_requests: bool,
    is_over: bool,
}

/// One direction of a call.
struct Direction {
    splitter: Splitter,
    descriptor: Option<MessageDescriptor>,
    sink: Option<Sink>,
    /// The place of a message.
    slot: fn(usize) -> Slot,
    messages: Vec<Message>,
    /// Those whose content has no hash yet.
    hashes_open: usize,
    /// About what the messages take in memory, in bytes.
    held: usize,
    left_out: u64,
}

/// The most that the messages of a call may take, their content apart: some ten thousand.
const MOST_HELD: usize = 32 << 20;

/// What a message takes as JSON: this many times its bytes, and this.
const FACTOR: usize = 8;
const OWN: usize = 512;

impl Recording {
    pub(crate) fn begin(
        number: u64,
        begin: Begin,
        sinks: Sinks,
        settings: &RecordSettings,
    ) -> Self {
        let direction = |side| Direction {
            splitter: Splitter::new(side == Side::Response && is_export(&begin.method)),
            descriptor: message_type(&begin.method, side),
            sink: None,
            slot: match side {
                Side::Request => Slot::Request,
                Side::Response => Slot::Answer,
            },
            messages: Vec::new(),
            hashes_open: 0,
            held: 0,
            left_out: 0,
        };
        let (requests, answers) = (direction(Side::Request), direction(Side::Response));
        let call = Call {
            call: number,
            at: begin.at,
            deadline: text_of(&begin.headers, "grpc-timeout"),
            metadata: metadata(&begin.headers, settings),
            method: begin.method,
            requests: Vec::new(),
            requests_cut: false,
            source: None,
            answer: Answer::default(),
            output: None,
        };
        Self {
            call,
            sinks,
            requests,
            answers,
            files_open: 0,
            has_all_requests: false,
            is_over: false,
        }
    }

    pub(crate) fn request_data(&mut self, at: Duration, data: &Data) -> io::Result<()> {
        self.requests.push(at, data, &self.sinks)
    }

    pub(crate) fn response_data(&mut self, at: Duration, data: &Data) -> io::Result<()> {
        self.answers.push(at, data, &self.sinks)
    }

    pub(crate) fn request_ended(&mut self) {
        self.has_all_requests = true;
    }

    /// The content of a message has its hash.
    pub(crate) fn hashed(&mut self, slot: Slot, content: ContentRef) {
        let (direction, index) = match slot {
            Slot::Request(index) => (&mut self.requests, index),
            Slot::Answer(index) => (&mut self.answers, index),
        };
        direction.hashes_open = direction.hashes_open.saturating_sub(1);
        if let Some(message) = direction.messages.get_mut(index) {
            message.content = Some(content);
        }
    }

    pub(crate) fn head(
        &mut self,
        at: Duration,
        status: u16,
        headers: &HeaderMap,
        is_whole: bool,
        settings: &RecordSettings,
    ) {
        let answer = &mut self.call.answer;
        answer.http_status = HttpStatus(status);
        answer.opened = !is_whole;
        answer.head_ms = milliseconds(at);
        if is_whole {
            self.trailers(headers, settings);
        } else {
            answer.metadata = metadata(headers, settings);
        }
    }

    pub(crate) fn trailers(&mut self, trailers: &HeaderMap, settings: &RecordSettings) {
        let message = text_of(trailers, MESSAGE).unwrap_or_default();
        let message = percent_encoding::percent_decode_str(&message).decode_utf8_lossy();
        let details = text_of(trailers, DETAILS);
        let is_secret = |details: &String| {
            let decoded = crate::proxy::status::details(details).unwrap_or_default();
            redact::matches(&settings.redact, &decoded)
        };
        self.call.answer.end = End::Status(Status {
            code: text_of(trailers, STATUS).map(|code| name_of_code(&code)),
            message: redact::text(&settings.redact, &message),
            details: details.filter(|details| !is_secret(details)),
            metadata: metadata(trailers, settings),
        });
    }

    pub(crate) fn ended(&mut self, at: Duration, how: Option<Ended>) -> io::Result<()> {
        self.is_over = true;
        self.answers.end(at)?;
        self.call.requests_cut = how.is_some() && !self.has_all_requests;
        let answer = &mut self.call.answer;
        answer.end_ms = milliseconds(at);
        match how {
            // The trailers have said how, if there were any.
            Some(Ended::Complete) => {
                if answer.end == End::ClientGone {
                    answer.end = End::Status(Status::default());
                }
            }
            Some(Ended::Reset(code)) => answer.end = End::Reset(code),
            Some(Ended::Broken) => answer.end = End::Broken,
            None => answer.end = End::ClientGone,
        }
        Ok(())
    }

    pub(crate) fn file(&mut self, role: FileRole, seen: Option<FileSeen>) {
        match role {
            FileRole::Source => self.call.source = seen,
            FileRole::Output => self.call.output = seen,
        }
    }

    pub(crate) fn is_complete(&self) -> bool {
        let hashes_open = self.requests.hashes_open + self.answers.hashes_open;
        self.is_over && self.files_open == 0 && hashes_open == 0
    }

    /// The line, and the release that the call tells of.
    pub(crate) fn finish(mut self, settings: &RecordSettings) -> (Call, Option<&'static str>) {
        self.call.requests = self.requests.messages;
        self.call.answer.messages = self.answers.messages;
        self.call.answer.left_out = self.answers.left_out;
        let release = release(&self.call);
        let messages = self.call.requests.iter_mut();
        for message in messages.chain(&mut self.call.answer.messages) {
            redact_message(message, &settings.redact);
        }
        // A part of a message that nobody needs is not worth a call that cannot be played.
        let messages = &mut self.call.answer.messages;
        messages.retain(|message| message.cut.is_none() || !message.redacted);
        (self.call, release)
    }
}

impl Direction {
    fn push(&mut self, at: Duration, data: &Data, sinks: &Sinks) -> io::Result<()> {
        let Self {
            splitter,
            descriptor,
            sink,
            slot,
            messages,
            hashes_open,
            held,
            left_out,
        } = self;
        splitter.push(data, &mut |part| match part {
            Part::Begin { .. } => Ok(()),
            Part::Content(bytes) => {
                if sink.is_none() {
                    *sink = Some(sinks.sink()?);
                }
                sink.as_mut().map_or(Ok(()), |sink| sink.write(data, bytes))
            }
            Part::Frame(frame) => {
                let sink = sink.take();
                *held += OWN + FACTOR * (frame.head.len() + frame.tail.len());
                if *held > MOST_HELD {
                    *left_out += 1;
                    return Ok(());
                }
                let content = finished(sink, slot(messages.len()), hashes_open)?;
                let message = recorded(descriptor.as_ref(), frame, content);
                messages.push(Message {
                    at_ms: milliseconds(at),
                    ..message
                });
                Ok(())
            }
        })
    }

    /// The stream is over, perhaps in the middle of a message.
    fn end(&mut self, at: Duration) -> io::Result<()> {
        let splitter = std::mem::replace(&mut self.splitter, Splitter::new(false));
        let sink = self.sink.take();
        let Some((frame, total)) = splitter.cut().filter(|_| self.left_out == 0) else {
            return Ok(());
        };
        let sink = sink.filter(|_| frame.content.is_some_and(|length| length > 0));
        let slot = (self.slot)(self.messages.len());
        let content = finished(sink, slot, &mut self.hashes_open)?;
        self.messages.push(Message {
            at_ms: milliseconds(at),
            compressed: frame.is_compressed(),
            raw: Some(BASE64.encode(&frame.head)),
            raw_tail: Some(frame.tail)
                .filter(|tail| !tail.is_empty())
                .map(|tail| BASE64.encode(tail)),
            content,
            cut: Some(total),
            ..Message::default()
        });
        Ok(())
    }
}

/// The content of a message that is complete, if it has any. One whose hash comes later is counted.
fn finished(
    sink: Option<Sink>,
    slot: Slot,
    hashes_open: &mut usize,
) -> io::Result<Option<ContentRef>> {
    let Some(sink) = sink else {
        return Ok(None);
    };
    let (content, is_later) = sink.finish(slot)?;
    *hashes_open += usize::from(is_later);
    Ok(Some(content))
}

/// A message that has come, with the content that was cut out of it.
fn recorded(
    descriptor: Option<&MessageDescriptor>,
    frame: Frame,
    content: Option<ContentRef>,
) -> Message {
    let message = Message {
        compressed: frame.is_compressed(),
        content,
        ..Message::default()
    };
    if frame.is_long {
        return message;
    }
    let Some(content) = &message.content else {
        let json = descriptor.filter(|_| !frame.is_compressed());
        let json = json.and_then(|descriptor| to_json(descriptor, &frame.head));
        let raw = json.is_none().then(|| BASE64.encode(&frame.head));
        return Message {
            message: json,
            raw,
            ..message
        };
    };
    let json = || {
        let without = without_content(&frame.head, content.length, &frame.tail)?;
        let json = to_json(descriptor?, &without)?;
        let again = framed(&json, content.length).ok()?;
        (again == (frame.head.clone(), frame.tail.clone())).then_some(json)
    };
    match json() {
        Some(json) => Message {
            message: Some(json),
            ..message
        },
        None => Message {
            raw: Some(BASE64.encode(&frame.head)),
            raw_tail: Some(BASE64.encode(&frame.tail)),
            ..message
        },
    }
}

fn redact_message(message: &mut Message, patterns: &[Pattern]) {
    if let Some(json) = &mut message.message {
        redact::value(patterns, json);
    }
    let is_secret = |raw: &Option<String>| {
        let bytes = raw.as_ref().and_then(|raw| BASE64.decode(raw).ok());
        bytes.is_some_and(|bytes| redact::matches(patterns, &bytes))
    };
    if is_secret(&message.raw) || is_secret(&message.raw_tail) {
        message.raw = None;
        message.raw_tail = None;
        message.content = None;
        message.redacted = true;
    }
}

/// What the id of a task tells: 64 hexadecimal digits are those of 1.5.
fn release(call: &Call) -> Option<&'static str> {
    let message = call.answer.messages.first()?.message.as_ref()?;
    let id = message.get("id").or_else(|| message.get("task_id"))?;
    let id = id.as_str()?;
    if id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Some("1.5");
    }
    id.parse::<u32>().is_ok().then_some("0.2")
}

/// The metadata that was asked for.
fn metadata(headers: &HeaderMap, settings: &RecordSettings) -> Metadata {
    let mut kept = Metadata::new();
    for name in &settings.metadata {
        let values = headers.get_all(name.as_str()).iter();
        let values: Vec<_> = values
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .map(|value| redact::text(&settings.redact, &value))
            .collect();
        if !values.is_empty() {
            kept.insert(name.clone(), values);
        }
    }
    kept
}

fn text_of(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?;
    Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
}

fn name_of_code(code: &str) -> String {
    match code.parse::<i32>() {
        Ok(number @ 0..=16) => code_name(Code::from_i32(number)).to_owned(),
        _ => code.to_owned(),
    }
}

fn milliseconds(at: Duration) -> f64 {
    (at.as_secs_f64() * 1e6).round() / 1e3
}
