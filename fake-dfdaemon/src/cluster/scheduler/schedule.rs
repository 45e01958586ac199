//! The jobs and when they are due: replication, collection, eviction.
//!
//! The schedule knows which jobs are due and which are running, so that somebody can wait until all
//! that is due has been done. It does none of it, and has no clock: callers pass the time.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::dfdaemon::mutex::Mutex;

/// What a running job waits for.
#[derive(Clone, Debug)]
pub(crate) enum Blocked {
    /// A time.
    Until(Timestamp),
    /// Something that time does not bring.
    ForEvent(CancellationToken),
}

impl Blocked {
    /// When it goes on, if time brings that; `None` if it goes on now.
    fn due(&self, now: Timestamp) -> Option<Option<Timestamp>> {
        match self {
            Self::Until(due) => (*due > now).then_some(Some(*due)),
            Self::ForEvent(event) => (!event.is_cancelled()).then_some(None),
        }
    }
}

/// Jobs by the time that they are due. A job is in it once: whatever is added again keeps the
/// earlier time, and a job that is running is not started a second time before it has ended.
#[derive(Debug)]
pub(crate) struct Schedule<J> {
    inner: Mutex<Inner<J>>,
    changed: watch::Sender<()>,
}

#[derive(Debug)]
struct Inner<J> {
    due: BTreeMap<(Timestamp, u64), J>,
    keys: HashMap<J, (Timestamp, u64)>,
    /// With what they wait for, if they wait.
    running: HashMap<J, Option<Blocked>>,
    next_number: u64,
}

impl<J: Clone + Eq + Hash> Schedule<J> {
    pub(crate) fn new() -> Self {
        Self {
            inner: Mutex::new(Inner {
                due: BTreeMap::new(),
                keys: HashMap::new(),
                running: HashMap::new(),
                next_number: 0,
            }),
            changed: watch::Sender::new(()),
        }
    }

    /// Wakes all who wait for a change: a test waits for leases as well.
    #[cfg(test)]
    pub(crate) fn tell(&self) {
        self.changed.send_replace(());
    }

    /// Schedules a job for `at`.
    pub(crate) fn add(&self, at: Timestamp, job: J) {
        {
            let mut inner = self.inner.lock();
            match inner.keys.get(&job).copied() {
                Some(key) if key.0 <= at => return,
                Some(key) => {
                    inner.due.remove(&key);
                }
                None => {}
            }
            let key = (at, inner.next_number);
            inner.next_number += 1;
            inner.keys.insert(job.clone(), key);
            inner.due.insert(key, job);
        }
        self.changed.send_replace(());
    }

    /// Schedules a job for `at`, unless it is scheduled for any time, or running.
    pub(crate) fn add_if_absent(&self, at: Timestamp, job: J) {
        let absent = {
            let inner = self.inner.lock();
            !inner.keys.contains_key(&job) && !inner.running.contains_key(&job)
        };
        if absent {
            self.add(at, job);
        }
    }

    /// Takes the first job that is due and not running, which then counts as running.
    pub(crate) fn start_due(&self, now: Timestamp) -> Option<J> {
        let mut inner = self.inner.lock();
        let waiting = |(_, job): &(&(Timestamp, u64), &J)| !inner.running.contains_key(*job);
        let (key, job) = inner
            .due
            .range(..=(now, u64::MAX))
            .find(waiting)
            .map(|(key, job)| (*key, job.clone()))?;
        inner.due.remove(&key);
        inner.keys.remove(&job);
        inner.running.insert(job.clone(), None);
        Some(job)
    }

    #[cfg(test)]
    pub(crate) fn is_running(&self, job: &J) -> bool {
        self.inner.lock().running.contains_key(job)
    }

    /// Says that a job has ended.
    pub(crate) fn ended(&self, job: &J) {
        self.inner.lock().running.remove(job);
        self.changed.send_replace(());
    }

    /// Says that a running job waits.
    pub(crate) fn block(&self, job: &J, blocked: Blocked) {
        self.set_blocked(job, Some(blocked));
    }

    /// Says that a running job does not wait any more.
    pub(crate) fn unblock(&self, job: &J) {
        self.set_blocked(job, None);
    }

    fn set_blocked(&self, job: &J, blocked: Option<Blocked>) {
        if let Some(state) = self.inner.lock().running.get_mut(job) {
            *state = blocked;
        }
        self.changed.send_replace(());
    }

    /// Forgets every job that is not running.
    pub(crate) fn clear(&self) {
        {
            let mut inner = self.inner.lock();
            inner.due.clear();
            inner.keys.clear();
        }
        self.changed.send_replace(());
    }

    /// When the next job is due that is not running.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        let inner = self.inner.lock();
        let mut waiting = inner
            .due
            .iter()
            .filter(|(_, job)| !inner.running.contains_key(*job));
        waiting.next().map(|((at, _), _)| *at)
    }

    /// What only time can bring, or `None` while something is due or running.
    pub(crate) fn settled(&self, now: Timestamp) -> Option<Vec<(J, Option<Timestamp>)>> {
        let inner = self.inner.lock();
        let mut waiting = Vec::new();
        for (job, blocked) in &inner.running {
            // If it waits no longer, it is only not woken yet.
            let due = blocked.as_ref()?.due(now)?;
            waiting.push((job.clone(), due));
        }
        for ((at, _), job) in &inner.due {
            // A running job that waits has to end first.
            if *at <= now && !inner.running.contains_key(job) {
                return None;
            }
            waiting.push((job.clone(), Some(*at)));
        }
        Some(waiting)
    }

    /// Sees every change from now on.
    pub(crate) fn subscribe(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn jobs_start_when_they_are_due_in_order() {
        let schedule = Schedule::new();
        schedule.add(at(2), "second");
        schedule.add(at(1), "first");
        assert_eq!(
            (schedule.start_due(at(0)), schedule.next_due()),
            (None, Some(at(1)))
        );
        assert_eq!(schedule.start_due(at(2)), Some("first"));
        assert_eq!(schedule.start_due(at(2)), Some("second"));
        assert_eq!(schedule.start_due(at(2)), None);
    }

    #[test]
    fn jobs_of_one_time_start_as_they_were_added() {
        let schedule = Schedule::new();
        let jobs = ["c", "a", "b"];
        for job in jobs {
            schedule.add(at(1), job);
        }
        assert_eq!(jobs.map(|_| schedule.start_due(at(1))), jobs.map(Some));
    }

    #[test]
    fn a_job_that_is_down_or_running_is_not_absent() {
        let schedule = Schedule::new();
        schedule.add_if_absent(at(2), "job");
        schedule.add_if_absent(at(1), "job");
        assert_eq!(schedule.next_due(), Some(at(2)));
        assert_eq!(schedule.start_due(at(2)), Some("job"));
        schedule.add_if_absent(at(1), "job");
        schedule.ended(&"job");
        assert_eq!(schedule.next_due(), None);
        schedule.add_if_absent(at(1), "job");
        assert_eq!(schedule.next_due(), Some(at(1)));
    }

    #[test]
    fn only_what_is_running_outlives_a_clear() {
        let schedule = Schedule::new();
        schedule.add(at(0), "running");
        assert_eq!(schedule.start_due(at(0)), Some("running"));
        schedule.add(at(0), "running");
        schedule.add(at(1), "job");
        schedule.clear();
        assert!(schedule.is_running(&"running"));
        schedule.ended(&"running");
        assert_eq!(schedule.settled(at(1)), Some(vec![]));
        schedule.add(at(2), "job");
        assert_eq!(schedule.next_due(), Some(at(2)));
    }

    #[test]
    fn whoever_watches_learns_of_every_change() {
        let schedule = Schedule::new();
        let changed = schedule.subscribe();
        let changes: [(&str, &dyn Fn()); 6] = [
            ("add", &|| schedule.add(at(0), "job")),
            ("block", &|| schedule.block(&"job", Blocked::Until(at(1)))),
            ("unblock", &|| schedule.unblock(&"job")),
            ("ended", &|| schedule.ended(&"job")),
            ("add if absent", &|| schedule.add_if_absent(at(0), "other")),
            ("clear", &|| schedule.clear()),
        ];
        for (name, change) in changes {
            let mut changed = changed.clone();
            changed.mark_unchanged();
            change();
            assert!(changed.has_changed().unwrap(), "{name}");
        }
    }

    #[test]
    fn a_job_added_twice_runs_once_at_the_earlier_time() {
        let schedule = Schedule::new();
        schedule.add(at(2), "job");
        schedule.add(at(1), "job");
        schedule.add(at(3), "job");
        assert_eq!(schedule.start_due(at(1)), Some("job"));
        assert_eq!(schedule.next_due(), None);
    }

    #[test]
    fn a_running_job_is_not_started_again_before_it_has_ended() {
        let schedule = Schedule::new();
        schedule.add(at(0), "job");
        assert_eq!(schedule.start_due(at(0)), Some("job"));
        schedule.add(at(0), "job");
        assert_eq!(
            (schedule.start_due(at(0)), schedule.next_due()),
            (None, None)
        );
        assert_eq!(schedule.settled(at(0)), None);
        schedule.ended(&"job");
        assert_eq!(schedule.start_due(at(0)), Some("job"));
    }

    #[test]
    fn settled_names_what_only_time_can_bring() {
        let schedule = Schedule::new();
        schedule.add(at(5), "later");
        assert_eq!(schedule.settled(at(4)), Some(vec![("later", Some(at(5)))]));
        assert_eq!(schedule.settled(at(5)), None);
    }

    #[test]
    fn a_running_job_that_waits_for_time_does_not_keep_from_settling() {
        let schedule = Schedule::new();
        schedule.add(at(0), "job");
        assert_eq!(schedule.start_due(at(0)), Some("job"));
        schedule.block(&"job", Blocked::Until(at(3)));
        assert_eq!(schedule.settled(at(2)), Some(vec![("job", Some(at(3)))]));
        assert_eq!(schedule.settled(at(3)), None);
        let event = CancellationToken::new();
        schedule.block(&"job", Blocked::ForEvent(event.clone()));
        assert_eq!(schedule.settled(at(3)), Some(vec![("job", None)]));
        event.cancel();
        assert_eq!(schedule.settled(at(3)), None);
        schedule.unblock(&"job");
        assert_eq!(schedule.settled(at(3)), None);
    }
}
