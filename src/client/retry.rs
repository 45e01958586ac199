//! Retries calls that may succeed later.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

use tracing::warn;

use crate::types::error::{Error, ErrorKind, Result};

/// The pauses grow, and are random, so that clients which failed together do not come back together.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Runs `operation`, and again up to `retries` times while it fails with
/// [`ErrorKind::Unavailable`]: no other failure gets better by itself. Its argument is how often it was run
/// before.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let daemon = fake_dfdaemon::FakeDfdaemon::builder().start().await?;
/// # let endpoint = daemon.endpoint();
/// let tasks = dfcache::retry(3, async |_| dfcache::Client::connect(endpoint).await?.list().await);
/// assert!(tasks.await?.is_empty());
/// # daemon.stop().await;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// The error of the last run.
pub async fn retry<T>(retries: u32, operation: impl AsyncFnMut(u32) -> Result<T>) -> Result<T> {
    retry_if(retries, |_, error| is_retryable(error), operation).await
}

/// The same for errors for which `again` returns true; its argument is how often the operation was run
/// before.
pub(crate) async fn retry_if<T>(
    retries: u32,
    again: impl Fn(u32, &Error) -> bool,
    mut operation: impl AsyncFnMut(u32) -> Result<T>,
) -> Result<T> {
    let mut longest = FIRST_PAUSE;
    let mut before = 0;
    loop {
        let error = match operation(before).await {
            Err(error) if before < retries && again(before, &error) => error,
            result => return result,
        };
        let pause = longest / 2 + random_part(longest / 2);
        warn!(%error, causes = ?error.causes(), ?pause, "trying again");
        tokio::time::sleep(pause).await;
        longest = (longest * 2).min(LONGEST_PAUSE);
        before += 1;
    }
}

pub(crate) fn is_retryable(error: &Error) -> bool {
    error.kind() == ErrorKind::Unavailable
}

fn random_part(of: Duration) -> Duration {
    // Each state has keys of its own, which are random.
    let random = RandomState::new().build_hasher().finish();
    let share = u32::try_from(random % 1000).unwrap_or_default();
    of * share / 1000
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    async fn tried(retries: u32, kinds: &[ErrorKind]) -> (u32, Duration, Result<()>) {
        let began = Instant::now();
        let mut runs = 0;
        let result = retry(retries, async |before| {
            assert_eq!(before, runs);
            runs += 1;
            match kinds.get(before as usize) {
                Some(kind) => Err(Error::new(*kind, "again")),
                None => Ok(()),
            }
        });
        let result = result.await;
        (runs, began.elapsed(), result)
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_unavailable_is_tried_again_after_growing_pauses() {
        let unavailable = [ErrorKind::Unavailable; 20];
        let (runs, _, result) = tried(3, &unavailable[..3]).await;
        assert_eq!((runs, result.is_ok()), (4, true));
        let (runs, _, result) = tried(2, &unavailable[..3]).await;
        assert_eq!((runs, result.is_ok()), (3, false));
        let (_, few, _) = tried(3, &unavailable).await;
        // Of 100, 200 and 400 ms, each at least half.
        assert!((350..=700).contains(&few.as_millis()), "{few:?}");
        let (_, many, _) = tried(19, &unavailable).await;
        assert!((65..=131).contains(&many.as_secs()), "{many:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn no_other_failure_is_tried_again() {
        for kind in [
            ErrorKind::Failure,
            ErrorKind::Usage,
            ErrorKind::NotFound,
            ErrorKind::LocalFile,
            ErrorKind::Refused,
            ErrorKind::Integrity,
            ErrorKind::Timeout,
            ErrorKind::AlreadyExists,
        ] {
            let (runs, elapsed, result) = tried(9, &[kind]).await;
            assert_eq!((runs, elapsed), (1, Duration::ZERO));
            assert_eq!(result.unwrap_err().kind(), kind);
        }
        let (runs, _, _) = tried(9, &[ErrorKind::Unavailable, ErrorKind::Integrity]).await;
        assert_eq!(runs, 2);
    }
}
