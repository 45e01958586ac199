//! A piece while it is written and verified.

use dfdaemon_api::digest::{Crc32, parse_piece_digest, piece_digest};

use super::{Destination, Step};
use crate::types::error::{Error, Result};

/// The piece that is being written.
#[derive(Debug, Default)]
pub(crate) struct Piece {
    number: u32,
    /// Where its next bytes go.
    offset: u64,
    repeated: bool,
    crc: Crc32,
}

impl Piece {
    pub(super) fn take(&mut self, step: Step, destination: &mut impl Destination) -> Result<()> {
        match step {
            Step::Start {
                number,
                offset,
                repeated,
            } => {
                *self = Self {
                    number,
                    offset,
                    repeated,
                    crc: Crc32::new(),
                };
            }
            Step::Content(content) => {
                self.crc.update(&content);
                let offset = self.offset;
                self.offset += content.len() as u64;
                if !self.repeated {
                    destination.write(offset, content)?;
                }
            }
            Step::End { digest } => {
                self.verify(&digest)?;
                destination.verified()?;
            }
        }
        Ok(())
    }

    fn verify(&self, digest: &str) -> Result<()> {
        if digest.is_empty() {
            return Ok(());
        }
        let number = self.number;
        let expected = parse_piece_digest(digest).map_err(|source| {
            Error::integrity(format!(
                "piece {number} has a digest that cannot be checked"
            ))
            .because(source)
        })?;
        let actual = self.crc.clone().finalize();
        if actual == expected {
            return Ok(());
        }
        Err(Error::integrity(format!(
            "piece {number} is damaged: its digest is {}, not {digest}",
            piece_digest(actual),
        )))
    }
}
