//! How many requests a host takes in a second. Requests over the rate wait for the next second, up to
//! a limit; further requests are refused. Pure: callers pass the time.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::clock::later;
use crate::dfdaemon::mutex::Mutex;

/// How many requests wait at a host for their turn: a dfdaemon keeps 50, and has one in hand.
pub(crate) const MAX_WAITING: usize = 51;

/// What the rate is counted in.
const WINDOW: Duration = Duration::from_secs(1);

/// The rate of requests to a host.
#[derive(Clone, Debug)]
pub(crate) struct RateLimit {
    /// In a second; without one there is no limit.
    max: Option<usize>,
    window: Arc<Mutex<Window>>,
}

/// The second that is counted.
#[derive(Debug)]
struct Window {
    since: Timestamp,
    passed: usize,
    waiting: usize,
}

/// What becomes of a request.
#[derive(Debug)]
pub(crate) enum Turn {
    Now,
    /// It may ask again then.
    Later(Timestamp, Queued),
    Refused,
}

/// A place among the requests that wait, freed on drop.
#[derive(Debug)]
pub(crate) struct Queued(RateLimit);

impl RateLimit {
    pub(crate) fn new(max: Option<usize>) -> Self {
        let window = Window {
            since: Timestamp::MIN,
            passed: 0,
            waiting: 0,
        };
        Self {
            max,
            window: Arc::new(Mutex::new(window)),
        }
    }

    /// The turn of a request that has waited in this place, or has just come.
    pub(crate) fn turn(&self, now: Timestamp, queued: Option<Queued>) -> Turn {
        let Some(max) = self.max else {
            return Turn::Now;
        };
        let mut window = self.window.lock();
        // A clock that was set back begins anew, too.
        if now < window.since || now >= later(window.since, WINDOW) {
            (window.since, window.passed) = (now, 0);
        }
        if window.passed < max {
            window.passed += 1;
            drop(window);
            return Turn::Now;
        }
        let next = later(window.since, WINDOW);
        if let Some(queued) = queued {
            return Turn::Later(next, queued);
        }
        if max == 0 || window.waiting == MAX_WAITING {
            return Turn::Refused;
        }
        window.waiting += 1;
        Turn::Later(next, Queued(self.clone()))
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.0.window.lock().waiting -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_pass_in_a_second_and_some_wait_for_the_next() {
        let rate = RateLimit::new(Some(2));
        let second = |number| Timestamp::from_second(number).unwrap();
        let come = |at| rate.turn(second(at), None);
        assert!(matches!((come(7), come(7)), (Turn::Now, Turn::Now)));
        let mut waiting = Vec::new();
        for _ in 0..MAX_WAITING {
            let Turn::Later(due, queued) = come(7) else {
                panic!("it does not wait");
            };
            assert_eq!(due, second(8));
            waiting.push(queued);
        }
        assert!(matches!(come(7), Turn::Refused));
        // In the next second two of those that wait pass, and the others go on waiting.
        for _ in 0..2 {
            let turn = rate.turn(second(8), waiting.pop());
            assert!(matches!(turn, Turn::Now), "{turn:?}");
        }
        let turn = rate.turn(second(8), waiting.pop());
        assert!(
            matches!(turn, Turn::Later(due, _) if due == second(9)),
            "{turn:?}"
        );
        drop(turn);
        // There is room for three again.
        let come: Vec<_> = (0..4).map(|_| come(8)).collect();
        let refused = come.iter().filter(|turn| matches!(turn, Turn::Refused));
        assert_eq!(refused.count(), 1, "{come:?}");
    }

    #[test]
    fn without_a_rate_all_pass_and_with_none_nobody_waits_for_ever() {
        let now = Timestamp::UNIX_EPOCH;
        assert!(matches!(RateLimit::new(None).turn(now, None), Turn::Now));
        assert!(matches!(
            RateLimit::new(Some(0)).turn(now, None),
            Turn::Refused
        ));
    }
}
