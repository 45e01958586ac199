//! A recorded call as it can be played: everything that could be wrong with it is found at the start.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use dfdaemon_api::digest::piece_digest;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::Value;

use tonic::Code;

use crate::call::faults::code_name;
use crate::proxy::cassette::read::Cassette;
use crate::proxy::cassette::{
    Call, CassetteError, ContentMode, ContentRef, End, FileKind, Message, Metadata, Status,
};
use crate::proxy::messages::{Side, from_json, message_type};
use crate::proxy::piece::framed;

/// What stands percent-encoded in `grpc-message`, beside what is not ASCII.
const ESCAPED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'`')
    .add(b'?')
    .add(b'{')
    .add(b'}');

/// The longest message that gRPC's prefix can tell of.
const MAX_MESSAGE: u64 = u32::MAX as u64;

/// A call that can be played.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) call: Call,
    pub(crate) requests: Vec<Expected>,
    pub(super) status: StatusCode,
    pub(super) head: HeaderMap,
    pub(super) messages: Vec<Part>,
    pub(super) output: Option<Output>,
}

/// A request message as it was recorded.
#[derive(Debug)]
pub(crate) enum Expected {
    Json(Value),
    Bytes(Vec<u8>),
    Content(ContentRef),
}

/// An answer's message.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) at_ms: f64,
    is_compressed: bool,
    framing: Framing,
    content: Option<Content>,
    /// How long the whole message was to be, of which this is the begin.
    cut: Option<u64>,
}

#[derive(Debug)]
enum Framing {
    /// Before and behind the content.
    Bytes(Vec<u8>, Vec<u8>),
    /// Of a piece whose content is made up, and so is its digest.
    Made(Value),
}

/// Content that is there, or is made up.
#[derive(Clone, Debug)]
pub(super) struct Content {
    file: Option<Arc<File>>,
    seed: [u8; 32],
    pub(super) length: u64,
}

/// What an export by path leaves.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) content: Content,
    pub(super) mode: u32,
}

impl Script {
    pub(crate) fn of(call: Call, cassette: &Cassette) -> Result<Self, CassetteError> {
        let number = call.call;
        Self::checked(call, cassette).map_err(|why| cassette.malformed(number, &why))
    }

    fn checked(call: Call, cassette: &Cassette) -> Result<Self, String> {
        let requests = call.requests.iter().enumerate().map(|(index, message)| {
            expected(message, cassette).map_err(|why| format!("request {index}: {why}"))
        });
        let requests = requests.collect::<Result<_, _>>()?;
        let answer = &call.answer;
        let status = StatusCode::from_u16(answer.http_status.0).ok();
        let status = status.filter(|status| status.as_u16() >= 200);
        let status = status.ok_or("http_status: a call cannot end with it")?;
        let head = headers(&answer.metadata)?;
        let parts = answer.messages.iter().enumerate().map(|(index, message)| {
            part(message, &call, cassette).map_err(|why| format!("answer {index}: {why}"))
        });
        let messages = parts.collect::<Result<_, _>>()?;
        check_cut(&answer.messages)?;
        if let End::Status(status) = &answer.end {
            trailers(status)?;
        }
        let left = call
            .output
            .as_ref()
            .filter(|left| matches!(left.kind, FileKind::Link | FileKind::Copy));
        let left = left.and_then(|left| Some((left, left.content.as_ref()?)));
        let output = left.map(|(left, content)| {
            Ok::<_, String>(Output {
                content: content_of(content, cassette)?,
                // No set-user-ID or set-group-ID bit.
                mode: u32::from_str_radix(&left.mode, 8).unwrap_or(0o644) & 0o777,
            })
        });
        let output = output.transpose().map_err(|why| format!("output: {why}"))?;
        Ok(Self {
            requests,
            status,
            head,
            messages,
            output,
            call,
        })
    }
}

impl Script {
    /// Whether the cassette has no more than hashes of its content.
    pub(super) fn is_made(&self) -> bool {
        let contents = self
            .messages
            .iter()
            .filter_map(|part| part.content.as_ref());
        let output = self.output.iter().map(|output| &output.content);
        contents.chain(output).any(|content| content.file.is_none())
    }
}

fn expected(message: &Message, cassette: &Cassette) -> Result<Expected, String> {
    if message.redacted {
        return Err("a request was redacted: it looks like others".to_owned());
    }
    if let Some(raw) = &message.raw {
        return Ok(Expected::Bytes(bytes_of(raw)?));
    }
    match (&message.message, &message.content) {
        (Some(json), None) => Ok(Expected::Json(json.clone())),
        (None, Some(content)) => {
            content_of(content, cassette)?;
            Ok(Expected::Content(content.clone()))
        }
        _ => Err("a request must have one of message, raw and content".to_owned()),
    }
}

/// Nothing comes behind a message that is not there to its end.
fn check_cut(messages: &[Message]) -> Result<(), String> {
    let cut = messages.iter().position(|message| message.cut.is_some());
    match cut {
        Some(index) if index + 1 < messages.len() => Err(format!(
            "answer {index}: cut: only the last message can be cut"
        )),
        _ => Ok(()),
    }
}

fn part(message: &Message, call: &Call, cassette: &Cassette) -> Result<Part, String> {
    if message.redacted {
        return Err("it was redacted and cannot be replayed".to_owned());
    }
    if !message.at_ms.is_finite() || message.at_ms < 0.0 {
        return Err("at_ms: a time cannot be negative".to_owned());
    }
    let content = message.content.as_ref();
    let content = content
        .map(|content| content_of(content, cassette))
        .transpose()?;
    let length = content.as_ref().map_or(0, |content| content.length);
    let framing = match (&message.raw, &message.message) {
        (Some(raw), _) => {
            let tail = message.raw_tail.as_deref().map(bytes_of).transpose()?;
            Framing::Bytes(bytes_of(raw)?, tail.unwrap_or_default())
        }
        (None, Some(json)) if content.is_some() => {
            let (head, tail) = framed(json, length)?;
            match content
                .as_ref()
                .is_some_and(|content| content.file.is_some())
            {
                true => Framing::Bytes(head, tail),
                false => Framing::Made(json.clone()),
            }
        }
        (None, Some(json)) => {
            let descriptor = message_type(&call.method, Side::Response);
            let descriptor = descriptor.ok_or("the method is unknown: its answers must be raw")?;
            Framing::Bytes(from_json(&descriptor, json)?, Vec::new())
        }
        (None, None) if content.is_some() => Framing::Bytes(Vec::new(), Vec::new()),
        (None, None) => return Err("it must have one of message, raw and content".to_owned()),
    };
    if length > MAX_MESSAGE / 2 {
        return Err(format!("{length} bytes are more than a message can have"));
    }
    if let Some(cut) = message.cut {
        let Framing::Bytes(head, tail) = &framing else {
            return Err("cut: the beginning of a message must be raw".to_owned());
        };
        let came = head.len() as u64 + length + tail.len() as u64;
        if cut < came || cut > MAX_MESSAGE {
            return Err(format!("cut: {came} bytes of {cut} cannot have come"));
        }
    }
    Ok(Part {
        cut: message.cut,
        at_ms: message.at_ms,
        is_compressed: message.compressed,
        framing,
        content,
    })
}

fn content_of(content: &ContentRef, cassette: &Cassette) -> Result<Content, String> {
    let file = cassette.content(content).map_err(|error| match error {
        // The call says itself what to do.
        CassetteError::Malformed { path, why, .. } => format!("{}: {why}", path.display()),
        CassetteError::Io { path, source } => format!("{}: {source}", path.display()),
        other @ CassetteError::NotEmpty { .. } => other.to_string(),
    })?;
    if file.is_none() && cassette.head.content == ContentMode::Keep {
        return Err(format!("content/{} is not there", content.sha256));
    }
    let mut seed = [0; 32];
    for (byte, digits) in seed.iter_mut().zip(content.sha256.as_bytes().chunks(2)) {
        let digits = std::str::from_utf8(digits).unwrap_or_default();
        *byte = u8::from_str_radix(digits, 16).unwrap_or_default();
    }
    Ok(Content {
        file: file.map(Arc::new),
        seed,
        length: content.length,
    })
}

fn bytes_of(text: &str) -> Result<Vec<u8>, String> {
    BASE64.decode(text).map_err(|why| format!("raw: {why}"))
}

fn headers(metadata: &Metadata) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, values) in metadata {
        let header: HeaderName = name
            .parse()
            .map_err(|_| format!("{name:?} is not a valid name of metadata"))?;
        for value in values {
            let value = HeaderValue::from_bytes(value.as_bytes());
            let value = value.map_err(|_| format!("{name}: not a valid value of metadata"))?;
            headers.append(header.clone(), value);
        }
    }
    Ok(headers)
}

/// The trailers that say a status.
pub(super) fn trailers(status: &Status) -> Result<HeaderMap, String> {
    let mut trailers = headers(&status.metadata)?;
    let mut put = |name: &'static str, value: String| {
        let value = HeaderValue::from_bytes(value.as_bytes());
        let value = value.map_err(|_| format!("{name}: not a valid value of a trailer"))?;
        trailers.insert(name, value);
        Ok::<_, String>(())
    };
    if let Some(code) = &status.code {
        let number = (0..=16).find(|number| code_name(Code::from_i32(*number)) == code);
        let number = number.map(|number| number.to_string());
        put("grpc-status", number.unwrap_or_else(|| code.clone()))?;
    }
    if !status.message.is_empty() {
        let message = utf8_percent_encode(&status.message, ESCAPED).to_string();
        put("grpc-message", message)?;
    }
    if let Some(details) = &status.details {
        put("grpc-status-details-bin", details.clone())?;
    }
    Ok(trailers)
}

impl Part {
    /// Whether it has no content: nothing of it is on the disk.
    pub(super) fn is_short(&self) -> bool {
        self.content.is_none()
    }

    /// What stands before the content, with gRPC's prefix, the content, and what stands behind it.
    /// Blocks on the disk if the content is made up and long.
    pub(super) fn framed(&self) -> Result<(Bytes, Option<Content>, Bytes), String> {
        let length = self.content.as_ref().map_or(0, |content| content.length);
        let (head, tail) = match (&self.framing, &self.content) {
            (Framing::Bytes(head, tail), _) => (head.clone(), tail.clone()),
            (Framing::Made(json), Some(content)) => framed(&with_digest(json, content), length)?,
            (Framing::Made(json), None) => framed(json, 0)?,
        };
        let whole = head.len() as u64 + length + tail.len() as u64;
        let whole = self.cut.unwrap_or(whole);
        let whole = u32::try_from(whole)
            .map_err(|_| format!("{whole} bytes are more than a message can have"))?;
        let prefix = [&[u8::from(self.is_compressed)][..], &whole.to_be_bytes()].concat();
        Ok((
            [prefix, head].concat().into(),
            self.content.clone(),
            tail.into(),
        ))
    }
}

/// A piece with the digest of content that is made up, if it had one.
fn with_digest(json: &Value, content: &Content) -> Value {
    let mut json = json.clone();
    let digest = json.pointer_mut("/download_piece_finished_response/piece/digest");
    if let Some(digest) = digest.filter(|digest| digest.is_string()) {
        let mut crc = crc32fast::Hasher::new();
        let mut at = 0;
        while let Some(chunk) = content
            .read(at, 64 << 10)
            .ok()
            .filter(|chunk| !chunk.is_empty())
        {
            crc.update(&chunk);
            at += chunk.len() as u64;
        }
        *digest = piece_digest(crc.finalize()).into();
    }
    json
}

impl Content {
    /// At most this many bytes from `at` on; none at the end. Blocks on the disk.
    pub(super) fn read(&self, at: u64, most: usize) -> std::io::Result<Bytes> {
        let left = usize::try_from(self.length.saturating_sub(at)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; left.min(most)];
        match &self.file {
            Some(file) => file.read_exact_at(&mut bytes, at)?,
            None => {
                // The pattern as it goes on from here, a whole one at a time.
                let mut pattern = self.seed;
                let start = usize::try_from(at % pattern.len() as u64).unwrap_or(0);
                pattern.rotate_left(start);
                for part in bytes.chunks_mut(pattern.len()) {
                    let (begun, _) = pattern.split_at(part.len());
                    part.copy_from_slice(begun);
                }
            }
        }
        Ok(bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_content_is_the_same_in_whatever_parts_it_is_read() {
        let content = Content {
            file: None,
            seed: std::array::from_fn(|at| at as u8),
            length: 200,
        };
        let whole: Vec<u8> = (0..200).map(|at| at % 32).collect();
        for at in 0..=200 {
            for most in [1, 31, 32, 33, 300] {
                let part = content.read(at as u64, most).unwrap();
                assert_eq!(part, whole[at..(at + most).min(200)], "{most} from {at}");
            }
        }
    }
}
