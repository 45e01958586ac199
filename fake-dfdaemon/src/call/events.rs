//! A bounded log of what happens in a fake, which readers follow at their own pace. The fake never waits
//! for a reader. A reader that is too slow skips events and gets the number of events that it missed.

mod sample;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::dfdaemon::mutex::Mutex;

/// The most that is kept of what has happened: events, and bytes of them.
const MOST_EVENTS: usize = 16 << 10;
const MOST_BYTES: usize = 8 << 20;

/// How much a follower takes at a time, in bytes.
const PART: usize = 64 << 10;

/// How long a follower pauses before it takes the next part, times the number of followers: with more of
/// them each wakes less often, and waking all costs the same.
const PAUSE: Duration = Duration::from_micros(200);
const PAUSES: [Duration; 2] = [Duration::from_millis(5), Duration::from_millis(200)];

/// How long a follower of a sample pauses: a person looks at no more.
const SAMPLE_PAUSE: Duration = Duration::from_millis(200);

/// Something that has happened.
#[derive(Debug)]
struct Event {
    /// A word of [`KINDS`].
    kind: &'static str,
    /// Whether it tells of a call that failed.
    is_failure: bool,
    /// As a reader gets it: written once, however many there are.
    text: String,
}

/// What there is to follow.
pub(crate) const KINDS: [&str; 13] = [
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
    "journal-cleared",
];

/// What has happened lately. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Events(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Tells these events from those of another start.
    name: String,
    /// Nothing is kept before the first reader comes.
    is_followed: AtomicBool,
    kept: Mutex<Kept>,
    /// The id of the last event.
    last: watch::Sender<u64>,
    followers: AtomicUsize,
    /// Pauses end at multiples from here, for all followers at once: they take the same part.
    begun: Instant,
}

#[derive(Debug, Default)]
struct Kept {
    last: u64,
    events: VecDeque<Event>,
    bytes: usize,
    /// The part that a follower of all kinds took last, for those that follow.
    part: Part,
}

/// Some events as text.
#[derive(Clone, Debug, Default)]
struct Part {
    /// The ids of the first one, and of the one after the last.
    from: u64,
    to: u64,
    text: Bytes,
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
            followers: AtomicUsize::new(0),
            begun: Instant::now(),
        }))
    }
}

/// What a follower gets next.
#[derive(Debug)]
pub(crate) enum Next {
    /// These, oldest first, as server-sent events; empty if none is wanted.
    Events(Bytes),
    Nothing,
    /// This many events are not kept any more.
    Missed(u64),
}

impl Events {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.kept.lock()
    }

    /// Tells what has happened, if anybody follows.
    pub(crate) fn tell(&self, kind: &'static str, data: impl FnOnce() -> Value) {
        if !self.0.is_followed.load(Ordering::Relaxed) {
            return;
        }
        let data = data();
        let code = data.pointer("/status/code");
        let is_failure = code.is_some_and(|code| code != "OK");
        let data = data.to_string();
        let id = {
            let mut kept = self.kept();
            kept.last += 1;
            let id = kept.last;
            let text = format!("id: {}\nevent: {kind}\ndata: {data}\n\n", self.id(id));
            kept.bytes += text.len();
            kept.events.push_back(Event {
                kind,
                is_failure,
                text,
            });
            while kept.events.len() > MOST_EVENTS || kept.bytes > MOST_BYTES {
                let Some(oldest) = kept.events.pop_front() else {
                    break;
                };
                kept.bytes -= oldest.text.len();
            }
            id
        };
        self.0.last.send_modify(|last| *last = id.max(*last));
    }

    /// Follows from after the event with this id, or from now on.
    pub(crate) fn follow(&self, after: Option<u64>) -> Follower {
        self.0.is_followed.store(true, Ordering::Relaxed);
        self.0.followers.fetch_add(1, Ordering::Relaxed);
        let happens = self.0.last.subscribe();
        let next = after.unwrap_or_else(|| self.kept().last) + 1;
        Follower {
            events: self.clone(),
            happens,
            next,
            rests_until: None,
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
    rests_until: Option<Instant>,
}

impl Follower {
    /// The id of the event that comes next.
    pub(crate) fn place(&self) -> u64 {
        self.next
    }

    /// The id of the event before it, as readers keep it.
    pub(crate) fn last_id(&self) -> String {
        self.events.id(self.next - 1)
    }

    /// What has happened since, of these kinds, or of all if there are none named: as much as makes a part.
    pub(crate) fn take(&mut self, kinds: &[String]) -> Next {
        let mut kept = self.events.kept();
        let first = kept.first();
        if self.next < first {
            let missed = first - self.next;
            self.next = first;
            return Next::Missed(missed);
        }
        if kinds.is_empty() && kept.part.from == self.next && kept.part.to > self.next {
            self.next = kept.part.to;
            let text = kept.part.text.clone();
            drop(kept);
            return self.taken(text);
        }
        let from = usize::try_from(self.next - first).unwrap_or(usize::MAX);
        // A follower that is behind catches up with the others, and takes the same parts from then on.
        let end = match kept.part.to {
            to if to > self.next => to,
            _ => kept.last + 1,
        };
        let mut part = Part {
            from: self.next,
            to: self.next,
            text: Bytes::new(),
        };
        let mut text = String::new();
        for event in kept.events.iter().skip(from) {
            if text.len() > PART || part.to == end {
                break;
            }
            part.to += 1;
            if kinds.is_empty() || kinds.iter().any(|kind| kind == event.kind) {
                text += &event.text;
            }
        }
        part.text = text.into();
        if part.to == self.next {
            return Next::Nothing;
        }
        self.next = part.to;
        let text = part.text.clone();
        if kinds.is_empty() && part.to > kept.part.to {
            kept.part = part;
        }
        drop(kept);
        self.taken(text)
    }

    /// At most `most` events of each of these kinds out of all that has happened since, and how many were
    /// left out.
    pub(crate) fn sample(&mut self, kinds: &[String], most: usize) -> Next {
        let kept = self.events.kept();
        let first = kept.first();
        if self.next < first {
            let missed = first - self.next;
            self.next = first;
            return Next::Missed(missed);
        }
        let last = kept.last;
        if self.next > last {
            return Next::Nothing;
        }
        let from = usize::try_from(self.next - first).unwrap_or(usize::MAX);
        let is_wanted = |of: &str| kinds.is_empty() || kinds.iter().any(|kind| kind == of);
        let last_id = self.events.id(last);
        let text = sample::sample(kept.events.range(from..), most, is_wanted, &last_id);
        drop(kept);
        self.next = last + 1;
        self.rests_until = Some(self.pause_ends(SAMPLE_PAUSE));
        Next::Events(text.into())
    }

    fn taken(&mut self, text: Bytes) -> Next {
        // A full part means that more has gathered: no pause before the next one.
        self.rests_until = (text.len() <= PART).then(|| self.pause_ends(self.pause()));
        Next::Events(text)
    }

    /// Returns at the end of a pause, if the last part was all there was then.
    pub(crate) async fn rest(&mut self) {
        if let Some(until) = self.rests_until.take() {
            tokio::time::sleep_until(until).await;
        }
    }

    fn pause(&self) -> Duration {
        let followers = self.events.0.followers.load(Ordering::Relaxed);
        let followers = u32::try_from(followers).unwrap_or(u32::MAX);
        let [least, most] = PAUSES;
        PAUSE.saturating_mul(followers).clamp(least, most)
    }

    fn pause_ends(&self, pause: Duration) -> Instant {
        let shared = &self.events.0;
        let since = shared.begun.elapsed();
        let pauses = since.as_micros() / pause.as_micros() + 1;
        shared.begun + pause * u32::try_from(pauses).unwrap_or(u32::MAX)
    }

    /// Returns when something has happened since the last time.
    pub(crate) async fn happens(&mut self) {
        let next = self.next;
        // The sender lives in `events`, so waiting cannot fail.
        let _ = self.happens.wait_for(|last| *last >= next).await;
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.events.0.followers.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn numbers(next: Next) -> Vec<u64> {
        match next {
            Next::Events(text) => {
                let text = std::str::from_utf8(&text).unwrap();
                let ids = text.lines().filter_map(|line| line.strip_prefix("id: "));
                let ids = ids.map(|id| id.split_once('-').unwrap().1.parse().unwrap());
                ids.collect()
            }
            Next::Nothing => Vec::new(),
            Next::Missed(missed) => panic!("{missed} are missing"),
        }
    }

    #[test]
    fn a_follower_that_comes_back_goes_on_where_it_was() {
        let events = Events::default();
        events.tell("clock", || panic!("nobody follows"));
        let mut follower = events.follow(None);
        assert_eq!(numbers(follower.take(&[])), [0; 0]);
        for number in 0..3 {
            events.tell("clock", || json!({ "number": number }));
        }
        assert_eq!(numbers(follower.take(&[])), [1, 2, 3]);
        let kept = events.id(1);
        let mut back = events.follow(events.read_id(&kept));
        assert_eq!(numbers(back.take(&[])), [2, 3]);
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
        assert!(matches!(slow.take(&[]), Next::Missed(2)));
        assert_eq!(numbers(slow.take(&[])), [3]);
        for _ in 0..=MOST_EVENTS {
            events.tell("call-begun", || json!({}));
        }
        assert!(matches!(slow.take(&[]), Next::Missed(1)));
    }

    /// Followers that come at different times soon take the same parts, which are made once.
    #[test]
    fn followers_share_what_they_take() {
        let events = Events::default();
        let tell = || events.tell("clock", || json!({}));
        let mut first = events.follow(None);
        tell();
        let mut second = events.follow(None);
        tell();
        assert_eq!(numbers(first.take(&[])), [1, 2]);
        tell();
        assert_eq!(numbers(second.take(&[])), [2]);
        let parts = [&mut first, &mut second].map(|follower| follower.take(&[]));
        let [Next::Events(one), Next::Events(other)] = parts else {
            panic!("nothing has happened");
        };
        assert!(std::ptr::eq(one.as_ref(), other.as_ref()));
        tell();
        let host = ["host".to_owned()];
        assert_eq!(numbers(events.follow(Some(3)).take(&host)), [0; 0]);
        assert_eq!(numbers(first.take(&["clock".to_owned()])), [4]);
        assert!(matches!(first.take(&[]), Next::Nothing));
    }

    #[tokio::test(start_paused = true)]
    async fn followers_leave_events_to_gather() {
        let events = Events::default();
        let mut followers = Vec::new();
        for _ in 0..100 {
            followers.push(events.follow(None));
        }
        events.tell("clock", || json!({}));
        let began = Instant::now();
        let follower = followers.last_mut().unwrap();
        follower.rest().await;
        assert_eq!(began.elapsed(), Duration::ZERO, "nothing was taken yet");
        follower.take(&[]);
        follower.rest().await;
        assert!(began.elapsed() <= 100 * PAUSE, "{:?}", began.elapsed());
        assert!(began.elapsed() > Duration::ZERO);
        let began = Instant::now();
        follower.rest().await;
        assert_eq!(began.elapsed(), Duration::ZERO);
        events.tell("clock", || json!("x".repeat(PART)));
        follower.take(&[]);
        follower.rest().await;
        assert_eq!(began.elapsed(), Duration::ZERO, "there may be more");
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
