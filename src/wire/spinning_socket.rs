//! The daemon's socket. During a transfer, a reader that finds the socket empty polls it for a moment
//! before it sleeps: to sleep and be woken takes longer than the daemon takes to send more. Between two polls
//! other tasks of the runtime run, and where polls find nothing it is but one: so other programs get it too.

use std::future::Future as _;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;

/// How often an empty socket is polled before its reader sleeps, at most. A poll takes one or two
/// microseconds. With 256, a transfer from a real dfdaemon took as long, and 7 % more CPU.
const MAX_POLLS: u32 = 32;

/// A connected socket.
#[derive(Debug)]
pub(super) struct Socket {
    stream: UnixStream,
    spins: SpinBudget,
}

impl Socket {
    pub(super) fn new(stream: UnixStream) -> Self {
        let spins = SpinBudget::default();
        Self { stream, spins }
    }
}

/// How often an empty socket is polled before its reader sleeps. That doubles when something came while it
/// was polled, and halves when nothing did: a daemon that is slow soon costs but one poll.
#[derive(Debug)]
struct SpinBudget {
    polls: u32,
    budget: u32,
}

impl Default for SpinBudget {
    fn default() -> Self {
        Self {
            polls: 0,
            budget: 1,
        }
    }
}

impl SpinBudget {
    /// Nothing is there. Whether to poll again.
    fn spend(&mut self) -> bool {
        self.polls = self.polls.saturating_add(1);
        self.polls <= self.budget
    }

    /// Something has come.
    fn adapt(&mut self) {
        self.budget = match self.polls {
            0 => self.budget,
            polls if polls <= self.budget => MAX_POLLS.min(self.budget * 2),
            _ => 1.max(self.budget / 2),
        };
        self.polls = 0;
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
            self.spins.adapt();
        } else if self.spins.spend() {
            // Has this task polled again, after the others and after the driver has seen what has come.
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

    /// How often a socket is polled that stays empty.
    fn polls(spins: &mut SpinBudget) -> u32 {
        (0..).take_while(|_| spins.spend()).count() as u32
    }

    #[test]
    fn the_budget_grows_while_polls_find_something() {
        let mut spins = SpinBudget::default();
        for _ in 0..20 {
            assert!(spins.spend());
            spins.adapt();
            // What comes without a poll says nothing about the budget.
            spins.adapt();
        }
        assert_eq!(polls(&mut spins), MAX_POLLS);
    }

    #[test]
    fn the_budget_shrinks_to_one_poll_where_they_find_nothing() {
        let mut spins = SpinBudget {
            polls: 0,
            budget: MAX_POLLS,
        };
        let wasted: u32 = (0..20)
            .map(|_| {
                let polls = polls(&mut spins);
                spins.adapt();
                polls
            })
            .sum();
        assert!(wasted < 2 * MAX_POLLS + 20, "{wasted}");
        assert_eq!(polls(&mut spins), 1);
    }

    /// Whether an empty socket is polled twice with nothing new in it.
    async fn is_polled_again(socket: &mut Socket, patience: Duration) -> bool {
        let (mut polls, mut bytes) = (0, [0; 8]);
        let twice = poll_fn(|context| {
            polls += 1;
            let read = Pin::new(&mut *socket).poll_read(context, &mut ReadBuf::new(&mut bytes));
            assert!(read.is_pending());
            if polls == 2 {
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

    /// Time stands still but for those who wait for it.
    #[tokio::test(start_paused = true)]
    async fn an_empty_socket_is_polled_as_often_as_the_budget_says() {
        let (stream, mut daemon) = UnixStream::pair().unwrap();
        let mut socket = Socket::new(stream);
        let (moment, long) = (Duration::from_millis(5), Duration::from_secs(10));
        assert!(is_polled_again(&mut socket, long).await);
        assert!(!is_polled_again(&mut socket, moment).await);
        daemon.write_all(b"late").await.unwrap();
        let mut bytes = [0; 8];
        let mut buffer = ReadBuf::new(&mut bytes);
        let received = poll_fn(|context| Pin::new(&mut socket).poll_read(context, &mut buffer));
        received.await.unwrap();
        assert_eq!(buffer.filled(), b"late");
        assert!(is_polled_again(&mut socket, long).await);
    }
}
