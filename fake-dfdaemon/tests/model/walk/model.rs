//! What a dfdaemon with every quirk has and counts, as behaviour says it: tasks, copies, time.

use std::collections::{BTreeMap, BTreeSet};

use fake_dfdaemon::Release;

use super::counted::Counted;
use super::files::{Files, Node};
use super::ops::HOSTS;
use super::texts;

/// When time begins, in seconds.
pub(crate) const START: i64 = 1_000_000;

/// In bytes, of every task without a requested one: no file of the walk is longer.
const PIECE_LENGTH: u64 = 4 << 20;

/// A task as the scheduler knows it.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    /// Whether its import found no room: it stays Uploading, and nobody has it.
    pub(crate) uploading: bool,
    pub(crate) wanted: u64,
    pub(crate) tag: Option<String>,
    pub(crate) application: Option<String>,
    pub(crate) length: u64,
    pub(crate) piece_length: u64,
    pub(crate) ttl: (i64, i32),
    pub(crate) created: i64,
    /// What is counted beside the copies.
    pub(crate) counted: [Counted; HOSTS],
    pub(crate) copies: BTreeMap<usize, Copy>,
}

/// What a host has of a task.
#[derive(Clone, Debug)]
pub(crate) struct Copy {
    pub(crate) content: Option<Node>,
    /// The file of full length that lies there instead of content.
    pub(crate) preallocated: Option<Node>,
    /// CRC-32 of each piece when it came; `None` for a link to the source.
    pub(crate) crc32: Option<Vec<u32>>,
    pub(crate) persistent: bool,
    /// Whether the scheduler takes it for a persistent one, if it was not told of a change.
    pub(crate) told_persistent: Option<bool>,
    /// Whether the scheduler was never told of it: it is empty.
    pub(crate) untold: bool,
    pub(crate) finished: bool,
    pub(crate) failed: bool,
    /// Whether only the scheduler still knows of it.
    pub(crate) lost: bool,
    /// Whether its host has left: it does not count.
    pub(crate) left: bool,
    /// `None` if the walk cannot tell.
    pub(crate) uploaded: Option<u64>,
}

impl Copy {
    pub(crate) fn whole(content: Node, crc32: Option<Vec<u32>>, persistent: bool) -> Self {
        Self {
            content: Some(content),
            preallocated: None,
            crc32,
            persistent,
            told_persistent: None,
            untold: false,
            finished: true,
            failed: false,
            lost: false,
            left: false,
            uploaded: Some(0),
        }
    }

    /// What an export leaves that did not end well: it failed, or its link was refused.
    pub(crate) fn unfinished(failed: bool, persistent: bool) -> Self {
        Self {
            content: None,
            preallocated: None,
            crc32: None,
            persistent,
            told_persistent: None,
            untold: false,
            finished: false,
            failed,
            lost: false,
            left: false,
            uploaded: None,
        }
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.finished && !self.lost
    }

    /// Whether it is whole and no other host gets a byte of it.
    pub(crate) fn is_poisoned(&self) -> bool {
        self.is_whole() && self.failed
    }

    fn counts(&self) -> bool {
        self.finished && !self.left && !self.untold
    }

    fn is_persistent(&self) -> bool {
        self.told_persistent.unwrap_or(self.persistent)
    }
}

impl Task {
    pub(crate) fn piece_count(&self) -> usize {
        self.length.div_ceil(self.piece_length) as usize
    }

    pub(crate) fn range(&self, piece: usize) -> std::ops::Range<usize> {
        let start = piece * self.piece_length as usize;
        start..(start + self.piece_length as usize).min(self.length as usize)
    }

    /// The CRC-32 of each piece of these bytes.
    pub(crate) fn crc32(&self, bytes: &[u8]) -> Vec<u32> {
        let pieces = (0..self.piece_count()).map(|piece| &bytes[self.range(piece)]);
        pieces.map(dfdaemon_api::digest::crc32).collect()
    }

    pub(crate) fn state(&self) -> &'static str {
        match self.uploading {
            true => "Uploading",
            false => "Succeeded",
        }
    }

    /// The file that a failed export left on a host.
    pub(crate) fn preallocated(&self, host: usize) -> Option<Node> {
        self.copies.get(&host)?.preallocated
    }

    pub(crate) fn whole(&self, host: usize) -> Option<&Copy> {
        self.copies.get(&host).filter(|copy| copy.is_whole())
    }

    /// Persistent replicas and all, as a stat counts them.
    pub(crate) fn counts(&self) -> (u64, u64) {
        if self.uploading {
            return (1, 1);
        }
        let counts = |copy: &&Copy| copy.counts();
        let counted = || self.copies.values().filter(counts);
        let persistent = counted().filter(|copy| copy.is_persistent()).count();
        let beside = |number: fn(&Counted) -> u64| self.counted.iter().map(number).sum::<u64>();
        (
            persistent as u64 + beside(|counted| counted.persistent),
            counted().count() as u64 + beside(|counted| counted.all),
        )
    }

    /// Makes a whole copy persistent.
    pub(crate) fn persist(&mut self, host: usize) {
        if let Some(copy) = self.copies.get_mut(&host) {
            (copy.persistent, copy.told_persistent) = (true, None);
        }
    }

    /// Makes a whole copy persistent or evictable, of which the scheduler is not told.
    pub(crate) fn flag(&mut self, host: usize, persistent: bool) {
        if let Some(copy) = self.copies.get_mut(&host) {
            copy.told_persistent = Some(copy.is_persistent());
            copy.persistent = persistent;
        }
    }

    /// Puts a copy in place of one that the scheduler may know of: then it counts both.
    pub(crate) fn put(&mut self, host: usize, copy: Copy) {
        let there = self.copies.insert(host, copy);
        if let Some(lost) = there.filter(|there| there.lost && there.finished && !there.untold) {
            let counted = &mut self.counted[host];
            counted.add(lost.is_persistent());
            counted.lost += 1;
            counted.lost_persistent |= lost.is_persistent();
        }
    }

    /// A host has its copy no more; the scheduler goes on counting it, if it did.
    fn lose(&mut self, host: usize) {
        let copy = self.copies.get_mut(&host);
        match copy {
            Some(copy) if copy.counts() => {
                (copy.lost, copy.content, copy.uploaded) = (true, None, Some(0));
                copy.preallocated = None;
            }
            _ => drop(self.copies.remove(&host)),
        }
    }

    pub(crate) fn count_uploads(&mut self, host: usize, pieces: usize) {
        let copy = self.copies.get_mut(&host);
        if let Some(uploaded) = copy.and_then(|copy| copy.uploaded.as_mut()) {
            *uploaded += pieces as u64;
        }
    }
}

/// How a transfer from other hosts ends.
#[derive(Debug)]
pub(crate) enum Transfer {
    /// What comes.
    Whole(Vec<u8>),
    /// A piece is not what its digest says, and there is no other parent.
    Bad,
    /// The only parents have lost the task, do not run, or serve nobody.
    Gone,
    /// Nobody has the task.
    Nowhere,
}

pub(crate) struct Model {
    pub(crate) release: Release,
    pub(crate) now: i64,
    pub(crate) running: [bool; HOSTS],
    /// By id, expired ones too, until they are collected.
    pub(crate) tasks: BTreeMap<String, Task>,
    /// What relative links of each host lead to, by the directory and the source.
    targets: BTreeSet<(usize, String, usize)>,
    /// Tasks that the scheduler makes replicas of next.
    pub(crate) due: Vec<String>,
}

impl Model {
    pub(crate) fn new(release: Release) -> Self {
        Self {
            release,
            now: START,
            running: [true; HOSTS],
            tasks: BTreeMap::new(),
            targets: BTreeSet::new(),
            due: Vec::new(),
        }
    }

    pub(crate) fn live(&self, id: &str) -> Option<&Task> {
        let expires = |task: &Task| task.created + task.ttl.0;
        self.tasks.get(id).filter(|task| self.now < expires(task))
    }

    pub(crate) fn first_running(&self) -> Option<usize> {
        (0..HOSTS).find(|host| self.running[*host])
    }

    /// An export has begun, or ended well, on a host with the copy.
    pub(crate) fn cure(&mut self, id: &str, host: usize) {
        let task = self.tasks.get_mut(id).unwrap();
        if let Some(copy) = task.copies.get_mut(&host) {
            copy.failed = false;
        }
    }

    /// A host leaves: its replicas count no more, and its persistent ones are made elsewhere.
    pub(crate) fn leave_host(&mut self, host: usize) {
        self.running[host] = false;
        for (id, task) in &mut self.tasks {
            let counted = std::mem::take(&mut task.counted[host]);
            let copy = task.copies.get_mut(&host).filter(|copy| !copy.left);
            let kept = copy.is_some_and(|copy| {
                copy.left = true;
                copy.finished && copy.is_persistent()
            });
            if kept || counted.lost_persistent {
                self.due.push(id.clone());
            }
        }
    }

    /// An export begins on a host that has the task: what a relative link in the place of its content leads
    /// to is made, beside it.
    pub(crate) fn make_target(&mut self, id: &str, host: usize) {
        let copy = self.live(id).and_then(|task| task.whole(host));
        if let Some(Node::Relative(source)) = copy.and_then(|copy| copy.content) {
            self.targets.insert((host, id[..3].to_owned(), source));
        }
    }

    fn leads_nowhere(&self, id: &str, host: usize, content: Node) -> bool {
        let Node::Relative(source) = content else {
            return false;
        };
        !self.targets.contains(&(host, id[..3].to_owned(), source))
    }

    /// How a transfer to a host would end.
    pub(crate) fn transfer(&self, files: &Files, id: &str, to: usize) -> Transfer {
        let task = &self.tasks[id];
        let serves = |host: &usize| *host != to && self.running[*host];
        if task.length == 0 && !task.uploading {
            return Transfer::Whole(Vec::new());
        }
        let parents = (0..HOSTS).filter(serves);
        let mut parents = parents.filter_map(|host| Some((host, task.whole(host)?)));
        let Some((parent, from)) = parents.next() else {
            let others = task.copies.iter().filter(|(host, _)| **host != to);
            let lost = (0..HOSTS).any(|host| host != to && task.counted[host].lost > 0);
            return match lost || others.map(|(_, copy)| copy).any(Copy::counts) {
                true => Transfer::Gone,
                false => Transfer::Nowhere,
            };
        };
        let content = from.content.unwrap();
        if from.is_poisoned() || self.leads_nowhere(id, parent, content) {
            return Transfer::Gone;
        }
        let bytes = files.served(content, task.length as usize);
        match &from.crc32 {
            Some(crc32) if *crc32 != task.crc32(&bytes) => Transfer::Bad,
            _ => Transfer::Whole(bytes),
        }
    }

    /// Does a transfer to a host; the pieces that came are read from the parent.
    pub(crate) fn take(&mut self, files: &mut Files, id: &str, to: usize, persistent: bool) {
        let transfer = self.transfer(files, id, to);
        let task = self.tasks.get_mut(id).unwrap();
        let parent = (0..HOSTS).find(|host| *host != to && task.whole(*host).is_some());
        match transfer {
            Transfer::Whole(bytes) => {
                if let Some(parent) = parent {
                    task.count_uploads(parent, task.piece_count());
                }
                let crc32 = task.crc32(&bytes);
                let content = files.preallocated(task.preallocated(to), bytes);
                let copy = Copy::whole(content, Some(crc32), persistent);
                let uploaded = task.copies.get(&to).map_or(Some(0), |copy| copy.uploaded);
                let untold = task.length == 0;
                let copy = Copy {
                    uploaded,
                    untold,
                    ..copy
                };
                task.put(to, copy);
            }
            Transfer::Bad => {
                if let Some(parent) = task.copies.get_mut(&parent.unwrap()) {
                    parent.uploaded = None;
                }
                task.counted[to].add(persistent);
                self.leave(files, id, to, Copy::unfinished(true, persistent));
            }
            Transfer::Gone => {
                task.counted[to].add(persistent);
                self.leave_unwritten(files, id, to, persistent);
            }
            Transfer::Nowhere => self.leave_unwritten(files, id, to, persistent),
        }
    }

    /// Leaves what an export does that failed and got nothing: not even a file that an earlier one left is
    /// written.
    fn leave_unwritten(&mut self, files: &mut Files, id: &str, to: usize, persistent: bool) {
        let left = Copy::unfinished(true, persistent);
        let task = self.tasks.get_mut(id).unwrap();
        match task.preallocated(to) {
            None => self.leave(files, id, to, left),
            preallocated => {
                let left = Copy {
                    preallocated,
                    ..left
                };
                task.put(to, left);
            }
        }
    }

    /// Leaves what an export does that did not end well, with a file of full length. By itself it does not
    /// count.
    pub(crate) fn leave(&mut self, files: &mut Files, id: &str, host: usize, left: Copy) {
        let task = self.tasks.get_mut(id).unwrap();
        let file = files.unknown(task.preallocated(host));
        let left = Copy {
            preallocated: Some(file),
            ..left
        };
        task.put(host, left);
    }

    /// The host whose pieces an export on another one waits for: it lost its copy, and knows of an export
    /// that neither ended well nor failed.
    pub(crate) fn stalls(&self, id: &str, to: usize) -> Option<usize> {
        let task = self.live(id)?;
        let mut others = (0..HOSTS).filter(|host| *host != to && self.running[*host]);
        others.find(|host| {
            let copy = task.copies.get(host);
            let stalls = copy.is_some_and(|copy| !copy.finished && !copy.failed);
            stalls && task.counted[*host].lost > 0 && task.length > 0
        })
    }

    /// Makes replicas where the scheduler does, once: copies that exist become persistent, then
    /// hosts without one get it.
    pub(crate) fn replicate(&mut self, files: &mut Files) {
        for id in std::mem::take(&mut self.due) {
            let Some(task) = self.live(&id).cloned() else {
                continue;
            };
            if !task.copies.values().any(Copy::is_whole) {
                continue;
            }
            let missing = task.wanted.saturating_sub(task.counts().0);
            let counted = |host: &usize| task.copies.get(host).filter(|copy| copy.finished);
            let hosts = || (0..HOSTS).filter(|host| self.running[*host]);
            let promoted: Vec<_> = hosts()
                .filter(|host| counted(host).is_some_and(|copy| !copy.is_persistent()))
                .take(missing.min(HOSTS as u64) as usize)
                .collect();
            let copied: Vec<_> = hosts()
                .filter(|host| counted(host).is_none())
                .take(missing.min(HOSTS as u64) as usize - promoted.len())
                .collect();
            for host in promoted {
                if task.whole(host).is_none() {
                    // The host does not know of it, and nothing is tried again.
                    break;
                }
                self.tasks.get_mut(&id).unwrap().persist(host);
            }
            for host in copied {
                self.take(files, &id, host, true);
            }
        }
    }

    /// What the collector removes.
    pub(crate) fn collect(&mut self) {
        let now = self.now;
        self.tasks.retain(|_, task| now < task.created + task.ttl.0);
    }

    /// A host is started again: its content is gone, and the scheduler counts it all the same.
    pub(crate) fn wipe(&mut self, host: usize) {
        self.tasks.values_mut().for_each(|task| task.lose(host));
    }

    /// A host's copy is deleted, and the scheduler goes on counting it.
    pub(crate) fn delete(&mut self, id: &str, host: usize) {
        if let Some(task) = self.tasks.get_mut(id) {
            task.lose(host);
        }
    }

    /// A new task, by an import.
    pub(crate) fn insert(&mut self, id: &str, task: Task) {
        self.tasks.insert(id.to_owned(), task);
        self.due.push(id.to_owned());
    }

    pub(crate) fn not_found(&self, id: &str) -> texts::Refusal {
        if id.is_empty() {
            let text = "invalid StatPersistentCacheTaskRequest.TaskId: value length must be at least 1 runes";
            return texts::by_scheduler(self.release, tonic::Code::InvalidArgument, text);
        }
        let text = format!("persistent cache task {id} not found");
        texts::by_scheduler(self.release, tonic::Code::NotFound, &text)
    }
}

/// The piece length of an import.
pub(crate) fn piece_length(asked: Option<u64>) -> u64 {
    asked.unwrap_or(PIECE_LENGTH)
}
