//! What is done to a fake, at random.

use std::fmt;

use fake_dfdaemon::Release;
use proptest::prelude::*;

use crate::model::files::{LENGTHS, NAMES, TOO_BIG, Target};
use crate::model::script;

pub(crate) const HOSTS: usize = 3;

/// How many snapshots there can be.
const SNAPSHOTS: usize = 2;

/// One step of a case.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// Of a file, under the name of an id or under the id of its bytes.
    Import {
        host: usize,
        file: usize,
        name: Option<usize>,
        ttl: i64,
        replicas: u64,
    },
    Export {
        host: usize,
        task: Target,
        persistent: bool,
        to_path: bool,
    },
    /// Time, in seconds; backwards if negative.
    Move(i64),
    Stop(usize),
    Start(usize),
    Leave(usize),
    Delete(Target),
    Collect,
    Restart,
    Fault(Fault),
    ClearFaults,
    Snapshot(usize),
    Restore(usize),
    Reset,
}

/// What goes wrong with the n-th of certain calls.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) on: On,
    pub(crate) call: u64,
    pub(crate) what: What,
}

/// Calls that a fault is armed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum On {
    /// On one host, or on any.
    Import(Option<usize>),
    /// On one host, or on any.
    Export(Option<usize>),
    /// Of one task: replicas of several are made at once, in no order.
    Replicate(Target),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// Nothing happens but the error.
    Error,
    /// All happens, and then the error.
    ErrorAfter,
    NoSpace,
    DiskError,
    TornWrite,
}

impl What {
    /// Whether the store fails.
    pub(crate) fn is_of_the_disk(self) -> bool {
        matches!(self, Self::NoSpace | Self::DiskError | Self::TornWrite)
    }
}

/// Steps, and the release that takes them. Shown, a script of commands.
#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) release: Release,
    pub(crate) ops: Vec<Op>,
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n{}", script::of(self))
    }
}

pub(crate) fn cases_of(release: Release) -> impl Strategy<Value = Case> {
    prop::collection::vec(op(), 1..28).prop_map(move |ops| Case { release, ops })
}

fn host() -> std::ops::Range<usize> {
    0..HOSTS
}

fn target() -> impl Strategy<Value = Target> {
    prop_oneof![
        8 => (0..NAMES.len()).prop_map(Target::Named),
        4 => (0..TOO_BIG).prop_map(Target::Content),
        1 => Just(Target::Unknown),
    ]
}

fn import() -> impl Strategy<Value = Op> {
    let import = (
        host(),
        0..LENGTHS.len(),
        prop::option::weighted(0.8, 0..NAMES.len()),
        60..400i64,
        1..4u64,
    );
    import.prop_map(|(host, file, name, ttl, replicas)| {
        // Without a name the whole of it would be read for its id.
        let name = if file == TOO_BIG {
            name.or(Some(0))
        } else {
            name
        };
        Op::Import {
            host,
            file,
            name,
            ttl,
            replicas,
        }
    })
}

fn export() -> impl Strategy<Value = Op> {
    let export = (host(), target(), prop::bool::weighted(0.2), any::<bool>());
    export.prop_map(|(host, task, persistent, to_path)| Op::Export {
        host,
        task,
        persistent,
        to_path,
    })
}

fn fault() -> impl Strategy<Value = Op> {
    let on = prop_oneof![
        prop::option::of(host()).prop_map(On::Import),
        prop::option::of(host()).prop_map(On::Export),
        target().prop_map(On::Replicate),
    ];
    let what = prop::sample::select(vec![
        What::Error,
        What::ErrorAfter,
        What::NoSpace,
        What::DiskError,
        What::TornWrite,
    ]);
    (on, 1..4u64, what).prop_map(|(on, call, what)| {
        // What the end of a stream has lost is not for a model of tasks to say.
        let lost = matches!(on, On::Export(_)) && what == What::ErrorAfter;
        let what = if lost { What::Error } else { what };
        Op::Fault(Fault { on, call, what })
    })
}

fn op() -> impl Strategy<Value = Op> {
    let seconds = prop_oneof![
        1..60i64,
        50..200i64,
        Just(1000),
        (1..400i64).prop_map(|seconds| -seconds),
        Just(-2000),
    ];
    prop_oneof![
        12 => import(),
        12 => export(),
        9 => seconds.prop_map(Op::Move),
        2 => host().prop_map(Op::Stop),
        4 => host().prop_map(Op::Start),
        2 => host().prop_map(Op::Leave),
        2 => target().prop_map(Op::Delete),
        2 => Just(Op::Collect),
        2 => Just(Op::Restart),
        6 => fault(),
        1 => Just(Op::ClearFaults),
        2 => (0..SNAPSHOTS).prop_map(Op::Snapshot),
        2 => (0..SNAPSHOTS).prop_map(Op::Restore),
        1 => Just(Op::Reset),
    ]
}
