//! Requests to a fake, made from bytes.

use arbitrary::Arbitrary;

#[derive(Debug, Arbitrary)]
pub(super) enum Request {
    Import {
        file: File,
        content: Option<Text>,
        replicas: u64,
        tag: Option<Text>,
        application: Option<Text>,
        piece_length: Option<u64>,
        ttl: Option<Seconds>,
        timeout: Option<Seconds>,
    },
    Export {
        host: bool,
        task: Text,
        persistent: bool,
        tag: Option<Text>,
        output: Option<File>,
        timeout: Option<Seconds>,
        need_piece_content: bool,
        force_hard_link: bool,
        digest: Option<Text>,
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
#[derive(Debug, Arbitrary)]
pub(super) enum Text {
    /// The id of one of the last tasks.
    Task(u8),
    Empty,
    Dots,
    Digest,
    Any(String),
}

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
