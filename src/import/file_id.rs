//! The id that a file's content gives.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use dfdaemon_api::task_id::{Parameters, Scheme, TaskIdHasher};

/// How much is read at once, in bytes.
const READ_LENGTH: usize = 1 << 20;

/// Reads the file at `path` to its end. Blocks.
///
/// # Errors
///
/// Those of opening and reading it.
pub(crate) fn file_id(
    path: &Path,
    scheme: Scheme,
    parameters: Parameters<'_>,
) -> io::Result<String> {
    let mut hasher = TaskIdHasher::new(scheme);
    let mut file = File::open(path)?;
    let mut buffer = vec![0; READ_LENGTH];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finish(parameters)),
            Ok(length) => hasher.update(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
