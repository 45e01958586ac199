//! How a test waits for calls.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;

use super::{Call, Journal, Query};

/// How long calls are waited for by default.
const PATIENCE: Duration = Duration::from_secs(30);

/// A wait for calls that [`Journal::wait_for`] returns. It begins when it is awaited.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
///
/// use fake_dfdaemon::{FakeDfdaemon, Rpc, block_on};
///
/// let daemon = FakeDfdaemon::start_blocking()?;
/// let imports = daemon.journal().wait_for(Rpc::Import).count(2);
/// let missing = block_on(imports.within(Duration::from_millis(10))).unwrap_err();
/// assert!(missing.to_string().starts_with("0 of 2 calls ended within 10ms"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "nothing is waited for until it is awaited"]
pub struct WaitFor<'a> {
    journal: &'a Journal,
    query: Query,
    count: u64,
    patience: Duration,
}

/// Why a wait for calls failed. It reads the same with `{}` and with `{:?}`, over several lines.
///
/// ```
/// use std::time::Duration;
///
/// use fake_dfdaemon::{FakeDfdaemon, Rpc, WaitError, block_on};
///
/// let daemon = FakeDfdaemon::start_blocking()?;
/// let wait = daemon.journal().wait_for(Rpc::Stat).within(Duration::from_millis(1));
/// assert!(matches!(block_on(wait), Err(WaitError::TimedOut(_))));
/// # Ok::<(), fake_dfdaemon::StartError>(())
/// ```
#[non_exhaustive]
#[derive(thiserror::Error)]
pub enum WaitError {
    /// They did not end in time. The text names the calls that come near, and what differs.
    #[error("{0}")]
    TimedOut(String),
    /// The journal cannot be read.
    #[error("cannot read the journal: {0}")]
    Unreadable(#[from] io::Error),
}

impl fmt::Debug for WaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl WaitFor<'_> {
    /// Waits until this many calls have ended; by default one.
    pub fn count(mut self, calls: u64) -> Self {
        self.count = calls;
        self
    }

    /// Waits at most this long, by the machine's clock; by default 30 seconds.
    pub fn within(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    async fn wait(self) -> Result<Vec<Call>, WaitError> {
        let waiting = self.journal.waiting(self.query.clone(), 0, self.count);
        // On the fake's runtime: there may be no other one.
        let runtime = self.journal.runtime.as_ref();
        let came = tokio::select! {
            biased;
            () = waiting.came() => true,
            () = pass(runtime, self.patience) => false,
        };
        drop(waiting);
        if !came {
            return Err(WaitError::TimedOut(self.missing()));
        }
        Ok(self.journal.query(&self.query)?)
    }

    /// Words the error about calls that did not come.
    fn missing(&self) -> String {
        let came = self.journal.count(&self.query, 0);
        let near = self.journal.near_misses(&self.query, 0);
        let near: String = near.iter().map(|miss| format!("\n  {miss}")).collect();
        let near = if near.is_empty() {
            "; there are no calls that come near".to_owned()
        } else {
            format!("; near misses:{near}")
        };
        let (count, patience) = (self.count, humantime::format_duration(self.patience));
        format!("{came} of {count} calls ended within {patience}{near}")
    }
}

impl<'a> IntoFuture for WaitFor<'a> {
    type Output = Result<Vec<Call>, WaitError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.wait())
    }
}

impl Journal {
    /// Waits until a call that matches `query` has ended, and returns all calls that match, oldest
    /// first. Calls that ended before the wait count too. It works in any runtime, and with
    /// [`block_on`](crate::block_on) in none.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use fake_dfdaemon::{Code, FakeDfdaemon, Query, Rpc};
    ///
    /// let models = tempfile::tempdir()?;
    /// std::fs::write(models.path().join("model.bin"), "content")?;
    /// let daemon = FakeDfdaemon::builder().preload(models.path()).start().await?;
    /// // The scheduler has a second host fetch what was imported.
    /// let copied = Query::of(Rpc::Replicate).status(Code::Ok);
    /// assert_eq!(daemon.journal().wait_for(copied).await?.len(), 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// If they do not end in time, which is 30 seconds unless [`WaitFor::within`] says otherwise: the
    /// error names the calls that come near, and what differs. And if the file cannot be read.
    pub fn wait_for(&self, query: impl Into<Query>) -> WaitFor<'_> {
        WaitFor {
            journal: self,
            query: query.into(),
            count: 1,
            patience: PATIENCE,
        }
    }
}

/// Ends after a time that a runtime measures, wherever it is waited for; never without a runtime.
async fn pass(runtime: Option<&Handle>, time: Duration) {
    match runtime {
        // A runtime that has ended fails: then nothing comes any more either.
        Some(runtime) => {
            // The timer is made where the runtime is.
            let passing = runtime.spawn(async move { tokio::time::sleep(time).await });
            // Of a runtime that has ended, nothing comes any more either.
            let _ = AbortOnDropHandle::new(passing).await;
        }
        None => std::future::pending().await,
    }
}
