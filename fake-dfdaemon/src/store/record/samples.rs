//! Any records, for tests of how they are written and read.

use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;

use super::{ReplicaRecord, TaskRecord, TaskState};
use crate::dfdaemon::task_id::TaskId;

fn times() -> impl Strategy<Value = Timestamp> {
    // Also such as are no whole seconds, and the same one twice.
    let second = -62_000_000_000i64..250_000_000_000;
    let nanosecond = prop_oneof![Just(0), 0i32..1_000_000_000];
    let any = (second, nanosecond);
    let any = any.prop_map(|(second, nanosecond)| Timestamp::new(second, nanosecond.max(0)));
    let any = any.prop_filter_map("no time", Result::ok);
    prop_oneof![Just(Timestamp::UNIX_EPOCH), any]
}

fn ids() -> impl Strategy<Value = TaskId> {
    "[0-9a-f]{1,64}".prop_filter_map("no id", |id| TaskId::parse(&id))
}

fn durations() -> impl Strategy<Value = Duration> {
    (0u64..1 << 40, 0u32..1_000_000_000).prop_map(|(s, n)| Duration::new(s, n))
}

fn numbers() -> impl Strategy<Value = u64> {
    prop_oneof![any::<u64>(), Just(0), Just(u64::MAX)]
}

prop_compose! {
    pub(super) fn tasks()(
        task_id in ids(),
        state in prop_oneof![
            Just(TaskState::Uploading),
            Just(TaskState::Succeeded),
            Just(TaskState::Failed)
        ],
        (persistent_replica_count, piece_length, content_length) in (numbers(), numbers(), numbers()),
        // Plain ones, and such as are escaped.
        (tag, application) in (any::<Option<String>>(), proptest::option::of("[ -~]*")),
        ttl in durations(),
        (created_at, updated_at) in (times(), times()),
    ) -> TaskRecord {
        TaskRecord {
            task_id,
            state,
            persistent_replica_count,
            tag: tag.map(Into::into),
            application: application.map(Into::into),
            piece_length,
            content_length,
            ttl,
            created_at,
            updated_at,
        }
    }
}

prop_compose! {
    pub(super) fn replicas()(
        task_id in ids(),
        (task_created_at, created_at, updated_at) in (times(), times(), times()),
        persistent in any::<bool>(),
        ttl in durations(),
        (piece_length, content_length) in (numbers(), numbers()),
        piece_crc32 in proptest::option::of(proptest::collection::vec(any::<u32>(), 0..4)),
        finished_at in proptest::option::of(times()),
        failed_at in proptest::option::of(times()),
    ) -> ReplicaRecord {
        ReplicaRecord {
            task_id,
            task_created_at,
            persistent,
            ttl,
            piece_length,
            content_length,
            piece_crc32: piece_crc32.map(Into::into),
            created_at,
            updated_at,
            finished_at,
            failed_at,
        }
    }
}
