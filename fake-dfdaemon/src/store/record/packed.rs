//! A record as the index keeps it: fields in a row, without names. It takes a third of the memory of the text, and no
//! parser. Nothing in it says which field is which: with another form, what a block of the index begins with changes.

use std::time::Duration;

use jiff::Timestamp;

use super::{ReplicaRecord, TaskRecord, TaskState};
use crate::dfdaemon::task_id::TaskId;

/// A record that can be packed.
pub(in crate::store) trait Packed: Sized {
    /// Appends all of it but its id.
    fn pack(&self, to: &mut Vec<u8>);

    /// The record that was packed, of the task with this id; `None` if none was.
    fn unpack(id: TaskId, bytes: &[u8]) -> Option<Self>;
}

impl Packed for TaskRecord {
    fn pack(&self, to: &mut Vec<u8>) {
        to.push(match self.state {
            TaskState::Uploading => 0,
            TaskState::Succeeded => 1,
            TaskState::Failed => 2,
        });
        put_number(to, self.persistent_replica_count);
        put_text(to, self.tag.as_deref());
        put_text(to, self.application.as_deref());
        put_number(to, self.piece_length);
        put_number(to, self.content_length);
        put_duration(to, self.ttl);
        put_time(to, self.created_at);
        put_time(to, self.updated_at);
    }

    fn unpack(task_id: TaskId, bytes: &[u8]) -> Option<Self> {
        let mut rest = Rest(bytes);
        let record = Self {
            task_id,
            state: match rest.byte()? {
                0 => TaskState::Uploading,
                1 => TaskState::Succeeded,
                2 => TaskState::Failed,
                _ => return None,
            },
            persistent_replica_count: rest.number()?,
            tag: rest.text()?,
            application: rest.text()?,
            piece_length: rest.number()?,
            content_length: rest.number()?,
            ttl: rest.duration()?,
            created_at: rest.time()?,
            updated_at: rest.time()?,
        };
        rest.0.is_empty().then_some(record)
    }
}

impl Packed for ReplicaRecord {
    fn pack(&self, to: &mut Vec<u8>) {
        put_time(to, self.task_created_at);
        to.push(self.persistent.into());
        put_duration(to, self.ttl);
        put_number(to, self.piece_length);
        put_number(to, self.content_length);
        to.push(self.piece_crc32.is_some().into());
        if let Some(sums) = &self.piece_crc32 {
            put_number(to, sums.len() as u64);
            for sum in &**sums {
                to.extend_from_slice(&sum.to_le_bytes());
            }
        }
        put_time(to, self.created_at);
        put_time(to, self.updated_at);
        for time in [self.finished_at, self.failed_at] {
            to.push(time.is_some().into());
            if let Some(time) = time {
                put_time(to, time);
            }
        }
    }

    fn unpack(task_id: TaskId, bytes: &[u8]) -> Option<Self> {
        let mut rest = Rest(bytes);
        let record = Self {
            task_id,
            task_created_at: rest.time()?,
            persistent: rest.boolean()?,
            ttl: rest.duration()?,
            piece_length: rest.number()?,
            content_length: rest.number()?,
            piece_crc32: rest.if_any(|rest| {
                let length = usize::try_from(rest.number()?).ok()?.checked_mul(4)?;
                let (sums, after) = rest.0.split_at_checked(length)?;
                rest.0 = after;
                let (sums, _) = sums.as_chunks();
                Some(sums.iter().copied().map(u32::from_le_bytes).collect())
            })?,
            created_at: rest.time()?,
            updated_at: rest.time()?,
            finished_at: rest.if_any(Rest::time)?,
            failed_at: rest.if_any(Rest::time)?,
        };
        rest.0.is_empty().then_some(record)
    }
}

fn put_number(to: &mut Vec<u8>, number: u64) {
    to.extend_from_slice(&number.to_le_bytes());
}

fn put_duration(to: &mut Vec<u8>, duration: Duration) {
    put_number(to, duration.as_secs());
    to.extend_from_slice(&duration.subsec_nanos().to_le_bytes());
}

fn put_time(to: &mut Vec<u8>, time: Timestamp) {
    to.extend_from_slice(&time.as_second().to_le_bytes());
    to.extend_from_slice(&time.subsec_nanosecond().to_le_bytes());
}

fn put_text(to: &mut Vec<u8>, text: Option<&str>) {
    to.push(text.is_some().into());
    if let Some(text) = text {
        put_number(to, text.len() as u64);
        to.extend_from_slice(text.as_bytes());
    }
}

/// What is left to unpack.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn chunk<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (chunk, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*chunk)
    }

    fn byte(&mut self) -> Option<u8> {
        self.chunk().map(u8::from_le_bytes)
    }

    fn number(&mut self) -> Option<u64> {
        self.chunk().map(u64::from_le_bytes)
    }

    fn boolean(&mut self) -> Option<bool> {
        match self.byte()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    fn duration(&mut self) -> Option<Duration> {
        let seconds = self.number()?;
        let nanoseconds = self.chunk().map(u32::from_le_bytes)?;
        (nanoseconds < 1_000_000_000).then(|| Duration::new(seconds, nanoseconds))
    }

    fn time(&mut self) -> Option<Timestamp> {
        let second = self.chunk().map(i64::from_le_bytes)?;
        let nanosecond = self.chunk().map(i32::from_le_bytes)?;
        Timestamp::new(second, nanosecond).ok()
    }

    fn text(&mut self) -> Option<Option<Box<str>>> {
        self.if_any(|rest| {
            let length = usize::try_from(rest.number()?).ok()?;
            let (text, after) = rest.0.split_at_checked(length)?;
            rest.0 = after;
            Some(str::from_utf8(text).ok()?.into())
        })
    }

    fn if_any<T>(&mut self, unpack: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        if self.boolean()? {
            unpack(self).map(Some)
        } else {
            Some(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use proptest::prelude::*;

    use super::super::samples::{replicas, tasks};
    use super::*;

    fn reads_as_packed<T: Packed + PartialEq + Debug>(record: &T, id: &TaskId) {
        let mut bytes = Vec::new();
        record.pack(&mut bytes);
        assert_eq!(T::unpack(id.clone(), &bytes).as_ref(), Some(record));
        // A part of it is none, nor is it with more behind it.
        for length in 0..bytes.len() {
            assert_eq!(T::unpack(id.clone(), &bytes[..length]), None);
        }
        bytes.push(0);
        assert_eq!(T::unpack(id.clone(), &bytes), None);
    }

    proptest! {
        #[test]
        fn a_task_is_unpacked_as_it_was_packed(task in tasks()) {
            reads_as_packed(&task, &task.task_id);
        }

        #[test]
        fn a_replica_is_unpacked_as_it_was_packed(replica in replicas()) {
            reads_as_packed(&replica, &replica.task_id);
        }

        #[test]
        fn anything_is_unpacked_without_a_panic(bytes: Vec<u8>) {
            let _ = TaskRecord::unpack(TaskId::of("1"), &bytes);
            let _ = ReplicaRecord::unpack(TaskId::of("1"), &bytes);
        }
    }
}
