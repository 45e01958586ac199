//! A client's socket that reports whether it is full: before a connection is closed, what was written to it
//! gets time to reach the client.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;

use crate::grpc::lingering::Lingering;

/// A client's socket, which notes whether it is full.
#[derive(Debug)]
pub(super) struct Outlet {
    stream: UnixStream,
    is_full: Arc<AtomicBool>,
    lingering: Lingering,
}

/// Whether a socket takes no more at the moment.
#[derive(Clone, Debug)]
pub(super) struct Fullness(Arc<AtomicBool>);

impl Fullness {
    pub(super) fn is_full(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Outlet {
    pub(super) fn new(stream: UnixStream) -> (Self, Fullness) {
        let is_full = Arc::<AtomicBool>::default();
        let fullness = Fullness(Arc::clone(&is_full));
        let outlet = Self {
            stream,
            is_full,
            lingering: Lingering::default(),
        };
        (outlet, fullness)
    }

    fn note<T>(&self, written: Poll<T>) -> Poll<T> {
        self.is_full.store(written.is_pending(), Ordering::Relaxed);
        written
    }
}

impl AsyncRead for Outlet {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Outlet {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.note(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    /// Ends what is sent, and lets the client read it.
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self {
            stream, lingering, ..
        } = &mut *self;
        lingering.poll_close(stream, context)
    }
}
