//! Task ids: what the daemon computes them from.
//!
//! An id is a hash over the file's bytes, the tag, the application, the requested piece length in
//! decimal and the name of the task type, without separators; what is absent or empty adds
//! nothing. With a content for calculating the task id, it is the hash of that string alone.
//! The daemon computes the id; a client only sends the inputs.

use crc32fast::Hasher as Crc32;
use sha2::{Digest as _, Sha256};

use crate::common::v2::TaskType;
use crate::digest::hex;

/// How an id is hashed and written.
///
/// ```
/// # use dfdaemon_api::task_id::TaskIdScheme;
/// let id = TaskIdScheme::Sha256.of_content("hello");
/// assert_eq!(id, "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
/// assert_eq!(TaskIdScheme::Crc32.of_content("hello"), "907060870");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskIdScheme {
    /// CRC-32 in decimal, not padded: daemons from 0.2.28 to 1.0.14.
    Crc32,
    /// SHA-256 in 64 lower-case hex digits: daemons from 1.0.15 on.
    Sha256,
}

impl TaskIdScheme {
    /// The id of a task whose importer gave a content for calculating it.
    #[must_use]
    pub fn of_content(self, content: &str) -> String {
        let mut hasher = TaskIdHasher::new(self);
        hasher.update(content.as_bytes());
        hasher.written()
    }
}

/// What an id depends on besides the file's bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parameters<'a> {
    /// The tag, if one was given.
    pub tag: Option<&'a str>,
    /// The application, if one was given.
    pub application: Option<&'a str>,
    /// The piece length in bytes, if one was requested; a length that the daemon chose does not count.
    pub piece_length: Option<u64>,
}

impl Parameters<'_> {
    fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(self.tag.unwrap_or_default().as_bytes());
        bytes.extend_from_slice(self.application.unwrap_or_default().as_bytes());
        if let Some(piece_length) = self.piece_length {
            bytes.extend_from_slice(piece_length.to_string().as_bytes());
        }
        bytes.extend_from_slice(TaskType::PersistentCache.as_str_name().as_bytes());
        bytes
    }
}

/// Hashes a file's bytes, in order, into a task id.
#[derive(Clone, Debug)]
pub struct TaskIdHasher(State);

#[derive(Clone, Debug)]
enum State {
    Crc32(Crc32),
    Sha256(Sha256),
}

impl TaskIdHasher {
    /// A hasher that has seen no byte yet.
    #[must_use]
    pub fn new(scheme: TaskIdScheme) -> Self {
        Self(match scheme {
            TaskIdScheme::Crc32 => State::Crc32(Crc32::new()),
            TaskIdScheme::Sha256 => State::Sha256(Sha256::new()),
        })
    }

    /// A hasher of [`TaskIdScheme::Crc32`] that has seen `length` bytes whose CRC-32 is `crc`: the way
    /// to an id from the digests of pieces that were hashed in parallel, see
    /// [`crate::digest::combined_crc32`].
    #[must_use]
    pub fn from_crc32(crc: u32, length: u64) -> Self {
        Self(State::Crc32(Crc32::new_with_initial_len(crc, length)))
    }

    /// Adds the next bytes of the file.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Crc32(hasher) => hasher.update(bytes),
            State::Sha256(hasher) => hasher.update(bytes),
        }
    }

    /// The id, once every byte of the file was added.
    #[must_use]
    pub fn finish(mut self, parameters: Parameters<'_>) -> String {
        self.update(&parameters.to_bytes());
        self.written()
    }

    /// The hash of the bytes alone, written as an id is.
    #[must_use]
    pub fn finish_plain(self) -> String {
        self.written()
    }

    fn written(self) -> String {
        match self.0 {
            State::Crc32(hasher) => hasher.finalize().to_string(),
            State::Sha256(hasher) => hex(&hasher.finalize()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::digest::{combined_crc32, crc32};

    const FILE: &[u8] = b"This is a test file";

    fn id(scheme: TaskIdScheme, file: &[u8], parameters: Parameters<'_>) -> String {
        let mut hasher = TaskIdHasher::new(scheme);
        hasher.update(file);
        hasher.finish(parameters)
    }

    #[test]
    fn ids_are_the_published_vectors() {
        let (tag, application) = (Some("tag1"), Some("app1"));
        let vectors = [
            (
                Parameters {
                    tag,
                    application,
                    piece_length: Some(1024),
                },
                "3490958009",
                "7160a071a9acea5ac341e770c14d0211c38a4b15b3bbe2c5f848a706fd47419e",
            ),
            (
                Parameters {
                    application,
                    ..Parameters::default()
                },
                "735741469",
                "0d0f8536f51227fda07141308f5ae8149b561b51b61c6517125f25dfa27acf5b",
            ),
            (
                Parameters {
                    tag,
                    ..Parameters::default()
                },
                "3954905097",
                "a98b76813681e30cf83733fe055792b86393bba6f18e3d89fd8c18253922d992",
            ),
            (
                Parameters {
                    piece_length: Some(1024),
                    ..Parameters::default()
                },
                "4162557545",
                "e894374a39e39cfa78c409cac02f2cdbb5605a24f5ff55c7bc2b624877556c03",
            ),
        ];
        for (parameters, crc32, sha256) in vectors {
            assert_eq!(
                id(TaskIdScheme::Crc32, FILE, parameters),
                crc32,
                "{parameters:?}"
            );
            assert_eq!(
                id(TaskIdScheme::Sha256, FILE, parameters),
                sha256,
                "{parameters:?}"
            );
        }
    }

    #[test]
    fn ids_from_a_given_content_are_the_published_vectors() {
        let content = "This is a test file";
        assert_eq!(TaskIdScheme::Crc32.of_content(content), "107352521");
        assert_eq!(
            TaskIdScheme::Sha256.of_content(content),
            "e2d0fe1585a63ec6009c8016ff8dda8b17719a637405a4e23c0ff81339148249"
        );
    }

    #[test]
    fn an_empty_tag_is_an_absent_one() {
        let empty = Parameters {
            tag: Some(""),
            application: Some(""),
            piece_length: None,
        };
        for scheme in [TaskIdScheme::Crc32, TaskIdScheme::Sha256] {
            assert_eq!(
                id(scheme, FILE, empty),
                id(scheme, FILE, Parameters::default())
            );
        }
    }

    #[test]
    fn the_hash_of_the_bytes_alone_is_that_of_a_content() {
        for scheme in [TaskIdScheme::Crc32, TaskIdScheme::Sha256] {
            let mut hasher = TaskIdHasher::new(scheme);
            hasher.update(b"This is a test file");
            let of_content = scheme.of_content("This is a test file");
            assert_eq!(hasher.finish_plain(), of_content);
        }
    }

    proptest! {
        #[test]
        fn an_id_from_piece_digests_is_the_id_of_the_file(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..8),
            tag in prop::option::of(".{0,8}"),
            piece_length in prop::option::of(any::<u64>()),
        ) {
            let parameters = Parameters { tag: tag.as_deref(), application: None, piece_length };
            let file = pieces.concat();
            let digests = pieces.iter().map(|piece| (crc32(piece), piece.len() as u64));
            let combined = TaskIdHasher::from_crc32(combined_crc32(digests), file.len() as u64);
            prop_assert_eq!(combined.finish(parameters), id(TaskIdScheme::Crc32, &file, parameters));
        }

        #[test]
        fn an_id_does_not_depend_on_how_the_file_was_read(
            file in prop::collection::vec(any::<u8>(), 0..500),
            split in any::<prop::sample::Index>(),
        ) {
            for scheme in [TaskIdScheme::Crc32, TaskIdScheme::Sha256] {
                let (head, tail) = file.split_at(split.index(file.len() + 1));
                let mut hasher = TaskIdHasher::new(scheme);
                hasher.update(head);
                hasher.update(tail);
                prop_assert_eq!(
                    hasher.finish(Parameters::default()),
                    id(scheme, &file, Parameters::default())
                );
            }
        }
    }
}
