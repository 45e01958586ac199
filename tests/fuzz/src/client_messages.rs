//! The client, when a daemon answers an export with arbitrary messages that are well-formed.

mod script;

use std::sync::Arc;

use dfcache::{Client, ExportMode, ExportRequest, Exported, Result};
use dfdaemon_api::common::v2::Piece;
use dfdaemon_api::dfdaemon::v2::download_persistent_cache_task_response::Response as Event;
use dfdaemon_api::digest::{crc32, parse_piece_digest, piece_digest};

use self::script::{Asked, End, Script, Way, Written};
use crate::Target;
use crate::stage::{OLD, Stage, is_told};
use crate::wire::serve;

/// Reads an export from the input: how it is asked for, and how it is answered.
#[derive(Debug, Default)]
pub struct ClientMessages {
    stage: Stage,
}

impl Target for ClientMessages {
    const NAME: &str = "client_messages";

    fn gets_far(&mut self, input: &[u8]) -> bool {
        let Some(script) = Script::of(input) else {
            return false;
        };
        let script = Arc::new(script);
        let old = script.frame.old && script.frame.way != Way::ToWriter;
        self.stage.set_output(old);
        let (exported, written) = self.export(&script);
        let left = self.stage.take_output();
        let kept = old.then(|| OLD.to_vec());
        let output = match script.frame.way {
            Way::ToWriter => {
                assert_eq!(left, None);
                Some(written)
            }
            _ => left.clone(),
        };
        let said = script.said();
        let exports = exported.is_ok();
        match exported {
            Ok(exported) => script.promised(&said, &exported, &output.unwrap()),
            Err(error) => {
                is_told(&error);
                assert_eq!(left, kept, "{error:?}");
                if script.frame.way == Way::ToWriter {
                    is_part_of(&said, &output.unwrap());
                }
                let causes = error.causes();
                assert!(!script.is_honest(&said), "{error}: {causes:?}");
            }
        }
        exports
    }
}

impl ClientMessages {
    /// Exports as the script says; the second is what a writer got.
    fn export(&self, script: &Arc<Script>) -> (Result<Exported>, Vec<u8>) {
        let mut writer = Vec::new();
        let asks = async {
            let client = Client::connect(&self.stage.endpoint).await?;
            let mut request = ExportRequest::new("7").overwrite(script.frame.old);
            let right = crc32(&script.content);
            let digest = script.frame.digest.0.map(|asked| match asked {
                Asked::Right => piece_digest(right),
                Asked::Wrong => piece_digest(!right),
            });
            if let Some(digest) = digest {
                request = request.digest(digest.parse().unwrap());
            }
            let mode = match script.frame.way {
                Way::ByTransfer => ExportMode::ByTransfer,
                Way::ByPath => ExportMode::ByPath,
                Way::ToWriter => return client.export_to_writer(&request, &mut writer).await,
            };
            let output = self.stage.output();
            client.export_to_path(request.mode(mode), output).await
        };
        let answers = async {
            // A transfer has a connection of its own.
            loop {
                let (connection, _) = self.stage.listener.accept().await.unwrap();
                let script = Arc::clone(script);
                tokio::spawn(serve(connection, move |request| script.answer(&request)));
            }
        };
        let exported = self.stage.run(async {
            tokio::select! {
                exported = asks => exported,
                () = answers => unreachable!("it answers for ever"),
            }
        });
        (exported, writer)
    }
}

impl Script {
    /// Whether nothing was said that an honest daemon would not say, and everything that it would.
    fn is_honest(&self, said: &[Option<Event>]) -> bool {
        let honest = |event: &Option<Event>| match event {
            None => true,
            Some(Event::DownloadPersistentCacheTaskStartedResponse(started)) => {
                started.content_length == self.content.len() as u64
            }
            Some(Event::DownloadPieceFinishedResponse(finished)) => {
                finished.piece.as_ref().is_some_and(|piece| {
                    let number =
                        usize::try_from(piece.offset).unwrap_or(usize::MAX) / self.piece_length();
                    let is_piece = number < self.content.len().div_ceil(self.piece_length());
                    is_piece && {
                        let mut right = self.piece(number);
                        if self.frame.way == Way::ByPath {
                            right.content = None;
                        }
                        right == *piece
                    }
                })
            }
        };
        let written = self.frame.way != Way::ByPath || self.frame.written.0.is_none();
        let ends = self.frame.end.0.is_none();
        self.frame.opening.0.is_none()
            && written
            && ends
            && self.frame.digest.0 != Some(Asked::Wrong)
            && said.iter().all(honest)
    }

    /// A success is what was promised, message by message.
    fn promised(&self, said: &[Option<Event>], exported: &Exported, output: &[u8]) {
        let ends_well = matches!(self.frame.end.0, None | Some(End::With { code: 0, .. }));
        assert!(ends_well, "{:?}", self.frame.end);
        assert!(exported.content_length == output.len() as u64);
        let Some(Some(Event::DownloadPersistentCacheTaskStartedResponse(first))) = said.first()
        else {
            panic!("a success that did not start: {:?}", said.first());
        };
        assert_eq!(first.content_length, output.len() as u64);
        let mut covered = vec![false; output.len()];
        for event in said.iter().flatten() {
            let piece = match event {
                Event::DownloadPersistentCacheTaskStartedResponse(again) => {
                    assert_eq!(again, first);
                    continue;
                }
                Event::DownloadPieceFinishedResponse(finished) => finished.piece.as_ref().unwrap(),
            };
            let start = usize::try_from(piece.offset).unwrap();
            let end = start + usize::try_from(piece.length).unwrap();
            covered[start..end].fill(true);
            if let Some(content) = &piece.content {
                assert_eq!(content.len() as u64, piece.length);
                let digest = &piece.digest;
                let checked = digest.is_empty() || parse_piece_digest(digest) == Ok(crc32(content));
                assert!(checked, "a damaged piece was taken: {piece:?}");
            } else if self.frame.way != Way::ByPath {
                assert_eq!(piece.length, 0, "a piece without content was taken");
            }
        }
        assert!(covered.iter().all(|covered| *covered), "pieces are missing");
        if self.frame.way == Way::ByPath {
            match &self.frame.written.0 {
                None => assert_eq!(output, self.content),
                Some(Written::Other(other)) => assert_eq!(output, other),
                Some(Written::Nothing) => panic!("nothing was written"),
            }
        } else {
            is_part_of(said, output);
        }
        if let Some(asked) = self.frame.digest.0 {
            let right = crc32(output) == crc32(&self.content);
            assert_eq!(right, asked == Asked::Right);
        }
    }
}

/// Every byte of an output is the one that came first for its place.
fn is_part_of(said: &[Option<Event>], output: &[u8]) {
    let pieces: Vec<&Piece> = said
        .iter()
        .flatten()
        .filter_map(|event| match event {
            Event::DownloadPieceFinishedResponse(finished) => finished.piece.as_ref(),
            Event::DownloadPersistentCacheTaskStartedResponse(_) => None,
        })
        .collect();
    for (place, byte) in output.iter().enumerate() {
        let place = place as u64;
        let first = pieces.iter().find_map(|piece| {
            let within = place
                .checked_sub(piece.offset)
                .filter(|within| *within < piece.length)?;
            piece.content.as_ref()?.get(usize::try_from(within).ok()?)
        });
        assert_eq!(first, Some(byte), "byte {place} came from nowhere");
    }
}
