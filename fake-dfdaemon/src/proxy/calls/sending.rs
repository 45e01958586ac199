//! The stream of an export that has armed faults.
//!
//! While a fault is still to act, each piece is first written to a file. Then all of the piece is known, it
//! can be sent twice or later, and memory stays bounded.

use bytes::{BufMut as _, Bytes, BytesMut};
use dfdaemon_api::common::v2::Piece;
use dfdaemon_api::dfdaemon::v2::download_persistent_cache_task_response::Response as Event;
use dfdaemon_api::dfdaemon::v2::{
    DownloadPersistentCacheTaskResponse, DownloadPieceFinishedResponse,
};
use http::HeaderMap;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use super::BoxError;
use super::parts::{Owned, Waiting, envelope, parts};
use super::spool::{Place, Spool};
use super::watched::{broken, note, reset, status_of};
use crate::call::RunningCall;
use crate::call::faults::Phase;
use crate::call::faults::piece::{Outgoing, PieceFate};
use crate::call::faults::registry::Armed;
use crate::call::rpc::Rpc;
use crate::call::stream_faults::{StreamFaults, shuffle};
use crate::dfdaemon::statuses::{stopping, too_long};
use crate::grpc::framing;
use crate::proxy::frames::{Frame as Message, Splitter};

/// How much content goes out at once.
const CHUNK: usize = 256 << 10;

/// Frames that wait for a client.
const AHEAD: usize = 2;

pub(super) type Frames = mpsc::Receiver<Result<Frame<Bytes>, BoxError>>;

/// How a stream ends.
enum End {
    /// With these trailers, which say this.
    Trailers(HeaderMap, Option<Status>),
    Broken(BoxError),
    /// The daemon's connection broke.
    Gone,
}

/// An export on its way to the client.
pub(super) struct Sending<B> {
    pub(super) call: RunningCall,
    pub(super) body: B,
    pub(super) spool: Spool,
    /// Cancelled when the daemon's connection broke.
    pub(super) breaks: CancellationToken,
    /// Closes the client's connection.
    pub(super) closes: CancellationToken,
}

impl<B> Sending<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError> + Send,
{
    /// Begins to send.
    pub(super) fn start(self) -> Frames {
        let (frames, receiver) = mpsc::channel(AHEAD);
        tokio::spawn(self.run(frames));
        receiver
    }

    async fn run(self, frames: mpsc::Sender<Result<Frame<Bytes>, BoxError>>) {
        let ends = self.call.ends();
        let faults = StreamFaults::of(&self.call);
        let mut stream = Stream {
            call: self.call,
            faults,
            spool: self.spool,
            frames: frames.clone(),
            shuffling: None,
            goes_through: false,
        };
        let body = self.body;
        let end = tokio::select! {
            end = stream.send_all(body, &self.breaks) => end,
            () = ends.cancelled() => Err(stopping()),
            // The call notes by itself that its client is gone, or a fault that did it has noted it.
            () = frames.closed() => return,
        };
        let last = match end {
            Ok(End::Trailers(trailers, status)) => {
                stream.call.answered(status.as_ref()).wait().await;
                Ok(Frame::trailers(trailers))
            }
            Ok(End::Broken(error)) => {
                let status = reset(error.as_ref());
                stream.call.answered(Some(&status)).wait().await;
                Err(error)
            }
            Ok(End::Gone) => {
                stream.call.answered(Some(&broken())).wait().await;
                self.closes.cancel();
                return frames.closed().await;
            }
            Err(status) => {
                stream.call.answered(Some(&status)).wait().await;
                Ok(Frame::trailers(trailers_of(&status)))
            }
        };
        // The client may be gone.
        let _ = frames.send(last).await;
    }
}

/// The trailers that say a status.
pub(super) fn trailers_of(status: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    // One that is too odd for a header says nothing more than its code.
    if status.add_header(&mut trailers).is_err() {
        let code = i32::from(status.code());
        trailers.insert("grpc-status", code.into());
    }
    trailers
}

/// What is known of a stream on its way.
struct Stream {
    call: RunningCall,
    faults: StreamFaults,
    spool: Spool,
    frames: mpsc::Sender<Result<Frame<Bytes>, BoxError>>,
    /// The pieces that will go out in another order.
    shuffling: Option<(Armed, Vec<Waiting>)>,
    /// The message that comes goes out as it comes.
    goes_through: bool,
}

impl Stream {
    async fn send_all<B>(&mut self, mut body: B, breaks: &CancellationToken) -> Result<End, Status>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<BoxError>,
    {
        self.shuffling = self
            .faults
            .shuffles(&mut self.call)
            .map(|armed| (armed, Vec::new()));
        let mut splitter = Splitter::new(true);
        let trailers = loop {
            let frame = tokio::select! {
                frame = body.frame() => frame,
                () = breaks.cancelled() => return Ok(End::Gone),
            };
            let data = match frame {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => data,
                    Err(frame) => break frame.into_trailers().unwrap_or_default(),
                },
                Some(Err(error)) => return Ok(End::Broken(error.into())),
                None => break HeaderMap::new(),
            };
            for part in parts(&mut splitter, &data) {
                if self.take(part).await?.is_none() {
                    return Ok(End::Trailers(trailers_of(&Status::ok("")), None));
                }
            }
        };
        let status = status_of(&trailers);
        if self.send_shuffled().await?.is_none() {
            return Ok(End::Trailers(trailers_of(&Status::ok("")), None));
        }
        if status.is_none() {
            // Faults that are armed behind the last byte.
            self.faults.apply_at(&mut self.call, None).await?;
            self.call.apply_faults(Phase::After).await?;
        }
        Ok(End::Trailers(trailers, status))
    }

    /// Takes a part of the stream. `None` if a fault ends the stream here.
    async fn take(&mut self, part: Owned) -> Result<Option<()>, Status> {
        match part {
            Owned::Begin(message, length, tail) => {
                self.goes_through = self.shuffling.is_none() && !self.faults.are_waiting();
                if self.goes_through {
                    self.send_head(&message, length, tail).await?;
                }
            }
            Owned::Content(content) if self.goes_through => {
                self.faults
                    .throttle(&mut self.call, content.len() as u64)
                    .await?;
                self.send(content).await;
            }
            Owned::Content(content) => {
                self.spool.append(content).await.map_err(cannot_hold)?;
            }
            Owned::Message(message) if std::mem::take(&mut self.goes_through) => {
                note(&mut self.call, Rpc::Export, &message);
                self.send(message.tail.into()).await;
            }
            Owned::Message(message) => return self.take_message(message).await,
        }
        Ok(Some(()))
    }

    async fn take_message(&mut self, message: Message) -> Result<Option<()>, Status> {
        let length = message.content.unwrap_or(0);
        let content = Place {
            start: self.spool.end() - length,
            length,
        };
        let mut waiting = Waiting {
            piece: Piece::default(),
            envelope: DownloadPersistentCacheTaskResponse::default(),
            message,
            content,
        };
        let event = envelope(&waiting.message);
        let done = match event {
            Some((envelope, Event::DownloadPersistentCacheTaskStartedResponse(mut started))) => {
                let sound = started;
                self.faults.start(&mut self.call, &mut started);
                if started == sound {
                    self.send_as_it_came(&waiting).await?;
                } else {
                    let event = Event::DownloadPersistentCacheTaskStartedResponse(started);
                    self.send_event(envelope, event).await?;
                }
                Some(())
            }
            Some((envelope, Event::DownloadPieceFinishedResponse(finished))) => {
                waiting.envelope = envelope;
                waiting.piece = finished.piece.unwrap_or_default();
                if let Some((_, pieces)) = &mut self.shuffling {
                    pieces.push(waiting);
                    return Ok(Some(()));
                }
                self.send_piece(&waiting).await?
            }
            _ => {
                self.send_as_it_came(&waiting).await?;
                Some(())
            }
        };
        if self.shuffling.is_none() {
            self.spool.clear();
        }
        Ok(done)
    }

    async fn send_shuffled(&mut self) -> Result<Option<()>, Status> {
        let Some((mut armed, mut pieces)) = self.shuffling.take() else {
            return Ok(Some(()));
        };
        shuffle(&mut armed, &mut pieces, |waiting| waiting.piece.number);
        for piece in &pieces {
            if self.send_piece(piece).await?.is_none() {
                return Ok(None);
            }
        }
        Ok(Some(()))
    }

    async fn send_piece(&mut self, waiting: &Waiting) -> Result<Option<()>, Status> {
        let piece = &waiting.piece;
        self.faults
            .apply_at(&mut self.call, Some(piece.number))
            .await?;
        let sound = Outgoing {
            piece: piece.clone(),
            content: waiting.message.content.map(|length| 0..length),
            flipped: None,
        };
        let mut outgoing = sound.clone();
        let times = match self.faults.damage(&mut self.call, &mut outgoing) {
            PieceFate::End => return Ok(None),
            PieceFate::Skipped => 0,
            PieceFate::Sent => 1,
            PieceFate::Repeated => 2,
        };
        for _ in 0..times {
            if outgoing.piece == sound.piece && outgoing.content == sound.content {
                self.send_content(waiting, &outgoing, None).await?;
            } else {
                self.send_spoiled(waiting, &outgoing).await?;
            }
        }
        self.faults
            .count(sound.content.map_or(piece.length, |content| content.end));
        Ok(Some(()))
    }

    /// Sends a piece whose message has changed.
    async fn send_spoiled(&mut self, waiting: &Waiting, outgoing: &Outgoing) -> Result<(), Status> {
        if let Some(content) = &outgoing.content {
            let framed = framing::piece_message(&waiting.envelope, &outgoing.piece, content.end)?;
            return self.send_content(waiting, outgoing, Some(framed)).await;
        }
        self.faults
            .throttle(&mut self.call, outgoing.piece.length)
            .await?;
        self.call.count_piece(0);
        let piece = Some(outgoing.piece.clone());
        let event = Event::DownloadPieceFinishedResponse(DownloadPieceFinishedResponse { piece });
        self.send_event(waiting.envelope.clone(), event).await
    }

    /// Sends a piece: its content between what came around it, or other bytes.
    async fn send_content(
        &mut self,
        waiting: &Waiting,
        outgoing: &Outgoing,
        other: Option<framing::Framed>,
    ) -> Result<(), Status> {
        let (message, place) = (&waiting.message, waiting.content);
        let tail = match other {
            Some(framed) => {
                self.send(framed.head).await;
                framed.tail
            }
            None => {
                self.send_head(message, place.length, message.tail.len())
                    .await?;
                message.tail.clone().into()
            }
        };
        if message.content.is_none() && outgoing.piece.length > 0 {
            self.faults
                .throttle(&mut self.call, outgoing.piece.length)
                .await?;
        }
        let mut at = 0;
        while at < place.length {
            let chunk = self
                .spool
                .read(place, at, CHUNK)
                .await
                .map_err(cannot_hold)?;
            let length = chunk.len() as u64;
            self.faults.throttle(&mut self.call, length).await?;
            self.send(outgoing.with_flipped_bit(chunk, at)).await;
            at += length;
        }
        self.send(tail).await;
        note(&mut self.call, Rpc::Export, message);
        Ok(())
    }

    /// Sends a message that is no piece.
    async fn send_as_it_came(&mut self, waiting: &Waiting) -> Result<(), Status> {
        let outgoing = Outgoing {
            piece: Piece::default(),
            content: None,
            flipped: None,
        };
        self.send_content(waiting, &outgoing, None).await
    }

    /// Sends gRPC's prefix and what stands before the content.
    async fn send_head(&self, message: &Message, length: u64, tail: usize) -> Result<(), Status> {
        let whole = message.head.len() as u64 + length + tail as u64;
        let whole = u32::try_from(whole).map_err(|_| too_long("a message"))?;
        let mut head = BytesMut::with_capacity(5 + message.head.len());
        head.put_u8(message.flag);
        head.put_u32(whole);
        head.put_slice(&message.head);
        self.send(head.freeze()).await;
        Ok(())
    }

    async fn send_event(
        &self,
        envelope: DownloadPersistentCacheTaskResponse,
        event: Event,
    ) -> Result<(), Status> {
        let response = Some(event);
        let message = DownloadPersistentCacheTaskResponse {
            response,
            ..envelope
        };
        self.send(framing::message(&message)?).await;
        Ok(())
    }

    async fn send(&self, bytes: Bytes) {
        if !bytes.is_empty() && self.frames.send(Ok(Frame::data(bytes))).await.is_err() {
            // The client is gone: the task that waits for that breaks this off.
            std::future::pending::<()>().await;
        }
    }
}

fn cannot_hold(error: std::io::Error) -> Status {
    let text = format!("the proxy cannot hold a piece for its fault: {error}");
    Status::new(Code::Internal, text)
}
