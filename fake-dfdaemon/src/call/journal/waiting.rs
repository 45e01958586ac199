//! Waits for calls, and finds near misses when they do not come.

use std::sync::Arc;

use serde::Serialize;
use tokio::sync::Notify;

use super::reading::Lines;
use super::waits::Wait;
use super::{Call, Journal, Query};

/// How many calls are named where others were expected.
pub(super) const MOST_NEAR: usize = 5;

/// A wait for calls, which ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Waiting<'a> {
    journal: &'a Journal,
    id: u64,
    came: Arc<Notify>,
}

impl Waiting<'_> {
    /// Returns when this many calls have ended.
    pub(crate) async fn came(&self) {
        self.came.notified().await;
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.journal.shared.held().waits.remove(self.id);
    }
}

/// A call that nearly matches a query, and why it does not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct NearMiss {
    pub(crate) call: u64,
    pub(crate) rpc: String,
    pub(crate) host: String,
    /// The status code by name; none while the call runs.
    pub(crate) status: Option<String>,
    pub(crate) differs: Vec<Difference>,
}

/// A field of a call that is not as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Difference {
    pub(crate) field: &'static str,
    pub(crate) wanted: String,
    pub(crate) got: Option<String>,
}

impl std::fmt::Display for NearMiss {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "call {} ({} on {})", self.call, self.rpc, self.host)?;
        if self.status.is_none() {
            write!(f, " has not ended")?;
        }
        for (number, difference) in self.differs.iter().enumerate() {
            let Difference { field, wanted, got } = difference;
            let got = got.as_deref().unwrap_or("none");
            let comma = if number == 0 { ": " } else { ", " };
            write!(f, "{comma}{field} is {got}, not {wanted}")?;
        }
        Ok(())
    }
}

impl Query {
    /// In what a call is not as it is asked for; what a running one will answer is left out.
    fn differences(&self, call: &Call, is_running: bool) -> Vec<Difference> {
        let task = call.task_id();
        let status = self.status.as_deref().filter(|_| !is_running);
        let fields = [
            (
                "rpc",
                self.rpc.map(|rpc| rpc.as_str()),
                Some(call.rpc.as_str()),
            ),
            ("status", status, Some(call.status.code.as_str())),
            ("task", self.task.as_deref(), task),
            ("host", self.host.as_deref(), Some(call.host.as_str())),
        ];
        let differs = fields.into_iter().filter_map(|(field, wanted, got)| {
            let wanted = wanted.filter(|wanted| got != Some(*wanted))?;
            Some(Difference {
                field,
                wanted: wanted.to_owned(),
                got: got.map(str::to_owned),
            })
        });
        differs.collect()
    }
}

impl Journal {
    /// Waits until `count` calls that are asked for have ended, among those with a number above
    /// `after`; those that have ended count.
    pub(crate) fn waiting(&self, query: Query, after: u64, count: u64) -> Waiting<'_> {
        let mut held = self.shared.held();
        let ended = held.index.find(&query, after).count_all();
        let came = Arc::new(Notify::new());
        let lacks = count.saturating_sub(ended);
        if lacks == 0 {
            came.notify_one();
        }
        let id = held.waits.add(Wait {
            query,
            after,
            lacks,
            count,
            came: Arc::clone(&came),
        });
        Waiting {
            journal: self,
            id,
            came,
        }
    }

    /// The calls that come nearest to a query without matching it: those that run, and those that
    /// ended, the latest of those with the fewest fields that differ. Blocks on the disk.
    pub(crate) fn near_misses(&self, query: &Query, after: u64) -> Vec<NearMiss> {
        let running = self
            .running
            .find(&Query::default(), after, usize::MAX)
            .into_iter()
            .filter_map(|call| {
                let differs = query.differences(&call, true);
                (differs.len() < 2).then(|| near_miss(&call, None, differs))
            });
        let mut near: Vec<_> = running.collect();
        let (ended, mut lines) = {
            let held = self.shared.held();
            let lines = Lines::new(&self.shared, held.file.clone());
            (held.index.nearest(query, after, MOST_NEAR), lines)
        };
        for entry in ended.into_iter().rev() {
            if let Ok(Some(call)) = lines.call(entry) {
                let differs = query.differences(&call, false);
                near.push(near_miss(&call, Some(call.status.code.clone()), differs));
            }
        }
        near.truncate(MOST_NEAR);
        near
    }
}

fn near_miss(call: &Call, status: Option<String>, differs: Vec<Difference>) -> NearMiss {
    NearMiss {
        call: call.call,
        rpc: call.rpc.to_string(),
        host: call.host.clone(),
        status,
        differs,
    }
}
