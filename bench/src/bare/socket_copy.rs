//! A file through a Unix socket into another file, nothing looked at.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::net::sockopt::set_socket_send_buffer_size;

use super::Result;

/// Of 64 KiB to 4 MiB the quickest, though not by much, in bytes.
const BUFFER: usize = 256 << 10;

/// What may lie in the socket, in bytes. The system's own 208 KiB cost a third of the time; more
/// than this gains nothing.
const SOCKET_BUFFER: usize = 1 << 20;

/// A thread at each end.
pub(crate) fn socket_copy(from: &Path, to: &Path) -> Result<()> {
    let (mut here, mut there) = UnixStream::pair()?;
    set_socket_send_buffer_size(&there, SOCKET_BUFFER)?;
    let mut original = File::open(from)?;
    let sender = std::thread::spawn(move || -> std::io::Result<()> {
        let mut buffer = vec![0; BUFFER];
        loop {
            match original.read(&mut buffer)? {
                0 => return Ok(()),
                length => there.write_all(buffer.get(..length).unwrap_or_default())?,
            }
        }
    });
    let mut output = File::create_new(to)?;
    let mut buffer = vec![0; BUFFER];
    loop {
        match here.read(&mut buffer)? {
            0 => break,
            length => output.write_all(buffer.get(..length).unwrap_or_default())?,
        }
    }
    sender.join().map_err(|_| "the sender panicked")??;
    Ok(())
}
