//! The clock that everything in the fake is handed: TTL, collector, delays.
//!
//! System time survives a restart, which a TTL has to; manual time moves only when a test moves it.
//! [`FakeDfdaemon::settle`](crate::FakeDfdaemon::settle) waits for what is due then.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

/// The longest sleep without another look at the system's clock, which may be set while we sleep.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// Where a [`Clock`] takes its time from.
///
/// ```
/// use fake_dfdaemon::FakeDfdaemon;
/// use fake_dfdaemon::clock::ClockMode;
///
/// let start = "2026-01-01T00:00:00Z".parse()?;
/// let manual = ClockMode::Manual(Some(start));
/// let daemon = FakeDfdaemon::builder().clock(manual).start_blocking()?;
/// assert_eq!(daemon.clock().now(), start);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ClockMode {
    /// The machine's wall clock.
    #[default]
    System,
    /// Time that moves only when a test moves it; it starts at the given time, or now.
    Manual(Option<Timestamp>),
}

/// A clock. Clones share its time.
///
/// ```
/// use std::time::Duration;
///
/// use fake_dfdaemon::FakeDfdaemon;
///
/// let daemon = FakeDfdaemon::builder().manual_clock().start_blocking()?;
/// let before = daemon.clock().now();
/// let after = daemon.clock().advance(Duration::from_secs(7200))?;
/// assert_eq!(after.duration_since(before).as_secs(), 7200);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Manual(Arc<watch::Sender<Timestamp>>),
}

/// Why a clock cannot be moved.
///
/// ```
/// use std::time::Duration;
///
/// use fake_dfdaemon::FakeDfdaemon;
/// use fake_dfdaemon::clock::ClockError;
///
/// let daemon = FakeDfdaemon::start_blocking()?;
/// let moved = daemon.clock().advance(Duration::from_secs(1));
/// assert_eq!(moved, Err(ClockError::NotManual));
/// # Ok::<(), fake_dfdaemon::StartError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClockError {
    /// System time is not ours to move.
    #[error("the clock is the system's; start with a manual clock to move it")]
    NotManual,
    /// Past the years that a timestamp can hold.
    #[error("the clock cannot be moved that far")]
    OutOfRange,
}

impl Clock {
    /// A clock of the given kind.
    #[must_use]
    pub fn new(mode: ClockMode) -> Self {
        Self(match mode {
            ClockMode::System => Source::System,
            ClockMode::Manual(start) => {
                let start = start.unwrap_or_else(Timestamp::now);
                Source::Manual(Arc::new(watch::Sender::new(start)))
            }
        })
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System => Timestamp::now(),
            Source::Manual(time) => *time.borrow(),
        }
    }

    /// Whether the time moves only by [`advance`](Self::advance) and [`set`](Self::set).
    #[must_use]
    pub fn is_manual(&self) -> bool {
        matches!(self.0, Source::Manual(_))
    }

    /// Moves a manual clock forward, and returns the new time.
    ///
    /// # Errors
    ///
    /// If the clock is the system's, or the time would overflow.
    pub fn advance(&self, by: Duration) -> Result<Timestamp, ClockError> {
        let time = self.manual()?;
        let mut moved = Err(ClockError::OutOfRange);
        time.send_if_modified(|now| {
            moved = now.checked_add(by).map_err(|_| ClockError::OutOfRange);
            moved.inspect(|moved| *now = *moved).is_ok()
        });
        moved
    }

    /// Sets a manual clock, also to an earlier time.
    ///
    /// # Errors
    ///
    /// If the clock is the system's.
    pub fn set(&self, to: Timestamp) -> Result<Timestamp, ClockError> {
        self.manual()?.send_replace(to);
        Ok(to)
    }

    fn manual(&self) -> Result<&watch::Sender<Timestamp>, ClockError> {
        match &self.0 {
            Source::System => Err(ClockError::NotManual),
            Source::Manual(time) => Ok(time),
        }
    }

    /// Waits until it is `deadline` or later.
    pub async fn sleep_until(&self, deadline: Timestamp) {
        match &self.0 {
            Source::System => loop {
                // A deadline that has passed is a negative duration, which does not convert.
                let Ok(left) = Duration::try_from(deadline.duration_since(Timestamp::now())) else {
                    return;
                };
                if left.is_zero() {
                    return;
                }
                tokio::time::sleep(left.min(LONGEST_SLEEP)).await;
            },
            Source::Manual(time) => {
                // The sender lives in `self`, so waiting cannot fail.
                let _ = time.subscribe().wait_for(|now| *now >= deadline).await;
            }
        }
    }

    /// Sees every move of manual time from now on; system time moves by itself.
    pub(crate) fn moves(&self) -> Option<watch::Receiver<Timestamp>> {
        match &self.0 {
            Source::System => None,
            Source::Manual(time) => Some(time.subscribe()),
        }
    }

    /// Waits for `duration` of this clock's time.
    pub async fn sleep(&self, duration: Duration) {
        self.sleep_until(later(self.now(), duration)).await;
    }
}

/// `duration` after `time`, or the end of time.
#[must_use]
pub(crate) fn later(time: Timestamp, duration: Duration) -> Timestamp {
    time.checked_add(duration).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use tokio_test::{assert_pending, assert_ready, task};

    use super::*;

    fn manual() -> Clock {
        Clock::new(ClockMode::Manual(Some(Timestamp::UNIX_EPOCH)))
    }

    #[test]
    fn manual_time_stands_until_it_is_moved() {
        let clock = manual();
        assert_eq!(clock.now(), Timestamp::UNIX_EPOCH);
        let moved = clock.advance(Duration::from_secs(7)).unwrap();
        assert_eq!((moved.as_second(), clock.clone().now()), (7, moved));
        clock.set(Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(clock.now(), Timestamp::UNIX_EPOCH);
    }

    #[test]
    fn who_watches_sees_every_move_of_manual_time_and_none_of_the_systems() {
        let clock = manual();
        assert!(clock.is_manual());
        let mut moves = clock.moves().unwrap();
        assert!(!moves.has_changed().unwrap());
        let moved = clock.advance(Duration::from_secs(7)).unwrap();
        assert!(moves.has_changed().unwrap() && *moves.borrow_and_update() == moved);
        clock.set(Timestamp::UNIX_EPOCH).unwrap();
        assert!(moves.has_changed().unwrap());

        let system = Clock::new(ClockMode::System);
        assert!(!system.is_manual() && system.moves().is_none());
    }

    #[test]
    fn a_sleeper_wakes_at_its_deadline_and_not_before() {
        let clock = manual();
        let mut sleep = task::spawn(clock.sleep(Duration::from_secs(10)));
        assert_pending!(sleep.poll());
        clock.advance(Duration::from_secs(9)).unwrap();
        assert_pending!(sleep.poll());
        clock.advance(Duration::from_secs(1)).unwrap();
        assert!(sleep.is_woken());
        assert_ready!(sleep.poll());
    }

    #[test]
    fn system_time_is_not_moved() {
        let clock = Clock::new(ClockMode::System);
        assert_eq!(clock.advance(Duration::ZERO), Err(ClockError::NotManual));
        assert_eq!(clock.set(Timestamp::UNIX_EPOCH), Err(ClockError::NotManual));
    }

    #[test]
    fn time_does_not_run_over() {
        assert_eq!(manual().advance(Duration::MAX), Err(ClockError::OutOfRange));
        assert_eq!(later(Timestamp::UNIX_EPOCH, Duration::MAX), Timestamp::MAX);
    }
}
