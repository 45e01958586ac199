//! A list of tasks, which may be long.
//!
//! Each task is taken over as it is decoded. The generated type decodes the whole list first, and a
//! task that takes two bytes on the wire takes hundreds in memory: a hostile server would need few
//! bytes to fill it.

use bytes::{Buf as _, Bytes};
use dfdaemon_api::dfdaemon::v2::StatLocalPersistentCacheTaskResponse;
use prost::Message as _;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use super::grpc::{Code, Status};
use crate::types::local_task::LocalTask;

/// How many tasks are taken at most.
const MAX_TASKS: usize = 1 << 20;

/// The number of the only field of a list: its tasks.
const TASKS: u32 = 1;

pub(super) fn decode(list: Bytes) -> Result<Vec<LocalTask>, Status> {
    decode_some(list, MAX_TASKS)
}

fn decode_some(mut list: Bytes, max_tasks: usize) -> Result<Vec<LocalTask>, Status> {
    let mut tasks = Vec::new();
    while list.has_remaining() {
        let (field, kind) = decode_key(&mut list).map_err(unreadable)?;
        if field != TASKS || kind != WireType::LengthDelimited {
            skip_field(kind, field, &mut list, DecodeContext::default()).map_err(unreadable)?;
            continue;
        }
        let length = decode_varint(&mut list).map_err(unreadable)?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > list.len() {
            return Err(unreadable("a task is longer than the list"));
        }
        if tasks.len() == max_tasks {
            let text = format!("dfdaemon's list has more than {max_tasks} tasks");
            return Err(Status::new(Code::DataLoss, text));
        }
        let task = StatLocalPersistentCacheTaskResponse::decode(list.split_to(length));
        tasks.push(task.map_err(unreadable)?.into());
    }
    Ok(tasks)
}

fn unreadable(why: impl std::fmt::Display) -> Status {
    let text = format!("dfdaemon's list cannot be read: {why}");
    Status::new(Code::DataLoss, text)
}

#[cfg(test)]
mod tests {
    use dfdaemon_api::dfdaemon::v2::ListLocalPersistentCacheTasksResponse;

    use super::*;

    fn list(count: usize) -> ListLocalPersistentCacheTasksResponse {
        let task = |number: usize| StatLocalPersistentCacheTaskResponse {
            task_id: number.to_string(),
            content_length: Some(number as u64),
            ..Default::default()
        };
        ListLocalPersistentCacheTasksResponse {
            tasks: (0..count).map(task).collect(),
        }
    }

    #[test]
    fn a_list_is_what_the_generated_code_makes_of_it() {
        for count in [0, 1, 300] {
            let list = list(count);
            let mut bytes = list.encode_to_vec();
            // Fields of a later release.
            bytes.extend([0x10, 7, 0x1a, 2, b'h', b'i']);
            let expected: Vec<LocalTask> = list.tasks.into_iter().map(Into::into).collect();
            assert_eq!(decode_some(bytes.into(), 300).unwrap(), expected);
        }
    }

    #[test]
    fn only_so_many_tasks_are_taken() {
        // The shortest there are, of two bytes.
        let error = decode_some([0x0a, 0].repeat(4).into(), 3).unwrap_err();
        assert_eq!(error.message, "dfdaemon's list has more than 3 tasks");
    }

    #[test]
    fn a_list_that_is_cut_anywhere_is_no_list_of_fewer_tasks() {
        let whole = Bytes::from(list(3).encode_to_vec());
        let task_length = whole.len() / 3;
        for end in (0..whole.len()).filter(|end| end % task_length != 0) {
            let cut = decode_some(whole.slice(..end), 3);
            assert!(cut.is_err(), "{end}");
        }
    }
}
