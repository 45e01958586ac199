//! What has to hold: of an answer, and of all that can be seen between two steps.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use dfdaemon_api::common::v2::{PersistentCacheTask, TrafficType};
use tonic::{Code, Status};

use crate::model::expected::Hit;
use crate::model::files::{LENGTHS, bytes};
use crate::model::lockstep::{Lockstep, Outcome};
use crate::support::client::Exported;

pub(crate) fn import_ended(
    expected: Outcome,
    hit: &Hit,
    id: &str,
    answer: Result<PersistentCacheTask, Status>,
) {
    let Outcome::Failed(codes) = expected else {
        let task = answer.unwrap_or_else(|status| panic!("the import of {id}: {status:?}"));
        assert_eq!((task.id.as_str(), task.state.as_str()), (id, "Succeeded"));
        return;
    };
    let refused = answer.expect_err("an import that had to fail");
    let message = refused.message();
    let says_so = match codes {
        [5] => refused.code() == Code::Unavailable && (hit.before() || hit.after()),
        [9] => message.contains("is Succeeded cannot upload"),
        [6] => message.starts_with("no space left"),
        _ => message.contains("(os error 28)") || message.contains("(os error 5)"),
    };
    assert!(says_so, "{expected:?}: {refused:?}");
}

pub(crate) fn broken_by_fault(exported: &Exported) {
    let unavailable = exported.status.code() == Code::Unavailable;
    assert!(!exported.opened && unavailable, "{exported:?}");
}

pub(crate) fn broken_by_disk(exported: &Exported) {
    let message = exported.status.message();
    let says_so = message.contains("(os error 28)") || message.contains("(os error 5)");
    assert!(says_so, "{:?}", exported.status);
}

pub(crate) fn nobody_has_it(exported: &Exported, file: usize) {
    assert!(
        exported.opened && exported.pieces.is_empty(),
        "{exported:?}"
    );
    assert_eq!(exported.started, Some(LENGTHS[file] as u64));
    let status = &exported.status;
    assert_eq!(status.code(), Code::Internal, "{status:?}");
    assert!(status.message().contains("peer "), "{status:?}");
}

/// The content came, whole and from where it had to; an output is the content itself.
pub(crate) fn exported_whole(
    exported: Exported,
    held: bool,
    file: usize,
    output: Option<&Path>,
    content: &Path,
) {
    let exported = exported.ok();
    let from = if held {
        TrafficType::LocalPeer
    } else {
        TrafficType::RemotePeer
    };
    let traffic = exported.traffic();
    assert!(traffic.into_iter().all(|traffic| traffic == from));
    let Some(output) = output else {
        assert!(exported.content() == bytes(file), "the content differs");
        return;
    };
    assert!(
        fs::read(output).unwrap() == bytes(file),
        "the output differs"
    );
    let inode = |path: &Path| fs::metadata(path).unwrap().ino();
    assert_eq!(inode(output), inode(content));
    fs::remove_file(output).unwrap();
}

/// Compares all that can be seen.
pub(crate) async fn compare(pair: &mut Lockstep, when: &str) {
    for (position, host) in pair.model.running().into_iter().enumerate() {
        let client = pair.client(host).await;
        let listed = client.list().await.unwrap().into_iter();
        let listed: BTreeMap<_, _> = listed
            .map(|task| (task.task_id, (task.persistent, task.finished_at.is_some())))
            .collect();
        let tasks = pair.model.tasks.iter();
        let expected = tasks.filter_map(|(id, task)| {
            let persistent = task.replicas.get(&host)?;
            Some((id.clone(), (*persistent, task.succeeded)))
        });
        assert_eq!(listed, expected.collect(), "records of host-{host} {when}");
        // Every host says the same of the scheduler.
        if position == 0 {
            for id in pair.model.tasks.keys() {
                let stat = client.stat(id).await;
                compare_task(pair, id, stat, when);
            }
        }
    }
    let state = pair.dir.path().join("state");
    for host in ["host-0", "host-1", "host-2"] {
        let tmp = state.join("hosts").join(host).join("tmp");
        let left = fs::read_dir(tmp).unwrap().count();
        assert_eq!(left, 0, "left half done on {host} {when}");
    }
}

fn compare_task(pair: &Lockstep, id: &str, stat: Result<PersistentCacheTask, Status>, when: &str) {
    let Some(task) = pair.model.live(id) else {
        let gone = stat.unwrap_err();
        assert!(gone.message().contains("not found"), "{id} {when}");
        return;
    };
    let stat = stat.unwrap_or_else(|status| panic!("{id} {when}: {status:?}"));
    let state = if task.succeeded {
        "Succeeded"
    } else {
        "Failed"
    };
    assert_eq!(stat.state, state, "{id} {when}");
    let counts = (
        stat.current_persistent_replica_count,
        stat.current_replica_count,
    );
    assert_eq!(counts, pair.model.counts(task), "counts of {id} {when}");
    assert_eq!(stat.persistent_replica_count, task.wanted);
    assert_eq!(stat.content_length, LENGTHS[task.file] as u64);
    assert_eq!(stat.ttl.unwrap().seconds, task.ttl);
    assert_eq!(stat.created_at.unwrap().seconds, task.created);
}
