//! A bounded log of what happens in a fake, which readers follow at their own pace. The fake never waits
//! for a reader. A reader that is too slow skips events and gets the number of events that it missed.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::watch;

/// The most that is kept of what has happened: events, and bytes of them.
const MOST_EVENTS: usize = 16 << 10;
const MOST_BYTES: usize = 8 << 20;

/// Something that has happened.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) id: u64,
    /// A word of [`KINDS`].
    pub(crate) kind: &'static str,
    /// A JSON object on one line.
    pub(crate) data: String,
}

/// What there is to follow.
pub(crate) const KINDS: [&str; 12] = [
    "call-begun",
    "call-ended",
    "fault-fired",
    "task",
    "task-removed",
    "replica",
    "replica-removed",
    "host",
    "clock",
    "faults",
    "settings",
    "snapshots",
];

/// What has happened lately. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Events(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Tells these events from those of another start.
    name: String,
    /// Nothing is kept until somebody follows.
    is_followed: AtomicBool,
    kept: Mutex<Kept>,
    /// The id of the last event.
    last: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Kept {
    last: u64,
    events: VecDeque<Arc<Event>>,
    bytes: usize,
}

impl Kept {
    /// The id of the oldest event that is kept, or of the next one.
    fn first(&self) -> u64 {
        self.last + 1 - self.events.len() as u64
    }
}

impl Default for Events {
    fn default() -> Self {
        Self(Arc::new(Shared {
            name: format!("{:08x}", uuid::Uuid::new_v4().as_fields().0),
            is_followed: AtomicBool::new(false),
            kept: Mutex::default(),
            last: watch::Sender::new(0),
        }))
    }
}

/// What a follower gets next.
#[derive(Debug)]
pub(crate) enum Next {
    /// These, oldest first; none if nothing has happened.
    Events(Vec<Arc<Event>>),
    /// So many events are not kept any more.
    Missed(u64),
}

impl Events {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells what has happened, if anybody follows.
    pub(crate) fn tell(&self, kind: &'static str, data: impl FnOnce() -> Value) {
        if !self.0.is_followed.load(Ordering::Relaxed) {
            return;
        }
        let data = data().to_string();
        let id = {
            let mut kept = self.kept();
            kept.last += 1;
            kept.bytes += data.len();
            let id = kept.last;
            kept.events.push_back(Arc::new(Event { id, kind, data }));
            while kept.events.len() > MOST_EVENTS || kept.bytes > MOST_BYTES {
                let Some(oldest) = kept.events.pop_front() else {
                    break;
                };
                kept.bytes -= oldest.data.len();
            }
            id
        };
        self.0.last.send_modify(|last| *last = id.max(*last));
    }

    /// Follows from after the event with this id, or from now on.
    pub(crate) fn follow(&self, after: Option<u64>) -> Follower {
        self.0.is_followed.store(true, Ordering::Relaxed);
        let happens = self.0.last.subscribe();
        let next = after.unwrap_or_else(|| self.kept().last) + 1;
        Follower {
            events: self.clone(),
            happens,
            next,
        }
    }

    /// An event's id as readers keep it.
    pub(crate) fn id(&self, id: u64) -> String {
        format!("{}-{id}", self.0.name)
    }

    /// The id in one that a reader kept; `None` if it is of another start.
    pub(crate) fn read_id(&self, text: &str) -> Option<u64> {
        let (name, id) = text.split_once('-')?;
        let id = id.parse().ok()?;
        (name == self.0.name && id <= self.kept().last).then_some(id)
    }

    /// Whether the event with this id is no longer kept, though it has happened.
    pub(crate) fn is_lost(&self, id: u64) -> bool {
        id < self.kept().first()
    }
}

/// One who follows what happens.
#[derive(Debug)]
pub(crate) struct Follower {
    events: Events,
    happens: watch::Receiver<u64>,
    /// The id of the event that comes next.
    next: u64,
}

impl Follower {
    /// The id of the event that comes next.
    pub(crate) fn place(&self) -> u64 {
        self.next
    }

    /// What has happened since, up to so many bytes.
    pub(crate) fn take(&mut self, bytes: usize) -> Next {
        let kept = self.events.kept();
        let first = kept.first();
        if self.next < first {
            let missed = first - self.next;
            self.next = first;
            return Next::Missed(missed);
        }
        let from = usize::try_from(self.next - first).unwrap_or(usize::MAX);
        let mut taken = 0;
        let mut events = Vec::new();
        for event in kept.events.iter().skip(from) {
            if taken > bytes {
                break;
            }
            taken += event.data.len();
            events.push(Arc::clone(event));
        }
        self.next += events.len() as u64;
        Next::Events(events)
    }

    /// Returns when something has happened since the last time.
    pub(crate) async fn happens(&mut self) {
        let next = self.next;
        // The sender lives in `events`, so waiting cannot fail.
        let _ = self.happens.wait_for(|last| *last >= next).await;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn numbers(next: Next) -> Vec<u64> {
        match next {
            Next::Events(events) => events.iter().map(|event| event.id).collect(),
            Next::Missed(missed) => panic!("{missed} are missing"),
        }
    }

    #[test]
    fn a_follower_that_comes_back_goes_on_where_it_was() {
        let events = Events::default();
        events.tell("clock", || panic!("nobody follows"));
        let mut follower = events.follow(None);
        assert_eq!(numbers(follower.take(1 << 10)), [0; 0]);
        for number in 0..3 {
            events.tell("clock", || json!({ "number": number }));
        }
        assert_eq!(numbers(follower.take(0)), [1]);
        let kept = events.id(1);
        let mut back = events.follow(events.read_id(&kept));
        assert_eq!(numbers(back.take(1 << 10)), [2, 3]);
        for other in ["", "1", "00-1", &Events::default().id(0), &events.id(4)] {
            assert_eq!(events.read_id(other), None, "{other}");
        }
    }

    #[test]
    fn who_is_too_slow_is_told_what_it_missed() {
        let events = Events::default();
        let mut slow = events.follow(None);
        let half = "x".repeat(MOST_BYTES / 2);
        for _ in 0..3 {
            events.tell("call-begun", || json!(half));
        }
        assert!(events.is_lost(1) && !events.is_lost(3));
        assert!(matches!(slow.take(0), Next::Missed(2)));
        assert_eq!(numbers(slow.take(0)), [3]);
        for _ in 0..=MOST_EVENTS {
            events.tell("call-begun", || json!({}));
        }
        assert!(matches!(slow.take(0), Next::Missed(1)));
    }

    #[tokio::test]
    async fn a_follower_wakes_when_something_happens() {
        let events = Events::default();
        let mut follower = events.follow(None);
        let mut happens = tokio_test::task::spawn(follower.happens());
        tokio_test::assert_pending!(happens.poll());
        events.tell("clock", || json!({}));
        assert!(happens.is_woken());
        tokio_test::assert_ready!(happens.poll());
    }
}
