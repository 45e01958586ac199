//! Where each call stands in the journal's file, with the fields that queries select by: a count reads
//! nothing of the file, and a page reads only its own lines.
//!
//! A call takes 30 bytes, in columns, so that a count goes through little memory. The columns are cut
//! into chunks that readers share: a reader keeps the chunks as they were, and the writer copies the
//! one chunk that it changes.

mod chunk;

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

pub(super) use self::chunk::IndexEntry;
use self::chunk::{Chunk, Kind, Kinds, Names};
use super::line::Line;
use super::{Call, Query};
use crate::call::rpc::Rpc;

/// How many calls a chunk holds before it is cut in two.
const CHUNK: usize = 2048;

/// The place of a line that is not in the file yet.
pub(super) const UNWRITTEN: u64 = u64::MAX;

/// All calls that can be asked for.
#[derive(Debug, Default)]
pub(super) struct Index {
    chunks: Vec<Arc<Chunk>>,
    /// How many calls of the first chunk are forgotten.
    forgotten: usize,
    /// How many calls there are besides.
    len: usize,
    statuses: Names,
    hosts: Names,
    /// Tasks are distinguished by 64 bits of a keyed hash: a million of them have two alike once in
    /// forty million journals.
    hasher: RandomState,
}

/// What a query asks for, in the index's numbers.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    kinds: Kinds,
    task: Option<u64>,
}

impl Wanted {
    fn is_all(self) -> bool {
        self.task.is_none() && self.kinds.is_all()
    }

    fn matches(self, task: u64, kind: Kind) -> bool {
        self.kinds.has(kind) && self.task.is_none_or(|wanted| wanted == task)
    }

    /// How many calls of a chunk match, but for the first `skip`. It looks into no more columns than
    /// it has to.
    fn count(self, chunk: &Chunk, skip: usize) -> usize {
        let tasks = chunk.tasks.get(skip..).unwrap_or_default();
        let kinds = chunk.kinds.get(skip..).unwrap_or_default();
        let Some(wanted) = self.task else {
            return kinds.iter().filter(|kind| self.kinds.has(**kind)).count();
        };
        if self.kinds.is_all() {
            return tasks.iter().filter(|task| **task == wanted).count();
        }
        let both = tasks.iter().zip(kinds);
        both.filter(|(task, kind)| (**task == wanted) & self.kinds.has(**kind))
            .count()
    }
}

fn rpc_number(rpc: Rpc) -> u8 {
    rpc as u8
}

impl Index {
    /// The highest number of a call.
    pub(super) fn last(&self) -> Option<u64> {
        self.chunks.last()?.calls.last().copied()
    }

    pub(super) fn clear(&mut self) {
        self.chunks.clear();
        self.forgotten = 0;
        self.len = 0;
    }

    /// Forgets the oldest calls, until there are no more than `limit`; how many it forgot.
    pub(super) fn keep(&mut self, limit: usize) -> u64 {
        let mut forgot = 0;
        while self.len > limit {
            self.forgotten += 1;
            self.len -= 1;
            forgot += 1;
            let first = self.chunks.first().map_or(0, |chunk| chunk.calls.len());
            if self.forgotten >= first {
                self.chunks.remove(0);
                self.forgotten = 0;
            }
        }
        forgot
    }

    /// Takes the forgotten calls out of the first chunk.
    fn drop_forgotten(&mut self) {
        let forgotten = std::mem::take(&mut self.forgotten);
        if let Some(first) = self.chunks.first_mut().filter(|_| forgotten > 0) {
            Arc::make_mut(first).drop_first(forgotten);
        }
    }

    /// Where the first line begins that is in the file and that anybody may ask for.
    pub(super) fn first_place(&self) -> Option<u64> {
        let places = self.chunks.iter().enumerate().flat_map(|(at, chunk)| {
            let skip = if at == 0 { self.forgotten } else { 0 };
            chunk.places.iter().skip(skip).copied()
        });
        places.filter(|place| *place != UNWRITTEN).min()
    }

    /// Adds a call whose line begins at `place`.
    pub(super) fn add(&mut self, call: &Call, place: u64) {
        let task = call.task_id();
        self.add_fields(
            call.call,
            call.rpc,
            &call.host,
            &call.status.code,
            task,
            place,
        );
    }

    /// The same for a call of which only the line is there.
    pub(super) fn add_line(&mut self, line: &Line<'_>, place: u64) {
        let task = line.task.as_deref();
        self.add_fields(line.call, line.rpc, &line.host, &line.code, task, place);
    }

    fn add_fields(
        &mut self,
        call: u64,
        rpc: Rpc,
        host: &str,
        status: &str,
        task: Option<&str>,
        place: u64,
    ) {
        // There are 17 status codes and 200 hosts; a file with more of them is not ours.
        let (Some(status), Some(host)) = (
            self.statuses.number_or_new(status),
            self.hosts.number_or_new(host),
        ) else {
            return;
        };
        let task = self.task_number(task);
        let kind = Kind::new(rpc_number(rpc), status, host);
        self.len += 1;
        self.insert(IndexEntry {
            call,
            place,
            task,
            kind,
        });
    }

    /// 0 is no task.
    fn task_number(&self, task: Option<&str>) -> u64 {
        task.map_or(0, |task| self.hasher.hash_one(task).max(1))
    }

    fn insert(&mut self, entry: IndexEntry) {
        let is_before = |chunk: &Arc<Chunk>| {
            chunk
                .calls
                .first()
                .is_some_and(|first| *first <= entry.call)
        };
        let at = self.chunks.partition_point(is_before).saturating_sub(1);
        let is_last = at + 1 >= self.chunks.len();
        let Some(chunk) = self.chunks.get_mut(at) else {
            let mut chunk = Chunk::default();
            chunk.insert(0, entry);
            self.chunks.push(Arc::new(chunk));
            return;
        };
        let within = chunk.calls.partition_point(|call| *call <= entry.call);
        if at == 0 && within < self.forgotten {
            // Calls that came after it are forgotten. It is the oldest that is not.
            self.drop_forgotten();
            return self.insert(entry);
        }
        let is_full = chunk.calls.len() >= CHUNK;
        if is_full && is_last && within == chunk.calls.len() {
            // Nearly all come in order: full chunks stay full.
            let mut next = Chunk::default();
            next.insert(0, entry);
            self.chunks.push(Arc::new(next));
            return;
        }
        let chunk = Arc::make_mut(chunk);
        chunk.insert(within, entry);
        if is_full {
            if at == 0 {
                self.drop_forgotten();
            }
            let rest = self
                .chunks
                .get_mut(at)
                .map(|chunk| Arc::make_mut(chunk).split());
            self.chunks
                .insert(at + 1, Arc::new(rest.unwrap_or_default()));
        }
    }

    /// The chunk that a call is in, and where in it.
    fn position(&self, call: u64) -> Option<(usize, usize)> {
        let is_past = |chunk: &Arc<Chunk>| chunk.calls.last().is_some_and(|last| *last < call);
        let at = self.chunks.partition_point(is_past);
        let within = self.chunks.get(at)?.calls.binary_search(&call).ok()?;
        Some((at, within))
    }

    /// Where a call's line begins.
    pub(super) fn place_of(&self, call: u64) -> Option<u64> {
        let (at, within) = self.position(call)?;
        self.chunks.get(at)?.places.get(within).copied()
    }

    /// Notes where a call's line begins, once it is in the file.
    pub(super) fn set_place(&mut self, call: u64, place: u64) {
        let Some((at, within)) = self.position(call) else {
            return;
        };
        if let Some(chunk) = self.chunks.get_mut(at)
            && let Some(known) = Arc::make_mut(chunk).places.get_mut(within)
        {
            *known = place;
        }
    }

    /// Forgets a call whose line could not be written, if it is not forgotten already.
    pub(super) fn remove(&mut self, call: u64) -> bool {
        let Some((at, within)) = self.position(call) else {
            return false;
        };
        let Some(chunk) = self.chunks.get_mut(at) else {
            return false;
        };
        if at == 0 && within < self.forgotten {
            return false;
        }
        let chunk = Arc::make_mut(chunk);
        chunk.remove(within);
        self.len -= 1;
        if chunk.calls.is_empty() {
            self.chunks.remove(at);
        }
        true
    }

    /// `None` where no call can match: nobody has heard of the host, or of the status.
    fn wanted(&self, query: &Query) -> Option<Wanted> {
        let status = match &query.status {
            None => None,
            Some(name) => Some(self.statuses.number(name)?),
        };
        let host = match &query.host {
            None => None,
            Some(name) => Some(self.hosts.number(name)?),
        };
        Some(Wanted {
            kinds: Kinds::new(query.rpc.map(rpc_number), status, host),
            task: query.task.as_deref().map(|id| self.task_number(Some(id))),
        })
    }

    /// The calls that a query asks for and that come after `after`, as they are now.
    pub(super) fn find(&self, query: &Query, after: u64) -> Found {
        let wanted = self.wanted(query);
        let mut skip = self.forgotten;
        let chunks = if wanted.is_some() {
            let is_past =
                |chunk: &Arc<Chunk>| chunk.calls.last().is_some_and(|last| *last <= after);
            let first = self.chunks.partition_point(is_past);
            skip = if first == 0 { skip } else { 0 };
            self.chunks.get(first..).unwrap_or_default().to_vec()
        } else {
            Vec::new()
        };
        let at = chunks.first();
        let at = at.map_or(0, |chunk| {
            let after = chunk.calls.partition_point(|call| *call <= after);
            after.max(skip)
        });
        Found {
            chunks,
            wanted,
            chunk: 0,
            at,
        }
    }

    /// The calls that miss a query by the fewest fields, the latest `most` of them, oldest first.
    pub(super) fn nearest(&self, query: &Query, after: u64, most: usize) -> Vec<IndexEntry> {
        // No call has a name that the index does not know.
        let is_missed = |kinds: Option<Kinds>, entry: &IndexEntry| {
            usize::from(!kinds.is_some_and(|kinds| kinds.has(entry.kind)))
        };
        let rpc = Kinds::new(query.rpc.map(rpc_number), None, None);
        let status = query
            .status
            .as_deref()
            .map_or(Some(None), |name| self.statuses.number(name).map(Some));
        let status = status.map(|status| Kinds::new(None, status, None));
        let host = query
            .host
            .as_deref()
            .map_or(Some(None), |name| self.hosts.number(name).map(Some));
        let host = host.map(|host| Kinds::new(None, None, host));
        let task = query.task.as_deref().map(|id| self.task_number(Some(id)));
        let misses = |entry: &IndexEntry| {
            2 * is_missed(Some(rpc), entry)
                + is_missed(status, entry)
                + is_missed(host, entry)
                + usize::from(task.is_some_and(|task| task != entry.task))
        };
        let mut nearest: Vec<IndexEntry> = Vec::new();
        let mut fewest = usize::MAX;
        for entry in self.find(&Query::default(), after) {
            let misses = misses(&entry);
            if misses == 0 || misses > fewest {
                continue;
            }
            if misses < fewest {
                nearest.clear();
                fewest = misses;
            }
            if nearest.len() == most {
                nearest.remove(0);
            }
            nearest.push(entry);
        }
        nearest
    }
}

/// Calls that were found, by number.
#[derive(Clone, Debug)]
pub(super) struct Found {
    chunks: Vec<Arc<Chunk>>,
    wanted: Option<Wanted>,
    chunk: usize,
    at: usize,
}

impl Found {
    /// How many there are.
    pub(super) fn count_all(self) -> u64 {
        let Some(wanted) = self.wanted else {
            return 0;
        };
        if wanted.is_all() {
            let all: usize = self.chunks.iter().map(|chunk| chunk.calls.len()).sum();
            return (all - self.at) as u64;
        }
        let mut skip = self.at;
        let mut count = 0;
        for chunk in &self.chunks {
            count += wanted.count(chunk, skip) as u64;
            skip = 0;
        }
        count
    }
}

impl Iterator for Found {
    type Item = IndexEntry;

    fn next(&mut self) -> Option<IndexEntry> {
        let wanted = self.wanted?;
        loop {
            let chunk = self.chunks.get(self.chunk)?;
            while let Some(entry) = chunk.get(self.at) {
                self.at += 1;
                if wanted.matches(entry.task, entry.kind) {
                    return Some(entry);
                }
            }
            self.chunk += 1;
            self.at = 0;
        }
    }
}

#[cfg(test)]
mod tests;
