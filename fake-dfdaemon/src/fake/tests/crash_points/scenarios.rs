//! The scenarios: each runs once for every step that it takes on the disk.

use super::steps::{Op, Scenario};
use crate::dfdaemon::release::Release;

/// A file of one piece.
const SMALL: usize = 1000;

/// Hands every scenario, by the name of its test, to a macro.
macro_rules! each {
    ($tests:ident) => {
        $tests! {
            import_of_pieces_0_2: scenarios::import_of_pieces(Release::V0_2);
            import_of_pieces_1_5: scenarios::import_of_pieces(Release::V1_5);
            import_of_known_ids_0_2: scenarios::import_of_known_ids(Release::V0_2);
            import_of_known_ids_1_5: scenarios::import_of_known_ids(Release::V1_5);
            replication_0_2: scenarios::replication(Release::V0_2);
            replication_1_5: scenarios::replication(Release::V1_5);
            collection: scenarios::collection(Release::V0_2);
            failed_import_again: scenarios::import_of_expired_id(Release::V0_2);
            eviction: scenarios::eviction(Release::V0_2);
            leaving: scenarios::leaving(Release::V0_2);
            deletion: scenarios::deletion(Release::V0_2);
            export_by_link: scenarios::export(Release::V0_2, false);
            export_by_copy: scenarios::export(Release::V0_2, true);
            snapshots: scenarios::snapshots(Release::V0_2);
            reset: scenarios::reset(Release::V0_2);
        }
    };
}
pub(super) use each;

fn scenario(name: &'static str, release: Release, lengths: &'static [usize]) -> Scenario {
    Scenario {
        name,
        release,
        hosts: 2,
        capacity: None,
        known_ids: false,
        linkless: false,
        lengths,
        ops: Vec::new(),
        least_steps: 30,
    }
}

fn import(host: usize, file: usize, replicas: u64) -> Op {
    let short = false;
    Op::Import {
        host,
        file,
        replicas,
        short,
    }
}

fn short(file: usize, replicas: u64) -> Op {
    let (host, short) = (0, true);
    Op::Import {
        host,
        file,
        replicas,
        short,
    }
}

/// Two pieces, the id found in them.
pub(super) fn import_of_pieces(release: Release) -> Scenario {
    Scenario {
        hosts: 1,
        ops: vec![import(0, 0, 1)],
        ..scenario("import of pieces", release, &[(4 << 20) + 7])
    }
}

/// Nothing, and something whose id is given.
pub(super) fn import_of_known_ids(release: Release) -> Scenario {
    Scenario {
        hosts: 1,
        known_ids: true,
        ops: vec![import(0, 0, 1), import(0, 1, 1)],
        ..scenario("import of known ids", release, &[0, SMALL])
    }
}

pub(super) fn replication(release: Release) -> Scenario {
    let (host, file) = (1, 1);
    Scenario {
        hosts: 3,
        ops: vec![
            import(0, 0, 3),
            import(0, 1, 1),
            Op::Transfer { host, file },
            Op::Update { host, file },
        ],
        ..scenario("replication", release, &[SMALL, 10])
    }
}

pub(super) fn collection(release: Release) -> Scenario {
    Scenario {
        ops: vec![
            short(0, 2),
            short(1, 2),
            import(1, 2, 2),
            Op::Expire,
            Op::Collect,
            short(0, 1),
        ],
        ..scenario("collection", release, &[SMALL, 10, 20])
    }
}

/// An import of an id whose task has expired, and was not collected.
pub(super) fn import_of_expired_id(release: Release) -> Scenario {
    Scenario {
        known_ids: true,
        capacity: Some(5000),
        ops: vec![
            Op::FailToImport { host: 1, file: 0 },
            import(0, 0, 2),
            Op::Delete { file: 0 },
            Op::FailToImport { host: 0, file: 0 },
            import(1, 0, 1),
        ],
        ..scenario("import of a failed task's id", release, &[SMALL])
    }
}

/// The third transfer is one too many for the host.
pub(super) fn eviction(release: Release) -> Scenario {
    let host = 1;
    Scenario {
        capacity: Some(3200),
        ops: vec![
            import(0, 0, 1),
            import(0, 1, 1),
            import(0, 2, 1),
            Op::Transfer { host, file: 0 },
            Op::Transfer { host, file: 1 },
            Op::Transfer { host, file: 2 },
        ],
        ..scenario("eviction", release, &[SMALL, SMALL + 1, SMALL + 2])
    }
}

pub(super) fn leaving(release: Release) -> Scenario {
    Scenario {
        hosts: 3,
        ops: vec![import(0, 0, 2), Op::Leave(0), Op::Start(0)],
        ..scenario("leaving", release, &[SMALL])
    }
}

pub(super) fn deletion(release: Release) -> Scenario {
    Scenario {
        hosts: 3,
        ops: vec![
            import(0, 0, 2),
            import(0, 1, 1),
            Op::DeleteCopy { host: 0, file: 0 },
            Op::Delete { file: 0 },
            import(1, 0, 1),
            Op::Delete { file: 1 },
        ],
        ..scenario("deletion", release, &[SMALL, 10])
    }
}

/// To a free path, and over a file that is there.
pub(super) fn export(release: Release, linkless: bool) -> Scenario {
    let export = |file, overwrite| Op::Export {
        host: 0,
        file,
        overwrite,
    };
    Scenario {
        hosts: 1,
        linkless,
        ops: vec![
            import(0, 0, 1),
            import(0, 1, 1),
            export(0, false),
            Op::OldOutput { file: 1 },
            export(1, true),
        ],
        ..scenario("export", release, &[SMALL, SMALL + 1])
    }
}

/// Of different tasks, so that a mix would show.
pub(super) fn snapshots(release: Release) -> Scenario {
    Scenario {
        hosts: 1,
        ops: vec![
            import(0, 0, 1),
            Op::Snapshot(0),
            Op::Delete { file: 0 },
            // No task does; the clock shall be another one.
            Op::Expire,
            import(0, 1, 1),
            Op::Restore(0),
            import(0, 2, 1),
            Op::Snapshot(0),
            Op::Restore(0),
        ],
        ..scenario("snapshots", release, &[SMALL, 10, 20])
    }
}

pub(super) fn reset(release: Release) -> Scenario {
    Scenario {
        ops: vec![import(0, 0, 2), Op::Reset, import(1, 1, 2), Op::Reset],
        ..scenario("reset", release, &[SMALL, 10])
    }
}

/// Tasks of every kind of length, on one host. What is done with them is to open them.
pub(super) fn opening(release: Release) -> Scenario {
    Scenario {
        hosts: 1,
        ..scenario("opening", release, &[0, 1, SMALL, (4 << 20) + 7])
    }
}
