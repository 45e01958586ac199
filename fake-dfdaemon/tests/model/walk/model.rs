//! What a dfdaemon with every quirk has and counts, as behaviour says it: what happens to tasks and hosts. A task and a
//! host's replica of it are in `task`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fake_dfdaemon::Release;

use super::files::{Files, Node};
use super::ops::HOSTS;
use super::task::{Replica, Task};
use super::texts;

/// When time begins, in seconds.
pub(crate) const START: i64 = 1_000_000;

/// In bytes, of every task without a requested one: no file of the walk is longer.
const PIECE_LENGTH: u64 = 4 << 20;

/// How a transfer from other hosts ends.
#[derive(Debug)]
pub(crate) enum Transfer {
    /// What comes.
    Whole(Arc<Vec<u8>>),
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

    /// An export has begun, or ended well, on a host with the replica.
    pub(crate) fn cure(&mut self, id: &str, host: usize) {
        let task = self.tasks.get_mut(id).unwrap();
        if let Some(replica) = task.replicas.get_mut(&host) {
            replica.failed = false;
        }
    }

    /// A host leaves: its replicas count no more, and its persistent ones are made elsewhere.
    pub(crate) fn leave_host(&mut self, host: usize) {
        self.running[host] = false;
        for (id, task) in &mut self.tasks {
            let counted = std::mem::take(&mut task.counted[host]);
            let replica = task.replicas.get_mut(&host).filter(|replica| !replica.left);
            let kept = replica.is_some_and(|replica| {
                let counts = replica.counts();
                replica.left = true;
                counts && replica.is_persistent()
            });
            if kept || counted.lost_persistent > 0 {
                self.due.push(id.clone());
            }
        }
    }

    /// An export begins on a host that has the task: what a relative link in the place of its content leads
    /// to is made, beside it.
    pub(crate) fn make_target(&mut self, id: &str, host: usize) {
        let replica = self.live(id).and_then(|task| task.whole(host));
        if let Some(Node::Relative(source)) = replica.and_then(|replica| replica.content) {
            self.targets.insert((host, id[..3].to_owned(), source));
        }
    }

    fn leads_nowhere(&self, id: &str, host: usize, content: Node) -> bool {
        let Node::Relative(source) = content else {
            return false;
        };
        !self.has_target(id, host, source)
    }

    /// Whether what a relative link to a source leads to has been made, where the content of a task lies.
    pub(crate) fn has_target(&self, id: &str, host: usize, source: usize) -> bool {
        let prefix = id.get(..3).unwrap_or(id);
        (self.targets).contains(&(host, prefix.to_owned(), source))
    }

    /// How a transfer to a host would end.
    pub(crate) fn transfer(&self, files: &Files, id: &str, to: usize) -> Transfer {
        let task = &self.tasks[id];
        let serves = |host: &usize| *host != to && self.running[*host];
        if task.length == 0 && !task.uploading {
            return Transfer::Whole(Arc::default());
        }
        let parents = (0..HOSTS).filter(serves);
        let mut parents = parents.filter_map(|host| Some((host, task.whole(host)?)));
        let Some((parent, from)) = parents.next() else {
            let others = task.replicas.iter().filter(|(host, _)| **host != to);
            let lost = (0..HOSTS).any(|host| host != to && task.counted[host].lost > 0);
            return match lost || others.map(|(_, replica)| replica).any(Replica::counts) {
                true => Transfer::Gone,
                false => Transfer::Nowhere,
            };
        };
        if from.is_poisoned() || self.leads_nowhere(id, parent, from.content.unwrap()) {
            return Transfer::Gone;
        }
        let bytes = self.served(files, id, parent);
        match &from.crc32 {
            Some(crc32) if *crc32 != task.crc32(&bytes) => Transfer::Bad,
            _ => Transfer::Whole(bytes),
        }
    }

    /// The bytes that a host's whole replica serves.
    pub(crate) fn served(&self, files: &Files, id: &str, host: usize) -> Arc<Vec<u8>> {
        let task = &self.tasks[id];
        let replica = task.whole(host).unwrap();
        let content = replica.read.map(Node::File).or(replica.content);
        files.there(content.unwrap(), task.length as usize)
    }

    /// Pieces of a host's replica are read: what an absolute link leads to stays open.
    pub(crate) fn read(&mut self, files: &Files, id: &str, host: usize) {
        let task = self.tasks.get_mut(id).unwrap();
        let replica = task.replicas.get_mut(&host).filter(|_| task.length > 0);
        if let Some(replica) = replica
            && let (None, Some(Node::Absolute(source))) = (replica.read, replica.content)
        {
            replica.read = Some(files.sources[source]);
        }
    }

    /// Does a transfer to a host; the pieces that came are read from the parent.
    pub(crate) fn take(&mut self, files: &mut Files, id: &str, to: usize, persistent: bool) {
        let transfer = self.transfer(files, id, to);
        let task = &self.tasks[id];
        let parent = (0..HOSTS).find(|host| *host != to && task.whole(*host).is_some());
        if let (Transfer::Whole(_) | Transfer::Bad, Some(parent)) = (&transfer, parent) {
            self.read(files, id, parent);
        }
        let task = self.tasks.get_mut(id).unwrap();
        match transfer {
            Transfer::Whole(bytes) => {
                if let Some(parent) = parent {
                    task.count_uploads(parent, task.piece_count());
                }
                let crc32 = task.crc32(&bytes);
                let content = files.preallocated(task.preallocated(to), bytes);
                let replica = Replica::whole(content, Some(crc32), persistent);
                let uploaded = task
                    .replicas
                    .get(&to)
                    .map_or(Some(0), |replica| replica.uploaded);
                let unknown = task.length == 0;
                let replica = Replica {
                    uploaded,
                    unknown,
                    ..replica
                };
                task.put(to, replica);
            }
            Transfer::Bad => {
                if let Some(parent) = task.replicas.get_mut(&parent.unwrap()) {
                    parent.uploaded = None;
                }
                task.counted[to].add(persistent);
                self.leave(files, id, to, Replica::unfinished(true, persistent));
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
        let left = Replica::unfinished(true, persistent);
        let task = self.tasks.get_mut(id).unwrap();
        match task.preallocated(to) {
            None => self.leave(files, id, to, left),
            preallocated => {
                let left = Replica {
                    preallocated,
                    ..left
                };
                task.put(to, left);
            }
        }
    }

    /// Leaves what an export does that did not end well, with a file of full length. By itself it does not
    /// count.
    pub(crate) fn leave(&mut self, files: &mut Files, id: &str, host: usize, left: Replica) {
        let task = self.tasks.get_mut(id).unwrap();
        let file = files.unknown(task.preallocated(host));
        let left = Replica {
            preallocated: Some(file),
            ..left
        };
        task.put(host, left);
    }

    /// The host whose pieces an export on another one waits for: it lost its replica, and knows of an export
    /// that neither ended well nor failed.
    pub(crate) fn stalls(&self, id: &str, to: usize) -> Option<usize> {
        let task = self.live(id)?;
        let mut others = (0..HOSTS).filter(|host| *host != to && self.running[*host]);
        others.find(|host| {
            let replica = task.replicas.get(host);
            let stalls = replica.is_some_and(|replica| !replica.finished && !replica.failed);
            stalls && task.counted[*host].lost > 0 && task.length > 0
        })
    }

    /// Makes replicas where the scheduler does, once: replicas that exist become persistent, then
    /// hosts without one get it.
    pub(crate) fn replicate(&mut self, files: &mut Files) {
        for id in std::mem::take(&mut self.due) {
            let Some(task) = self.live(&id).cloned() else {
                continue;
            };
            let missing = task.wanted.saturating_sub(task.counts().0);
            let counted = |host: &usize| task.replicas.get(host).filter(|replica| replica.finished);
            let hosts = || (0..HOSTS).filter(|host| self.running[*host]);
            let most = usize::try_from(missing).unwrap();
            // The hosts whose replicas become persistent: first those that they have lost, besides one that
            // they have, or that is taken for theirs.
            let lost = |host: usize| task.counted[host].lost - task.counted[host].lost_persistent;
            let promoted: Vec<_> = hosts()
                .flat_map(|host| {
                    let there = counted(&host).is_some_and(|replica| !replica.is_persistent());
                    let lost = std::iter::repeat_n((host, true), lost(host) as usize);
                    lost.chain(there.then_some((host, false)))
                })
                .take(most)
                .collect();
            let created: Vec<_> = hosts()
                .filter(|host| counted(host).is_none() && lost(*host) == 0)
                .filter(|host| task.counted[*host].persistent == 0)
                .take(most - promoted.len())
                .collect();
            for (host, was_lost) in promoted {
                let task = self.tasks.get_mut(&id).unwrap();
                if task.replicas.get(&host).is_none_or(|replica| replica.lost) {
                    // The host does not know of it.
                } else if was_lost {
                    task.flag(host, true);
                    task.counted[host].persistent += 1;
                    task.counted[host].lost_persistent += 1;
                } else {
                    task.persist(host);
                }
            }
            for host in created {
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
        self.targets.retain(|(of, ..)| *of != host);
        self.tasks.values_mut().for_each(|task| task.lose(host));
    }

    /// A host's replica is deleted, and the scheduler goes on counting it.
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
