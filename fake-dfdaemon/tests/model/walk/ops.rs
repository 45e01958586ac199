//! The steps of the walk: every option of every call, edits of files, time.

use std::fmt;

use proptest::prelude::*;

use super::files::{LENGTHS, NAMES};

pub(crate) const HOSTS: usize = 2;

#[derive(Clone, Debug)]
pub(crate) enum Op {
    Import(Import),
    /// An import that its client leaves while the file is read for the id: it is a FIFO that nobody
    /// writes to.
    LeaveImport(usize),
    /// An import whose client leaves before it has the answer.
    LoseImport(Import),
    /// An import, by a name, of what is larger than the host.
    FillImport(Import),
    Export(Export),
    /// An export without output whose client leaves at the first piece.
    LeaveExport {
        host: usize,
        by_peer: bool,
        task: Target,
        with_content: bool,
    },
    /// By the service of clients, or by that of peers.
    Stat {
        host: usize,
        by_peer: bool,
        task: Target,
    },
    StatLocal {
        host: usize,
        task: Target,
    },
    Update {
        host: usize,
        task: Target,
        persistent: bool,
    },
    Delete {
        host: usize,
        task: Target,
    },
    /// Writes into a source, which keeps its length.
    EditSource(usize),
    /// Puts another file of the same length in the place of a source.
    ReplaceSource(usize),
    /// Writes into an output, which keeps its length.
    EditOutput(usize),
    /// Time, in seconds.
    Move(i64),
    Collect,
    Stop(usize),
    Leave(usize),
    Start(usize),
}

#[derive(Clone, Debug)]
pub(crate) struct Import {
    pub(crate) host: usize,
    pub(crate) path: Source,
    /// The text that the id is made of, by its place in `NAMES`.
    pub(crate) name: Option<usize>,
    pub(crate) ttl: Ttl,
    pub(crate) replicas: u64,
    pub(crate) piece_length: Option<u64>,
    pub(crate) tag: Option<&'static str>,
    pub(crate) application: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    File(usize),
    /// A symbolic link to a file, by its absolute path.
    Absolute(usize),
    /// A symbolic link to a file in the same directory.
    Relative(usize),
    Directory,
    Missing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ttl {
    Absent,
    /// So many seconds below zero.
    Negative(i64),
    Given {
        seconds: i64,
        nanos: i32,
    },
}

#[derive(Clone, Debug)]
pub(crate) struct Export {
    pub(crate) host: usize,
    pub(crate) by_peer: bool,
    pub(crate) task: Target,
    pub(crate) persistent: bool,
    pub(crate) with_content: bool,
    pub(crate) output: Output,
    pub(crate) force_hard_link: bool,
    pub(crate) overwrite: bool,
    pub(crate) digest: Digest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    None,
    /// At a path where nothing is.
    New,
    /// Over an earlier output, whatever task it was of.
    Earlier(usize),
    Directory,
    /// In a directory that is not there.
    NoParent,
    /// Through a symbolic link to nothing.
    Dangling,
    /// Over a symbolic link to a file.
    LinkToFile,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Digest {
    None,
    Sha256,
    Crc32,
    Crc32InHex,
    Wrong,
    Malformed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// One of the tasks that there are, by its place among them.
    Known(usize),
    Named(usize),
    /// With the id of what a source holds now, imported without options.
    Content(usize),
    Unknown,
    Empty,
    OutOfTheStore,
}

fn host() -> std::ops::Range<usize> {
    0..HOSTS
}

fn source() -> impl Strategy<Value = usize> {
    let long = LENGTHS.len() - 1;
    // It takes its time.
    prop_oneof![8 => 0..long, 1 => Just(long)]
}

fn target() -> impl Strategy<Value = Target> {
    prop_oneof![
        24 => (0..64usize).prop_map(Target::Known),
        3 => (0..NAMES.len()).prop_map(Target::Named),
        2 => source().prop_map(Target::Content),
        1 => Just(Target::Unknown),
        1 => Just(Target::Empty),
        1 => Just(Target::OutOfTheStore),
    ]
}

fn import() -> impl Strategy<Value = Import> {
    let path = prop_oneof![
        10 => source().prop_map(Source::File),
        2 => source().prop_map(Source::Absolute),
        2 => source().prop_map(Source::Relative),
        1 => Just(Source::Directory),
        1 => Just(Source::Missing),
    ];
    let given = |seconds, nanos| Ttl::Given { seconds, nanos };
    let ttl = prop_oneof![
        10 => (300..900i64).prop_map(move |seconds| given(seconds, 0)),
        1 => Just(given(300, 0)),
        1 => Just(given(299, 900_000_000)),
        1 => Just(given(604_800, 0)),
        1 => Just(given(604_801, 0)),
        1 => (1..9i64).prop_map(Ttl::Negative),
        1 => Just(Ttl::Absent),
    ];
    let replicas = prop_oneof![1 => Just(0u64), 8 => 1..3u64, 1 => Just(1 << 40)];
    let piece_length = prop_oneof![
        10 => Just(None),
        2 => Just(Some(8 << 20)),
        1 => Just(Some((4 << 20) - 1)),
        1 => Just(Some(4 << 20)),
    ];
    let label = || prop::option::weighted(0.2, prop::sample::select(vec!["x", ""]));
    let name = prop::option::weighted(0.7, 0..NAMES.len());
    let import = (
        host(),
        path,
        name,
        ttl,
        replicas,
        piece_length,
        label(),
        label(),
    );
    import.prop_map(
        |(host, path, name, ttl, replicas, piece_length, tag, application)| Import {
            host,
            path,
            name,
            ttl,
            replicas,
            piece_length,
            tag,
            application,
        },
    )
}

fn export() -> impl Strategy<Value = Op> {
    let output = prop_oneof![
        4 => Just(Output::None),
        6 => Just(Output::New),
        5 => (0..64usize).prop_map(Output::Earlier),
        1 => Just(Output::Directory),
        1 => Just(Output::NoParent),
        2 => Just(Output::Dangling),
        1 => Just(Output::LinkToFile),
    ];
    let digests = [
        Digest::Sha256,
        Digest::Crc32,
        Digest::Crc32InHex,
        Digest::Wrong,
        Digest::Malformed,
    ];
    let digest = prop_oneof![
        2 => Just(Digest::None),
        1 => prop::sample::select(digests.to_vec()),
    ];
    let flag = || prop::bool::weighted(0.2);
    let export = (
        host(),
        flag(),
        target(),
        flag(),
        any::<bool>(),
        output,
        flag(),
        flag(),
        digest,
    );
    export.prop_map(
        |(
            host,
            by_peer,
            task,
            persistent,
            with_content,
            output,
            force_hard_link,
            overwrite,
            digest,
        )| {
            Op::Export(Export {
                host,
                by_peer,
                task,
                persistent,
                with_content,
                output,
                force_hard_link,
                overwrite,
                digest,
            })
        },
    )
}

fn question() -> impl Strategy<Value = Op> {
    let question = (host(), any::<bool>(), target(), 0..4);
    question.prop_map(|(host, flag, task, kind)| match kind {
        0 => Op::Stat {
            host,
            by_peer: flag,
            task,
        },
        1 => Op::StatLocal { host, task },
        2 => Op::Update {
            host,
            task,
            persistent: flag,
        },
        _ => Op::Delete { host, task },
    })
}

fn left_export() -> impl Strategy<Value = Op> {
    let export = (host(), any::<bool>(), target(), prop::bool::weighted(0.8));
    export.prop_map(|(host, by_peer, task, with_content)| Op::LeaveExport {
        host,
        by_peer,
        task,
        with_content,
    })
}

/// Shown a step a line.
#[derive(Clone)]
pub(crate) struct Walk(pub(crate) Vec<Op>);

impl fmt::Debug for Walk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut steps = self.0.iter().enumerate();
        steps.try_for_each(|(number, op)| {
            // Not as the outer format asks, which would take a line a field.
            let op = format!("{op:?}");
            write!(f, "\n{number}: {op}")
        })
    }
}

pub(crate) fn walks() -> impl Strategy<Value = Walk> {
    let seconds = prop_oneof![4 => 1..120i64, 2 => 200..400i64, 1 => Just(90_000)];
    let op = prop_oneof![
        12 => import().prop_map(Op::Import),
        1 => host().prop_map(Op::LeaveImport),
        1 => import().prop_map(Op::LoseImport),
        1 => import().prop_map(Op::FillImport),
        16 => export(),
        3 => left_export(),
        9 => question(),
        2 => source().prop_map(Op::EditSource),
        1 => source().prop_map(Op::ReplaceSource),
        2 => (0..64usize).prop_map(Op::EditOutput),
        3 => seconds.prop_map(Op::Move),
        2 => Just(Op::Collect),
        1 => host().prop_map(Op::Stop),
        1 => host().prop_map(Op::Leave),
        3 => host().prop_map(Op::Start),
    ];
    // With tasks to begin with, most steps find something.
    let begin = prop::collection::vec(import().prop_map(Op::Import), 0..4);
    let walk = (begin, prop::collection::vec(op, 1..60));
    walk.prop_map(|(begin, ops)| Walk(begin.into_iter().chain(ops).collect()))
}
