//! The memory that an export's content passes through on its way to the client.
//!
//! It is used again as soon as the connection has sent what was in it. Taken from the allocator
//! each time, on whatever thread reads, it would add up in the pools that threads have there.

use std::sync::Arc;

use bytes::Bytes;

use crate::dfdaemon::mutex::Mutex;

/// Memory that nobody uses now. Clones share it.
#[derive(Clone, Debug, Default)]
pub(in crate::cluster) struct BufferPool(Arc<Mutex<Vec<Vec<u8>>>>);

impl BufferPool {
    /// Memory to read into; there is none in it yet if all that there was is on its way.
    pub(in crate::cluster) fn take(&self) -> Vec<u8> {
        self.0.lock().pop().unwrap_or_default()
    }

    /// The bytes, whose memory comes back when nobody needs them any more.
    pub(in crate::cluster) fn give_back_after(&self, bytes: Vec<u8>) -> Bytes {
        let buffers = self.clone();
        Bytes::from_owner(Buffer { bytes, buffers })
    }
}

/// Bytes on their way.
struct Buffer {
    bytes: Vec<u8>,
    buffers: BufferPool,
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        self.buffers.0.lock().push(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again_when_the_last_look_at_it_ends() {
        let buffers = BufferPool::default();
        let sent = buffers.give_back_after(b"content".to_vec());
        let part = sent.slice(3..);
        drop(sent);
        assert_eq!(buffers.take().capacity(), 0);
        assert_eq!(part, b"tent"[..]);
        drop(part);
        assert!(buffers.take().capacity() >= 7);
    }
}
