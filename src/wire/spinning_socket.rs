//! The daemon's socket. During a transfer, a reader that finds the socket empty polls it for a moment
//! before it sleeps: to sleep and be woken takes longer than the daemon takes to send more.

use std::future::Future as _;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;

/// How often an empty socket is looked at before its reader sleeps, at most. A look takes one or
/// two microseconds.
const MOST_LOOKS: u32 = 256;

/// A connected socket.
#[derive(Debug)]
pub(super) struct Socket {
    stream: UnixStream,
    lull: Lull,
}

impl Socket {
    pub(super) fn new(stream: UnixStream) -> Self {
        let lull = Lull::default();
        Self { stream, lull }
    }
}

/// A time in which nothing comes, and how many looks it is worth. That doubles when something came
/// while we looked, and halves when nothing did: a daemon that is slow soon costs but one look.
#[derive(Debug)]
struct Lull {
    looks: u32,
    worth: u32,
}

impl Default for Lull {
    fn default() -> Self {
        Self { looks: 0, worth: 1 }
    }
}

impl Lull {
    /// Nothing is there. Whether to look again.
    fn goes_on(&mut self) -> bool {
        self.looks = self.looks.saturating_add(1);
        self.looks <= self.worth
    }

    /// Something has come.
    fn ends(&mut self) {
        self.worth = match self.looks {
            0 => self.worth,
            looks if looks <= self.worth => MOST_LOOKS.min(self.worth * 2),
            _ => 1.max(self.worth / 2),
        };
        self.looks = 0;
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if polled.is_ready() {
            self.lull.ends();
        } else if self.lull.goes_on() {
            // Has this task polled again, after the others and after a look at what has come.
            let _pending = pin!(tokio::task::yield_now()).poll(context);
        }
        polled
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use tokio::io::AsyncWriteExt as _;

    use super::*;

    /// How often a lull is looked at that nothing ends.
    fn looks(lull: &mut Lull) -> u32 {
        (0..).take_while(|_| lull.goes_on()).count() as u32
    }

    #[test]
    fn lulls_that_end_while_we_look_are_worth_ever_more_looks() {
        let mut lull = Lull::default();
        for _ in 0..20 {
            assert!(lull.goes_on());
            lull.ends();
            // What comes without a lull says nothing about them.
            lull.ends();
        }
        assert_eq!(looks(&mut lull), MOST_LOOKS);
    }

    #[test]
    fn lulls_that_outlast_our_looks_are_soon_worth_but_one() {
        let mut lull = Lull {
            looks: 0,
            worth: MOST_LOOKS,
        };
        let wasted: u32 = (0..20)
            .map(|_| {
                let looks = looks(&mut lull);
                lull.ends();
                looks
            })
            .sum();
        assert!(wasted < 2 * MOST_LOOKS + 20, "{wasted}");
        assert_eq!(looks(&mut lull), 1);
    }

    /// Whether an empty socket is looked at twice with nothing new to see there.
    async fn is_looked_at_again(socket: &mut Socket, patience: Duration) -> bool {
        let (mut looks, mut bytes) = (0, [0; 8]);
        let twice = poll_fn(|context| {
            looks += 1;
            let read = Pin::new(&mut *socket).poll_read(context, &mut ReadBuf::new(&mut bytes));
            assert!(read.is_pending());
            if looks == 2 {
                return Poll::Ready(());
            }
            Poll::Pending
        });
        tokio::select! {
            biased;
            () = tokio::time::sleep(patience) => false,
            () = twice => true,
        }
    }

    #[tokio::test]
    async fn an_empty_socket_is_looked_at_as_often_as_it_is_worth() {
        let (stream, mut daemon) = UnixStream::pair().unwrap();
        let mut socket = Socket::new(stream);
        let (moment, long) = (Duration::from_millis(5), Duration::from_secs(10));
        assert!(is_looked_at_again(&mut socket, long).await);
        assert!(!is_looked_at_again(&mut socket, moment).await);
        daemon.write_all(b"late").await.unwrap();
        let mut bytes = [0; 8];
        let mut buffer = ReadBuf::new(&mut bytes);
        let received = poll_fn(|context| Pin::new(&mut socket).poll_read(context, &mut buffer));
        received.await.unwrap();
        assert_eq!(buffer.filled(), b"late");
        assert!(is_looked_at_again(&mut socket, long).await);
    }
}
