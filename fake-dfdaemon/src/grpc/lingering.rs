//! The last moment of a connection: all is sent, and the peer has not read it yet.
//!
//! A socket that is closed with bytes unread breaks: the peer's next write fails, over TCP its reads too,
//! and a client of HTTP/2 then drops what it has received. So what the peer still sends is read, and dropped.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// How long a peer may take to close its end. Less than what stops a server waits for its connections.
pub(crate) const LINGER: Duration = Duration::from_secs(1);

/// How much is read at once, in bytes.
const READ: usize = 4 << 10;

/// Ends what is sent, then waits for the peer.
#[derive(Debug, Default)]
pub(crate) struct Lingering {
    /// Once nothing more is sent.
    over: Option<Pin<Box<Sleep>>>,
}

impl Lingering {
    /// Shuts `socket` down for sending, and reads it until its peer has closed its end or [`LINGER`] is over.
    ///
    /// # Errors
    ///
    /// That of the shutdown.
    pub(crate) fn poll_close(
        &mut self,
        socket: &mut (impl AsyncRead + AsyncWrite + Unpin),
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let over = match &mut self.over {
            Some(over) => over,
            None => {
                ready!(Pin::new(&mut *socket).poll_shutdown(context))?;
                self.over.insert(Box::pin(tokio::time::sleep(LINGER)))
            }
        };
        if over.as_mut().poll(context).is_ready() {
            return Poll::Ready(Ok(()));
        }
        let mut dropped = [0; READ];
        loop {
            let mut buffer = ReadBuf::new(&mut dropped);
            let read = ready!(Pin::new(&mut *socket).poll_read(context, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

/// [`Lingering::poll_close`] to its end. A socket that is broken already is left as it is.
pub(crate) async fn close(socket: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    let mut lingering = Lingering::default();
    let _ = std::future::poll_fn(|context| lingering.poll_close(socket, context)).await;
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::UnixStream;
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_a_peer_still_sends_is_read_until_it_closes() {
        let (mut ours, mut peer) = UnixStream::pair().unwrap();
        // More than the socket holds.
        let sends = async move { peer.write_all(&vec![1; 4 << 20]).await };
        let began = Instant::now();
        let (sent, ()) = tokio::join!(sends, close(&mut ours));
        sent.unwrap();
        assert!(began.elapsed() < LINGER, "it waited for no more");
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_does_not_close_is_left_after_a_while() {
        let (mut ours, _silent) = UnixStream::pair().unwrap();
        let began = Instant::now();
        close(&mut ours).await;
        assert!(began.elapsed() >= LINGER);
        let (mut ours, mut peer) = UnixStream::pair().unwrap();
        let sends = tokio::spawn(async move { while peer.write_all(&[1; READ]).await.is_ok() {} });
        tokio::join!(close(&mut ours), tokio::time::advance(2 * LINGER));
        drop(ours);
        sends.await.unwrap();
    }
}
