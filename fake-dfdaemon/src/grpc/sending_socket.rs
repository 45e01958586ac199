//! The socket of a connection. It sends bytes, and parts of files by sendfile(2).

use std::io::{self, IoSlice};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::fs::sendfile;
use rustix::io::Errno;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio_util::either::Either;

use super::accepting::Stream;
use super::chunk::{Handoff, stands_for_file};
use super::lingering::Lingering;

/// How much is read at once where the kernel does not move it, in bytes.
const READ: usize = 64 << 10;

/// A connected socket.
#[derive(Debug)]
pub(super) struct SendingSocket {
    stream: Stream,
    handoff: Handoff,
    /// Bytes of a part of a file that the kernel does not move.
    read: Vec<u8>,
    lingering: Lingering,
}

impl SendingSocket {
    pub(super) fn new(stream: Stream, handoff: Handoff) -> Self {
        Self {
            stream,
            handoff,
            read: Vec::new(),
            lingering: Lingering::default(),
        }
    }

    fn poll_send(&mut self, context: &mut Context<'_>, most: usize) -> Poll<io::Result<usize>> {
        let Some((file, start)) = self.handoff.next() else {
            return Poll::Ready(Err(io::Error::other("nobody said which part of a file")));
        };
        loop {
            let send = |socket: BorrowedFd<'_>| -> io::Result<usize> {
                Ok(sendfile(socket, &file, Some(&mut start.clone()), most)?)
            };
            let sent = match &self.stream {
                Either::Left(stream) => {
                    ready!(stream.poll_write_ready(context))?;
                    stream.try_io(Interest::WRITABLE, || send(stream.as_fd()))
                }
                Either::Right(stream) => {
                    ready!(stream.poll_write_ready(context))?;
                    stream.try_io(Interest::WRITABLE, || send(stream.as_fd()))
                }
            };
            match sent {
                // It was cut meanwhile.
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if is_unknown(&error) => break,
                sent => return Poll::Ready(sent),
            }
        }
        self.read.resize(READ.min(most), 0);
        file.read_exact_at(&mut self.read, start)?;
        Pin::new(&mut self.stream).poll_write(context, &self.read)
    }
}

/// Whether the system does not do this at all, with this file or in this sandbox.
fn is_unknown(error: &io::Error) -> bool {
    let unknown = [Errno::INVAL, Errno::NOSYS, Errno::OPNOTSUPP, Errno::PERM];
    Errno::from_io_error(error).is_some_and(|error| unknown.contains(&error))
}

impl AsyncRead for SendingSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for SendingSocket {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.handoff.check()?;
        let place = slices.iter().position(|slice| stands_for_file(slice));
        match place {
            None => Pin::new(&mut self.stream).poll_write_vectored(context, slices),
            Some(0) => {
                let most = slices.first().map_or(0, |slice| slice.len());
                self.poll_send(context, most)
            }
            Some(before) => {
                let before = slices.get(..before).unwrap_or_default();
                Pin::new(&mut self.stream).poll_write_vectored(context, before)
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    /// Ends what is sent, and lets the peer read it.
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self {
            stream, lingering, ..
        } = &mut *self;
        lingering.poll_close(stream, context)
    }
}

#[cfg(test)]
mod tests;
