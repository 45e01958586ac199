//! The checks of content as a whole: its digest, and the task's id that it must give. Pieces are checked in `piece`.

use dfdaemon_api::digest::{Digest, DigestHasher};

use super::IdCheck;
use crate::types::error::{Error, Result};

/// What the whole content must hash to: a digest, the id of its task, or both.
#[derive(Debug)]
pub(crate) struct ContentCheck {
    digest: Option<DigestCheck>,
    id: Option<IdCheck>,
}

impl ContentCheck {
    /// None if there is nothing to check.
    pub(crate) fn new(digest: Option<Digest>, id: Option<IdCheck>) -> Option<Self> {
        let digest = digest.map(DigestCheck::new);
        (digest.is_some() || id.is_some()).then_some(Self { digest, id })
    }

    pub(crate) fn of_digest(digest: Digest) -> Self {
        Self {
            digest: Some(DigestCheck::new(digest)),
            id: None,
        }
    }

    pub(crate) fn of_id(id: IdCheck) -> Self {
        Self {
            digest: None,
            id: Some(id),
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        if let Some(digest) = &mut self.digest {
            digest.hasher.update(bytes);
        }
        if let Some(id) = &mut self.id {
            id.update(bytes);
        }
    }

    pub(crate) fn finish(self) -> Result<()> {
        self.digest.map_or(Ok(()), DigestCheck::finish)?;
        self.id.map_or(Ok(()), IdCheck::finish)
    }
}

/// A digest of the whole content, and what it is compared to.
#[derive(Debug)]
struct DigestCheck {
    expected: Digest,
    hasher: DigestHasher,
}

impl DigestCheck {
    fn new(expected: Digest) -> Self {
        let hasher = DigestHasher::of(&expected);
        Self { expected, hasher }
    }

    fn finish(self) -> Result<()> {
        let actual = self.hasher.finish();
        if actual.is(&self.expected) {
            return Ok(());
        }
        Err(Error::integrity(format!(
            "the content's digest is {actual}, not {}",
            self.expected
        )))
    }
}
