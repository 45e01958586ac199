//! Copies of files: shared blocks where the file system can, holes where there are some.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use rustix::fs::SeekFrom;
use rustix::io::Errno;

/// How much is copied at once, in bytes, before it is asked whether to go on.
const STEP: usize = 1 << 20;

/// Copies `from` to `to`, which is empty, while `goes_on` returns true. Blocks.
pub(crate) fn copy(from: &File, to: &File, goes_on: impl Fn() -> bool) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    if rustix::fs::ioctl_ficlone(to, from).is_ok() {
        return Ok(());
    }
    let length = from.metadata()?.len();
    to.set_len(length)?;
    let mut copied = 0;
    while copied < length {
        let Some((start, end)) = next_data(from, copied, length)? else {
            break;
        };
        copied = start;
        while copied < end {
            if !goes_on() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let step = copy_step(from, to, copied, end)?;
            if step == 0 {
                // It became shorter meanwhile.
                return to.set_len(copied);
            }
            copied += step;
        }
    }
    // Some files of the kernel have more than they say, and others grow.
    let mut end = length;
    while goes_on() {
        match copy_bytes(from, to, end, STEP)? {
            0 => break,
            step => end += step,
        }
    }
    Ok(())
}

/// Where the next bytes are that are no hole, if there are any.
fn next_data(file: &File, from: u64, length: u64) -> io::Result<Option<(u64, u64)>> {
    match rustix::fs::seek(file, SeekFrom::Data(from)) {
        Ok(start) => {
            let end = rustix::fs::seek(file, SeekFrom::Hole(start)).unwrap_or(length);
            Ok((start < length).then_some((start, end.min(length))))
        }
        Err(Errno::NXIO) => Ok(None),
        // It does not know.
        Err(_) => Ok(Some((from, length))),
    }
}

fn copy_step(from: &File, to: &File, at: u64, end: u64) -> io::Result<u64> {
    let length = usize::try_from(end - at).unwrap_or(STEP).min(STEP);
    #[cfg(target_os = "linux")]
    {
        let (mut read, mut written) = (at, at);
        let copied =
            rustix::fs::copy_file_range(from, Some(&mut read), to, Some(&mut written), length);
        match copied {
            Ok(copied) if copied > 0 => return Ok(copied as u64),
            Err(full @ (Errno::NOSPC | Errno::DQUOT | Errno::FBIG)) => return Err(full.into()),
            // Not between these two; a read says more.
            _ => {}
        }
    }
    copy_bytes(from, to, at, length)
}

fn copy_bytes(from: &File, to: &File, at: u64, length: usize) -> io::Result<u64> {
    let mut buffer = vec![0; length];
    loop {
        match from.read_at(&mut buffer, at) {
            Ok(read) => {
                to.write_all_at(&buffer[..read], at)?;
                return Ok(read as u64);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn a_copy_has_the_bytes_and_the_holes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        for (length, data) in [
            (0, 0),
            (5, 0),
            (3 << 20, 1 << 20),
            (64 << 20, 60 << 20),
            (1 << 33, 1 << 32),
        ] {
            let from = File::create_new(&path).unwrap();
            from.set_len(length).unwrap();
            if length > 0 {
                from.write_all_at(b"data!"[..5.min(length as usize)].as_ref(), data)
                    .unwrap();
            }
            let from = File::open(&path).unwrap();
            let copied = directory.path().join("copy");
            let to = File::options()
                .read(true)
                .write(true)
                .create_new(true)
                .open(&copied)
                .unwrap();
            copy(&from, &to, || true).unwrap();
            let metadata = to.metadata().unwrap();
            assert_eq!(metadata.len(), length.max(from.metadata().unwrap().len()));
            if length > 0 {
                let mut bytes = [0; 5];
                to.read_exact_at(&mut bytes, data).unwrap();
                assert_eq!(&bytes, b"data!");
            }
            // Of 8 GiB, what there is.
            assert!(
                metadata.blocks() * 512 <= 16 << 20,
                "{} blocks",
                metadata.blocks()
            );
            std::fs::remove_file(&path).unwrap();
            std::fs::remove_file(&copied).unwrap();
        }
    }

    #[test]
    fn a_copy_that_nobody_wants_ends() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, vec![7; 4 << 20]).unwrap();
        let to = tempfile::tempfile_in(directory.path()).unwrap();
        let copied = copy(&File::open(&path).unwrap(), &to, || false);
        // Where blocks are shared, it is there at once.
        assert!(copied.is_err() || to.metadata().unwrap().len() == 4 << 20);
    }
}
