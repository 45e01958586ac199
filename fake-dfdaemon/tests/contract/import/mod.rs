//! Import: `UploadPersistentCacheTask`.

mod answer;
mod path;
mod refusal;
mod under_way;

use crate::row::Row;
use crate::tested_daemon::MIB;

pub(crate) fn rows() -> Vec<Row> {
    [
        answer::rows(),
        path::rows(),
        refusal::rows(),
        under_way::rows(),
    ]
    .concat()
}

const ENOENT: &str = "No such file or directory (os error 2)";
const EISDIR: &str = "Is a directory (os error 21)";

/// Long enough to be seen while it is imported.
const LONG: usize = 192 * MIB;

fn small(fake: fake_dfdaemon::Builder) -> fake_dfdaemon::Builder {
    fake.capacity(MIB as u64)
}
