//! Work that may block, on a thread of its own.

use std::future::Future;

use tokio::sync::oneshot;

use crate::types::error::{Error, ErrorKind, Result};

/// Runs `work` on a thread of its own, so that it neither blocks the receiving side nor outlives
/// the process.
pub(crate) fn on_thread<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<oneshot::Receiver<Result<T>>> {
    let (sender, receiver) = oneshot::channel();
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            // Nobody listens any more if the operation was broken off.
            let _ = sender.send(work());
        })
        .map_err(|source| {
            Error::new(ErrorKind::Failure, "cannot start a thread").because(source)
        })?;
    Ok(receiver)
}

/// What work on a thread came to.
pub(crate) async fn finished<T>(
    end: impl Future<Output = std::result::Result<Result<T>, oneshot::error::RecvError>>,
) -> Result<T> {
    end.await.map_err(|_| thread_died())?
}

pub(crate) fn thread_died() -> Error {
    Error::new(ErrorKind::Failure, "a thread died")
}
