//! Reads a record in the very form that [`write`](super::write) gives it, see [`own_form`](crate::store::own_form).

use std::sync::Arc;
use std::time::Duration;

use super::{ReplicaRecord, TaskRecord, TaskState};
use crate::dfdaemon::task_id::TaskId;
use crate::store::own_form::Rest;

/// A record that has a form of its own.
pub(in crate::store) trait OwnForm: Sized {
    /// The record, if its bytes have that form.
    fn parse(bytes: &[u8]) -> Option<Self>;
}

impl OwnForm for TaskRecord {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut rest = Rest::new(bytes);
        let record = Self {
            task_id: rest.after(r#"{"task_id":"#)?.id()?,
            state: rest.after(r#","state":"#)?.state()?,
            persistent_replica_count: rest.after(r#","persistent_replica_count":"#)?.number()?,
            tag: rest.after(r#","tag":"#)?.unless_null(Rest::boxed)?,
            application: rest.after(r#","application":"#)?.unless_null(Rest::boxed)?,
            piece_length: rest.after(r#","piece_length":"#)?.number()?,
            content_length: rest.after(r#","content_length":"#)?.number()?,
            ttl: rest.after(r#","ttl":"#)?.duration()?,
            created_at: rest.after(r#","created_at":"#)?.time()?,
            updated_at: rest.after(r#","updated_at":"#)?.time()?,
        };
        rest.ends().then_some(record)
    }
}

impl OwnForm for ReplicaRecord {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut rest = Rest::new(bytes);
        let record = Self {
            task_id: rest.after(r#"{"task_id":"#)?.id()?,
            task_created_at: rest.after(r#","task_created_at":"#)?.time()?,
            persistent: rest.after(r#","persistent":"#)?.boolean()?,
            ttl: rest.after(r#","ttl":"#)?.duration()?,
            piece_length: rest.after(r#","piece_length":"#)?.number()?,
            content_length: rest.after(r#","content_length":"#)?.number()?,
            piece_crc32: rest
                .after(r#","piece_crc32":"#)?
                .unless_null(Rest::numbers)?,
            created_at: rest.after(r#","created_at":"#)?.time()?,
            updated_at: rest.after(r#","updated_at":"#)?.time()?,
            finished_at: rest.after(r#","finished_at":"#)?.unless_null(Rest::time)?,
            failed_at: rest.after(r#","failed_at":"#)?.unless_null(Rest::time)?,
        };
        rest.ends().then_some(record)
    }
}

impl Rest<'_> {
    fn boxed(&mut self) -> Option<Box<str>> {
        self.text().map(Box::from)
    }

    fn id(&mut self) -> Option<TaskId> {
        TaskId::parse(self.text()?)
    }

    fn state(&mut self) -> Option<TaskState> {
        let text = self.text()?;
        let states = [
            TaskState::Succeeded,
            TaskState::Failed,
            TaskState::Uploading,
        ];
        states.into_iter().find(|state| state.as_str() == text)
    }

    fn duration(&mut self) -> Option<Duration> {
        humantime::parse_duration(self.text()?).ok()
    }

    fn numbers(&mut self) -> Option<Arc<[u32]>> {
        let mut numbers = Vec::new();
        self.elements(|rest| {
            numbers.push(u32::try_from(rest.number()?).ok()?);
            Some(())
        })?;
        Some(numbers.into())
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use proptest::prelude::*;
    use serde::Serialize;
    use serde::de::DeserializeOwned;

    use super::super::samples::{replicas, tasks};
    use super::*;
    use crate::store::disk::RECORD_END;

    fn written(record: &impl Serialize) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(record).unwrap();
        bytes.extend_from_slice(RECORD_END);
        bytes
    }

    /// What is read of damaged bytes, if anything is, is what serde reads of them.
    fn agrees<T: OwnForm + DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) {
        if let Some(record) = T::parse(bytes) {
            assert_eq!(serde_json::from_slice::<T>(bytes).ok(), Some(record));
        }
    }

    fn agrees_when_damaged<T: OwnForm + DeserializeOwned + PartialEq + Debug>(
        bytes: &[u8],
        at: prop::sample::Index,
        byte: u8,
    ) {
        let mut damaged = bytes.to_vec();
        let at = at.index(bytes.len());
        damaged[at] = byte;
        agrees::<T>(&damaged);
        damaged.remove(at);
        agrees::<T>(&damaged);
        damaged.insert(at, byte);
        damaged.insert(at, byte);
        agrees::<T>(&damaged);
        agrees::<T>(&damaged[..at]);
    }

    proptest! {
        #[test]
        fn a_task_reads_as_serde_reads_it(
            task in tasks(), at: prop::sample::Index, byte in b' '..b'~',
        ) {
            let bytes = written(&task);
            let is_plain = !bytes.contains(&b'\\') && bytes[..bytes.len() - 1].iter().all(|byte| matches!(byte, b' '..=b'~'));
            prop_assert_eq!(TaskRecord::parse(&bytes), is_plain.then_some(task));
            agrees_when_damaged::<TaskRecord>(&bytes, at, byte);
        }

        #[test]
        fn a_replica_reads_as_serde_reads_it(
            replica in replicas(), at: prop::sample::Index, byte in b' '..b'~',
        ) {
            let bytes = written(&replica);
            prop_assert_eq!(ReplicaRecord::parse(&bytes), Some(replica));
            agrees_when_damaged::<ReplicaRecord>(&bytes, at, byte);
        }
    }

    #[test]
    fn a_part_of_a_number_is_none_of_ours() {
        // What follows it is looked for.
        let task = r#"{"task_id":"1","state":"Failed","persistent_replica_count":1.0,"#;
        assert_eq!(TaskRecord::parse(task.as_bytes()), None);
    }
}
