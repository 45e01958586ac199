//! Whether content is that of a task: the task's id is a hash of it.
//!
//! The id also covers tag, application and the piece length that the importer asked for. A task has
//! its tag and application, but does not tell whether its piece length was asked for or chosen by
//! dfdaemon, so an id is calculated for each case.

use dfdaemon_api::task_id::{Parameters, TaskIdHasher, TaskIdScheme};

use crate::types::error::{Error, Result};
use crate::types::task::Task;

/// How many digits an id has that is a SHA-256.
const SHA256_DIGITS: usize = 64;

/// Hashes content to the ids that it may have, and compares them to that of a task.
#[derive(Clone, Debug)]
pub(crate) struct IdCheck {
    task_id: String,
    tag: Option<String>,
    application: Option<String>,
    piece_length: u64,
    hasher: TaskIdHasher,
}

impl IdCheck {
    /// # Errors
    ///
    /// [`crate::ErrorKind::Integrity`] if the id is no hash of either release.
    pub(crate) fn of(task: &Task) -> Result<Self> {
        let scheme = scheme(task.task_id.as_str()).ok_or_else(|| {
            Error::integrity(format!("the id {} cannot be verified", task.task_id))
                .because("it is neither a CRC-32 nor a SHA-256")
        })?;
        Ok(Self {
            task_id: task.task_id.to_string(),
            tag: task.tag.clone(),
            application: task.application.clone(),
            piece_length: task.piece_length,
            hasher: TaskIdHasher::new(scheme),
        })
    }

    /// Adds the next bytes of the content.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
    }

    /// # Errors
    ///
    /// [`crate::ErrorKind::Integrity`] if the content has another id.
    pub(crate) fn finish(self) -> Result<()> {
        let id = |piece_length| {
            let parameters = Parameters {
                tag: self.tag.as_deref(),
                application: self.application.as_deref(),
                piece_length,
            };
            self.hasher.clone().finish(parameters)
        };
        if [None, Some(self.piece_length)]
            .into_iter()
            .any(|piece_length| id(piece_length) == self.task_id)
        {
            return Ok(());
        }
        Err(Error::integrity(format!(
            "the content is not what the id {} was made from: its id is {}",
            self.task_id,
            id(None)
        ))
        .hint("an id that was made from a text instead of the content cannot be verified"))
    }
}

/// How an id was calculated, if it looks like a hash.
fn scheme(id: &str) -> Option<TaskIdScheme> {
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if id.len() == SHA256_DIGITS && id.bytes().all(is_hex) {
        return Some(TaskIdScheme::Sha256);
    }
    let number: u32 = id.parse().ok()?;
    (number.to_string() == id).then_some(TaskIdScheme::Crc32)
}

#[cfg(test)]
mod tests {
    use dfdaemon_api::common::v2::PersistentCacheTask;

    use super::*;
    use crate::types::error::ErrorKind;

    const CONTENT: &[u8] = b"This is a test file";

    fn task(id: &str, tag: &str, application: &str, piece_length: u64) -> Task {
        Task::from(PersistentCacheTask {
            id: id.into(),
            tag: Some(tag.into()),
            application: Some(application.into()),
            piece_length,
            ..PersistentCacheTask::default()
        })
    }

    fn checked(task: &Task, content: &[u8]) -> Result<()> {
        let mut check = IdCheck::of(task)?;
        for part in content.chunks(7) {
            check.update(part);
        }
        check.finish()
    }

    #[test]
    fn content_gives_its_id_again_by_either_scheme_with_and_without_a_piece_length() {
        for (id, tag, application, piece_length) in [
            ("3490958009", "tag1", "app1", 1024),
            (
                "7160a071a9acea5ac341e770c14d0211c38a4b15b3bbe2c5f848a706fd47419e",
                "tag1",
                "app1",
                1024,
            ),
            // dfdaemon chose the piece length.
            ("735741469", "", "app1", 4 << 20),
            (
                "a98b76813681e30cf83733fe055792b86393bba6f18e3d89fd8c18253922d992",
                "tag1",
                "",
                4 << 20,
            ),
        ] {
            let task = task(id, tag, application, piece_length);
            checked(&task, CONTENT).unwrap();
            for other in [&b"This is a test filf"[..], &CONTENT[1..], b"", &[0; 19]] {
                let error = checked(&task, other).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Integrity);
            }
        }
    }

    #[test]
    fn an_id_of_a_text_or_of_no_scheme_is_not_proven() {
        for id in [
            // Of the text "This is a test file".
            "107352521",
            "e2d0fe1585a63ec6009c8016ff8dda8b17719a637405a4e23c0ff81339148249",
            "",
            "file.txt",
            "0735741469",
            "+735741469",
            "99999999999",
            "A98B76813681E30CF83733FE055792B86393BBA6F18E3D89FD8C18253922D992",
        ] {
            let error = checked(&task(id, "", "", 4 << 20), CONTENT).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Integrity, "{id}");
        }
    }
}
