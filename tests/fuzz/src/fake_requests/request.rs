//! Requests to a fake, made from bytes.

use arbitrary::{Arbitrary, Unstructured};

use crate::Rarely;

#[derive(Debug, Arbitrary)]
pub(super) enum Request {
    Import {
        file: Source,
        content: Option<Text>,
        replicas: Rarely<u64>,
        tag: Option<Text>,
        application: Option<Text>,
        piece_length: Rarely<u64>,
        /// An hour if it is not said.
        ttl: Rarely<Option<Seconds>>,
        timeout: Rarely<Seconds>,
    },
    Export {
        host: bool,
        task: Text,
        persistent: bool,
        tag: Option<Text>,
        output: Option<File>,
        timeout: Rarely<Seconds>,
        need_piece_content: bool,
        force_hard_link: bool,
        digest: Rarely<Text>,
        overwrite: bool,
    },
    Stat {
        host: bool,
        task: Text,
    },
    StatLocal {
        host: bool,
        task: Text,
    },
    List {
        host: bool,
    },
    Update {
        host: bool,
        task: Text,
        persistent: bool,
    },
    Delete {
        host: bool,
        task: Text,
    },
    Bytes {
        method: u8,
        framed: bool,
        bytes: Vec<u8>,
    },
    Advance {
        seconds: u32,
    },
    Settle,
    Collect,
}

/// A text that may mean something.
#[derive(Debug)]
pub(super) enum Text {
    /// The id of one of the last tasks.
    Task(u8),
    Empty,
    Dots,
    Digest,
    Any(String),
}

/// Most are ids: what asks for no task gets no farther.
impl<'a> Arbitrary<'a> for Text {
    fn arbitrary(input: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        Ok(match u8::arbitrary(input)? % 16 {
            0 => Self::Empty,
            1 => Self::Dots,
            2 => Self::Digest,
            3 | 4 => Self::Any(String::arbitrary(input)?),
            number => Self::Task(number),
        })
    }
}

/// A file to import.
#[derive(Debug)]
pub(super) enum Source {
    /// One of those that were laid out.
    Laid(u8),
    Other(File),
}

impl<'a> Arbitrary<'a> for Source {
    fn arbitrary(input: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let number = u8::arbitrary(input)?;
        Ok(match number % 4 {
            3 => Self::Other(File::arbitrary(input)?),
            _ => Self::Laid(number / 4 % LAID_OUT),
        })
    }
}

/// How many files there are to import, each of another content.
pub(super) const LAID_OUT: u8 = 8;

/// A path below the directory that all happens in.
#[derive(Debug, Arbitrary)]
pub(super) enum File {
    Small,
    Empty,
    New(u8),
    Directory,
    Below(u8),
    Missing,
    Nowhere,
    Any(String),
}

#[derive(Debug, Arbitrary)]
pub(super) enum Seconds {
    Hour,
    Any { seconds: i64, nanos: i32 },
}

impl Seconds {
    pub(super) fn wire(&self) -> prost_types::Duration {
        let (seconds, nanos) = match self {
            Self::Hour => (3600, 0),
            Self::Any { seconds, nanos } => (*seconds, *nanos),
        };
        prost_types::Duration { seconds, nanos }
    }
}
