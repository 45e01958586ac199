//! Export: `DownloadPersistentCacheTask`.

mod choices;
mod digest;
mod output;
mod stream;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use fake_dfdaemon::Builder;
use tonic::Code;

use crate::row::Row;
use crate::support::client::{Export, Exported};
use crate::tested_daemon::{MIB, TestedDaemon, export_to};

pub(crate) fn rows() -> Vec<Row> {
    [
        stream::rows(),
        output::rows(),
        choices::rows(),
        digest::rows(),
    ]
    .concat()
}

const ENOENT: &str = "No such file or directory (os error 2)";
const EEXIST: &str = "File exists (os error 17)";
const EXDEV: &str = "Invalid cross-device link (os error 18)";

/// Two pieces, the second of 3 bytes.
const TWO_PIECES: usize = 4 * MIB + 3;

fn two_hosts(fake: Builder) -> Builder {
    fake.hosts(2)
}

fn small(fake: Builder) -> Builder {
    fake.capacity(MIB as u64)
}

fn inode(path: &Path) -> (u64, u64) {
    let metadata = fs::symlink_metadata(path).unwrap();
    (metadata.dev(), metadata.ino())
}

/// That both pieces came, whatever came then.
fn assert_both_pieces(exported: &Exported) {
    assert_eq!(exported.started, Some(TWO_PIECES as u64));
    assert_eq!(exported.pieces.len(), 2);
}

/// That nothing was sent, not even that it started.
fn assert_no_stream(exported: &Exported) {
    assert!(!exported.opened, "a stream was opened");
}

/// That all pieces come, and then that the output exists.
async fn assert_exists(w: &TestedDaemon, request: Export) {
    let output = request.output_path.clone().unwrap();
    let exported = w.client().await.export(request).await;
    assert_both_pieces(&exported);
    let text = format!("output path {output} is already exists");
    w.assert_internal(&exported.status, &w.by_itself(Code::Internal, &text));
}

fn forced(id: &str, output: &Path) -> Export {
    Export {
        force_hard_link: true,
        ..export_to(id, output)
    }
}
