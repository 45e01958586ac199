//! Plays a recorded call: its messages, its end, and the file that it leaves.

use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Response};
use hyper::body::{Body, Frame};
use tempfile::NamedTempFile;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::script::{Content, Output, Script, trailers};
use crate::proxy::cassette::{End, Status};

/// How much content is read at a time.
const CHUNK: usize = 256 << 10;

/// How much of short messages goes out together.
const TOGETHER: usize = 16 << 10;

/// Frames that wait for a client.
const AHEAD: usize = 4;

/// How fast calls are played.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Speed {
    /// At once.
    #[default]
    Max,
    /// How many times as fast as they were recorded.
    Times(f64),
}

impl std::str::FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "max" {
            return Ok(Self::Max);
        }
        let times = text
            .parse::<f64>()
            .ok()
            .filter(|times| times.is_finite() && *times > 0.0);
        times
            .map(Self::Times)
            .ok_or_else(|| "it must be max, or a number above 0, such as 1 or 0.5".to_owned())
    }
}

impl Speed {
    async fn wait(self, began: Instant, at_ms: f64) {
        let Self::Times(times) = self else { return };
        let Ok(at) = Duration::try_from_secs_f64(at_ms / 1e3 / times) else {
            return;
        };
        tokio::time::sleep(at.saturating_sub(began.elapsed())).await;
    }
}

/// A stream that was reset: hyper passes the reason on that it finds below.
#[derive(Debug, thiserror::Error)]
#[error("the recorded call was reset")]
pub(super) struct Reset {
    source: h2::Error,
}

impl Reset {
    fn with(code: u32) -> Self {
        Self {
            source: h2::Reason::from(code).into(),
        }
    }
}

/// What is played.
pub(super) struct Playing {
    pub(super) script: Arc<Script>,
    pub(super) began: Instant,
    pub(super) speed: Speed,
    /// Where the client wants the output, and whether it may be there.
    pub(super) output: Option<(PathBuf, bool)>,
    /// Closes the client's connection.
    pub(super) closes: CancellationToken,
    /// Data that is on its way to the client's socket.
    pub(super) going: TaskTracker,
}

/// Data, and a signal for when it has been written or dropped.
struct Going {
    data: Bytes,
    _token: TaskTrackerToken,
}

impl AsRef<[u8]> for Going {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

impl Playing {
    /// The answer, from its head on.
    pub(super) async fn answer(self) -> Result<Response<PlayBody>, Reset> {
        let answer = &self.script.call.answer;
        self.speed.wait(self.began, answer.head_ms).await;
        let mut head = self.script.head.clone();
        if !answer.opened {
            match self.end().await {
                Outcome::Trailers(trailers) => head.extend(trailers),
                Outcome::Reset(code) => return Err(Reset::with(code)),
                Outcome::Closed => return std::future::pending().await,
            }
        }
        let body = if answer.opened {
            let (frames, body) = mpsc::channel(AHEAD);
            let head = self.response(head, PlayBody(Some(body)));
            tokio::spawn(self.play(frames));
            return Ok(head);
        } else {
            PlayBody(None)
        };
        Ok(self.response(head, body))
    }

    fn response(&self, head: HeaderMap, body: PlayBody) -> Response<PlayBody> {
        let mut response = Response::new(body);
        *response.status_mut() = self.script.status;
        *response.headers_mut() = head;
        let grpc = HeaderValue::from_static("application/grpc");
        response.headers_mut().entry(CONTENT_TYPE).or_insert(grpc);
        response
    }

    async fn play(self, frames: mpsc::Sender<Sent>) {
        if self.play_parts(&frames).await.is_none() {
            return;
        }
        if self.script.call.answer.left_out > 0 {
            // What came next is not known, and nothing is made up.
            return frames.closed().await;
        }
        if matches!(self.script.call.answer.end, End::Broken | End::Reset(_)) {
            // Either would overtake it.
            self.going.close();
            tokio::select! {
                () = self.going.wait() => {}
                () = frames.closed() => return,
            }
        }
        let last = match self.end().await {
            Outcome::Trailers(trailers) => Ok(Frame::trailers(trailers)),
            Outcome::Reset(code) => Err(Reset::with(code)),
            Outcome::Closed => {
                // The client goes away, or its connection does.
                frames.closed().await;
                return;
            }
        };
        // The client may be gone.
        let _ = frames.send(last).await;
    }

    fn frame(&self, data: Bytes) -> Frame<Bytes> {
        let going = Going {
            data,
            _token: self.going.token(),
        };
        Frame::data(Bytes::from_owner(going))
    }

    /// Sends the messages; `None` if the client is gone.
    async fn play_parts(&self, frames: &mpsc::Sender<Sent>) -> Option<()> {
        let mut together = BytesMut::new();
        for (index, part) in self.script.messages.iter().enumerate() {
            // Without waits between them, short ones go out together: clients take many small frames
            // for an attack.
            if self.speed == Speed::Max && part.is_short() {
                together.extend_from_slice(&part.framed().ok()?.0);
                if together.len() < TOGETHER {
                    continue;
                }
            }
            if !together.is_empty() {
                let together = together.split().freeze();
                frames.send(Ok(self.frame(together))).await.ok()?;
            }
            if self.speed != Speed::Max || !part.is_short() {
                self.play_part(index, frames).await?;
            }
        }
        if !together.is_empty() {
            frames.send(Ok(self.frame(together.freeze()))).await.ok()?;
        }
        Some(())
    }

    /// Sends a message; `None` if the client is gone.
    async fn play_part(&self, part: usize, frames: &mpsc::Sender<Sent>) -> Option<()> {
        let at_ms = self.script.messages.get(part)?.at_ms;
        self.speed.wait(self.began, at_ms).await;
        let script = Arc::clone(&self.script);
        let framed = beside(move || {
            let part = script
                .messages
                .get(part)
                .ok_or("there is no such message")?;
            part.framed()
        });
        // It was checked at the start.
        let (head, content, tail) = framed.await?.ok()?;
        frames.send(Ok(self.frame(head))).await.ok()?;
        if let Some(content) = content {
            let mut at = 0;
            while at < content.length {
                let from = content.clone();
                let chunk = beside(move || from.read(at, CHUNK)).await?;
                let Ok(chunk) = chunk else {
                    tracing::error!("content of the cassette cannot be read");
                    let _ = frames
                        .send(Err(Reset::with(h2::Reason::INTERNAL_ERROR.into())))
                        .await;
                    return None;
                };
                at += chunk.len() as u64;
                frames.send(Ok(self.frame(chunk))).await.ok()?;
            }
        }
        if !tail.is_empty() {
            frames.send(Ok(self.frame(tail))).await.ok()?;
        }
        Some(())
    }

    async fn end(&self) -> Outcome {
        let answer = &self.script.call.answer;
        self.speed.wait(self.began, answer.end_ms).await;
        let status = match &answer.end {
            End::Status(status) => status.clone(),
            End::Reset(code) => return Outcome::Reset(*code),
            End::Broken => {
                self.closes.cancel();
                return Outcome::Closed;
            }
            End::ClientGone => return Outcome::Closed,
        };
        let left = self.leave_output().await;
        let status = left.map_or_else(|error| failed_output(&error), |()| status);
        // It was checked at the start.
        Outcome::Trailers(trailers(&status).unwrap_or_default())
    }

    /// Makes the file that the recorded call left, where this client wants it.
    async fn leave_output(&self) -> io::Result<()> {
        let (Some(_), Some((path, overwrite))) = (&self.script.output, self.output.clone()) else {
            return Ok(());
        };
        let script = Arc::clone(&self.script);
        let written = beside(move || match &script.output {
            Some(output) => write(output, &path, overwrite),
            None => Ok(()),
        });
        written
            .await
            .unwrap_or_else(|| Err(io::Error::other("the thread died")))
    }
}

type Sent = Result<Frame<Bytes>, Reset>;

enum Outcome {
    Trailers(HeaderMap),
    Reset(u32),
    /// No end comes: the connection is closed, or the client leaves.
    Closed,
}

fn failed_output(error: &io::Error) -> Status {
    Status {
        code: Some("INTERNAL".to_owned()),
        message: error.to_string(),
        ..Status::default()
    }
}

/// Work on the disk. `None` if its thread died.
async fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}

/// Writes beside, and renames: the output is there whole or not at all.
fn write(output: &Output, path: &Path, overwrite: bool) -> io::Result<()> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    let mut file = NamedTempFile::with_prefix_in(".replay-", parent)?;
    // Content may be made up, and of any length: nobody's disk is filled with it.
    let room = rustix::fs::fstatvfs(&file)?;
    let is_short = room.f_bavail.saturating_mul(room.f_frsize) < output.content.length;
    if is_short && room.f_blocks > 0 {
        return Err(rustix::io::Errno::NOSPC.into());
    }
    copy(&output.content, &mut file)?;
    let mode = std::fs::Permissions::from_mode(output.mode);
    file.as_file().set_permissions(mode)?;
    let placed = match overwrite {
        true => file.persist(path),
        false => file.persist_noclobber(path),
    };
    placed.map(drop).map_err(|error| error.error)
}

fn copy(content: &Content, to: &mut NamedTempFile) -> io::Result<()> {
    let mut reader = Reading { content, at: 0 };
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = reader.read(&mut chunk)?;
        let Some(read) = chunk.get(..read).filter(|read| !read.is_empty()) else {
            return Ok(());
        };
        to.write_all(read)?;
    }
}

struct Reading<'a> {
    content: &'a Content,
    at: u64,
}

impl io::Read for Reading<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.content.read(self.at, buffer.len())?;
        self.at += bytes.len() as u64;
        bytes.as_ref().read(buffer)
    }
}

/// What a client gets behind the head.
pub(super) struct PlayBody(Option<mpsc::Receiver<Sent>>);

impl PlayBody {
    pub(super) fn empty() -> Self {
        Self(None)
    }
}

impl Body for PlayBody {
    type Data = Bytes;
    type Error = Reset;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Sent>> {
        match &mut self.0 {
            Some(frames) => frames.poll_recv(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }
}
