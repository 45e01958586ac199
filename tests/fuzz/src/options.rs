//! What is typed: whole command lines of both programs, and the values of their options.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

use dfcache::{Digest, Endpoint, PieceLength, ReplicaCount, TaskId, Timeout, Ttl};
use dfdaemon_api::digest::parse_piece_digest;

use crate::Target;

/// The input is a command line, its words apart by zeros; each word is a value too.
#[derive(Debug, Default)]
pub struct Options;

impl Target for Options {
    const NAME: &str = "options";

    fn gets_far(&mut self, input: &[u8]) -> bool {
        let words: Vec<&OsStr> = input
            .split(|byte| *byte == 0)
            .map(OsStr::from_bytes)
            .collect();
        let line = |program: &str| -> Vec<OsString> {
            let words = words.iter().map(|word| OsString::from(*word));
            std::iter::once(program.into()).chain(words).collect()
        };
        // Help and versions are refusals too, of another kind.
        let refusal = dfcache::check_command_line(&line("dfcache")).err();
        let grammar = fake_dfdaemon::program::grammar();
        let other = grammar.try_get_matches_from(line("fake-dfdaemon")).err();
        let gets_far = refusal.is_none() || other.is_none();
        if let Some(refusal) = refusal {
            assert!(!refusal.is_empty());
        }
        if let Some(refusal) = other {
            assert!(!refusal.to_string().is_empty());
        }
        for word in words {
            let _ = Endpoint::new(word);
            if let Some(word) = word.to_str() {
                check_value(word);
            }
        }
        gets_far
    }
}

fn check_value(word: &str) {
    if let Ok(ttl) = word.parse::<Ttl>() {
        assert!((Ttl::MIN.duration()..=Ttl::MAX.duration()).contains(&ttl.duration()));
    }
    if let Ok(timeout) = word.parse::<Timeout>() {
        assert_eq!(timeout.to_string().parse(), Ok(timeout), "{timeout}");
        assert!(prost_types::Duration::try_from(timeout.duration()).is_ok());
    }
    if let Ok(length) = word.parse::<PieceLength>() {
        assert!(length.bytes() >= PieceLength::MIN.bytes());
        assert_eq!(length.bytes().to_string().parse(), Ok(length));
    }
    if let Ok(count) = word.parse::<ReplicaCount>() {
        assert!(count.get() > 0);
    }
    if let Ok(digest) = word.parse::<Digest>() {
        let written = digest.to_string();
        let again: Digest = written.parse().expect(&written);
        assert_eq!(again.to_string(), written);
        assert_eq!(again.algorithm(), digest.algorithm());
    }
    if let Ok(crc) = parse_piece_digest(word) {
        let written = dfdaemon_api::digest::piece_digest(crc);
        assert_eq!(parse_piece_digest(&written), Ok(crc));
    }
    if let Ok(id) = word.parse::<TaskId>() {
        assert_eq!(id.as_str(), word);
    }
}
