//! The file in a state directory that says what made it.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::StateDirError;
use crate::dfdaemon::release::Release;
use crate::store::layout::{FORMAT as FORMAT_FILE, MARK, NEW_FORMAT};
use crate::store::{Disk, with_path};

/// The version of what lies in the directory.
const FORMAT: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
struct Format {
    format: u32,
    release: Release,
    hosts: usize,
}

/// Refuses a directory that another release made or that has more hosts, and notes what makes it now.
pub(super) fn check_format(
    disk: &Disk,
    path: &Path,
    release: Release,
    hosts: usize,
) -> Result<(), StateDirError> {
    let io = |source| StateDirError::Io {
        path: path.to_owned(),
        source,
    };
    let file = path.join(FORMAT_FILE);
    let known = match disk.read(&file) {
        Ok(bytes) => serde_json::from_slice::<Format>(&bytes).ok(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // A first start that was killed may have left the file that becomes this one.
            let begun = file.with_file_name(NEW_FORMAT);
            let entries = disk.list(path).map_err(io)?;
            let mark = path.join(MARK);
            let empty = entries
                .iter()
                .all(|(path, _)| *path == begun || *path == mark);
            empty.then_some(Format {
                format: FORMAT,
                release,
                hosts: 0,
            })
        }
        Err(error) => return Err(io(with_path(&file)(error))),
    };
    let known = known.filter(|known| known.format == FORMAT);
    let path = path.to_owned();
    let Some(known) = known else {
        return Err(StateDirError::UnknownFormat { path });
    };
    if known.release != release {
        return Err(StateDirError::OtherRelease {
            path,
            made_by: known.release,
            asked: release,
        });
    }
    if known.hosts > hosts {
        return Err(StateDirError::FewerHosts {
            path,
            made_with: known.hosts,
            asked: hosts,
        });
    }
    if known.hosts < hosts {
        write_format(
            disk,
            &file,
            &Format {
                format: FORMAT,
                release,
                hosts,
            },
        )
        .map_err(io)?;
    }
    Ok(())
}

fn write_format(disk: &Disk, file: &Path, format: &Format) -> io::Result<()> {
    let beside = file.with_file_name(NEW_FORMAT);
    disk.remove(&beside)?;
    disk.write_new(&beside, &serde_json::to_vec(format)?)?;
    disk.rename(&beside, file)
}
