//! A client's connection that nobody looks into: its bytes pass as they are.
//!
//! Windows, pings, resets and whatever else the two sides tell each other is theirs. A side that
//! does not read fills its socket, and then nothing is read from the other.

mod frames;
mod lane;

use std::io;
use std::time::Duration;

use rustix::net::{Shutdown, shutdown};
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;

use self::frames::{Open, Sender};
use self::lane::{End, Lane};
use crate::grpc::lingering;

/// How long a side may take to close its end, once the other side has and everything has passed.
const LINGER: Duration = Duration::from_secs(2);

/// Passes bytes both ways until both sides have ended, or `abrupt` is cancelled. Once `graceful` is,
/// calls that run may end, and others do not begin.
pub(super) async fn pass(
    mut client: UnixStream,
    daemon: UnixStream,
    graceful: &CancellationToken,
    abrupt: &CancellationToken,
) {
    let passing = async {
        pass_both(&client, &daemon, graceful).await;
        lingering::close(&mut client).await;
    };
    tokio::select! {
        () = passing => {}
        () = abrupt.cancelled() => {}
    }
}

async fn pass_both(client: &UnixStream, daemon: &UnixStream, graceful: &CancellationToken) {
    let open = &Open::default();
    let to_daemon = lane(Sender::Client, client, daemon, open, graceful);
    let to_client = lane(Sender::Daemon, daemon, client, open, graceful);
    tokio::pin!(to_daemon, to_client);
    // The end of one is passed on, and the other side has its say: it may have sent something before.
    let rest = tokio::select! {
        _ = &mut to_daemon => tokio::time::timeout(LINGER, to_client).await,
        end = &mut to_client => match end {
            End::Quiet => return,
            End::Closed => tokio::time::timeout(LINGER, to_daemon).await,
        },
    };
    if rest.is_err() {
        tracing::debug!("one side of a connection closed, and the other one did not");
    }
}

/// One direction, to its end, which is passed on.
async fn lane(
    sender: Sender,
    from: &UnixStream,
    to: &UnixStream,
    open: &Open,
    graceful: &CancellationToken,
) -> End {
    let ended = Lane::new(sender, from, to, open).run(graceful).await;
    let end = ended.unwrap_or_else(|error: io::Error| {
        tracing::debug!(%error, ?sender, "a connection broke");
        End::Closed
    });
    // It may have closed before.
    let _ = shutdown(to, Shutdown::Write);
    end
}

#[cfg(test)]
mod tests;
