//! The bytes that one side of a connection sends, on their way to the other.

use std::io;
use std::os::fd::OwnedFd;

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;

use super::frames::{Frames, LONG, Open, Sender};

/// How much is read at once of frames that are short, in bytes; and where a long one is expected, of
/// which the rest goes through the pipe.
const READ: usize = 64 << 10;
const HEAD: usize = 512;

/// What a pipe holds, in bytes.
const PIPE: usize = 256 << 10;

/// After this many bytes, others have their turn.
const TURN: usize = 1 << 20;

/// That no more calls are taken, and that none was left out: a frame that a daemon sends before it
/// ends a connection.
const GOAWAY: [u8; 17] = [
    0, 0, 8, 7, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0,
];

/// How a lane ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The sender sends no more, or the receiver takes no more.
    Closed,
    /// No call is under way, and no other one was to begin.
    Quiet,
}

/// One direction.
#[derive(Debug)]
pub(super) struct Lane<'a> {
    from: &'a UnixStream,
    to: &'a UnixStream,
    sender: Sender,
    frames: Frames,
    open: &'a Open,
    buffer: Vec<u8>,
    pipe: Pipe,
}

/// What the content of long frames goes through: it is not copied then.
#[derive(Debug)]
enum Pipe {
    /// Until there is a long frame.
    NotYet,
    Open {
        reader: OwnedFd,
        writer: OwnedFd,
    },
    /// This system has none to give, or no use for it.
    None,
}

impl<'a> Lane<'a> {
    pub(super) fn new(
        sender: Sender,
        from: &'a UnixStream,
        to: &'a UnixStream,
        open: &'a Open,
    ) -> Self {
        Self {
            from,
            to,
            sender,
            frames: Frames::of(sender),
            open,
            buffer: vec![0; READ],
            pipe: Pipe::NotYet,
        }
    }

    /// Moves bytes until the lane ends. From the time that `ends` is cancelled, the client learns by
    /// the daemon's lane that no other call is taken, and that lane ends behind the last call.
    pub(super) async fn run(mut self, ends: &CancellationToken) -> io::Result<End> {
        let mut changes = Vec::new();
        let mut is_told = false;
        let mut moved = 0;
        loop {
            if moved >= TURN {
                moved = 0;
                tokio::task::yield_now().await;
            }
            let may_end = self.sender == Sender::Daemon && self.frames.is_between();
            if may_end && is_told && self.open.is_empty() {
                return Ok(End::Quiet);
            }
            if self.frames.left() >= LONG
                && let Some(passed) = self.splice(self.frames.left()).await?
            {
                if passed == 0 {
                    return Ok(End::Closed);
                }
                moved += passed;
                self.frames.skip(passed, &mut changes);
                self.open.change(&mut changes);
                continue;
            }
            let ending = async {
                match is_told {
                    false => ends.cancelled().await,
                    true => self.open.emptied.notified().await,
                }
            };
            tokio::select! {
                biased;
                readable = self.from.readable() => readable?,
                () = ending, if may_end => {
                    // Before the daemon has said anything, the client expects something else.
                    if !is_told && self.frames.has_begun() {
                        write_all(self.to, &GOAWAY).await?;
                    }
                    is_told = true;
                    // What a client has sent by now is counted.
                    tokio::task::yield_now().await;
                    continue;
                }
            }
            let most = match self.frames.expects_long() && self.frames.is_between() {
                true => HEAD,
                false => READ,
            };
            let read = match self
                .from
                .try_read(self.buffer.get_mut(..most).unwrap_or_default())
            {
                Ok(0) => return Ok(End::Closed),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error),
            };
            let bytes = self.buffer.get(..read).unwrap_or_default();
            moved += read;
            self.frames.push(bytes, &mut changes);
            if self.sender == Sender::Client {
                // Before the daemon can answer.
                self.open.change(&mut changes);
            }
            write_all(self.to, bytes).await?;
            self.open.change(&mut changes);
        }
    }

    /// Passes up to `most` bytes on without a copy: how many, and none at the end. `None` if that is
    /// not possible here.
    async fn splice(&mut self, most: usize) -> io::Result<Option<usize>> {
        if matches!(self.pipe, Pipe::NotYet) {
            self.pipe = Pipe::open();
        }
        let Pipe::Open { reader, writer } = &self.pipe else {
            return Ok(None);
        };
        let (from, to) = (self.from, self.to);
        let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
        // It is empty, so what would block is the socket.
        let taken = from
            .async_io(Interest::READABLE, || {
                Ok(splice(from, None, writer, None, most, flags)?)
            })
            .await;
        let taken = match taken {
            Ok(taken) => taken,
            Err(error) if is_unknown(&error) => {
                self.pipe = Pipe::None;
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let mut left = taken;
        while left > 0 {
            left -= to
                .async_io(Interest::WRITABLE, || {
                    Ok(splice(reader, None, to, None, left, flags)?)
                })
                .await?;
        }
        Ok(Some(taken))
    }
}

impl Pipe {
    fn open() -> Self {
        let Ok((reader, writer)) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK) else {
            return Self::None;
        };
        // Of the usual size it works as well.
        let _ = fcntl_setpipe_size(&writer, PIPE);
        Self::Open { reader, writer }
    }
}

/// Whether the system does not do this at all, with these sockets or in this sandbox.
fn is_unknown(error: &io::Error) -> bool {
    matches!(
        rustix::io::Errno::from_io_error(error),
        Some(
            rustix::io::Errno::INVAL
                | rustix::io::Errno::NOSYS
                | rustix::io::Errno::OPNOTSUPP
                | rustix::io::Errno::PERM
        )
    )
}

async fn write_all(to: &UnixStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        to.writable().await?;
        match to.try_write(bytes) {
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
