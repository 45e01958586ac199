//! How much of a stream and of a connection may be on its way.

/// What a sender may send before it hears that it was read, in bytes: a stream, and all of them.
/// The proxy holds no more of a call than this, each way.
pub(super) const STREAM_WINDOW: u32 = 1 << 20;
pub(super) const CONNECTION_WINDOW: u32 = 8 << 20;

/// The longest frame, in bytes.
pub(super) const MAX_FRAME: u32 = 256 << 10;

/// What is kept of a stream that its receiver does not take, in bytes.
pub(super) const MAX_SEND_BUFFER: usize = 512 << 10;

/// How long the head of a call or of an answer may be. Statuses and their details are in it.
pub(super) const MAX_HEADERS: u32 = 4 << 20;

/// What the kernel keeps of what the receiver has not read yet, in bytes; it takes twice as much.
pub(super) const SOCKET_BUFFER: usize = 208 << 10;
